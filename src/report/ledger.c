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

/* What is thought of a site's blocks. */
struct standing {
	uint32_t site;
	uint32_t suspicions;	/* EXEMPT: it is, for good */
	uint64_t cycle;		/* of the last one */
};

#define EXEMPT	3u

/* An account with no first_ns is an empty place. */
static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct account *table;
	size_t size;			/* a power of two */
	size_t used;
	struct standing *standings;	/* open addressing; site 0: empty */
	size_t standing_size;
	/* Atomic: relaxed; written under the lock, mostly 0. */
	_Atomic size_t standing_count;
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

/* standing_place - where a site is, or would be. */
static struct standing *
standing_place(struct standing *table, size_t size, uint32_t site)
{
	size_t i = bits_mix(site) & (size - 1);

	while (table[i].site != 0 && table[i].site != site)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool
grow_standings_locked(void)
{
	size_t size = MAX(2 * ledger.standing_size, TABLE_MIN);
	struct standing *table = meta_map(size * sizeof(*table));

	if (table == NULL)
		return false;
	for (size_t i = 0; i < ledger.standing_size; i++) {
		const struct standing *s = &ledger.standings[i];

		if (s->site != 0)
			*standing_place(table, size, s->site) = *s;
	}
	if (ledger.standings != NULL)
		meta_unmap(ledger.standings,
			   ledger.standing_size * sizeof(*table));
	ledger.standings = table;
	ledger.standing_size = size;
	return true;
}

/* standing_locked - of a site, made if need be; NULL without memory. */
static struct standing *
standing_locked(uint32_t site)
{
	size_t used = load_relaxed(&ledger.standing_count);
	struct standing *s;

	if (site == 0 || (2 * (used + 1) > ledger.standing_size &&
			  !grow_standings_locked()))
		return NULL;
	s = standing_place(ledger.standings, ledger.standing_size, site);
	if (s->site == 0)
		store_relaxed(&ledger.standing_count, used + 1);
	s->site = site;
	return s;
}

/* find_standing - a copy; all zero when there is none. */
static struct standing
find_standing(uint32_t site)
{
	struct standing s = { 0 };

	if (load_relaxed(&ledger.standing_count) == 0 || site == 0)
		return s;
	lock_acquire(&ledger.lock);
	s = *standing_place(ledger.standings, ledger.standing_size, site);
	lock_release(&ledger.lock);
	return s;
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
	struct standing *s;

	lock_acquire(&ledger.lock);
	s = standing_locked(site);
	if (s != NULL)
		s->suspicions = EXEMPT;
	else
		ledger_exempt_all();				/* G1 */
	lock_release(&ledger.lock);
}

bool
ledger_is_exempt(uint32_t site)
{
	return load_relaxed(&ledger.all_exempt) ||
	       find_standing(site).suspicions >= EXEMPT;
}

void
ledger_suspect(uint32_t site, uint64_t cycle)
{
	struct standing *s;

	lock_acquire(&ledger.lock);
	s = standing_locked(site);
	if (s == NULL) {
		ledger_exempt_all();				/* G1 */
	} else if (s->suspicions < EXEMPT && s->cycle != cycle) {
		if (cycle - s->cycle > LEDGER_MEMORY)
			s->suspicions = 0;
		s->suspicions++;
		s->cycle = cycle;
	}
	lock_release(&ledger.lock);
}

unsigned
ledger_patience(uint32_t site, uint64_t cycle)
{
	struct standing s = find_standing(site);

	if (s.suspicions == 0 || cycle - s.cycle > LEDGER_MEMORY)
		return 0;
	return (1u << (2 * s.suspicions)) - 1;
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
