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
 * Cost:    a few system calls per thread.
 */
int stop_begin(uint64_t limit_ns, uintptr_t own_sp, bool is_last,
	       struct stop_failure *ret_failure);
void stop_end(void);
void stop_leave(void);

/*
 * stop_threads - the threads that stand, the caller among them.
 * Context: stopped.
 */
const struct park_entry *stop_threads(size_t *ret_count);

/* stop_set_signal - which signal stops threads.  Context: early. */
void stop_set_signal(int sig);

#endif
