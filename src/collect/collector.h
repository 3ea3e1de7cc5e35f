/*
 * collector.h - who runs cycles, and when.
 * Defaults: Context: mutator.
 */
#ifndef BILGE_COLLECTOR_H
#define BILGE_COLLECTOR_H

#include "collect/cycle.h"

/*
 * collector_start - cycles are run from now on, if the settings ask for any.
 * Units:   told, what a cycle found that is new: leaks_groups(); called under
 *          RANK_CYCLE by the collector's thread.
 * Context: early, one thread; settings are read.
 */
void collector_start(void (*told)(const struct cycle_report *));

/*
 * collector_note - the heap's pressure hook: so many bytes have been claimed,
 * and freed into quarantine.  May start the collector's thread, wake it, or
 * wait for it a little where the program is faster than the mark.
 * Context: mutator outside mutator_hold(), also a signal handler.
 */
void collector_note(size_t claimed, size_t quarantined);

/*
 * collector_pause, collector_resume - no thread of ours exists in between.
 * Around what libc does to all threads of the process but could not do to
 * ours, and what a process with other threads may not do.
 */
void collector_pause(void);
void collector_resume(void);

void collector_fork_child(void);

#endif
