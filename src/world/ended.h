/*
 * ended.h - what the stop signal did to the system call that it came in.
 *
 * Defaults: Context: signal.
 */
#ifndef BILGE_ENDED_H
#define BILGE_ENDED_H

#include "base/base.h"

/*
 * The stack pointers of the last system calls at whose end a stop was, and
 * nothing else; 0: none since it was cleared.
 */
struct ended {
	uintptr_t failed;	/* it made the call fail with EINTR */
	uintptr_t done;		/* the call may have done a part only */
};

/* ended_set_stop_signal - which signal is no program's.  Context: early. */
void ended_set_stop_signal(int sig);

/*
 * ended_note - the stop is over and its handler about to return: note a call
 * that it alone has ended, and let fail what a handler of the program would
 * have interrupted.  Every signal is blocked.
 */
void ended_note(struct ended *ended, void *ucontext);

#endif
