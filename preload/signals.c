/*
 * signals.c - the stop signal stays deliverable.
 *
 * A thread that blocks every signal would never stand still: the stop signal
 * is taken out of the sets a program blocks.
 */
#include "preload/preload.h"
#include "preload/next.h"
#include "settings/options.h"

#include <signal.h>

NEXT_DEFINE(sigprocmask);
NEXT_DEFINE(pthread_sigmask);

/*
 * without_stop_signal - the set itself, or a copy in *room without the signal.
 */
static const sigset_t *
without_stop_signal(int how, const sigset_t *set, sigset_t *room)
{
	int sig = (int)options->signal;

	if (set == NULL || how == SIG_UNBLOCK ||
	    bilge_mode != BILGE_ACTIVE || !sigismember(set, sig))
		return set;
	*room = *set;
	sigdelset(room, sig);
	return room;
}

PUBLIC int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t room;

	return NEXT(sigprocmask)(how, without_stop_signal(how, set, &room),
				 old);
}

PUBLIC int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t room;

	return NEXT(pthread_sigmask)(how, without_stop_signal(how, set, &room),
				     old);
}
