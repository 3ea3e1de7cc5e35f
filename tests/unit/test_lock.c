/*
 * test_lock.c - futex locks with ranks.
 */
#include "unit.h"

#include "base/lock.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define THREADS	4
#define ROUNDS	50000

static struct lock lock = LOCK_INIT(RANK_HEAP);
static struct lock higher = LOCK_INIT(RANK_META);

/* Not atomic on purpose: the lock is all that makes the sum come out. */
static volatile unsigned long shared;

static void
wait_ms(unsigned ms)
{
	struct timespec time = { .tv_nsec = (long)ms * 1000000 };

	nanosleep(&time, NULL);
}

static void *
add_up(void *argument)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned long seen;

		lock_acquire(&lock);
		seen = shared;
		for (volatile unsigned spin = 0; spin < i % 16; spin++)
			continue;
		shared = seen + 1;
		lock_release(&lock);
	}
	return argument;
}

START_TEST(test_exclusion)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, add_up, NULL) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(shared, THREADS * ROUNDS);
	ck_assert_uint_eq(load_relaxed(&lock.word), 0);		/* L1 */
}
END_TEST

static void *
take_once(void *argument)
{
	lock_acquire(&lock);
	shared++;
	lock_release(&lock);
	return argument;
}

/* A holder that sleeps: the others sleep too, and each is woken (L2). */
START_TEST(test_sleepers)
{
	pthread_t threads[THREADS];
	struct timespec before, after;

	lock_acquire(&lock);
	for (unsigned i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, take_once, NULL) == 0);
	wait_ms(50);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	wait_ms(200);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	ck_assert_uint_eq(shared, 0);
	ck_assert_uint_eq(load_relaxed(&lock.word), 2);
	/* Nobody spins meanwhile. */
	ck_assert_int_lt((after.tv_sec - before.tv_sec) * 1000000000 +
			 after.tv_nsec - before.tv_nsec, 50000000);
	lock_release(&lock);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(shared, THREADS);
	ck_assert_uint_eq(load_relaxed(&lock.word), 0);
}
END_TEST

static void *
hold_for_ever(void *argument)
{
	lock_acquire(&lock);
	store_release((_Atomic bool *)argument, true);
	for (;;)
		wait_ms(100);
	return NULL;
}

/* What the child of a fork finds: held by a thread that does not exist. */
START_TEST(test_reset)
{
	_Atomic bool is_held = false;
	pthread_t thread;

	expect(pthread_create(&thread, NULL, hold_for_ever, &is_held) == 0);
	while (!load_acquire(&is_held))
		wait_ms(1);
	lock_reset(&lock);
	lock_acquire(&lock);
	lock_release(&lock);
	ck_assert_uint_eq(load_relaxed(&lock.word), 0);
}
END_TEST

START_TEST(test_order)
{
	lock_acquire(&lock);
	lock_acquire(&higher);
	lock_release(&higher);
	lock_release(&lock);
	lock_acquire(&higher);
	lock_release(&higher);
}
END_TEST

#ifdef BILGE_DEBUG
START_TEST(test_wrong_order)
{
	lock_acquire(&higher);
	lock_acquire(&lock);
}
END_TEST

START_TEST(test_same_rank)
{
	struct lock other = LOCK_INIT(RANK_HEAP);

	lock_acquire(&lock);
	lock_acquire(&other);
}
END_TEST

START_TEST(test_is_mine)
{
	_Atomic bool is_held = false;
	pthread_t thread;

	ck_assert(!lock_is_mine(&lock));
	lock_acquire(&lock);
	ck_assert(lock_is_mine(&lock));
	lock_release(&lock);
	ck_assert(!lock_is_mine(&lock));
	expect(pthread_create(&thread, NULL, hold_for_ever, &is_held) == 0);
	while (!load_acquire(&is_held))
		wait_ms(1);
	ck_assert(!lock_is_mine(&lock));
	ck_assert(!lock_try(&lock));
}
END_TEST
#endif

int
main(void)
{
	Suite *suite = suite_create("lock");
	TCase *order;

	unit_case(suite, "exclusion", test_exclusion);
	unit_case(suite, "sleepers", test_sleepers);
	unit_case(suite, "reset", test_reset);
	order = unit_case(suite, "order", test_order);
#ifdef BILGE_DEBUG
	tcase_add_test_raise_signal(order, test_wrong_order, SIGABRT);
	tcase_add_test_raise_signal(order, test_same_rank, SIGABRT);
	tcase_add_test(order, test_is_mine);
#else
	(void)order;
#endif
	return unit_run(suite);
}
