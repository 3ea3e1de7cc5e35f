/*
 * signals.c - the stop signal stays deliverable, and ours.
 *
 * A thread that blocks every signal would never stand still, and one that
 * waits for every signal would be handed ours: the stop signal is taken out of
 * the sets a program blocks or waits for.  So is SIGSEGV from those it blocks,
 * where pages are protected: a fault that is blocked ends the process.  Calls
 * that wait with a set of their own go on after a stop (restart.h).
 */
#include "preload/lend.h"
#include "preload/next.h"
#include "preload/preload.h"
#include "preload/restart.h"
#include "settings/options.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>

NEXT_DEFINE(sigprocmask);
NEXT_DEFINE(pthread_sigmask);
NEXT_DEFINE(sigsuspend);
NEXT_DEFINE(sigwait);
NEXT_DEFINE(sigwaitinfo);
NEXT_DEFINE(sigtimedwait);
NEXT_DEFINE(signalfd);
NEXT_DEFINE(ppoll);
NEXT_DEFINE(pselect);
NEXT_DEFINE(epoll_pwait);
NEXT_DEFINE(epoll_pwait2);
NEXT_DEFINE(__ppoll_chk);

/* Fortified programs call it; the headers hide it from others. */
PUBLIC int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *,
		       const sigset_t *, size_t);

/*
 * without_stop_signal - the set itself, or a copy in *room without the signal.
 */
static const sigset_t *
without_stop_signal(const sigset_t *set, sigset_t *room)
{
	int sig = (int)options->signal;

	if (set == NULL || bilge_mode != BILGE_ACTIVE ||
	    sigismember(set, sig) != 1)
		return set;
	*room = *set;
	sigdelset(room, sig);
	return room;
}

const sigset_t *
signals_blocked(const sigset_t *set, sigset_t *room)
{
	set = without_stop_signal(set, room);
	if (likely(!fence_is_on) || set == NULL ||
	    sigismember(set, SIGSEGV) != 1)
		return set;
	*room = *set;
	sigdelset(room, SIGSEGV);
	return room;
}

/* blocked_without - the same, for a set whose use depends on how. */
static const sigset_t *
blocked_without(int how, const sigset_t *set, sigset_t *room)
{
	return how == SIG_UNBLOCK ? set : signals_blocked(set, room);
}

PUBLIC int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t room;

	return LENT_TO(old, NEXT(sigprocmask)(how, blocked_without(how, set,
				 &room), old));
}

PUBLIC int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t room;

	return LENT_TO(old, NEXT(pthread_sigmask)(how, blocked_without(how, set,
				     &room), old));
}

PUBLIC int
sigsuspend(const sigset_t *set)
{
	sigset_t room;

	set = signals_blocked(set, &room);
	return RESTART_SAME(NEXT(sigsuspend)(set));
}

/*
 * Old ways to wait: with a mask of the first signals, or for one.  The headers
 * give the name of the first to the second.
 */
PUBLIC int sigpause_mask(int) __asm__("sigpause");
PUBLIC int sigpause_signal(int) __asm__("__xpg_sigpause");
PUBLIC int __sigpause(int, int);
NEXT_DEFINE(sigpause_mask);
NEXT_DEFINE(sigpause_signal);
NEXT_DEFINE(__sigpause);

#define NEXT_SIGPAUSE(ours, name) \
	((__typeof__(&ours))next_find(&next_##ours, name))

static int
mask_blocked(int mask)
{
	int sig = (int)options->signal;

	if (bilge_mode != BILGE_ACTIVE)
		return mask;
	if (fence_is_on)
		mask &= ~(1 << (SIGSEGV - 1));
	return sig <= 32 ? mask & ~(int)(1u << (sig - 1)) : mask;
}

int
sigpause_mask(int mask)
{
	mask = mask_blocked(mask);
	return RESTART_SAME(NEXT_SIGPAUSE(sigpause_mask, "sigpause")(mask));
}

int
__sigpause(int mask, int is_signal)
{
	if (is_signal == 0)
		mask = mask_blocked(mask);
	return RESTART_SAME(NEXT(__sigpause)(mask, is_signal));
}

int
sigpause_signal(int sig)
{
	return RESTART_SAME(NEXT_SIGPAUSE(sigpause_signal,
					  "__xpg_sigpause")(sig));
}

PUBLIC int
sigwait(const sigset_t *set, int *ret_sig)
{
	sigset_t room;

	return NEXT(sigwait)(without_stop_signal(set, &room), ret_sig);
}

PUBLIC int
sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	sigset_t room;

	set = without_stop_signal(set, &room);
	return LENT_TO(info,
		RESTART_SAME(NEXT(sigwaitinfo)(set, info)));
}

PUBLIC int
sigtimedwait(const sigset_t *set, siginfo_t *info,
	     const struct timespec *timeout)
{
	struct timeout t;
	sigset_t room;

	set = without_stop_signal(set, &room);
	timeout_begin(&t, CLOCK_MONOTONIC, timeout);
	return LENT_TO(info,
		RESTART(NEXT(sigtimedwait)(set, info, timeout),
			NEXT(sigtimedwait)(set, info, timeout_left(&t))));
}

PUBLIC int
signalfd(int fd, const sigset_t *set, int flags)
{
	sigset_t room;

	return NEXT(signalfd)(fd, without_stop_signal(set, &room), flags);
}

PUBLIC int
ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
      const sigset_t *set)
{
	struct timeout t;
	sigset_t room;

	set = signals_blocked(set, &room);
	timeout_begin(&t, CLOCK_MONOTONIC, timeout);
	return LENT(fds, count * sizeof(*fds),
		RESTART(NEXT(ppoll)(fds, count, timeout, set),
			NEXT(ppoll)(fds, count, timeout_left(&t), set)));
}

int
__ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
	    const sigset_t *set, size_t size)
{
	struct timeout t;
	sigset_t room;

	set = signals_blocked(set, &room);
	timeout_begin(&t, CLOCK_MONOTONIC, timeout);
	return LENT(fds, count * sizeof(*fds),
		RESTART(NEXT(__ppoll_chk)(fds, count, timeout, set, size),
			NEXT(ppoll)(fds, count, timeout_left(&t), set)));
}

PUBLIC int
pselect(int count, fd_set *read, fd_set *write, fd_set *except,
	const struct timespec *timeout, const sigset_t *set)
{
	struct timeout t;
	sigset_t room;

	set = signals_blocked(set, &room);
	timeout_begin(&t, CLOCK_MONOTONIC, timeout);
	return LENT3(read, 1, write, 1, except, 1,
		RESTART(NEXT(pselect)(count, read, write, except, timeout, set),
			NEXT(pselect)(count, read, write, except,
				     timeout_left(&t), set)));
}

PUBLIC int
epoll_pwait(int fd, struct epoll_event *events, int count, int timeout,
	    const sigset_t *set)
{
	struct timeout t;
	sigset_t room;

	set = signals_blocked(set, &room);
	timeout_begin_ms(&t, timeout);
	return LENT(events, (size_t)count * sizeof(*events),
		RESTART(NEXT(epoll_pwait)(fd, events, count, timeout, set),
			NEXT(epoll_pwait)(fd, events, count,
					 timeout_left_ms(&t), set)));
}

PUBLIC int
epoll_pwait2(int fd, struct epoll_event *events, int count,
	     const struct timespec *timeout, const sigset_t *set)
{
	struct timeout t;
	sigset_t room;

	set = signals_blocked(set, &room);
	timeout_begin(&t, CLOCK_MONOTONIC, timeout);
	return LENT(events, (size_t)count * sizeof(*events),
		RESTART(NEXT(epoll_pwait2)(fd, events, count, timeout, set),
			NEXT(epoll_pwait2)(fd, events, count,
					  timeout_left(&t), set)));
}
