/*
 * child.h - the program as a child: start it, be transparent, wait for it.
 */
#ifndef BILGE_CHILD_H
#define BILGE_CHILD_H

#include <sys/types.h>

/*
 * child_start - start a program as execvp(3) does, in our process group.
 *
 * It gets our descriptors, signal mask and dispositions exactly as we got
 * them.  From here on every signal is blocked in this process: child_wait()
 * takes them one by one.
 *
 * Returns:  0, the program was executed; the positive errno of exec when it
 *           could not be.  There is no child then.
 * Errors:   -errno, we could not make a child.
 */
int child_start(char *const argv[], pid_t *ret_pid);

/*
 * child_wait - pass signals on to the child until it ends.
 *
 * Signals that somebody sent to us go to the child; those that the terminal
 * sends have reached it already, being in the same process group.  When the
 * terminal stops the child, we stop too, so that the shell notices.
 *
 * Returns:  the exit status, 128 + n when signal n ended it.
 */
int child_wait(pid_t pid);

#endif
