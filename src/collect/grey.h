/*
 * grey.h - what was reached and not scanned yet.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_GREY_H
#define BILGE_GREY_H

#include "collect/candidate.h"

/*
 * grey_init - memory for up to `blocks` entries; less is enough, but slower.
 * Returns: false when there is none at all.
 */
bool grey_init(size_t blocks);
void grey_fini(void);

/*
 * grey_push - false when the list is full: the block stays marked but
 * unscanned, and the marker must look for such blocks.
 */
bool grey_push(struct block block);
bool grey_pop(struct block *ret_block);

#endif
