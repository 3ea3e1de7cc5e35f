/*
 * crew.h - the collector's own threads.
 * Defaults: Context: mutator, collector.  Locks: none.
 */
#ifndef BILGE_CREW_H
#define BILGE_CREW_H

#include "base/base.h"

/* At most so many at once. */
#define CREW_MAX	64

/*
 * crew_start - a thread of ours that runs work(argument) and ends.
 *
 * It blocks all signals, is unknown to libc, and no mutator: it may call
 * nothing of libc but what needs neither a lock nor thread-local storage.
 *
 * Units:   member, 0 .. CREW_MAX - 1, not in use.
 * Returns: 0; -errno when the system will not have one more thread.
 * Context: any, also a signal handler.
 */
int crew_start(unsigned member, void (*work)(void *), void *argument);

/* crew_join - wait until a member has ended, and free its memory. */
void crew_join(unsigned member);

/* crew_is_running - has a member not ended yet? */
bool crew_is_running(unsigned member);

/* crew_fork_child - there is no crew in the child.  Context: forked. */
void crew_fork_child(void);

#endif
