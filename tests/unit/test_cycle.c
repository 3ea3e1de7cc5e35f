/*
 * test_cycle.c - whole collections, with the program running.
 *
 * What threads can reach is never reported (H1, H2, H3), what was lost is,
 * and after a mark that is not complete nothing is (M3).
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/cycle.h"
#include "heap/blind.h"
#include "heap/meta.h"
#include "settings/stats.h"
#include "world/mutator.h"
#include "world/roots.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define THREADS	3
#define LIVE	300

/* Sites, as if they came from the depot. */
#define LIVE_SITE	100
#define LOST_SITE	101

static _Atomic bool is_over;
static _Atomic unsigned ready;

static struct leak_group
sum_of_site(uint32_t site)
{
	struct leak_group sum = { .site = site };
	size_t count;
	const struct leak_group *g = leaks_groups(&count);

	for (size_t i = 0; i < count; i++)
		if (g[i].site == site) {
			sum.bytes += g[i].bytes;
			sum.blocks += g[i].blocks;
		}
	return sum;
}

static NOINLINE void
lose(unsigned count, size_t size)
{
	for (unsigned i = 0; i < count; i++) {
		struct hidden block = unit_hidden_block(size);

		heap_note(unit_reveal(block), size, LOST_SITE);
	}
}

START_TEST(test_lost)
{
	for (unsigned n = 1; n <= 20; n++) {
		struct leak_group sum;

		lose(n, 100 * n);
		unit_scrub();
		ck_assert_int_eq(unit_cycle_check(), 0);
		sum = sum_of_site(LOST_SITE);
		ck_assert_uint_eq(sum.blocks, n * (n + 1) / 2);
		ck_assert_uint_eq(stats.cycle.count, n);
		cycle_end();
	}
}
END_TEST

/* ----------------------------------------------- what is in use is not lost */

/* allocate - as malloc does, sites and all. */
static void *
allocate(size_t size, bool zero)
{
	void *block = heap_alloc(size, zero);

	expect(block != NULL);
	heap_note(block, size, LIVE_SITE);
	return block;
}

struct node {
	struct node *next;
	uint64_t value;
	char data[];
};

/* Lists that only this thread's stack leads to, ever changing. */
static void *
churn(void *argument)
{
	uint64_t state = unit_seed(1 + (unsigned)(uintptr_t)argument);
	struct node *lists[16] = { NULL };
	size_t length = 0;

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		struct node **list = &lists[unit_random(&state, 16)], *node;

		if (length < LIVE) {
			node = allocate(sizeof(*node) +
				(unit_random(&state, 200) == 0
				 ? 300 * KIB
				 : unit_random_size(&state, 500)), false);
			node->value = (uintptr_t)node * 3;
			node->next = *list;
			*list = node;
			length++;
		}
		while (unit_random(&state, 2) == 0 && *list != NULL) {
			node = *list;
			expect(node->value == (uintptr_t)node * 3);
			*list = node->next;
			memset(node, 0, sizeof(*node));
			expect(heap_free(node) == HEAP_DONE);
			length--;
		}
	}
	for (size_t i = 0; i < 16; i++)
		while (lists[i] != NULL) {
			struct node *next = lists[i]->next;

			expect(heap_free(lists[i]) == HEAP_DONE);
			lists[i] = next;
		}
	heap_thread_end(false);
	return NULL;
}

/* Blocks change hands through a word that is never on a stack. */
static _Atomic(struct node *) handed[8];

static void *
hand_over(void *argument)
{
	uint64_t state = unit_seed(100 + (unsigned)(uintptr_t)argument);

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		struct node *node = allocate(sizeof(*node) +
					     unit_random(&state, 100), true);

		node->value = 7;
		node = atomic_exchange(&handed[unit_random(&state, 8)], node);
		if (node != NULL) {
			expect(node->value == 7);
			expect(heap_free(node) == HEAP_DONE);
		}
	}
	heap_thread_end(false);
	return NULL;
}

START_TEST(test_in_use)
{
	pthread_t threads[2 * THREADS];
	unsigned cycles = 0;
	uint64_t end;

	for (uintptr_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, i % 2 ? churn
				      : hand_over, (void *)i) == 0);
	while (load_relaxed(&ready) < ARRAY_LEN(threads))
		sched_yield();
	end = sys_monotonic_ns() + 2 * NSEC_PER_SEC;
	for (; sys_monotonic_ns() < end; cycles++) {
		expect(unit_cycle_check() == 0);
		expect(sum_of_site(LIVE_SITE).blocks == 0);
		cycle_end();
	}
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_gt(cycles, 10);
	ck_assert_uint_eq(stats.cycle.abandoned, 0);
	/* The same things are lost when nobody holds them any more. */
	for (size_t i = 0; i < 8; i++)
		store_relaxed(&handed[i], NULL);
	unit_scrub();
	ck_assert_int_eq(unit_cycle_check(), 0);
	ck_assert_uint_gt(sum_of_site(LIVE_SITE).blocks, 0);
	cycle_end();
}
END_TEST

/* ----------------------------------------------------------------- handlers */

static _Atomic unsigned handled;

/* A handler of the collecting thread would change what is being marked. */
static void
on_alarm(int sig)
{
	(void)sig;
	expect(!load_relaxed(&cache_blackens));
	handled++;
	expect(heap_free(heap_alloc(100, false)) == HEAP_DONE);
}

START_TEST(test_handlers)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	struct itimerspec every = { { 0, 100003 }, { 0, 100003 } };
	timer_t timer;

	action.sa_handler = on_alarm;
	expect(sigaction(SIGALRM, &action, NULL) == 0);
	lose(10000, 100);
	expect(timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0);
	expect(timer_settime(timer, 0, &every, NULL) == 0);
	for (unsigned n = 0; n < 300; n++) {
		expect(unit_cycle_check() == 0);
		cycle_end();
	}
	timer_delete(timer);
	ck_assert_uint_gt(handled, 10);
}
END_TEST

/* --------------------------------------------------------- never guess (M3) */

static void *
be_deaf(void *argument)
{
	uint64_t mask;

	(void)argument;
	heap_thread_begin(true);
	unit_block_all(&mask);
	store_release(&ready, 1);
	while (!load_acquire(&is_over))
		usleep(1000);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	heap_thread_end(false);
	return NULL;
}

static int error;

static void
check_quietly(void)
{
	error = unit_cycle_check();
}

static void
expect_abandoned(const char *why)
{
	const char *said = unit_capture(check_quietly);

	ck_assert_int_lt(error, 0);
	ck_assert_msg(unit_count(said, "bilge: leak check abandoned: ") == 1 &&
		      unit_count(said, why) == 1, "said: %s", said);
	ck_assert_uint_eq(unit_count(said, "\n"), 1);
	ck_assert_uint_eq(stats.cycle.abandoned, 1);
	ck_assert_uint_eq(stats.cycle.count, 0);
	ck_assert(!load_relaxed(&cache_blackens));
	/* The world runs, and the heap with it. */
	for (unsigned i = 0; i < 1000; i++)
		expect(heap_free(heap_alloc(i, false)) == HEAP_DONE);
	ck_assert_uint_ge(unit_check_heap(), 5);
}

static void
expect_complete(void)
{
	ck_assert_int_eq(unit_cycle_check(), 0);
	ck_assert_uint_eq(sum_of_site(LOST_SITE).blocks, 5);
	cycle_end();
}

START_TEST(test_deaf_thread)
{
	pthread_t thread;
	size_t room;

	/* The first cycle takes tables that stay. */
	ck_assert_int_eq(unit_cycle_check(), 0);
	cycle_end();
	stats.cycle.count = 0;
	room = meta_room();
	lose(5, 10);
	expect(pthread_create(&thread, NULL, be_deaf, NULL) == 0);
	while (load_acquire(&ready) == 0)
		sched_yield();
	expect_abandoned("it blocks the stop signal");
	/* What the cycle took is given back (the tables of threads stay). */
	ck_assert_uint_ge(meta_room() + 16 * MIB, room);
	store_release(&is_over, true);
	pthread_join(thread, NULL);
	unit_scrub();
	expect_complete();
}
END_TEST

/* No descriptor is to be had: /proc cannot be read. */
START_TEST(test_no_descriptors)
{
	struct rlimit limit, none;

	lose(5, 10);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = none.rlim_max = 0;
	/* Capturing takes descriptors: first one cycle without it. */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	ck_assert_int_lt(unit_cycle_check(), 0);
	ck_assert_uint_eq(stats.cycle.count, 0);
	ck_assert_uint_eq(stats.cycle.abandoned, 1);
}
END_TEST

/* A soft limit that is used up is no reason. */
START_TEST(test_few_descriptors)
{
	struct rlimit limit;

	lose(5, 10);
	unit_scrub();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	expect_complete();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_uint_eq(limit.rlim_cur, 0);
}
END_TEST

/* There is no room for a list of grey blocks. */
START_TEST(test_no_memory)
{
	lose(5, 10);
	unit_scrub();
	while (meta_reserve(MIB) != NULL)
		continue;
	while (meta_reserve(4096) != NULL)
		continue;
	expect_abandoned("out of memory");
}
END_TEST

/* What the program closed while there was no room to note it is not known. */
START_TEST(test_unknown_guards)
{
	uint64_t mask;

	lose(5, 10);
	unit_scrub();
	mutator_enter(&mask);
	for (uintptr_t at = 0; !blind_is_total(); at += 2 * ARCH_PAGE_SIZE)
		blind_note(at, at + ARCH_PAGE_SIZE, true);
	mutator_leave(mask);
	expect_abandoned("out of memory");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cycle");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "lost", test_lost }, { "in_use", test_in_use },
		{ "handlers", test_handlers },
		{ "deaf_thread", test_deaf_thread },
		{ "no_descriptors", test_no_descriptors },
		{ "few_descriptors", test_few_descriptors },
		{ "no_memory", test_no_memory },
		{ "unknown_guards", test_unknown_guards },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			unit_core_defaults, NULL);
	return unit_run(suite);
}
