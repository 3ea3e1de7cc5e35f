/*
 * sweep.h - what becomes of white blocks.
 * Defaults: Context: collector, world running, claims are black.
 *           Locks: RANK_CYCLE held.
 */
#ifndef BILGE_SWEEP_H
#define BILGE_SWEEP_H

#include "collect/candidate.h"

/* Of one sweep. */
struct sweep_result {
	uint64_t lost_bytes;		/* seen to be lost for the first time */
	uint64_t lost_blocks;
	uint64_t lost_sites;		/* with such blocks */
	uint64_t reclaimed_bytes;	/* as requested */
	uint64_t reclaimed_blocks;
	uint64_t resurrected_blocks;
	uint64_t pending_bytes;		/* of slots, in grace */
};

/*
 * sweep_run - tell what is lost, condemn it, and reclaim what has waited out
 * its grace (R1).
 * Units:   reclaims, false: nothing is condemned, only told.
 * Errors:  -ENOMEM; nothing is condemned or reclaimed then.
 */
int sweep_run(bool reclaims, struct sweep_result *ret);

/*
 * sweep_unshield - condemned blocks may be read from here on, until the end of
 * sweep_run().  Context: collector, world running or stopped.
 */
void sweep_unshield(void);

/*
 * sweep_resurrect - the program has freed a block that is condemned.
 * Context: mutator.  Locks: none held.
 */
void sweep_resurrect(uint32_t site);

/* sweep_reclaimed - bytes of slots that were reclaimed, ever.  Any context. */
uint64_t sweep_reclaimed(void);

/* sweep_fork_child - nothing is condemned in the child.  Context: forked. */
void sweep_fork_child(void);

#endif
