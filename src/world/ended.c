/*
 * ended.c - what the stop signal did to the system call that it came in.
 *
 * Some calls have failed with EINTR, or have done a part.  That is noted, and
 * mended by those who made them (preload/restart.h).
 *
 * Others the kernel makes again (SA_RESTART): it has set the thread back to the
 * instruction.  A handler of the program that waits to run by now does so
 * before that, and finds no call to interrupt; a read(2) that alarm(2) was to
 * end would wait for ever.  Without the stop the call would have failed with
 * EINTR, if the handler is one without SA_RESTART, and so it does here.
 *
 * Registers do not tell whether a call was set back or is the next one of the
 * same instruction, in a loop that touches no other.  So each is asked whether
 * it would wait now, as the kernel asks before it looks for signals: to fail is
 * right then in either case.  What would not wait goes on, as what writes to a
 * file or finds a child that has ended.
 *
 * Not here: calls that are made again and cannot be asked, such as open(2) of a
 * FIFO, connect(2) of a local socket or splice(2).
 */
#include "world/ended.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Fixed by ended_set_stop_signal(). */
static uint64_t stop_signal_bit;

void
ended_set_stop_signal(int sig)
{
	stop_signal_bit = UINT64_C(1) << (sig - 1);
}

/* first_handler - of the program's, to run when ours returns; false: none. */
static bool
first_handler(const void *ucontext, struct sys_action *ret)
{
	/* Ours may wait as well: an alarm's, or one that was sent again. */
	uint64_t waiting = sys_sigpending() & ~stop_signal_bit &
			   ~arch_context_mask(ucontext);

	for (; waiting != 0; waiting &= waiting - 1)
		if (sys_sigaction_exchange((int)bits_ctz(waiting) + 1, NULL,
					   ret) == 0 &&
		    sys_is_handler(ret))
			return true;
	return false;
}

/* ------------------------------------------------------ would it wait now? */

/* waits_for - Units: flags, of a call on a socket. */
static bool
waits_for(long fd, short event, long flags)
{
	int file_flags;

	if ((flags & MSG_DONTWAIT) != 0 || sys_poll((int)fd, event) != 0)
		return false;
	file_flags = sys_fcntl((int)fd, F_GETFL, 0);
	return file_flags >= 0 && (file_flags & O_NONBLOCK) == 0;
}

/* A lock that is taken here is had already when the call is made again. */
static bool
waits_for_flock(long fd, long operation)
{
	return (operation & (LOCK_NB | LOCK_UN)) == 0 &&
	       sys_flock((int)fd, (int)operation | LOCK_NB) == -EAGAIN;
}

static bool
waits_for_lock(long fd, long command, long lock)
{
	int error = 0;

	if (command == F_SETLKW)
		error = sys_fcntl((int)fd, F_SETLK, lock);
	else if (command == F_OFD_SETLKW)
		error = sys_fcntl((int)fd, F_OFD_SETLK, lock);
	return error == -EAGAIN || error == -EACCES;
}

static bool
waits_for_child(long type, long id, long options)
{
	return (options & WNOHANG) == 0 &&
	       sys_peek_child((int)type, (int)id, (int)options) == 0;
}

static bool
waits_for_pid(long number, long options)
{
	int pid = (int)number;

	return pid > 0 ? waits_for_child(P_PID, pid, options | WEXITED)
	     : pid == -1 ? waits_for_child(P_ALL, 0, options | WEXITED)
	     : waits_for_child(P_PGID, -pid, options | WEXITED);
}

static bool
waits_for_futex(long word, long operation, long value)
{
	long command = operation & FUTEX_CMD_MASK;

	return (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) &&
	       sys_futex_peek((uintptr_t)word, (uint32_t)value,
			      (operation & FUTEX_PRIVATE_FLAG) != 0);
}

static bool
would_wait(long number, const long a[ARCH_CALL_ARGUMENTS])
{
	switch (number) {
	case SYS_read:
	case SYS_readv:
	case SYS_accept:
	case SYS_accept4:
	case SYS_mq_timedreceive:
		return waits_for(a[0], POLLIN, 0);
	case SYS_recvmsg:
		return waits_for(a[0], POLLIN, a[2]);
	case SYS_recvfrom:
	case SYS_recvmmsg:
		return waits_for(a[0], POLLIN, a[3]);
	case SYS_write:
	case SYS_writev:
	case SYS_sendfile:
	case SYS_connect:
	case SYS_mq_timedsend:
		return waits_for(a[0], POLLOUT, 0);
	case SYS_sendmsg:
		return waits_for(a[0], POLLOUT, a[2]);
	case SYS_sendto:
	case SYS_sendmmsg:
		return waits_for(a[0], POLLOUT, a[3]);
	case SYS_flock:
		return waits_for_flock(a[0], a[1]);
	case SYS_fcntl:
		return waits_for_lock(a[0], a[1], a[2]);
	case SYS_wait4:
		return waits_for_pid(a[0], a[1]);
	case SYS_waitid:
		return waits_for_child(a[0], a[1], a[3]);
	case SYS_futex:
		return waits_for_futex(a[0], a[1], a[2]);
	}
	return false;
}

/* ----------------------------------------------------------------- the note */

/* interrupt - what the kernel would do, if it came to that. */
static void
interrupt(void *ucontext)
{
	long number, arguments[ARCH_CALL_ARGUMENTS];
	struct sys_action action;

	/* A filter may forbid to ask. */
	if (!first_handler(ucontext, &action) ||
	    (action.flags & SA_RESTART) != 0 || sys_is_filtered())
		return;
	number = arch_context_call(ucontext, arguments);
	if (would_wait(number, arguments))
		arch_context_end_call(ucontext, -EINTR);
}

/*
 * A handler of the program that runs before this one is what was interrupted;
 * any other is waiting.
 */
void
ended_note(struct ended *ended, void *ucontext)
{
	struct sys_action action;

	if (arch_context_is_rewound(ucontext)) {
		interrupt(ucontext);
		return;
	}
	if (!arch_context_is_ended_call(ucontext) ||
	    first_handler(ucontext, &action))
		return;
	if (arch_context_result(ucontext) == -EINTR)
		ended->failed = arch_context_sp(ucontext);
	else
		ended->done = arch_context_sp(ucontext);
}
