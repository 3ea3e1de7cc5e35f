/*
 * finish.h - the end of a mark: what the program wrote while it was made.
 * Defaults: Context: collector, world running.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_FINISH_H
#define BILGE_FINISH_H

#include "world/stop.h"

struct finish_report {
	uint64_t dirty_pages;	/* that were read again */
	uint64_t stood_ns;	/* the world, in all slices but the last */
	uint64_t clean_ns;	/* monotonic: when all was made clean last */
	uint64_t dirty_per_ms;	/* pages the program has written until then */
};

/*
 * finish_preclean - read again what was written, as long as that becomes less.
 * Units:  report->clean_ns, when the barrier was armed.
 * Errors: -ECANCELED, somebody wants the heap; -errno of the barrier.
 */
int finish_preclean(struct finish_report *report);

/*
 * finish_stop - stop the world, and complete the mark.
 * Units:   complete, called last, with the world stopped; what it returns is
 *          returned.
 * Returns: 0, with the world stopped: pause_end() starts it.  Else it runs.
 */
int finish_stop(struct finish_report *report, int (*complete)(void),
		struct stop_failure *ret_failure);

/* finish_end - the world runs again: drop what many slices have needed. */
void finish_end(void);

#endif
