/*
 * waiting.c - system calls that wait, made with syscall(2).
 *
 * The same as blocking.c, for those that have a number and no name.
 */
#include "preload/waiting.h"

#include "preload/restart.h"

#include "base/arch.h"
#include "base/sys.h"

#include <string.h>
#include <sys/syscall.h>

/* Where the timeout of a call that waits is, counted from 1; 0: it has none. */
struct place {
	int ms;
	int spec;		/* struct timespec */
	int val;		/* struct timeval */
};

static struct place
place_of(long number, bool is_absolute)
{
	switch (number) {
	case SYS_poll:
		return (struct place){ .ms = 3 };
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (struct place){ .ms = 4 };
	case SYS_nanosleep:
		return (struct place){ .spec = 1 };
	case SYS_rt_sigtimedwait:
	case SYS_ppoll:
		return (struct place){ .spec = 3 };
	case SYS_clock_nanosleep:
		return (struct place){ .spec = is_absolute ? 0 : 3 };
	case SYS_semtimedop:
	case SYS_epoll_pwait2:
		return (struct place){ .spec = 4 };
	case SYS_pselect6:
		return (struct place){ .spec = 5 };
	case SYS_select:
		return (struct place){ .val = 5 };
	}
	return (struct place){ 0 };
}

/* begin_timeout - What cannot be read is the kernel's to refuse. */
static void
begin_timeout(const struct place *w, const long arguments[6],
	      struct timeout *ret)
{
	int place = w->spec | w->val;
	const struct timespec *time;

	*ret = (struct timeout){ .is_limited = false };
	if (w->ms != 0)
		timeout_begin_ms(ret, (int)arguments[w->ms - 1]);
	if (place == 0 || arguments[place - 1] == 0 ||
	    !sys_is_readable((uintptr_t)arguments[place - 1]) ||
	    !sys_is_readable((uintptr_t)arguments[place - 1] + 8))
		return;
	time = (const struct timespec *)arguments[place - 1];
	timeout_begin(ret, CLOCK_MONOTONIC, w->spec != 0 ? time
		      : &(struct timespec){ time->tv_sec,
					    time->tv_nsec * 1000 });
}

long
waiting_call(long number, const long arguments[6])
{
	struct place w = place_of(number, arguments[1] != 0);
	struct timeout t;
	struct timespec left;
	long now[6], result;

	begin_timeout(&w, arguments, &t);
	memcpy(now, arguments, sizeof(now));
	for (;;) {
		restart_arm();
		result = arch_syscall(number, now[0], now[1], now[2], now[3],
				      now[4], now[5]);
		if (likely(result != -EINTR) || !restart_is_due())
			return result;
		if (!t.is_limited)
			continue;
		if (w.ms != 0) {
			now[w.ms - 1] = timeout_left_ms(&t);
			continue;
		}
		/* What select(2) has written there does not know the stop. */
		left = *timeout_left(&t);
		if (w.val != 0)
			left.tv_nsec /= 1000;
		now[(w.spec | w.val) - 1] = (long)&left;
	}
}
