/*
 * stop.h - stopping and restarting every thread of the program.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_STOP_H
#define BILGE_STOP_H

#include "world/mutator.h"

/* Why a stop did not come about; for the one line that says so. */
struct stop_failure {
	int tid;		/* a thread that did not park, 0: none */
	bool is_blocked;	/* it blocks the stop signal */
	const char *what;
};

/*
 * stop_begin - stop every thread but the caller and wait until all stand.
 *
 * A thread that does not park within the limit ends the attempt: an incomplete
 * stop is never used (M3).
 *
 * Units:   limit_ns, nanoseconds; own_sp, the caller's stack above this
 *          address is the program's; is_last, the process is about to end:
 *          stop_leave() follows, or stop_end().
 * Returns: 0, with the world stopped and RANK_MUTATORS held until stop_end().
 * Errors:  -ETIMEDOUT, -ENOSYS (no /proc), -ENOMEM; the world is running,
 *          nothing is held, *ret_failure says why.
 * Cost:    a system call and a signal for each thread, a few more in all; if
 *          there are threads that never registered, the task list is read.
 */
int stop_begin(uint64_t limit_ns, uintptr_t own_sp, bool is_last,
	       struct stop_failure *ret_failure);
void stop_end(void);
void stop_leave(void);

/*
 * stop_signal_ns - when the first thread was signalled, on the monotonic
 * clock: what stop_begin() did before that nobody noticed.
 * Context: stopped.
 */
uint64_t stop_signal_ns(void);

/*
 * stop_threads - the threads that stand, the caller among them unless it is
 * exempt; and those that ended meanwhile.
 * Context: stopped.
 */
const struct park_entry *stop_threads(size_t *ret_count);

/* stop_standing - how many of them stand.  Context: stopped. */
size_t stop_standing(void);

/*
 * stop_exempt_begin - the calling thread is one of ours: no stop waits for it,
 * and what it has on its stack is no root.  It says so before it takes any
 * lock, and ends it last: in between two of these, it is unknown, and a stop
 * would have to wait until it answers or is gone.
 * Returns: false when there are too many.
 * Context: collector.  Locks: none.
 */
#define STOP_EXEMPT_MAX	128u
bool stop_exempt_begin(void);
void stop_exempt_end(void);

/* stop_set_signal - which signal stops threads.  Context: early. */
void stop_set_signal(int sig);

#endif
