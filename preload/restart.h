/*
 * restart.h - calls that are no worse for a stop.
 *
 * The stop signal interrupts what waits in the kernel.  Most calls go on by
 * themselves (SA_RESTART); those that never do, signal(7), fail with EINTR,
 * and sleep again here, for what was left of their time.  A handler of the
 * program interrupts them as ever: the handler of a stop says, in
 * park.ended, which call it ended, and says nothing when one of the program's
 * was also waiting to run.
 *
 * What is left open, of these calls and of those that the kernel makes again
 * (world/ended.c): a signal of the program that comes after that, until the
 * thread runs again and has repeated the call, finds it not sleeping, as it
 * would in the moment before any call.  Stopped all the time on a busy machine,
 * 1 signal in 1000 does (tests/integration/eintr.c).  Knowing that a handler
 * has run takes handlers of ours around those of the program.
 */
#ifndef BILGE_RESTART_H
#define BILGE_RESTART_H

#include "bilge.h"

#include <errno.h>
#include <time.h>

/*
 * From a wrapper's frame down to the system call in libc.  Less than a signal
 * frame, so that a call made by a handler is never taken for the wrapper's.
 */
#define RESTART_FRAMES_MAX 1024

/* restart_arm - before the call. */
ALWAYS_INLINE void
restart_arm(void)
{
	struct ended *ended = bilge_ended_calls();

	if (ended != NULL)
		*ended = (struct ended){ 0, 0 };
}

/* restart_is_own - was it a call of the function with this frame? */
ALWAYS_INLINE bool
restart_is_own(uintptr_t sp, uintptr_t frame)
{
	return sp != 0 && frame - sp < RESTART_FRAMES_MAX;
}

/* restart_is_due - did a stop, and nothing else, end this function's call? */
ALWAYS_INLINE bool
restart_is_due(void)
{
	const struct ended *ended = bilge_ended_calls();

	return ended != NULL &&
	       restart_is_own(ended->failed,
			      (uintptr_t)__builtin_frame_address(0));
}

/*
 * restart_is_cut - did a stop, and nothing else, come at the end of this
 * function's call, which may have done less for that?
 */
ALWAYS_INLINE bool
restart_is_cut(void)
{
	const struct ended *ended = bilge_ended_calls();

	return ended != NULL &&
	       restart_is_own(ended->done,
			      (uintptr_t)__builtin_frame_address(0));
}

/*
 * RESTART - the result of the first call; of the other one, as often as need
 * be, when a stop ended the last.  Not in a function that may be inlined.
 */
#define RESTART(first, again) ({					\
	int errno_ = errno;						\
	__typeof__(first) result_;					\
	restart_arm();							\
	result_ = (first);						\
	while (unlikely(result_ == -1 && errno == EINTR) &&		\
	       restart_is_due()) {					\
		errno = errno_;						\
		restart_arm();						\
		result_ = (again);					\
	}								\
	result_; })

/* RESTART_SAME - a call without a timeout, or with an absolute one. */
#define RESTART_SAME(call)	RESTART(call, call)

/* What is left of a relative timeout. */
struct timeout {
	clockid_t clock;
	bool is_limited;
	uint64_t end_ns;
	struct timespec left;
};

/* timeout_begin - now; NULL and what the kernel refuses never end. */
void timeout_begin(struct timeout *t, clockid_t clock,
		   const struct timespec *time);

/* timeout_begin_ms - the same for milliseconds; less than 0 never ends. */
void timeout_begin_ms(struct timeout *t, int ms);

/* timeout_left - a pointer to what is left, or NULL if it never ends. */
const struct timespec *timeout_left(struct timeout *t);

/* timeout_left_ms - the same in milliseconds, -1 if it never ends. */
int timeout_left_ms(struct timeout *t);

#endif
