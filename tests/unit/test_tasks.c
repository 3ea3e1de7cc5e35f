/*
 * test_tasks.c - what /proc says of this process's threads.
 */
#include "unit.h"

#include "base/sys.h"
#include "world/tasks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS	40

static struct {
	_Atomic int tid;
	int fds[2];
} helper;

/* wait_in_read - a thread that blocks SIGUSR1 and stands in one call. */
static void *
wait_in_read(void *argument)
{
	sigset_t set;
	char byte;

	(void)argument;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	store_release(&helper.tid, sys_gettid());
	syscall(SYS_read, helper.fds[0], &byte, (size_t)1);
	return NULL;
}

static pthread_t
start_helper(void)
{
	pthread_t thread;

	store_relaxed(&helper.tid, 0);
	expect(pthread_create(&thread, NULL, wait_in_read, NULL) == 0);
	while (load_acquire(&helper.tid) == 0)
		sys_sched_yield();
	return thread;
}

static int visits;

static int
visit(int task)
{
	visits++;
	return tasks_tid_of(task) == task;
}

static int
visit_none(int task)
{
	(void)task;
	visits++;
	return 0;
}

static int
visit_failing(int task)
{
	(void)task;
	visits++;
	return -ENOMEM;
}

START_TEST(test_list)
{
	pthread_t threads[THREADS];

	expect(pipe(helper.fds) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		threads[i] = start_helper();
	tasks_open(sys_getpid());
	ck_assert_int_eq(tasks_count(), THREADS + 1);
	ck_assert_int_eq(tasks_list(visit), THREADS + 1);
	ck_assert_int_eq(visits, THREADS + 1);
	/* Again from its begin. */
	ck_assert_int_eq(tasks_list(visit_none), 0);
	ck_assert_int_eq(visits, 2 * (THREADS + 1));
	visits = 0;
	ck_assert_int_eq(tasks_list(visit_failing), -ENOMEM);
	ck_assert_int_eq(visits, 1);
	ck_assert(!tasks_are_foreign());
	tasks_close();
	close(helper.fds[1]);
	for (unsigned i = 0; i < THREADS; i++)
		expect(pthread_join(threads[i], NULL) == 0);
}
END_TEST

START_TEST(test_one)
{
	struct task_call call = { 0 };
	pthread_t thread;
	int tid;

	expect(pipe(helper.fds) == 0);
	thread = start_helper();
	tid = load_relaxed(&helper.tid);
	tasks_open(sys_getpid());
	ck_assert(!tasks_is_gone(tid));
	ck_assert(bits_has(tasks_blocked(tid), SIGUSR1 - 1));
	ck_assert(!bits_has(tasks_blocked(tid), SIGUSR2 - 1));
	/* Not at once: it may be on its way into the call. */
	while (!tasks_call(tid, &call) || call.number != SYS_read)
		sys_sched_yield();
	ck_assert_int_eq((int)call.arguments[0], helper.fds[0]);
	ck_assert_uint_eq(call.arguments[2], 1);
	ck_assert_uint_lt(call.sp, call.arguments[1] + 64 * KIB);
	close(helper.fds[1]);
	expect(pthread_join(thread, NULL) == 0);
	while (!tasks_is_gone(tid))
		sys_sched_yield();
	ck_assert(!tasks_call(tid, &call));
	ck_assert(!bits_has(tasks_blocked(tid), SIGUSR1 - 1));
	tasks_close();
}
END_TEST

/* M3: without a descriptor to be had nobody is gone. */
START_TEST(test_doubt)
{
	struct rlimit none = { 0, 0 };

	expect(setrlimit(RLIMIT_NOFILE, &none) == 0);
	tasks_open(sys_getpid());
	ck_assert_int_lt(tasks_count(), 0);
	ck_assert_int_eq(tasks_list(visit), -EMFILE);
	ck_assert_int_eq(visits, 0);
	ck_assert(!tasks_is_gone(sys_gettid()));
	ck_assert(!bits_has(tasks_blocked(sys_gettid()), SIGUSR1 - 1));
	tasks_close();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tasks");

	unit_case(suite, "list", test_list);
	unit_case(suite, "one", test_one);
	unit_case(suite, "doubt", test_doubt);
	return unit_run(suite);
}
