/*
 * test_crew.c - the collector's own threads.
 */
#include "unit.h"

#include "base/sys.h"
#include "heap/meta.h"
#include "world/crew.h"
#include "world/mutator.h"
#include "world/stop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS	8u

/* --------------------------------------------------------------- what they are */

static _Atomic unsigned finished;
static _Atomic int tids[MEMBERS];

static void
look_around(void *argument)
{
	uint64_t mask;

	/* No mutator, no cache, no signals (E2). */
	expect(mutator_self == NULL && cache_self == &cache_nobody);
	expect(sys_sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
	expect((mask | 1u << (SIGKILL - 1) | 1u << (SIGSTOP - 1)) ==
	       ~UINT64_C(0));
	store_relaxed(&tids[(uintptr_t)argument], sys_gettid());
	atomic_fetch_add(&finished, 1);
}

START_TEST(test_run)
{
	size_t room = meta_room();

	for (unsigned round = 0; round < 100; round++) {
		finished = 0;
		for (uintptr_t i = 0; i < MEMBERS; i++)
			expect(crew_start((unsigned)i, look_around,
					  (void *)i) == 0);
		for (unsigned i = 0; i < MEMBERS; i++)
			crew_join(i);
		expect(load_relaxed(&finished) == MEMBERS);
		for (unsigned i = 0; i < MEMBERS; i++) {
			expect(!crew_is_running(i));
			expect(load_relaxed(&tids[i]) != sys_gettid());
		}
		expect(meta_room() == room);
	}
	ck_assert_uint_eq(unit_count_threads(), 1);
	/* Who never started is not waited for. */
	crew_join(20);
}
END_TEST

static _Atomic bool is_over;
static _Atomic uint64_t turns;

static void
turn(void *unused)
{
	(void)unused;
	while (!load_relaxed(&is_over))
		atomic_fetch_add(&turns, 1);
}

/* A stop neither waits for them nor stops them. */
START_TEST(test_not_stopped)
{
	const struct park_entry *e;
	struct stop_failure failure;
	size_t count, stand;

	expect(crew_start(0, turn, NULL) == 0);
	expect(crew_start(5, turn, NULL) == 0);
	expect(crew_is_running(0) && crew_is_running(5));
	for (unsigned n = 0; n < 50; n++) {
		uint64_t before;

		expect(stop_begin(3 * NSEC_PER_SEC, arch_stack_pointer(),
				  false, &failure) == 0);
		e = stop_threads(&count);
		/* One that was new is among those that are gone. */
		for (stand = 0; count > 0; count--)
			stand += !e[count - 1].is_gone;
		expect(stand == 1);
		before = load_relaxed(&turns);
		while (load_relaxed(&turns) < before + 100)
			sched_yield();
		stop_end();
	}
	store_relaxed(&is_over, true);
	crew_join(0);
	crew_join(5);
}
END_TEST

static void
wait_until_over(void *unused)
{
	(void)unused;
	while (!load_relaxed(&is_over))
		sys_sleep_ns(NSEC_PER_MSEC / 10);
}

/* Nor does it where one was born so late that it did not say yet who it is. */
START_TEST(test_newborn)
{
	struct stop_failure failure;

	for (unsigned n = 0; n < 200; n++) {
		store_relaxed(&is_over, false);
		expect(crew_start(0, wait_until_over, NULL) == 0);
		expect(stop_begin(3 * NSEC_PER_SEC, arch_stack_pointer(),
				  false, &failure) == 0);
		stop_end();
		store_relaxed(&is_over, true);
		crew_join(0);
	}
}
END_TEST

static void
end_at_once(void *unused)
{
	(void)unused;
}

/* They may come and go while the world is being stopped by one of them. */
static void
stop_often(void *unused)
{
	struct stop_failure failure;

	(void)unused;
	while (!load_relaxed(&is_over)) {
		expect(stop_begin(3 * NSEC_PER_SEC, 0, false, &failure) == 0);
		atomic_fetch_add(&turns, 1);
		stop_end();
	}
}

START_TEST(test_come_and_go)
{
	uint64_t end = sys_monotonic_ns() + NSEC_PER_SEC / 2;

	expect(crew_start(0, stop_often, NULL) == 0);
	while (sys_monotonic_ns() < end)
		for (unsigned i = 1; i < MEMBERS; i++) {
			expect(crew_start(i, end_at_once, NULL) == 0);
			crew_join(i);
		}
	store_relaxed(&is_over, true);
	crew_join(0);
	ck_assert_uint_gt(load_relaxed(&turns), 10);
}
END_TEST

/* -------------------------------------------------------------------- signals */

static _Atomic int handled_by;

static void
on_signal(int sig)
{
	(void)sig;
	store_relaxed(&handled_by, sys_gettid());
}

/* What is sent to the process is none of theirs. */
START_TEST(test_signals)
{
	sigset_t set;

	signal(SIGUSR1, on_signal);
	expect(crew_start(0, turn, NULL) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	usleep(20000);
	ck_assert_int_eq(load_relaxed(&handled_by), 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	ck_assert_int_eq(load_relaxed(&handled_by), sys_gettid());
	store_relaxed(&is_over, true);
	crew_join(0);
}
END_TEST

static void
start_there(int sig)
{
	(void)sig;
	expect(crew_start(1, turn, NULL) == 0);
}

/* Started by a handler; the starter's mask stays what it was. */
START_TEST(test_from_handler)
{
	sigset_t before, after;

	sigprocmask(SIG_SETMASK, NULL, &before);
	signal(SIGUSR1, start_there);
	raise(SIGUSR1);
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int sig = 1; sig < 65; sig++)
		expect(sigismember(&before, sig) == sigismember(&after, sig));
	ck_assert(crew_is_running(1));
	store_relaxed(&is_over, true);
	crew_join(1);
	ck_assert(!crew_is_running(1));
}
END_TEST

/* --------------------------------------------------------------- fork, memory */

START_TEST(test_child)
{
	int status;
	pid_t pid;

	expect(crew_start(0, turn, NULL) == 0);
	expect(crew_start(3, turn, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		crew_fork_child();
		expect(!crew_is_running(0) && !crew_is_running(3));
		crew_join(0);
		finished = 0;
		for (uintptr_t i = 0; i < MEMBERS; i++)
			expect(crew_start((unsigned)i, look_around,
					  (void *)i) == 0);
		for (unsigned i = 0; i < MEMBERS; i++)
			crew_join(i);
		_exit(load_relaxed(&finished) != MEMBERS);
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	ck_assert(crew_is_running(0) && crew_is_running(3));
	store_relaxed(&is_over, true);
	crew_join(0);
	crew_join(3);
}
END_TEST

START_TEST(test_no_memory)
{
	meta_reserve(meta_room());
	ck_assert_int_eq(crew_start(0, turn, NULL), -ENOMEM);
	ck_assert(!crew_is_running(0));
	crew_join(0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("crew");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "run", test_run }, { "not_stopped", test_not_stopped },
		{ "newborn", test_newborn },
		{ "come_and_go", test_come_and_go },
		{ "signals", test_signals },
		{ "from_handler", test_from_handler },
		{ "child", test_child }, { "no_memory", test_no_memory },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			unit_core_defaults, NULL);
	return unit_run(suite);
}
