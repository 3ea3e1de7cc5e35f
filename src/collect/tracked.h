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
 * tracked_collect - note what is dirty, and make it clean; by the squad, if
 * there is one.
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

/*
 * tracked_scan_together - the same by the squad, and all that becomes grey.
 * Returns: is nothing left, and nothing grey?
 * Context: stopped.
 */
bool tracked_scan_together(uint64_t end_ns);

/*
 * tracked_pass - go on asking for what is dirty, part after part, making it
 * clean, and read it at once, by the squad: as tracked_collect() and
 * tracked_scan_together(), in small portions.
 * Units:   end_ns, as above; *ret_pages, pages that were dirty.
 * Returns: 0, this call has come to the end: the next begins anew; 1, there is
 *          more to ask for; -errno as for tracked_collect().
 * Context: stopped.
 */
int tracked_pass(uint64_t end_ns, size_t *ret_pages);

/* tracked_scan_rest - scan what is not tracked.  Stopped. */
void tracked_scan_rest(void);

/* Bytes of the root ranges. */
uint64_t tracked_root_bytes(void);

void tracked_fork_child(void);

#endif
