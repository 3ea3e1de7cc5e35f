/*
 * test_grey.c - what was reached and not scanned yet.
 */
#include "unit.h"

#include "collect/grey.h"
#include "heap/meta.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* Blocks that one thread's list holds before the pool sees any. */
#define CHUNK	511u

static void
setup(void)
{
	ck_assert_int_eq(meta_init(256 * MIB), 0);
}

static struct block
block_of(uint32_t number)
{
	return (struct block){ (struct span *)(uintptr_t)(number * 64),
			       number, number / 3 };
}

static bool
is_block(struct block b, uint32_t number)
{
	return b.slot == number && (uintptr_t)b.span == number * 64 &&
	       b.part == number / 3;
}

/* In one chunk last in, first out, and nothing is lost. */
START_TEST(test_order)
{
	uint64_t state = unit_seed(1);
	struct grey grey = { NULL, NULL };
	uint32_t depth = 0;
	struct block b;

	ck_assert(grey_open());
	ck_assert(!grey_pop(&grey, &b));
	ck_assert(grey_is_empty(&grey));
	for (unsigned i = 0; i < 300000; i++)
		if (depth < CHUNK && unit_random(&state, 5) < 3) {
			expect(grey_push(&grey, block_of(depth++)));
		} else if (depth > 0) {
			expect(!grey_is_empty(&grey));
			expect(grey_pop(&grey, &b));
			expect(is_block(b, --depth));
		}
	while (depth > 0)
		expect(grey_pop(&grey, &b) && is_block(b, --depth));
	ck_assert(!grey_pop(&grey, &b));
	grey_close();
}
END_TEST

/* Any number, in any order: each comes back once (L1). */
START_TEST(test_all)
{
	enum { MANY = 200000 };
	static bool is_in[MANY];
	uint64_t state = unit_seed(2);
	struct grey grey = { NULL, NULL };
	uint32_t pushed = 0, popped = 0;
	struct block b;

	ck_assert(grey_open());
	while (popped < MANY) {
		size_t run = unit_random_size(&state, 4 * CHUNK);

		for (size_t i = 0; i < run && pushed < MANY; i++) {
			expect(grey_push(&grey, block_of(pushed)));
			is_in[pushed++] = true;
		}
		run = unit_random_size(&state, 4 * CHUNK);
		for (size_t i = 0; i < run && grey_pop(&grey, &b); i++) {
			expect(is_block(b, b.slot) && is_in[b.slot]);
			is_in[b.slot] = false;
			popped++;
		}
		expect(grey_is_empty(&grey) == (popped == pushed));
	}
	ck_assert(!grey_pop(&grey, &b));
	grey_close();
}
END_TEST

/* Full, it says so, and goes on with what it has. */
START_TEST(test_overflow)
{
	struct grey grey = { NULL, NULL };
	uint32_t count = 0, popped = 0;
	struct block b;

	unit_starve();
	ck_assert(grey_open());
	while (grey_push(&grey, block_of(count)))
		expect(++count < 1000000);
	ck_assert_uint_ge(count, 2 * CHUNK);
	ck_assert(!grey_push(&grey, block_of(count)));
	ck_assert(grey_pop(&grey, &b) && is_block(b, count - 1));
	ck_assert(grey_push(&grey, block_of(count - 1)));
	while (grey_pop(&grey, &b))
		popped++;
	ck_assert_uint_eq(popped, count);
	grey_close();
}
END_TEST

/* A cycle gives back what it took, and the next one begins empty. */
START_TEST(test_again)
{
	size_t room = 0;
	struct block b;

	for (unsigned i = 0; i < 100; i++) {
		struct grey grey = { NULL, NULL };

		ck_assert(grey_open());
		if (i == 0)
			room = meta_room();
		ck_assert(!grey_pop(&grey, &b));
		/* Also when it ended in the middle. */
		for (uint32_t n = 0; n < 100000; n++)
			expect(grey_push(&grey, block_of(n)));
		grey_close();
		ck_assert_uint_eq(meta_room(), room);
	}
}
END_TEST

START_TEST(test_no_memory)
{
	struct grey grey = { NULL, NULL };

	meta_reserve(meta_room());
	ck_assert(!grey_open());
	ck_assert(!grey_push(&grey, block_of(1)));
}
END_TEST

/* ------------------------------------------------------------------ together */

#define THREADS	4
#define TREE	300000

static _Atomic uint32_t visits[TREE];
static _Atomic unsigned running;

/*
 * A node leads to others that only it leads to, few or very many, so that
 * work is short at times and some wait.
 */
static bool
visit(struct grey *grey, uint32_t number)
{
	uint32_t width = number % 1000 == 1 ? 1000 : 2;
	uint32_t first = number * 2 + 1;

	atomic_fetch_add(&visits[number], 1);
	if (number % 7 == 0)
		sched_yield();
	if (number % 1000 == 1)
		return true;	/* its children are others' */
	for (uint32_t i = 0; i < width; i++)
		if (first + i < TREE &&
		    !grey_push(grey, block_of(first + i)))
			return false;
	return true;
}

static void *
work(void *argument)
{
	struct grey *grey = argument;
	struct block b;

	do
		while (grey_pop(grey, &b)) {
			expect(is_block(b, b.slot));
			expect(visit(grey, b.slot));
		}
	while (grey_wait());
	/* L3: all work is done when anyone comes here. */
	expect(grey_is_empty(grey));
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static bool
is_of_tree(uint32_t number)
{
	while (number > 0) {
		number = (number - 1) / 2;
		if (number % 1000 == 1)
			return false;
	}
	return true;
}

/* Each is visited once, by whomever, and then all end (L1, L2, L3). */
START_TEST(test_together)
{
	for (unsigned round = 0; round < 20; round++) {
		struct grey greys[THREADS] = { { NULL, NULL } };
		pthread_t threads[THREADS];

		memset(visits, 0, sizeof(visits));
		running = THREADS;
		ck_assert(grey_open());
		for (unsigned i = 0; i < THREADS; i++)
			grey_join();
		expect(grey_push(&greys[0], block_of(0)));
		for (unsigned i = 0; i < THREADS; i++)
			expect(pthread_create(&threads[i], NULL, work,
					      &greys[i]) == 0);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		expect(load_relaxed(&running) == 0);
		for (uint32_t n = 0; n < TREE; n++)
			expect(load_relaxed(&visits[n]) == is_of_tree(n));
		grey_close();
	}
}
END_TEST

static void *
wait_for_work(void *ret_has_work)
{
	*(bool *)ret_has_work = grey_wait();
	atomic_fetch_add(&running, 1);
	return NULL;
}

/* Who waits goes on when there is more, and when it was stopped. */
START_TEST(test_wake)
{
	struct grey grey = { NULL, NULL };
	bool has_work = false;
	pthread_t thread;

	ck_assert(grey_open());
	grey_join();
	grey_join();
	expect(pthread_create(&thread, NULL, wait_for_work, &has_work) == 0);
	/* It sleeps by now: who adds a chunk must wake it (L2). */
	usleep(50000);
	for (uint32_t n = 0; n <= 2 * CHUNK; n++)
		expect(grey_push(&grey, block_of(n)));
	pthread_join(thread, NULL);
	ck_assert(has_work);
	/* Stopped, there is no more work whatever the pool holds. */
	expect(pthread_create(&thread, NULL, wait_for_work, &has_work) == 0);
	pthread_join(thread, NULL);
	ck_assert(has_work);
	grey_stop();
	ck_assert(!grey_wait());
	ck_assert(!grey_wait());
	grey_close();
	/* It ends who is waiting already. */
	ck_assert(grey_open());
	running = 0;
	has_work = true;
	grey_join();
	grey_join();
	expect(pthread_create(&thread, NULL, wait_for_work, &has_work) == 0);
	for (unsigned i = 0; i < 100; i++)
		sched_yield();
	expect(load_relaxed(&running) == 0);
	grey_stop();
	pthread_join(thread, NULL);
	ck_assert(!has_work);
	grey_close();
}
END_TEST

/* One who could not start is not waited for. */
START_TEST(test_leave)
{
	ck_assert(grey_open());
	grey_join();
	grey_join();
	grey_leave();
	ck_assert(!grey_wait());
	grey_close();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("grey");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "order", test_order }, { "all", test_all },
		{ "overflow", test_overflow },
		{ "again", test_again }, { "no_memory", test_no_memory },
		{ "together", test_together }, { "wake", test_wake },
		{ "leave", test_leave },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
