/*
 * guard.c - which quarantined blocks may be used again (G1).
 *
 * Owns the marks of a cycle that is run for the quarantine alone.  It need not
 * know what can be reached: every block that is not in quarantine is black
 * from the start, as if it had been marked and never scanned, and is read once
 * in the order of addresses, as fast as memory.  What is written meanwhile is
 * on dirty pages, as ever.
 *
 * Always true:
 *   U1  a block is released only if it was in quarantine before marks counted,
 *       and a complete mark found no pointer to it (M1);
 *   U2  the holder of a pointer finds the block clear or as it left it: what
 *       was written to is told, not mended.
 *
 * Not here: how blocks get into quarantine and out of it (heap/quarantine.c).
 */
#include "collect/guard.h"

#include "base/panic.h"
#include "collect/marker.h"
#include "heap/blind.h"
#include "heap/quarantine.h"
#include "settings/stats.h"
#include "world/pages.h"

/* So many writes to freed blocks are told; the record has all. */
#define TOLD_MAX	32u

/* What is to be done with what is in quarantine. */
enum task { LOOK, COUNT, RELEASE };

/* Guarded by RANK_CYCLE. */
static struct {
	bool (*between)(void);
	bool is_given_up;
	enum task task;
	struct guard_result result;
	struct groups kept;
	struct overwrite told[TOLD_MAX];
	size_t told_count;
} guard;

/* ------------------------------------------------------------------ marking */

static void
whiten_span(struct span *span, void *unused)
{
	(void)unused;
	for (uint32_t w = 0; w < span->words; w++)
		store_relaxed(&span->mark[w], span_word_mask(span, w) &
			      ~load_acquire(&span->quarantined[w]));
}

void
guard_whiten(void)
{
	arena_for_each_span(whiten_span, NULL);
}

static void
scan_span(struct span *span, void *unused)
{
	struct marker *m = marker_of(0);

	(void)unused;
	if (guard.is_given_up)
		return;
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits = candidate_taken(span, w) &
				~load_relaxed(&span->quarantined[w]);

		if (bits != 0 && span_is_large(span))
			marker_grey(m, &(struct block){ span, 0, 0 });
		else if (bits != 0)
			marker_scan_slots(m, span, w, bits);
	}
	guard.is_given_up = guard.between != NULL && !guard.between();
}

void
guard_scan_heap(bool (*between)(void))
{
	guard.between = between;
	guard.is_given_up = false;
	arena_for_each_span(scan_span, NULL);
}

/* --------------------------------------------------- writes to freed blocks */

/* find_written - the first word of [start, end) that is not clear; end. */
static uintptr_t
find_written(uintptr_t start, uintptr_t end)
{
	const uint64_t *p = (const uint64_t *)start;
	const uint64_t *last = (const uint64_t *)end;

	for (; last - p >= 4; p += 4)
		if ((p[0] | p[1] | p[2] | p[3]) != 0)
			break;
	while (p < last && *p == 0)
		p++;
	return (uintptr_t)p;
}

/* see_part - Units: argument, where the first written word goes. */
static void
see_part(uintptr_t at, uintptr_t end, void *argument)
{
	uintptr_t *ret_first = argument, next, found;

	for (; *ret_first == 0 && blind_next(&at, end, &next); at = next) {
		found = find_written(at, next);
		if (found != next)
			*ret_first = found;
	}
}

static uintptr_t
first_written(const struct block *b)
{
	uintptr_t start = span_slot_addr(b->span, b->slot), found = 0;
	uintptr_t end = start + span_slot_bytes(b->span);

	/* Of a large one only pages that came back are read. */
	if (span_is_large(b->span))
		pages_for_each_touched(start, end, PAGES_ANONYMOUS, see_part,
				       &found);
	else
		see_part(start, end, &found);
	return found;
}

static void
tell_written(const struct block *b, uintptr_t at)
{
	struct span *span = b->span;
	struct overwrite o = {
		.address = span_slot_addr(span, b->slot),
		.size = span_requested(span, b->slot),
		.site = span_site(span, b->slot),
		.freed_site = span->freed_site == NULL ? SITE_NONE
			: load_relaxed(&span->freed_site[b->slot]),
	};

	o.offset = at - o.address;
	atomic_fetch_add_explicit(&stats.misuses, 1, memory_order_relaxed);
	record_overwritten(NULL, &o);
	if (guard.told_count == TOLD_MAX)
		return;
	guard.told[guard.told_count++] = o;
	say("write after free: %p, %zu bytes into a block of %zu", (void *)at,
	    o.offset, o.size);
}

const struct overwrite *
guard_overwrites(size_t *ret_count)
{
	*ret_count = guard.told_count;
	return guard.told;
}

static void
look(struct span *span, uint32_t word, uint64_t bits)
{
	bits &= ~span->spoiled[word];
	for (; bits != 0; bits &= bits - 1) {
		struct block b = { span, word * WORD_BITS + bits_ctz(bits),
				   0 };
		uintptr_t at = first_written(&b);

		if (at == 0)
			continue;
		span->spoiled[word] |= candidate_bit(&b);
		tell_written(&b, at);
	}
}

/* ----------------------------------------------------------------- sweeping */

/* count_kept - blocks that pointers still lead to. */
static void
count_kept(const struct span *span, uint32_t word, uint64_t bits)
{
	for (; bits != 0; bits &= bits - 1) {
		uint32_t slot = word * WORD_BITS + bits_ctz(bits);

		/* Without memory the list ends here. */
		groups_add(&guard.kept, span_site(span, slot), true,
			   span_requested(span, slot));
	}
}

static void
visit_span(struct span *span, void *unused)
{
	size_t size = span_slot_bytes(span);

	(void)unused;
	for (uint32_t w = 0; w < span->words; w++) {
		/* acquire [G], and before the marks (G2). */
		uint64_t held = load_acquire(&span->quarantined[w]);
		uint64_t marked = held & load_relaxed(&span->mark[w]);
		uint64_t white = guard.task == RELEASE ? held & ~marked : 0;

		if (held == 0)
			continue;
		look(span, w, held);
		guard.result.kept_bytes += size * bits_count(held & ~white);
		guard.result.released_bytes += size * bits_count(white);
		if (white != 0)
			quarantine_release(span, w, white);	/* U1 */
		if (guard.task == COUNT)
			count_kept(span, w, marked);
	}
}

static void
visit_all(enum task task)
{
	guard.result = (struct guard_result){ 0 };
	guard.task = task;
	arena_for_each_span(visit_span, NULL);
	stats.quarantined_bytes = guard.result.kept_bytes;
}

void
guard_sweep(struct guard_result *ret)
{
	visit_all(RELEASE);
	*ret = guard.result;
}

void
guard_check(bool is_marked)
{
	visit_all(is_marked ? COUNT : LOOK);
	groups_sort(&guard.kept);
}

const struct leak_group *
guard_kept(size_t *ret_count)
{
	*ret_count = guard.kept.count;
	return guard.kept.table;
}

void
guard_forget(void)
{
	groups_release(&guard.kept);
}
