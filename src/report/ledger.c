/*
 * ledger.c - what each site has lost so far, and what became of it.
 *
 * Owns the accounts of the process, in a hash table that grows, and the mark
 * of sites whose blocks came back.
 *
 * Always true:
 *   G1  an exempt site stays exempt, and where there is no memory to remember
 *       one, all are.
 *
 * State is guarded by ledger.lock (RANK_LEDGER).
 */
#include "report/ledger.h"

#include "base/bits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <string.h>

#define TABLE_MIN	256u

/* An account with no first_ns is an empty place. */
static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct account *table;
	size_t size;			/* a power of two */
	size_t used;
	uint32_t *exempt;		/* open addressing, 0: empty */
	size_t exempt_size;
	/* Atomic: relaxed; written under the lock, mostly 0. */
	_Atomic size_t exempt_used;
	/* Atomic: relaxed, only ever set. */
	_Atomic bool all_exempt;
} ledger = { .lock = LOCK_INIT(RANK_LEDGER) };

static struct account *
place_of(struct account *table, size_t size, uint32_t site, bool is_direct)
{
	size_t i = bits_mix((uint64_t)site << 1 | is_direct) & (size - 1);

	while (table[i].first_ns != 0 &&
	       (table[i].site != site || table[i].is_direct != is_direct))
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool
grow_locked(void)
{
	size_t size = MAX(2 * ledger.size, TABLE_MIN);
	struct account *table = meta_map(size * sizeof(*table));

	if (table == NULL)
		return false;
	for (size_t i = 0; i < ledger.size; i++) {
		const struct account *a = &ledger.table[i];

		if (a->first_ns != 0)
			*place_of(table, size, a->site, a->is_direct) = *a;
	}
	if (ledger.table != NULL)
		meta_unmap(ledger.table, ledger.size * sizeof(*table));
	ledger.table = table;
	ledger.size = size;
	return true;
}

/* find_locked - the account, made if need be; NULL without memory. */
static struct account *
find_locked(uint32_t site, bool is_direct, bool create)
{
	struct account *a;

	if (create && 2 * (ledger.used + 1) > ledger.size && !grow_locked() &&
	    ledger.used + 1 >= ledger.size)
		return NULL;
	if (ledger.size == 0)
		return NULL;
	a = place_of(ledger.table, ledger.size, site, is_direct);
	if (a->first_ns != 0)
		return a;
	if (!create)
		return NULL;
	*a = (struct account){ .site = site, .is_direct = is_direct,
			       .first_ns = sys_realtime_ns() };
	ledger.used++;
	return a;
}

void
ledger_lost(uint32_t site, bool is_direct, uint64_t bytes, uint64_t blocks)
{
	struct account *a;

	lock_acquire(&ledger.lock);
	a = find_locked(site, is_direct, true);
	if (a != NULL) {
		a->bytes += bytes;
		a->blocks += blocks;
	}
	lock_release(&ledger.lock);
}

void
ledger_reclaimed(uint32_t site, bool is_direct, uint64_t bytes)
{
	struct account *a;

	lock_acquire(&ledger.lock);
	a = find_locked(site, is_direct, true);
	if (a != NULL) {
		a->reclaimed_bytes += bytes;
		a->reclaimed_blocks++;
	}
	lock_release(&ledger.lock);
}

/* exempt_place - where a site is, or would be. */
static uint32_t *
exempt_place(uint32_t *table, size_t size, uint32_t site)
{
	size_t i = bits_mix(site) & (size - 1);

	while (table[i] != 0 && table[i] != site)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool
grow_exempt_locked(void)
{
	size_t size = MAX(2 * ledger.exempt_size, TABLE_MIN);
	uint32_t *table = meta_map(size * sizeof(*table));

	if (table == NULL)
		return false;
	for (size_t i = 0; i < ledger.exempt_size; i++)
		if (ledger.exempt[i] != 0)
			*exempt_place(table, size, ledger.exempt[i]) =
				ledger.exempt[i];
	if (ledger.exempt != NULL)
		meta_unmap(ledger.exempt,
			   ledger.exempt_size * sizeof(*table));
	ledger.exempt = table;
	ledger.exempt_size = size;
	return true;
}

bool
ledger_exempt_all(void)
{
	return !atomic_exchange_explicit(&ledger.all_exempt, true,
					 memory_order_relaxed);
}

void
ledger_exempt(uint32_t site)
{
	uint32_t *place;

	lock_acquire(&ledger.lock);
	if (site == 0 ||
	    (2 * (load_relaxed(&ledger.exempt_used) + 1) >
	     ledger.exempt_size && !grow_exempt_locked())) {
		ledger_exempt_all();				/* G1 */
	} else {
		place = exempt_place(ledger.exempt, ledger.exempt_size, site);
		store_relaxed(&ledger.exempt_used,
			      load_relaxed(&ledger.exempt_used) +
			      (*place == 0));
		*place = site;
	}
	lock_release(&ledger.lock);
}

bool
ledger_is_exempt(uint32_t site)
{
	bool result;

	if (load_relaxed(&ledger.all_exempt))
		return true;
	if (load_relaxed(&ledger.exempt_used) == 0)
		return false;
	lock_acquire(&ledger.lock);
	result = site != 0 &&
		 *exempt_place(ledger.exempt, ledger.exempt_size, site) != 0;
	lock_release(&ledger.lock);
	return result;
}

bool
ledger_find(uint32_t site, bool is_direct, struct account *ret)
{
	struct account *a;

	lock_acquire(&ledger.lock);
	a = find_locked(site, is_direct, false);
	if (a != NULL)
		*ret = *a;
	lock_release(&ledger.lock);
	return a != NULL;
}

void
ledger_told(uint32_t site, bool is_direct)
{
	struct account *a;

	lock_acquire(&ledger.lock);
	a = find_locked(site, is_direct, false);
	if (a != NULL)
		a->told_bytes = a->bytes;
	lock_release(&ledger.lock);
}

bool
ledger_next(size_t *index, struct account *ret)
{
	bool found = false;

	lock_acquire(&ledger.lock);
	while (!found && *index < ledger.size) {
		found = ledger.table[*index].first_ns != 0;
		if (found)
			*ret = ledger.table[*index];
		(*index)++;
	}
	lock_release(&ledger.lock);
	return found;
}

size_t
ledger_accounts(void)
{
	size_t used;

	lock_acquire(&ledger.lock);
	used = ledger.used;
	lock_release(&ledger.lock);
	return used;
}

void
ledger_fork_lock(void)
{
	lock_acquire(&ledger.lock);
}

void
ledger_fork_unlock(bool in_child)
{
	if (!in_child) {
		lock_release(&ledger.lock);
		return;
	}
	/* What the parent lost it tells itself; what came back stays exempt. */
	if (ledger.table != NULL)
		memset(ledger.table, 0, ledger.size * sizeof(*ledger.table));
	ledger.used = 0;
	lock_reset(&ledger.lock);
}
