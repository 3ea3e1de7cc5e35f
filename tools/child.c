/*
 * child.c - the program as a child: start it, be transparent, wait for it.
 */
#include "child.h"
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: undo what the wrapper needs, and become the program. */
static _Noreturn void
execute(char *const argv[], const struct sigaction *sigchld,
    const sigset_t *mask, int error_fd)
{
	ssize_t written;
	int error;

	sigaction(SIGCHLD, sigchld, NULL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	error = errno;
	do {
		written = write(error_fd, &error, sizeof(error));
	} while (written < 0 && errno == EINTR);
	_exit(STATUS_NOT_EXECUTABLE);
}

int
child_start(char *const argv[], pid_t *ret_pid)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	struct sigaction sigchld;
	sigset_t all, mask;
	int channel[2];
	int error, result = 0;
	pid_t pid;

	/*
	 * The channel closes by itself when exec succeeds.  It may take the
	 * place of a standard descriptor that was closed: it is closed again
	 * in the program.
	 */
	if (pipe2(channel, O_CLOEXEC) != 0)
		return -errno;

	/* An inherited SIG_IGN would reap the child before we ask. */
	sigaction(SIGCHLD, &plain, &sigchld);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);

	pid = fork();
	if (pid == 0)
		execute(argv, &sigchld, &mask, channel[1]);
	if (pid < 0)
		result = -errno;
	close(channel[1]);
	if (pid > 0 && read(channel[0], &error, sizeof(error)) ==
	    (ssize_t)sizeof(error)) {
		waitpid(pid, NULL, 0);
		result = error;
	}
	close(channel[0]);
	if (result != 0) {
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return result;
	}
	*ret_pid = pid;
	return 0;
}

/* Did the sender mean us alone, so that the child does not know yet? */
static bool
is_for_child(const siginfo_t *info, pid_t pid)
{
	if (info->si_code <= 0)
		/* kill(0, ...) by the child reaches us; it has it already. */
		return info->si_pid != pid;

	/*
	 * From the kernel.  A terminal signals the whole process group.  A
	 * hangup may come to us only, as leader of the session; a timer set
	 * before exec stays with this process although the user set it for
	 * the program.
	 */
	switch (info->si_signo) {
	case SIGHUP:
	case SIGALRM:
	case SIGVTALRM:
	case SIGPROF:
		return true;
	default:
		return false;
	}
}

static void
forward(const siginfo_t *info, pid_t pid)
{
	if (info->si_code == SI_QUEUE)
		sigqueue(pid, info->si_signo, info->si_value);
	else
		kill(pid, info->si_signo);
}

int
child_wait(pid_t pid)
{
	bool stop_asked = false;	/* a stop signal came to us as well */
	bool stopped = false;		/* the child stopped for one */
	siginfo_t info;
	sigset_t all;
	int status;

	sigfillset(&all);
	for (;;) {
		if (sigwaitinfo(&all, &info) < 0)
			continue;
		switch (info.si_signo) {
		case SIGCHLD:
			while (waitpid(pid, &status, WNOHANG | WUNTRACED) ==
			    pid) {
				if (WIFEXITED(status))
					return WEXITSTATUS(status);
				if (WIFSIGNALED(status))
					return STATUS_SIGNALED +
					    WTERMSIG(status);
				stopped = WSTOPSIG(status) != SIGSTOP;
			}
			break;
		case SIGTSTP:
		case SIGTTIN:
		case SIGTTOU:
			stop_asked = true;
			break;
		case SIGCONT:
			stop_asked = stopped = false;
			break;
		}
		if (info.si_signo != SIGCHLD && is_for_child(&info, pid))
			forward(&info, pid);

		/*
		 * We stop only after the child did (it may first put the
		 * terminal in order), and only if the stop was meant for us
		 * too: whoever stops the child alone also continues it alone.
		 */
		if (stopped && stop_asked) {
			stop_asked = stopped = false;
			kill(getpid(), SIGSTOP);
		}
	}
}
