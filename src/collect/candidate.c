/*
 * candidate.c - is this word a block?
 *
 * Owns nothing.  A pointer just past a block's end needs no rule of its own:
 * the heap pads each request by a byte where such pointers count, so that it
 * lies in the block's slot.
 */
#include "collect/candidate.h"

#include "heap/heap.h"

uint64_t
candidate_taken(const struct span *span, uint32_t word)
{
	uint64_t returned = load_relaxed(&span->returned[word]);

	if (span_is_large(span))
		return ~returned & 1;
	return span_word_mask(span, word) &
	       ~(span_unused(span, word) | returned);
}

bool
candidate_find(uintptr_t word, struct block *ret)
{
	struct block b = { .part = 0 };

	if (!candidate_locate(word, &b) ||
	    !candidate_is_taken(b.span, b.slot))
		return false;
	*ret = b;
	return true;
}

void
candidate_extent(const struct block *b, uintptr_t *ret_start,
		 uintptr_t *ret_end)
{
	const struct span *span = b->span;
	uintptr_t start = span_slot_addr(span, b->slot);
	size_t size = span_slot_bytes(span);

	/*
	 * What lies behind the requested bytes is left over from earlier
	 * blocks, unless the program was told that it may use it.
	 */
	if (!heap_size_was_asked() && span_site(span, b->slot) != SITE_NONE)
		size = MIN(span_requested(span, b->slot), size);
	*ret_start = start;
	*ret_end = start + ALIGN_DOWN(size, sizeof(uintptr_t));
}
