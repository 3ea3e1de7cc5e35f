/*
 * threads.c - threads at every point of their lives.
 */
#include "torture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static pthread_t
start(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, run, argument) == 0);
	return thread;
}

static _Noreturn void
stay(void)
{
	for (;;)
		pause();
}

static void *
ignore(void *argument UNUSED)
{
	return NULL;
}

/* On its way into a thread that has hardly begun, or not at all. */
static void *
take_and_stay(void *argument)
{
	void *volatile here = argument;

	(void)here;
	stay();
}

static NOINLINE void
start_with(uintptr_t hidden)
{
	start(take_and_stay, reveal(hidden));
	scrub();
}

static NOINLINE void
start_and_join(void *(*run)(void *), uintptr_t hidden)
{
	void *result;

	CHECK(pthread_join(start(run, reveal(hidden)), &result) == 0);
	result = NULL;
	use(&result);
	scrub();
}

WAY(thread_argument, ANYWHERE)
{
	cpu_set_t one;

	start_and_join(ignore, seat->lost);
	/* On one processor, so that most do not begin before the check. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof one, &one);
	start_with(seat->kept);
}

static pid_t passing[SEATS_MAX];

static void *
pass_result(void *argument)
{
	struct seat *seat = (struct seat *)argument;

	__atomic_store_n(&passing[seat->index], gettid(), __ATOMIC_SEQ_CST);
	return reveal(seat->kept);
}

/*
 * Its result waits for somebody to ask for it.  (One that was asked for may
 * be seen for a while in what libc keeps of the thread.)
 */
WAY(thread_result, ANYWHERE)
{
	pid_t *tid = &passing[seat->index];

	start(pass_result, seat);
	while (__atomic_load_n(tid, __ATOMIC_SEQ_CST) == 0 ||
	    syscall(SYS_tgkill, getpid(), *tid, 0) == 0)
		usleep(100);
}

static NOINLINE void
stay_with(struct seat *seat)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	rest(seat);
}

static void *
run_detached(void *argument)
{
	CHECK(pthread_detach(pthread_self()) == 0);
	stay_with((struct seat *)argument);
	return NULL;
}

WAY(thread_detached, THREADS_ONLY)
{
	start(run_detached, seat);
	stay();
}

static NOINLINE void
stay_to_clean_up(struct seat *seat, uintptr_t hidden)
{
	pthread_cleanup_push(free, use(reveal(hidden)));
	scrub();
	rest(seat);
	pthread_cleanup_pop(0);
}

WAY(thread_cleanup, ANYWHERE)
{
	stay_to_clean_up(seat, seat->kept);
}

/* Cancelled, and not done with cleaning up. */
static void *
be_cancelled(void *argument)
{
	pthread_cleanup_push((void (*)(void *))stay_with, argument);
	stay();
	pthread_cleanup_pop(0);
}

WAY(thread_cancelled, THREADS_ONLY)
{
	pthread_t thread = start(be_cancelled, seat);

	usleep(1000);
	CHECK(pthread_cancel(thread) == 0);
	stay();
}

WAY(thread_blocks_signals, ANYWHERE)
{
	sigset_t all;

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	stay_with(seat);
}

WAY(thread_waits_for_signals, THREADS_ONLY)
{
	void *volatile here[16] = { NULL };
	sigset_t all;
	int sig;

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	hold_in((void *)&here[5], seat);
	__atomic_add_fetch(&holding, 1, __ATOMIC_SEQ_CST);
	for (;;)
		sigwait(&all, &sig);
}

/* A thread that libc knows nothing of, without a descriptor of its own. */
WAY(thread_cloned, ANYWHERE)
{
	static int begun[SEATS_MAX];
	char *stack = (char *)map_pages(65536);
	long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
	    CLONE_THREAD | CLONE_SYSVSEM;
	register long none __asm__("r10") = 0;
	register long nothing __asm__("r8") = 0;

	__asm__ volatile(
	    "syscall\n\t"
	    "testq	%%rax, %%rax\n\t"
	    "jnz	2f\n\t"
	    "movq	%[lost], %%r12\n\t"
	    "notq	%%r12\n\t"
	    "movq	%[kept], %%r12\n\t"
	    "notq	%%r12\n\t"
	    "movl	$1, (%[begun])\n"
	    "1:	movl	%[call], %%eax\n\t"
	    "syscall\n\t"
	    "jmp	1b\n"
	    "2:"
	    : : "a"((long)SYS_clone), "D"(flags), "S"(stack + 65536),
	      "d"(0L), "r"(none), "r"(nothing), [lost] "r"(seat->lost),
	      [kept] "r"(seat->kept), [call] "i"(SYS_pause),
	      [begun] "r"(&begun[seat->index])
	    : "rcx", "r11", "r12", "memory");
	while (__atomic_load_n(&begun[seat->index], __ATOMIC_SEQ_CST) == 0)
		usleep(100);
}

/*
 * The main thread ends.  Its stack stays, and so may what others were given
 * of it: it goes on to hold.
 */
static pthread_t main_thread;

static void *
outlive(void *argument)
{
	CHECK(pthread_join(main_thread, NULL) == 0);
	rest((struct seat *)argument);
	return NULL;
}

WAY(thread_after_main, MAIN_ONLY)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	main_thread = pthread_self();
	start(outlive, seat);
	pthread_exit(here[6]);
}

/* -------------------------------------------------------- beside a new child */

/* A parent waits for its vfork child, and can answer no signal. */
WAY(vfork_parent, THREADS_ONLY)
{
	void *volatile here[16] = { NULL };
	int ends[2];

	hold_in((void *)&here[5], seat);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	CHECK(ends[0] > 0);
	__atomic_add_fetch(&holding, 1, __ATOMIC_SEQ_CST);
	if (vfork() == 0) {
		char c;

		/* Until the parent has ended, and its end of the pipe. */
		syscall(SYS_dup2, ends[0], 0);
		syscall(SYS_close_range, 1, ~0u, 0);
		syscall(SYS_read, 0, &c, 1);
		_exit(0);
	}
	stay();
}

/* The end of a process that has nothing to report. */
static _Noreturn void
leave_unseen(int status)
{
	syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

static void
continue_in_child(void)
{
	pid_t child = fork();
	int status;

	CHECK(child >= 0);
	if (child == 0)
		return;
	CHECK(waitpid(child, &status, 0) == child);
	leave_unseen(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

WAY(fork_child, MAIN_ONLY)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	continue_in_child();
	rest(seat);
	CHECK(here[5] != NULL);
}

/* The thread that forks is the child's only one, on a stack of its own. */
WAY(fork_in_thread, ALONE)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	continue_in_child();
	finish();
}

WAY(daemon, MAIN_ONLY)
{
	void *volatile here[16] = { NULL };
	int ends[2];
	char c;

	hold_in((void *)&here[5], seat);
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	if (fork() != 0) {
		/* Until the daemon has ended. */
		close(ends[1]);
		CHECK(read(ends[0], &c, 1) == 0);
		leave_unseen(0);
	}
	setsid();
	if (fork() != 0)
		leave_unseen(0);
	rest(seat);
}
