/*
 * trace.h - what one cycle did, for people and for the record.
 * Defaults: Context: collector.  Locks: takes RANK_RECORD.
 */
#ifndef BILGE_TRACE_H
#define BILGE_TRACE_H

#include "collect/cycle.h"
#include "collect/pacer.h"

/* trace_start - times are told since now.  Context: early. */
void trace_start(void);

/*
 * trace_cycle - with BILGE_TRACE=1 a line on standard error:
 *
 *   bilge: gc 12 @34.501s 2%: 0.12+8.3+0.21 ms clock, 812->640 MB, 1280 MB
 *   goal, leaked 1.2 MB in 3 sites, reclaimed 0.9 MB, dirty 1204 pages, 9
 *   threads, uffd
 *
 * (one line): number, time since start, processor time of all our threads so
 * far in percent of that; first stop, concurrent, second stop with all slices;
 * heap before and after.  And an event "cycle" with the same numbers in the
 * record, if there is one; its "goal" is null where the line says "no goal".
 */
void trace_cycle(const struct cycle_report *report,
		 const struct pacer_plan *plan);

#endif
