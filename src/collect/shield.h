/*
 * shield.h - condemned blocks that nobody can touch unnoticed.
 *
 * The units that only one large block covers are closed while it waits out its
 * grace.  Whoever has a pointer to it that we did not see finds out by a fault,
 * is given the block back, and we know.
 *
 * Defaults: Context: collector, world running or stopped.
 *           Locks: RANK_CYCLE held; takes RANK_FAULT, RANK_FENCE.
 */
#ifndef BILGE_SHIELD_H
#define BILGE_SHIELD_H

#include "collect/candidate.h"

/*
 * shield_raise - close a block, if it is large enough.
 * Returns: is it closed?
 */
bool shield_raise(const struct block *b);

/*
 * shield_lower - open it again: it may be read.
 * Returns: was it opened before, by a touch?  *ret_pc is the instruction that
 *          did it, 0 when it is not known.
 */
bool shield_lower(const struct block *b, uintptr_t *ret_pc);

/* shield_forget - one that was closed has been freed. */
void shield_forget(void);

/* shield_fork_child - all is open in the child.  Context: forked. */
void shield_fork_child(void);

#endif
