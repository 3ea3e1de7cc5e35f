/*
 * alarm.h - have the program's threads stand still at a time that is known
 * before they go on.
 *
 * Whoever wants to stop the world again soon needs a processor for that, and
 * with more threads than processors waits for one for milliseconds.  With an
 * alarm of its own each thread stands by itself, and the processors are free.
 *
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_ALARM_H
#define BILGE_ALARM_H

#include "base/base.h"

/*
 * alarm_open - an alarm for each other thread of now, as far as there are any.
 * Context: collector, world running.  Locks: takes RANK_MUTATORS.
 */
void alarm_open(void);
void alarm_close(void);

/*
 * alarm_set - from then on threads stand, until a stop has come and gone.
 * Units:   due_ns, monotonic.
 * Context: stopped.
 */
void alarm_set(uint64_t due_ns);

/* alarm_fork_child - timers are not inherited.  Context: forked. */
void alarm_fork_child(void);

#endif
