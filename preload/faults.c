/*
 * faults.c - the program's disposition of SIGSEGV.
 *
 * Where pages of the heap are protected the signal is ours first (fault.c);
 * the program sets and sees its own all the same.  libc's older functions do
 * not come through sigaction: each is done here as libc does it.
 */
#include "preload/next.h"
#include "preload/preload.h"

#include "base/sys.h"

#include <signal.h>
#include <string.h>

/* They are deprecated, and used. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

NEXT_DEFINE(sigaction);
NEXT_DEFINE(signal);
NEXT_DEFINE(sysv_signal);
NEXT_DEFINE(sigset);
NEXT_DEFINE(sigignore);
NEXT_DEFINE(siginterrupt);

PUBLIC __sighandler_t __sysv_signal(int, __sighandler_t);
PUBLIC __sighandler_t bsd_signal(int, __sighandler_t);
PUBLIC int __sigaction(int, const struct sigaction *, struct sigaction *);

/* The kernel's set is libc's first word. */
static uint64_t
kernel_set(const sigset_t *set)
{
	uint64_t word;

	memcpy(&word, set, sizeof(word));
	return word;
}

static void
to_kernel(const struct sigaction *from, struct sys_action *to)
{
	*to = (struct sys_action){
		.handler = from->sa_sigaction,
		.flags = (unsigned)from->sa_flags,
		.mask = kernel_set(&from->sa_mask),
	};
}

static void
from_kernel(const struct sys_action *from, struct sigaction *to)
{
	to->sa_sigaction = from->handler;
	to->sa_flags = (int)(unsigned)from->flags;
	sigemptyset(&to->sa_mask);
	memcpy(&to->sa_mask, &from->mask, sizeof(from->mask));
}

/* exchange - sigaction(2) of SIGSEGV: ours to answer, or libc's. */
static int
exchange(const struct sigaction *action, struct sigaction *old)
{
	struct sys_action set, got = { .handler = NULL };
	struct sigaction wanted;
	uint64_t mask;
	int result = 0;

	/* Copied before any lock is taken: a bad address is the program's. */
	if (action != NULL) {
		wanted = *action;
		to_kernel(&wanted, &set);
		action = &wanted;
	}
	if (!bilge_fault_exchange(action != NULL ? &set : NULL, &got, &mask)) {
		struct sigaction was;

		result = NEXT(sigaction)(SIGSEGV, action, &was);
		bilge_fault_exchange_end(mask);
		if (result == 0 && old != NULL)
			*old = was;
		return result;
	}
	bilge_fault_exchange_end(mask);
	if (old != NULL)
		from_kernel(&got, old);
	return result;
}

static bool
is_meant(int sig)
{
	return sig == SIGSEGV && fence_is_on;
}

PUBLIC int
sigaction(int sig, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction room;
	sigset_t mask;

	/* A handler that blocks all others could not be stopped either. */
	if (action != NULL && bilge_mode == BILGE_ACTIVE) {
		room = *action;
		room.sa_mask = *signals_blocked(&room.sa_mask, &mask);
		action = &room;
	}
	return is_meant(sig) ? exchange(action, old)
			     : NEXT(sigaction)(sig, action, old);
}

int
__sigaction(int sig, const struct sigaction *action, struct sigaction *old)
{
	return sigaction(sig, action, old);
}

/* set_handler - as the functions without flags of their own do. */
static __sighandler_t
set_handler(__sighandler_t handler, int flags)
{
	struct sigaction action = { .sa_flags = flags }, old;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	action.sa_handler = handler;
	sigemptyset(&action.sa_mask);
	if (flags == SA_RESTART)
		sigaddset(&action.sa_mask, SIGSEGV);
	return exchange(&action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

PUBLIC __sighandler_t
signal(int sig, __sighandler_t handler)
{
	return is_meant(sig) ? set_handler(handler, SA_RESTART)
			     : NEXT(signal)(sig, handler);
}

__sighandler_t
bsd_signal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

PUBLIC __sighandler_t
ssignal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

PUBLIC __sighandler_t
sysv_signal(int sig, __sighandler_t handler)
{
	return is_meant(sig) ? set_handler(handler, (int)(SA_RESETHAND |
							  SA_NODEFER))
			     : NEXT(sysv_signal)(sig, handler);
}

__sighandler_t
__sysv_signal(int sig, __sighandler_t handler)
{
	return sysv_signal(sig, handler);
}

PUBLIC __sighandler_t
sigset(int sig, __sighandler_t handler)
{
	/* SIG_HOLD would block it. */
	if (!is_meant(sig) || handler == SIG_HOLD)
		return NEXT(sigset)(sig, handler);
	return set_handler(handler, 0);
}

PUBLIC int
sigignore(int sig)
{
	if (!is_meant(sig))
		return NEXT(sigignore)(sig);
	return set_handler(SIG_IGN, 0) == SIG_ERR ? -1 : 0;
}

PUBLIC int
siginterrupt(int sig, int interrupt)
{
	struct sigaction action;

	if (!is_meant(sig))
		return NEXT(siginterrupt)(sig, interrupt);
	if (exchange(NULL, &action) != 0)
		return -1;
	if (interrupt != 0)
		action.sa_flags &= ~SA_RESTART;
	else
		action.sa_flags |= SA_RESTART;
	return exchange(&action, NULL);
}
