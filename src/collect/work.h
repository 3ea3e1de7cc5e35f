/*
 * work.h - how the collector marks while the program runs: on BILGE_CPU
 * percent of the processors, alone or together, until somebody wants the heap.
 *
 * Defaults: Context: collector, world running.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_WORK_H
#define BILGE_WORK_H

#include "collect/marker.h"

/* A worker computes for so long, then rests as its share wants. */
#define WORK_NS		(2 * NSEC_PER_MSEC)

/*
 * work_want - one more waits, or does no longer, for the cycle under way to be
 * given up.  Any context.  Locks: none.
 */
void work_want(bool wanted);
bool work_is_wanted(void);

/*
 * work_hurry - the program is about to outrun the work: no more rest until
 * work_plan().  Any context.  Locks: none.
 */
void work_hurry(void);

/*
 * work_plan - how many threads will mark, and for what part of their time: as
 * BILGE_CPU says, or BILGE_WORKERS.
 * Units: rests, false: so many threads, but all of their time.
 */
void work_plan(bool rests);

/*
 * work_between - after a piece of work: rest when it is time to.
 * Returns: false when somebody waits.
 */
bool work_between(void);

/*
 * work_drain - scan what is grey, alone or in a squad.
 * Units:   end_ns, monotonic time at which it returns in any case; 0: when
 *          somebody waits.
 * Returns: is nothing grey any more?
 * Context: collector, world running, or, with an end, stopped.
 */
bool work_drain(struct marker *m, uint64_t end_ns);

/*
 * work_together - the same on several processors, until nothing is grey
 * anywhere or somebody waits.
 */
bool work_together(void);

/*
 * work_count_helper - the calling thread has helped, and is about to end.
 * work_helpers_cpu_ns - processor time of those that did, since work_plan().
 */
void work_count_helper(void);
uint64_t work_helpers_cpu_ns(void);

void work_fork_child(void);

#endif
