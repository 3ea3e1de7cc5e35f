/*
 * test_ended.c - signals of the program that come while a thread stands still.
 *
 * A thread waits in a call; a handler like that of the stop signal interrupts
 * it, and returns when a signal of the program waits to be handled.
 */
#include "unit.h"

#include "base/sys.h"
#include "world/ended.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP	SIGUSR2
#define OWN	SIGUSR1

/* A call that waits, and what ends its waiting. */
struct call {
	long (*wait)(void);
	void (*finish)(void);
	long finished;		/* what it returns then */
};

static struct {
	const struct call *call;
	_Atomic int tid;
	_Atomic bool is_stopped, goes_on, is_over;
	_Atomic unsigned handled;
	long result;
	struct ended ended;
} thread;

static int fds[2], other_fds[2];
static uint32_t word;
static int child;
static char byte;

/* raw - a call that libc does not see.  Returns: its result or -errno. */
#define raw(...) ({							\
	long raw_ = syscall(__VA_ARGS__);				\
									\
	raw_ < 0 ? -errno : raw_; })

static void
on_stop(int sig, siginfo_t *info, void *ucontext)
{
	(void)sig;
	(void)info;
	store_release(&thread.is_stopped, true);
	while (!load_acquire(&thread.goes_on))
		sys_sched_yield();
	ended_note(&thread.ended, ucontext);
}

static void
on_own(int sig)
{
	(void)sig;
	atomic_fetch_add(&thread.handled, 1);
}

static void *
run(void *unused)
{
	(void)unused;
	store_release(&thread.tid, sys_gettid());
	thread.result = thread.call->wait();
	store_release(&thread.is_over, true);
	return NULL;
}

/* wait_asleep - until the kernel says that it waits. */
static void
wait_asleep(void)
{
	char path[60], text[200], *state;
	FILE *file;

	do {
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
			 load_acquire(&thread.tid));
		file = fopen(path, "r");
		expect(file != NULL && fgets(text, sizeof(text), file) != NULL);
		fclose(file);
		state = strstr(text, ") ");
		expect(state != NULL);
	} while (state[2] != 'S' && usleep(1000) == 0);
}

static void
begin(const struct call *call, int own_flags, pthread_t *ret)
{
	struct sigaction stop = { .sa_sigaction = on_stop,
				  .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigaction own = { .sa_handler = on_own, .sa_flags = own_flags };

	sigfillset(&stop.sa_mask);
	expect(sigaction(STOP, &stop, NULL) == 0);
	expect(sigaction(OWN, &own, NULL) == 0);
	memset(&thread, 0, sizeof(thread));
	thread.call = call;
	expect(pthread_create(ret, NULL, run, NULL) == 0);
	while (load_acquire(&thread.tid) == 0)
		sys_sched_yield();
	wait_asleep();
	pthread_kill(*ret, STOP);
	while (!load_acquire(&thread.is_stopped))
		sys_sched_yield();
}

/* come_back - Returns: has it come back by itself? */
static bool
come_back(pthread_t t)
{
	bool is_over;

	store_release(&thread.goes_on, true);
	for (int n = 0; n < 100 && !load_acquire(&thread.is_over); n++)
		usleep(1000);
	is_over = load_acquire(&thread.is_over);
	if (!is_over)
		thread.call->finish();
	pthread_join(t, NULL);
	return is_over;
}

static void
try_call(const struct call *call)
{
	pthread_t t;

	/* A handler without SA_RESTART ends it. */
	begin(call, 0, &t);
	pthread_kill(t, OWN);
	ck_assert(come_back(t));
	ck_assert_int_eq(thread.result, -EINTR);
	ck_assert_uint_eq(thread.handled, 1);
	ck_assert(thread.ended.failed == 0);
	/* One with it does not, nor does the stop alone. */
	begin(call, SA_RESTART, &t);
	pthread_kill(t, OWN);
	ck_assert(!come_back(t));
	ck_assert_int_eq(thread.result, call->finished);
	ck_assert_uint_eq(thread.handled, 1);
	begin(call, 0, &t);
	ck_assert(!come_back(t));
	ck_assert_int_eq(thread.result, call->finished);
	/* What has come before the signal is found, as it is by the kernel. */
	begin(call, 0, &t);
	call->finish();
	pthread_kill(t, OWN);
	ck_assert(come_back(t));
	ck_assert_int_eq(thread.result, call->finished);
	ck_assert_uint_eq(thread.handled, 1);
}

/* ------------------------------------------------------------------ the calls */

static long
wait_read(void)
{
	return raw(SYS_read, fds[0], &byte, (size_t)1);
}

static long
wait_recvfrom(void)
{
	return raw(SYS_recvfrom, fds[0], &byte, (size_t)1, 0, NULL, NULL);
}

static void
put_byte(void)
{
	expect(write(fds[1], "x", 1) == 1);
}

static long
wait_write(void)
{
	return raw(SYS_write, other_fds[1], &byte, (size_t)1);
}

static void
make_room(void)
{
	char page[4096];

	expect(read(other_fds[0], page, sizeof(page)) > 0);
}

static void
fill(void)
{
	int flags = fcntl(other_fds[1], F_GETFL);
	char page[4096] = "";

	fcntl(other_fds[1], F_SETFL, flags | O_NONBLOCK);
	/* Its last page may have room for a few bytes. */
	for (size_t n = sizeof(page); n > 0; n /= 2)
		while (write(other_fds[1], page, n) > 0)
			;
	fcntl(other_fds[1], F_SETFL, flags);
}

static long
wait_write_full(void)
{
	fill();
	return wait_write();
}

static long
wait_futex(void)
{
	long result;

	store_release((_Atomic uint32_t *)&word, 0);
	do
		result = raw(SYS_futex, &word, FUTEX_WAIT, 0, NULL);
	while (result == 0 && load_acquire((_Atomic uint32_t *)&word) == 0);
	return result == -EAGAIN ? 0 : result;
}

static void
wake(void)
{
	store_release((_Atomic uint32_t *)&word, 1);
	syscall(SYS_futex, &word, FUTEX_WAKE, 1);
}

static char lock_name[] = "test_ended.XXXXXX";

static long
wait_flock(void)
{
	long result;

	expect(flock(other_fds[0], LOCK_EX) == 0);
	result = raw(SYS_flock, other_fds[1], LOCK_EX);
	flock(other_fds[1], LOCK_UN);
	return result;
}

static void
unlock(void)
{
	expect(flock(other_fds[0], LOCK_UN) == 0);
}

static void
make_child(void)
{
	child = fork();
	expect(child >= 0);
	if (child == 0)
		for (;;)
			pause();
}

static long
wait_wait4(void)
{
	return raw(SYS_wait4, child, NULL, 0, NULL) == child ? 0 : -errno;
}

static long
wait_waitid(void)
{
	return raw(SYS_waitid, P_PID, child, NULL, WEXITED, NULL);
}

/* end_child - the next one is there before the thread waits for it. */
static void
end_child(void)
{
	int ended = child;
	siginfo_t info;

	kill(ended, SIGKILL);
	expect(waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT) == 0 ||
	       errno == ECHILD);
}

static long
wait_new_child(long (*wait)(void))
{
	long result;

	make_child();
	result = wait();
	if (result != 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	return result;
}

static long
wait_child(void)
{
	return wait_new_child(wait_wait4);
}

static long
wait_child_id(void)
{
	return wait_new_child(wait_waitid);
}

START_TEST(test_files)
{
	static const struct call reading = { wait_read, put_byte, 1 };
	static const struct call receiving = { wait_recvfrom, put_byte, 1 };
	static const struct call writing = { wait_write_full, make_room, 1 };

	expect(pipe(fds) == 0);
	try_call(&reading);
	expect(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	try_call(&receiving);
	try_call(&reading);
	expect(pipe(other_fds) == 0);
	try_call(&writing);
}
END_TEST

START_TEST(test_locks)
{
	static const struct call call = { wait_flock, unlock, 0 };

	other_fds[0] = mkstemp(lock_name);
	other_fds[1] = open(lock_name, O_RDWR);
	expect(other_fds[0] >= 0 && other_fds[1] >= 0);
	unlink(lock_name);
	try_call(&call);
}
END_TEST

START_TEST(test_futex)
{
	static const struct call call = { wait_futex, wake, 0 };

	try_call(&call);
}
END_TEST

START_TEST(test_children)
{
	static const struct call by_pid = { wait_child, end_child, 0 };
	static const struct call by_id = { wait_child_id, end_child, 0 };

	try_call(&by_pid);
	try_call(&by_id);
}
END_TEST

/*
 * What only looks as if it had been set back, and would not wait, is left as it
 * is: the next call of an instruction that has made one before.
 */
static bool
is_left(long number, long a, long b, long c)
{
	ucontext_t context;
	greg_t *gregs = context.uc_mcontext.gregs;

	memset(&context, 0, sizeof(context));
	gregs[REG_RIP] = 1000;
	gregs[REG_RCX] = 1002;
	gregs[REG_RAX] = number;
	gregs[REG_RDI] = a;
	gregs[REG_RSI] = b;
	gregs[REG_RDX] = c;
	ended_note(&thread.ended, &context);
	return gregs[REG_RIP] == 1000 && gregs[REG_RAX] == number;
}

START_TEST(test_next_call)
{
	struct sigaction own = { .sa_handler = on_own };
	sigset_t set;
	int file;

	sigemptyset(&set);
	sigaddset(&set, OWN);
	expect(sigaction(OWN, &own, NULL) == 0);
	expect(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	raise(OWN);
	expect(pipe(fds) == 0);
	ck_assert(!is_left(SYS_read, fds[0], (long)&byte, 1));
	ck_assert(is_left(SYS_write, fds[1], (long)&byte, 1));
	file = mkstemp(lock_name);
	expect(file >= 0 && unlink(lock_name) == 0);
	ck_assert(is_left(SYS_read, file, (long)&byte, 1));
	ck_assert(is_left(SYS_write, file, (long)&byte, 1));
	ck_assert(is_left(SYS_close, fds[0], 0, 0));
	ck_assert(is_left(SYS_read, -1, (long)&byte, 1));
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	ck_assert(is_left(SYS_read, fds[0], (long)&byte, 1));
	ck_assert(is_left(SYS_futex, (long)&word, FUTEX_WAKE, 0));
	ck_assert(is_left(SYS_futex, (long)&word, FUTEX_LOCK_PI, 0));
	ck_assert(!is_left(SYS_futex, (long)&word, FUTEX_WAIT, 0));
	ck_assert(is_left(SYS_futex, (long)&word, FUTEX_WAIT, 1));
	ck_assert(is_left(SYS_futex, 8, FUTEX_WAIT, 0));
	ck_assert(is_left(SYS_wait4, -1, 0, 0));
	/* The stop's own that waits is no handler of the program's. */
	ended_set_stop_signal(OWN);
	ck_assert(is_left(SYS_futex, (long)&word, FUTEX_WAIT, 0));
	ended_set_stop_signal(STOP);
	ck_assert(!is_left(SYS_futex, (long)&word, FUTEX_WAIT, 0));
	/* Without a signal of the program nothing is. */
	own.sa_handler = SIG_IGN;
	expect(sigaction(OWN, &own, NULL) == 0);
	ck_assert(is_left(SYS_futex, (long)&word, FUTEX_WAIT, 0));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ended");

	unit_case(suite, "files", test_files);
	unit_case(suite, "locks", test_locks);
	unit_case(suite, "futex", test_futex);
	unit_case(suite, "children", test_children);
	unit_case(suite, "next_call", test_next_call);
	return unit_run(suite);
}
