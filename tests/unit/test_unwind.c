/*
 * test_unwind.c - call stacks, through libunwind.
 *
 * Each function on the way notes where it returns to: these addresses, in
 * this order, are the frames.
 */
#include "unit.h"

#include "report/depot.h"
#include "report/modules.h"
#include "world/mutator.h"
#include "world/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define DEEP	100

static __thread uintptr_t frames[DEPOT_DEPTH_MAX];
static __thread uint32_t frame_count;
static __thread uintptr_t returns[DEEP + 1];
static __thread size_t return_count;
static uint32_t frames_max = DEPOT_DEPTH_MAX;

static void
setup(void)
{
	unit_heap(0, false);
	ck_assert_int_eq(modules_init(), 0);
	/* Nothing of this program is left out. */
	ck_assert(unwind_init(0, 0, dlopen));
}

static NOINLINE void
note_return(uintptr_t address)
{
	returns[return_count++] = address;
}

static NOINLINE void
capture(void)
{
	note_return((uintptr_t)__builtin_return_address(0));
	const uintptr_t *found;

	frame_count = unwind_begin(frames_max, &found);
	if (frame_count > 0) {
		memcpy(frames, found, frame_count * sizeof(*frames));
		unwind_end();
	}
}

static NOINLINE void
descend(unsigned depth)
{
	volatile char room[80];

	room[depth % sizeof(room)] = 1;
	if (depth > 1)
		descend(depth - 1);
	else
		capture();
	note_return((uintptr_t)__builtin_return_address(0));
	__asm__ volatile("" : : "r"(room));
}

/* check_frames - the noted returns follow each other among the frames. */
static void
check_frames(size_t wanted)
{
	size_t at = 0;

	while (at < frame_count && frames[at] != returns[0])
		at++;
	/* Before it: unwind_begin() and capture() themselves. */
	expect(at <= 2);
	expect(frame_count - at >= wanted);
	for (size_t i = 0; i < wanted; i++)
		expect(frames[at + i] == returns[i]);
}

START_TEST(test_chain)
{
	errno = 4711;
	descend(10);
	ck_assert_int_eq(errno, 4711);
	check_frames(11);
	/* It ends where the program began, and nothing is made up. */
	for (size_t i = 0; i < frame_count; i++)
		expect(modules_find(frames[i]) != MODULE_NONE);
}
END_TEST

START_TEST(test_depth)
{
	for (frames_max = 1; frames_max < 40; frames_max++) {
		return_count = 0;
		memset(frames, 0xee, sizeof(frames));
		descend(60);
		expect(frame_count == frames_max);
		for (size_t i = frames_max; i < DEPOT_DEPTH_MAX; i++)
			expect(frames[i] == UINT64_C(0xeeeeeeeeeeeeeeee));
	}
}
END_TEST

/* U1: it never enters libunwind a second time. */
START_TEST(test_not_twice)
{
	mutator_self->is_unwinding = 1;
	descend(3);
	ck_assert_uint_eq(frame_count, 0);
	mutator_self->is_unwinding = 0;
	return_count = 0;
	descend(3);
	check_frames(4);
	ck_assert_uint_eq(mutator_self->is_unwinding, 0);
}
END_TEST

START_TEST(test_nobody)
{
	mutator_end(false);
	descend(3);
	ck_assert_uint_eq(frame_count, 0);
}
END_TEST

/* Through a signal frame, to the interrupted function. */
static void
on_signal(int sig)
{
	(void)sig;
	capture();
}

static NOINLINE void
interrupt(void)
{
	raise(SIGUSR1);
	__asm__ volatile("");
}

START_TEST(test_signal)
{
	bool found = false;

	signal(SIGUSR1, on_signal);
	interrupt();
	for (size_t i = 0; i < frame_count; i++)
		found |= frames[i] > (uintptr_t)interrupt &&
			 frames[i] < (uintptr_t)interrupt + 64;
	ck_assert(found);
}
END_TEST

static void *
run_thread(void *argument)
{
	heap_thread_begin(true);
	for (unsigned i = 1; i < 400; i++) {
		return_count = 0;
		descend(i % 30 + 1);
		check_frames(i % 30 + 2);
	}
	unwind_thread_end();
	heap_thread_end(false);
	return argument;
}

START_TEST(test_threads)
{
	pthread_t threads[8];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, run_thread,
				      NULL) == 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}
END_TEST

/* Our own code is left out: the first frame leads out of it. */
START_TEST(test_own_frames)
{
	descend(2);
	/* As if all this program were the library. */
	ck_assert(unwind_init(modules_get(modules_find(returns[0]))->start,
			      modules_get(modules_find(returns[0]))->end,
			      dlopen));
	frames[0] = 0;
	descend(2);
	ck_assert_uint_gt(frame_count, 0);
	ck_assert_uint_ne(modules_find(frames[0]), modules_find(returns[0]));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("unwind");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "chain", test_chain }, { "depth", test_depth },
		{ "not_twice", test_not_twice }, { "nobody", test_nobody },
		{ "signal", test_signal }, { "threads", test_threads },
		{ "own_frames", test_own_frames },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
