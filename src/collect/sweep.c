/*
 * sweep.c - what becomes of white blocks.
 *
 * Owns the list of condemned blocks.  A block enters it when it is white for
 * the first time, with a checksum of its contents, and leaves it in one of
 * four ways: reached again for good or changed (resurrected), freed or touched
 * by the program (resurrected too), or reclaimed.
 *
 * Always true:
 *   R1  a block is reclaimed only after it was white in grace + 1 cycles in a
 *       row, its contents the same at the first and at the last of them, and
 *       no block of its site ever came back; in more cycles where one was
 *       reached again by what may be a stale word;
 *   R2  who clears a block's condemned bit decides: sweep may reclaim it, or
 *       the program has freed it, never both.
 *
 * A reclaimed slot gets its `reclaimed` bit before its `returned` bit: whoever
 * finds it free twice knows why.
 *
 * Not here: which blocks are white and what points at them (leaks.c).
 */
#include "collect/sweep.h"

#include "collect/shield.h"
#include "heap/blind.h"
#include "heap/heap.h"
#include "heap/meta.h"
#include "report/leaks.h"
#include "report/ledger.h"
#include "report/record.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/mutator.h"
#include "world/pages.h"

#include <errno.h>

/* Address space for the list; a 32nd of what metadata has. */
#define TABLE_PART	32
#define TABLE_MAX	(8 * GIB)

/* One that is larger is read where it has pages only. */
#define SPARSE_MIN	(256 * KIB)

struct condemned {
	uintptr_t addr;
	uint64_t sum;
	uint32_t site;
	uint16_t whites;	/* cycles in a row */
	bool is_direct;
	bool is_suspect;	/* it was reached in the last cycle */
	bool is_kept;		/* exempt, or nothing is reclaimed */
	bool is_shielded;
	uintptr_t pc;		/* that touched it then; 0: unknown */
};

/* Guarded by RANK_CYCLE. */
static struct {
	struct condemned *list;
	size_t count;
	size_t committed;
	size_t size;
	bool reclaims;
	uint64_t resurrected;		/* since the last sweep */
	struct sweep_result *result;

	/* Atomic: relaxed, read by anyone. */
	_Atomic uint64_t reclaimed;
} sweep;

/* ---------------------------------------------------------------- checksums */

/* Four multiplications at a time, as fast as memory (wyhash's idea). */
static void
add_to_sum(uintptr_t start, uintptr_t end, void *argument)
{
	const uint64_t k = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t *sum = argument;
	uint64_t a = *sum ^ start, b = a + k, c = b + k, d = c + k;
	const volatile uint64_t *p = (const volatile uint64_t *)start;
	const volatile uint64_t *last = (const volatile uint64_t *)end;

	for (; last - p >= 4; p += 4) {
		a = (a ^ p[0]) * k;
		b = (b ^ p[1]) * k;
		c = (c ^ p[2]) * k;
		d = (d ^ p[3]) * k;
		a ^= a >> 29;
		b ^= b >> 31;
		c ^= c >> 33;
		d ^= d >> 27;
	}
	for (; p < last; p++)
		a = bits_mix(a ^ *p);
	*sum = bits_mix(a) ^ bits_mix(b + 1) ^ bits_mix(c + 2) ^
	       bits_mix(d + 3);
}

static void
add_readable(uintptr_t at, uintptr_t end, void *sum)
{
	uintptr_t next;

	for (; blind_next(&at, end, &next); at = next)
		add_to_sum(at, next, sum);
}

static uint64_t
checksum(const struct block *b)
{
	uintptr_t start, end;
	uint64_t sum = 0;

	candidate_extent(b, &start, &end);
	if (end - start >= SPARSE_MIN)
		pages_for_each_touched(start, end, PAGES_ANONYMOUS,
				       add_readable, &sum);
	else
		add_readable(start, end, &sum);
	return sum;
}

/* ---------------------------------------------------------------- the list */

static bool
open_list(void)
{
	for (size_t size = MIN(meta_room() / TABLE_PART, TABLE_MAX);
	     sweep.list == NULL && size >= 64 * KIB; size /= 2) {
		sweep.size = size;
		sweep.list = meta_reserve(size);
	}
	return sweep.list != NULL;
}

static bool
append(const struct condemned *c)
{
	size_t needed = (sweep.count + 1) * sizeof(*c);
	size_t committed = meta_commit(sweep.list, sweep.committed, needed,
				       sweep.size);

	if (committed == 0)
		return false;
	sweep.committed = committed;
	sweep.list[sweep.count++] = *c;
	return true;
}

/* take - R2: true when the block was condemned and is now ours to decide. */
static bool
take(const struct block *b)
{
	return (atomic_fetch_and_explicit(
			&b->span->condemned[b->slot / WORD_BITS],
			~candidate_bit(b),
			memory_order_acq_rel) & candidate_bit(b)) != 0;
}

/* find - the block of an entry; false: it was freed, that was noted then. */
static bool
find(const struct condemned *c, struct block *ret)
{
	return candidate_locate(c->addr, ret) &&
	       (load_relaxed(&ret->span->condemned[ret->slot / WORD_BITS]) &
		candidate_bit(ret)) != 0;
}

/* ---------------------------------------------------- resurrect and reclaim */

static void
note_return(const struct condemned *c, const char *how)
{
	sweep.resurrected++;
	atomic_fetch_add_explicit(&stats.resurrected, 1, memory_order_relaxed);
	record_resurrected(c->site, c->addr, how, c->pc);
}

static void
resurrect(const struct condemned *c, const char *how)
{
	ledger_exempt(c->site);
	note_return(c, how);
}

/*
 * reached - a condemned block is.  The word that did it may be what a register
 * or the hole of a frame still holds.  So it stays in the list, and its site's
 * blocks wait for longer; it has come back when it is reached in the next cycle
 * too, or is freed, touched, changed; and if it was not, it begins anew.
 */
static bool
reached(struct condemned *c, const struct block *b)
{
	if (c->is_kept || c->is_suspect) {
		if (take(b) && !c->is_kept)
			resurrect(c, "reached");
		return false;
	}
	c->is_suspect = true;
	c->whites = 0;
	ledger_suspect(c->site, stats.cycle.count + 1);
	note_return(c, "reached");
	return true;
}

void
sweep_resurrect(uint32_t site)
{
	uint64_t mask;

	mutator_enter(&mask);
	atomic_fetch_add_explicit(&stats.resurrected, 1, memory_order_relaxed);
	ledger_exempt(site);
	record_resurrected(site, 0, "freed", 0);
	mutator_leave(mask);
}

static void
reclaim(const struct condemned *c, const struct block *b)
{
	struct span *span = b->span;
	size_t size = span_slot_bytes(span);
	size_t requested = span_requested(span, b->slot);

	if (!take(b))						/* R2 */
		return;
	store_relaxed(&span->site[b->slot], SITE_NONE);
	atomic_fetch_or_explicit(&span->reclaimed[b->slot / WORD_BITS],
				 candidate_bit(b), memory_order_release);
	if (span_is_large(span)) {
		/* No decay: the pages are surely not wanted soon. */
		span->is_cold = true;
		if (!cache_return_large(span))
			return;
	} else if (!cache_return(span, b->slot / WORD_BITS,
				 candidate_bit(b))) {
		return;
	}
	store_relaxed(&sweep.reclaimed, load_relaxed(&sweep.reclaimed) + size);
	sweep.result->reclaimed_bytes += requested;
	sweep.result->reclaimed_blocks++;
	stats.reclaimed_bytes += requested;
	stats.reclaimed_blocks++;
	ledger_reclaimed(c->site, c->is_direct, requested);
}

/* review - is an old entry still condemned?  Counts one more white cycle. */
static bool
review(struct condemned *c)
{
	struct block b;

	if (!find(c, &b))
		return false;
	if (candidate_is_marked(&b))
		return reached(c, &b);
	c->is_suspect = false;
	if (!c->is_kept && checksum(&b) != c->sum) {
		if (take(&b))
			resurrect(c, "changed");
		return false;
	}
	if (c->whites < UINT16_MAX)
		c->whites++;
	return true;
}

static void
review_all(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < sweep.count; i++)
		if (review(&sweep.list[i]))
			sweep.list[kept++] = sweep.list[i];
	sweep.count = kept;
}

/* condemn - leaks_collect() has found one that was not condemned before. */
static void
condemn(const struct block *b, bool is_direct)
{
	struct condemned c = {
		.addr = span_slot_addr(b->span, b->slot),
		.site = span_site(b->span, b->slot),
		.whites = 1,
		.is_direct = is_direct,
		.is_kept = !sweep.reclaims,
	};

	if (!c.is_kept)
		c.sum = checksum(b);
	store_relaxed(&heap_has_condemned, true);
	/* Without room it stays white and is found again. */
	if (append(&c))
		atomic_fetch_or_explicit(
			&b->span->condemned[b->slot / WORD_BITS],
			candidate_bit(b),
			memory_order_release);
}

static void
reclaim_all(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < sweep.count; i++) {
		struct condemned *c = &sweep.list[i];
		struct block b;

		if (!find(c, &b))
			continue;
		c->is_kept |= ledger_is_exempt(c->site);
		if (!c->is_kept && c->whites > options->grace &&
		    c->whites > options->grace +
				ledger_patience(c->site,
						stats.cycle.count + 1)) {
			reclaim(c, &b);
			continue;
		}
		if (!c->is_kept && !c->is_suspect) {
			sweep.result->pending_bytes += span_slot_bytes(b.span);
			c->is_shielded = shield_raise(&b);
		}
		sweep.list[kept++] = *c;
	}
	sweep.count = kept;
}

void
sweep_unshield(void)
{
	for (size_t i = 0; i < sweep.count; i++) {
		struct condemned *c = &sweep.list[i];
		struct block b;

		if (!c->is_shielded)
			continue;
		c->is_shielded = false;
		/* Freed meanwhile, it is open, and perhaps another's. */
		if (!find(c, &b))
			shield_forget();
		else if (shield_lower(&b, &c->pc) && take(&b))
			resurrect(c, "touched");
	}
}

static void
tell(void)
{
	size_t count;
	const struct leak_group *groups = leaks_groups(&count);

	sweep.result->lost_sites = count;
	for (size_t i = 0; i < count; i++) {
		sweep.result->lost_bytes += groups[i].bytes;
		sweep.result->lost_blocks += groups[i].blocks;
		ledger_lost(groups[i].site, groups[i].is_direct,
			    groups[i].bytes, groups[i].blocks);
	}
}

int
sweep_run(bool reclaims, struct sweep_result *ret)
{
	int error;

	*ret = (struct sweep_result){ 0 };
	sweep.result = ret;
	sweep.reclaims = reclaims;
	if (!open_list())
		return -ENOMEM;
	review_all();
	error = leaks_collect(LEAKS_NEW, condemn);
	if (error != 0)
		return error;
	tell();
	reclaim_all();
	ret->resurrected_blocks = sweep.resurrected;
	sweep.resurrected = 0;
	return 0;
}

uint64_t
sweep_reclaimed(void)
{
	return load_relaxed(&sweep.reclaimed);
}

static void
clear_condemned(struct span *span, void *unused)
{
	(void)unused;
	for (uint32_t w = 0; w < span->words; w++)
		store_relaxed(&span->condemned[w], 0);
}

void
sweep_fork_child(void)
{
	sweep.count = 0;
	shield_fork_child();
	arena_for_each_span(clear_condemned, NULL);
}
