/*
 * tracked.h - the memory a barrier tracks, and what of it is to be read again.
 *
 * That is the heap and the larger of the root ranges.  Ranges that cannot be
 * tracked are read again, all of them, when the world stands.
 *
 * Defaults: Context: collector, world running or stopped.
 *           Locks: RANK_CYCLE held.
 */
#ifndef BILGE_TRACKED_H
#define BILGE_TRACKED_H

#include "base/base.h"

/*
 * tracked_begin - track what can be, and make it clean (M2).
 * Errors:  -errno of the barrier; -ENOMEM.
 * Context: collector, world running, after roots_list().
 */
int tracked_begin(void);
void tracked_end(void);

/*
 * tracked_scan_ranges - scan all root ranges, tracked or not.
 * Units:   between, called now and then; false: stop, the cycle is given up.
 * Context: collector, world running.
 */
void tracked_scan_ranges(bool (*between)(void));

/* tracked_scan_dead - the same of stacks' parts that are not in use. */
void tracked_scan_dead(bool (*between)(void));

/*
 * tracked_collect - note what is dirty, and make it clean.
 * Errors:  -errno of the barrier, -ENOMEM: what was written is not known (M3).
 */
int tracked_collect(void);

/* Pages noted and not scanned yet. */
size_t tracked_dirty_pages(void);

/*
 * tracked_scan_dirty - scan what was noted, the marked blocks of the heap and
 * all of the ranges (M1).
 * Units:   end_ns, monotonic time at which it returns in any case; 0: none.
 * Returns: is nothing left?
 */
bool tracked_scan_dirty(uint64_t end_ns);

/* tracked_scan_rest - scan what is not tracked.  Stopped. */
void tracked_scan_rest(void);

/* Bytes of the root ranges. */
uint64_t tracked_root_bytes(void);

void tracked_fork_child(void);

#endif
