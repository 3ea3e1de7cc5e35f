/*
 * candidate.h - is this word a block?
 * Defaults: Context: collector; stopped, or of blocks that are not claimed.
 */
#ifndef BILGE_CANDIDATE_H
#define BILGE_CANDIDATE_H

#include "heap/span.h"

/* A block as the collector sees it. */
struct block {
	struct span *span;
	uint32_t slot;
	uint32_t part;		/* of a large one: from here on, see marker.c */
};

/*
 * candidate_locate - the slot a word points into.
 *
 * The only place where a word becomes a slot.
 *
 * Returns: false when it points into none.
 */
ALWAYS_INLINE bool
candidate_locate(uintptr_t word, struct block *ret)
{
	struct span *span = arena_span_of(word);
	uint32_t slot = 0;

	/* It may have been given to the table just now: acquire, S4. */
	atomic_thread_fence(memory_order_acquire);
	if (span == NULL || word < span_base(span))
		return false;
	if (!span_is_large(span)) {
		slot = span_slot_of(span, word);
		if (slot >= span->slot_count)
			return false;
	}
	ret->span = span;
	ret->slot = slot;
	return true;
}

/*
 * candidate_is_taken - is a slot in the program's hands?  May be asked while
 * the program runs: of a block that it holds all the time the answer is yes.
 */
ALWAYS_INLINE bool
candidate_is_taken(const struct span *span, uint32_t slot)
{
	size_t word = slot / WORD_BITS;
	uint64_t gone = load_relaxed(&span->returned[word]);

	if (!span_is_large(span))
		gone |= span_unused(span, (uint32_t)word);
	return !bits_has(gone, slot % WORD_BITS);
}

/* candidate_bit - the bit of a block in its word of every bitmap. */
ALWAYS_INLINE uint64_t
candidate_bit(const struct block *b)
{
	return UINT64_C(1) << (b->slot % WORD_BITS);
}

/* candidate_is_marked - grey or black; a bit is set only once in a cycle. */
ALWAYS_INLINE bool
candidate_is_marked(const struct block *b)
{
	/* relaxed: who has to be the one to set it finds out as it does. */
	return (load_relaxed(&b->span->mark[b->slot / WORD_BITS]) &
		candidate_bit(b)) != 0;
}

/*
 * candidate_find - the block a word points to, into or just past.  A slot that
 * is free or claimed is none.
 * Returns: false when the word is no block's address.
 * Context: stopped.
 */
bool candidate_find(uintptr_t word, struct block *ret_block);

/*
 * candidate_taken - bits of a bitmap's word that are in the program's hands.
 */
uint64_t candidate_taken(const struct span *span, uint32_t word);

/* candidate_extent - the words of a block that may hold pointers. */
void candidate_extent(const struct block *block, uintptr_t *ret_start,
		      uintptr_t *ret_end);

#endif
