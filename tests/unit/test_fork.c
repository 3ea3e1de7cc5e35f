/*
 * test_fork.c - fork, while other threads allocate, free and end.
 *
 * The child has one thread and a heap that others were at work on.  It looks
 * at all of it, uses it, and looks for leaks; the parent goes on.
 */
#include "unit.h"

#include "bilge.h"
#include "collect/cycle.h"
#include "world/mutator.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS	3
#define BLOCKS	500
#define FORKS	150

static _Atomic bool is_over;
static _Atomic unsigned ready;

/* The forking thread's blocks: the child has the same ones. */
static unsigned char *blocks[BLOCKS];
static size_t sizes[BLOCKS];

/* What threads give to each other. */
static _Atomic(void *) board[64];

static void
setup(void)
{
	unsetenv("BILGE_LEAKS");
	bilge_begin();
	ck_assert_int_eq(bilge_mode, BILGE_ACTIVE);
	bilge_thread_begin(false);
}

static void
change_block(uint64_t *state)
{
	size_t i = unit_random(state, BLOCKS);

	if (blocks[i] != NULL) {
		for (size_t at = 0; at < sizes[i]; at++)
			expect(blocks[i][at] == (i & 255));
		expect(heap_free(blocks[i]) == HEAP_DONE);
	}
	sizes[i] = unit_random_size(state, unit_random(state, 50) == 0
				    ? 300 * KIB : 2 * KIB);
	blocks[i] = heap_alloc(sizes[i], false);
	expect(blocks[i] != NULL);
	heap_note(blocks[i], sizes[i], SITE_UNKNOWN);
	memset(blocks[i], (int)i, sizes[i]);
}

/* exchange_one - what one thread allocates another one frees. */
static void
exchange_one(uint64_t *state)
{
	void *p = heap_alloc(unit_random(state, 60) == 0
			     ? unit_random(state, 400 * KIB)
			     : unit_random_size(state, 1000), false);

	expect(p != NULL);
	heap_note(p, 1, SITE_UNKNOWN);
	p = atomic_exchange(&board[unit_random(state, 64)], p);
	if (p != NULL)
		expect(heap_free(p) == HEAP_DONE);
}

static void *
trade(void *argument)
{
	uint64_t state = unit_seed(1 + (unsigned)(uintptr_t)argument);

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	for (unsigned n = 0; n < 20000 && !load_relaxed(&is_over); n++)
		exchange_one(&state);
	heap_thread_end(false);
	return NULL;
}

/* trade_for_ever - generations of threads. */
static void *
trade_for_ever(void *argument)
{
	uintptr_t number = (uintptr_t)argument;
	pthread_t thread;

	while (!load_relaxed(&is_over)) {
		expect(pthread_create(&thread, NULL, trade,
				      (void *)number) == 0);
		pthread_join(thread, NULL);
		number += THREADS;
	}
	return NULL;
}

static pid_t
fork_as_bilge(void)
{
	pid_t child;

	bilge_fork_prepare();
	child = fork();
	if (child == 0)
		bilge_fork_child();
	else
		bilge_fork_parent();
	return child;
}

/* live_on - all that a child may do. */
static void
live_on(uint64_t state)
{
	pthread_t thread;
	size_t count;

	unit_check_heap();
	for (unsigned n = 0; n < 3000; n++)
		change_block(&state);
	unit_check_heap();
	/* What others gave, and never took, is ours to take. */
	for (size_t i = 0; i < 64; i++) {
		void *p = atomic_exchange(&board[i], NULL);

		if (p != NULL)
			expect(heap_free(p) == HEAP_DONE);
	}
	/* Threads of its own. */
	expect(pthread_create(&thread, NULL, trade, (void *)77) == 0);
	pthread_join(thread, NULL);
	unit_check_heap();
	expect(unit_cycle_check() == 0);
	leaks_groups(&count);
	cycle_end();
}

static void
await(pid_t child)
{
	int status;

	expect(child > 0 && waitpid(child, &status, 0) == child);
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(test_threads)
{
	uint64_t state = unit_seed(50);
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, trade_for_ever,
				      (void *)i) == 0);
	while (load_relaxed(&ready) < THREADS)
		sched_yield();
	for (unsigned n = 0; n < FORKS; n++) {
		pid_t child;

		for (unsigned k = 0; k < 200; k++) {
			change_block(&state);
			exchange_one(&state);
		}
		child = fork_as_bilge();
		if (child == 0) {
			live_on(state);
			_exit(0);
		}
		await(child);
	}
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	unit_check_heap();
}
END_TEST

/* Children of children, each with a heap that it changes further. */
START_TEST(test_generations)
{
	uint64_t state = unit_seed(60);

	for (unsigned n = 0; n < 12; n++) {
		pid_t child;

		for (unsigned k = 0; k < 1000; k++)
			change_block(&state);
		child = fork_as_bilge();
		if (child != 0) {
			for (unsigned k = 0; k < 1000; k++)
				change_block(&state);
			unit_check_heap();
			await(child);
			if (n > 0)
				_exit(0);
			return;
		}
		unit_check_heap();
	}
	_exit(0);
}
END_TEST

/* A handler forks, wherever it has interrupted us. */
static volatile sig_atomic_t forks_in_handler;

static void
on_alarm(int sig)
{
	pid_t child;

	(void)sig;
	if (forks_in_handler >= 60)
		return;
	forks_in_handler++;
	child = fork_as_bilge();
	if (child == 0) {
		for (unsigned i = 0; i < 2000; i++) {
			void *p = heap_alloc(i, true);

			expect(p != NULL && heap_free(p) == HEAP_DONE);
		}
		_exit(0);
	}
	await(child);
}

START_TEST(test_in_handler)
{
	uint64_t state = unit_seed(70);
	struct sigaction action = { .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGALRM };
	struct itimerspec every = { { 0, 2000003 }, { 0, 2000003 } };
	timer_t timer;

	action.sa_handler = on_alarm;
	expect(sigaction(SIGALRM, &action, NULL) == 0);
	expect(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	expect(timer_settime(timer, 0, &every, NULL) == 0);
	while (forks_in_handler < 60)
		change_block(&state);
	timer_delete(timer);
	unit_check_heap();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fork");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "generations", test_generations },
		{ "in_handler", test_in_handler },
		{ "threads", test_threads },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases) - UNIT_HAS_ASAN; i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
