/*
 * marker.c - from roots to everything that can be reached.
 *
 * Always true:
 *   K1  a marked block is black, or it is in the list of grey blocks, or
 *       marker.overflowed is set;
 *   K2  marking never writes to the program's memory.
 */
#include "collect/marker.h"

#include "collect/grey.h"
#include "heap/cache.h"
#include "settings/options.h"
#include "world/pages.h"

#include <string.h>

/* A block this large is asked for its touched pages first. */
#define SPARSE_MIN	(256 * KIB)

/* Guarded by RANK_CYCLE. */
static struct {
	uint64_t bytes;
	uint64_t tag_mask;
	bool overflowed;
} marker;

static void
clear_marks(struct span *span, void *argument)
{
	(void)argument;
	memset((void *)span->mark, 0, span->words * sizeof(*span->mark));
}

static void
blacken_claims(struct cache *cache, void *argument)
{
	(void)argument;
	cache_blacken(cache);
}

void
marker_begin(void)
{
	marker.bytes = 0;
	marker.overflowed = false;
	marker.tag_mask = options->tag_mask;
	arena_for_each_span(clear_marks, NULL);
	cache_for_each(blacken_claims, NULL);
}

static void
mark(struct block b)
{
	_Atomic uint64_t *word = &b.span->mark[b.slot / WORD_BITS];
	uint64_t bit = UINT64_C(1) << (b.slot % WORD_BITS);

	/* relaxed: winning the bit only makes the block ours to scan. */
	if ((load_relaxed(word) & bit) != 0 ||
	    (atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit))
		return;
	marker.bytes += span_slot_bytes(b.span);
	if (!grey_push(b))
		marker.overflowed = true;			/* K1 */
}

static void
mark_word(uintptr_t word)
{
	struct block b;

	if (candidate_find(word, &b))
		mark(b);
}

/*
 * The conservative scan reads memory that is not ours, red zones of others'
 * stacks among it: checkers of such reads are kept out.
 */
__attribute__((no_sanitize("address")))
void
marker_scan_range(uintptr_t start, uintptr_t end)
{
	const uintptr_t *p = (const uintptr_t *)ALIGN_UP(start,
							 sizeof(uintptr_t));
	const uintptr_t *last = (const uintptr_t *)ALIGN_DOWN(end,
							sizeof(uintptr_t));

	for (; p < last; p++) {
		uintptr_t word = *p;

		if (arena_contains(word))
			mark_word(word);
		else if (unlikely(marker.tag_mask != 0))
			mark_word(word & ~marker.tag_mask);
	}
}

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	(void)argument;
	marker_scan_range(start, end);
}

static void
scan_block(const struct block *b)
{
	uintptr_t start, end;

	candidate_extent(b, &start, &end);
	if (end - start >= SPARSE_MIN)
		pages_for_each_touched(start, end, PAGES_ANONYMOUS, scan_part,
				       NULL);
	else
		marker_scan_range(start, end);
}

static void
grey_ignored_of_span(struct span *span, void *argument)
{
	(void)argument;
	if (span->site == NULL)
		return;
	for (uint32_t slot = 0; slot < span->slot_count; slot++)
		if (span_site(span, slot) == SITE_IGNORED &&
		    candidate_is_block(span, slot))
			mark((struct block){ span, slot });
}

void
marker_grey_ignored(void)
{
	arena_for_each_span(grey_ignored_of_span, NULL);
}

static void
rescan_marked(struct span *span, void *argument)
{
	(void)argument;
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits = load_relaxed(&span->mark[w]) &
				candidate_taken(span, w);

		for (; bits != 0; bits &= bits - 1) {
			struct block b = { span, w * WORD_BITS +
						 bits_ctz(bits) };

			scan_block(&b);
		}
	}
}

void
marker_drain(void)
{
	struct block b;

	for (;;) {
		while (grey_pop(&b))
			scan_block(&b);
		if (!marker.overflowed)
			return;
		/* Some marked blocks were never scanned: scan all again. */
		marker.overflowed = false;
		arena_for_each_span(rescan_marked, NULL);
	}
}

uint64_t
marker_bytes(void)
{
	return marker.bytes;
}
