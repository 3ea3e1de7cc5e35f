/*
 * candidate.h - is this word a block?
 * Defaults: Context: stopped.
 */
#ifndef BILGE_CANDIDATE_H
#define BILGE_CANDIDATE_H

#include "heap/span.h"

/* A block as the collector sees it. */
struct block {
	struct span *span;
	uint32_t slot;
};

/*
 * candidate_find - the block a word points to, into or just past.
 *
 * The only place where a word becomes a block.  A slot that is free or
 * claimed is none.
 *
 * Returns: false when the word is no block's address.
 */
bool candidate_find(uintptr_t word, struct block *ret_block);

/* candidate_is_block - is a slot in the program's hands? */
bool candidate_is_block(const struct span *span, uint32_t slot);

/*
 * candidate_taken - bits of a bitmap's word that are in the program's hands.
 */
uint64_t candidate_taken(const struct span *span, uint32_t word);

/* candidate_extent - the words of a block that may hold pointers. */
void candidate_extent(const struct block *block, uintptr_t *ret_start,
		      uintptr_t *ret_end);

#endif
