/*
 * verify.h - a second mark, simple and slow, that the first must agree with.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_VERIFY_H
#define BILGE_VERIFY_H

#include "collect/candidate.h"

/*
 * verify_prepare - take all the memory that a run needs.
 * Units:   blocks, that wait to be scanned at the same time; fewer is slower.
 * Returns: false when there is none.
 */
bool verify_prepare(size_t blocks);
void verify_release(void);

/*
 * verify_run_stopped - reach all that can be reached, nearest to a root first.
 *
 * With BILGE_VERIFY=1 each block that is reached must be marked; the first
 * that is not is kept for verify_settle().
 *
 * Units:   reach, called with each block when it is first reached and the
 *          address of the word that led there, 0 for a block the program told
 *          us to ignore; whatever it is called with for a parent, it was
 *          called with the parent before.  False: it has seen enough.  May be
 *          NULL.
 * Returns: 0; -ENOMEM, the heap has outgrown what was prepared, or another
 *          -errno of reading the roots: nothing is verified then (M3).
 * Context: stopped, after a complete mark.
 */
int verify_run_stopped(bool (*reach)(struct block block, uintptr_t word));

/*
 * verify_settle - end the process if the mark had missed a block.
 * Context: collector, world running or about to end.
 */
void verify_settle(void);

#endif
