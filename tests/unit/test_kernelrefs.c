/*
 * test_kernelrefs.c - the table of what the kernel holds.
 */
#include "unit.h"

#include "heap/meta.h"
#include "world/kernelrefs.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES	64

/* Addresses in the heap's range; they need not be those of blocks. */
static uintptr_t
address(size_t i)
{
	return arena_view.base + 16 * (i + 1);
}

static void
setup(void)
{
	unit_core_defaults();
	expect(arena_contains(address(1 << 19)) ||
	       heap_alloc(64 * MIB, false) != NULL);
}

static bool seen_addresses[1 << 20];
static size_t seen_count;

static void
see(uintptr_t start, uintptr_t end)
{
	for (const uintptr_t *p = (const uintptr_t *)start;
	     p < (const uintptr_t *)end; p++) {
		size_t i = (*p - arena_view.base) / 16 - 1;

		if (*p == 0)
			continue;
		expect(i < ARRAY_LEN(seen_addresses));
		seen_count += !seen_addresses[i];
		seen_addresses[i] = true;
	}
}

static bool
look(void)
{
	memset(seen_addresses, 0, sizeof(seen_addresses));
	seen_count = 0;
	return kernelrefs_scan(see);
}

static bool
is_held(uintptr_t address)
{
	expect(look());
	return seen_addresses[(address - arena_view.base) / 16 - 1];
}

/* Against a model: counts of each address, kind and key. */
START_TEST(test_model)
{
	static unsigned model[3][2][ADDRESSES];
	uint64_t seed = unit_seed(1);

	for (unsigned step = 0; step < 20000; step++) {
		size_t kind = unit_random(&seed, 3);
		size_t key = unit_random(&seed, 2);
		size_t i = unit_random(&seed, ADDRESSES);
		unsigned *count = &model[kind][key][i];
		bool any = false;

		switch (unit_random(&seed, 100)) {
		case 0:
			kernelrefs_drop_all(kind, key);
			memset(model[kind][key], 0, sizeof(model[kind][key]));
			break;
		case 1 ... 50:
			kernelrefs_note(kind, key, address(i));
			++*count;
			break;
		default:
			kernelrefs_drop(kind, key, address(i));
			*count -= *count > 0;
		}
		for (unsigned j = 0; j < 6; j++)
			any |= model[j / 2][j % 2][i] > 0;
		expect(is_held(address(i)) == any);
		for (size_t k = 0; k < 3; k++) {
			any = false;
			for (size_t j = 0; j < 2 * ADDRESSES; j++)
				any |= model[k][j / ADDRESSES]
					    [j % ADDRESSES] > 0;
			expect(kernelrefs_has(k) == any);
		}
	}
}
END_TEST

START_TEST(test_grows)
{
	size_t many = 200000;

	for (size_t i = 0; i < many; i++)
		kernelrefs_note(KERNELREF_MESSAGE, i % 7, address(i));
	expect(look());
	ck_assert_uint_eq(seen_count, many);
	for (size_t i = 0; i < many; i += 2)
		kernelrefs_drop(KERNELREF_MESSAGE, i % 7, address(i));
	expect(look());
	ck_assert_uint_eq(seen_count, many / 2);
	ck_assert(!seen_addresses[0] && seen_addresses[1]);
	for (uint64_t key = 0; key < 7; key++)
		kernelrefs_drop_all(KERNELREF_MESSAGE, key);
	expect(look());
	ck_assert_uint_eq(seen_count, 0);
	ck_assert(!kernelrefs_has(KERNELREF_MESSAGE));
}
END_TEST

/* Addresses elsewhere are roots themselves, or nothing. */
START_TEST(test_foreign)
{
	static char here[16];

	kernelrefs_note(KERNELREF_EPOLL, 0, (uintptr_t)here);
	kernelrefs_note(KERNELREF_EPOLL, 0, 0);
	kernelrefs_note(KERNELREF_EPOLL, 0, 42);
	expect(look());
	ck_assert_uint_eq(seen_count, 0);
}
END_TEST

/* Without memory nothing is forgotten silently (E2). */
START_TEST(test_no_memory)
{
	expect(look());
	meta_shrink(2 * MIB);
	for (size_t i = 0; i < (size_t)1 << 23 && kernelrefs_scan(see);
	     i += 1 << 18)
		for (size_t j = i; j < i + (1 << 18); j++)
			kernelrefs_note(KERNELREF_MESSAGE, j,
					address(j % 1000));
	ck_assert(!look());
	kernelrefs_drop(KERNELREF_MESSAGE, 0, address(0));
	ck_assert(!look());
}
END_TEST

/* -------------------------------------------------- what the kernel tells */

static void
watch(int set, int call, int fd, uintptr_t address)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.u64 = address;
	expect(epoll_ctl(set, call, fd, &event) == 0);
}

START_TEST(test_epoll)
{
	int set = epoll_create1(0), other, ends[2];

	expect(set >= 0 && pipe(ends) == 0);
	/* Not there (yet), and not noted after the question: dropped. */
	kernelrefs_note(KERNELREF_EPOLL, 0, address(1));
	ck_assert(is_held(address(1)));
	kernelrefs_prepare();
	ck_assert(!is_held(address(1)));
	/* There, and never noted. */
	watch(set, EPOLL_CTL_ADD, ends[0], address(2));
	ck_assert(!is_held(address(2)));
	kernelrefs_prepare();
	ck_assert(is_held(address(2)));
	/* A copy of the descriptor keeps the set. */
	other = dup(set);
	close(set);
	kernelrefs_prepare();
	ck_assert(is_held(address(2)));
	/* A copy of what is watched keeps it in the set. */
	set = dup(ends[0]);
	close(ends[0]);
	kernelrefs_prepare();
	ck_assert(is_held(address(2)));
	close(set);
	kernelrefs_prepare();
	ck_assert(!is_held(address(2)));
	close(other);
}
END_TEST

/* Many, so that the text comes in pieces. */
START_TEST(test_epoll_many)
{
	int set = epoll_create1(0), ends[2];

	for (size_t i = 0; i < 400; i++) {
		expect(pipe(ends) == 0);
		watch(set, EPOLL_CTL_ADD, ends[0], address(2 * i));
		watch(set, EPOLL_CTL_ADD, ends[1], address(2 * i + 1));
	}
	kernelrefs_prepare();
	expect(look());
	ck_assert_uint_eq(seen_count, 800);
	close(set);
	kernelrefs_prepare();
	expect(look());
	ck_assert_uint_eq(seen_count, 0);
}
END_TEST

START_TEST(test_timer)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL };
	timer_t timer;

	event.sigev_signo = SIGUSR1;
	event.sigev_value.sival_ptr = (void *)address(3);
	kernelrefs_note(KERNELREF_TIMER, 0, address(4));
	expect(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	kernelrefs_prepare();
	if (access("/proc/self/timers", R_OK) != 0) {
		ck_assert(is_held(address(4)));	/* the kernel does not say */
		return;
	}
	ck_assert(is_held(address(3)));
	ck_assert(!is_held(address(4)));
	timer_delete(timer);
	kernelrefs_prepare();
	ck_assert(!is_held(address(3)));
}
END_TEST

static void
queue(int sig, bool for_thread, uintptr_t address)
{
	union sigval value = { .sival_ptr = (void *)address };

	if (for_thread)
		expect(pthread_sigqueue(pthread_self(), sig, value) == 0);
	else
		expect(sigqueue(getpid(), sig, value) == 0);
	kernelrefs_note(KERNELREF_SIGNAL, (uint64_t)sig, address);
}

/* Pending for the process, or for this thread. */
START_TEST(test_signal)
{
	int first = SIGRTMIN + 3, second = SIGRTMAX;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, first);
	sigaddset(&set, second);
	expect(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	queue(first, _i == 0, address(5));
	queue(first, _i == 0, address(6));
	queue(second, _i == 0, address(7));
	kernelrefs_prepare();
	ck_assert(is_held(address(5)) && is_held(address(7)));
	expect(sigwaitinfo(&set, &info) == first);
	kernelrefs_prepare();
	/* Another of the kind is pending: which, is not told. */
	ck_assert(is_held(address(6)));
	expect(sigwaitinfo(&set, &info) == first);
	kernelrefs_prepare();
	ck_assert(!is_held(address(5)) && !is_held(address(6)));
	ck_assert(is_held(address(7)));
	expect(sigwaitinfo(&set, &info) == second);
	kernelrefs_prepare();
	ck_assert(!is_held(address(7)));
}
END_TEST

/* ------------------------------------------------------------------ threads */

static void
note_in_handler(int sig)
{
	(void)sig;
	kernelrefs_note(KERNELREF_AIO, 1, address(1000));
	kernelrefs_drop(KERNELREF_AIO, 1, address(1000));
}

static void *
note_much(void *argument)
{
	size_t first = (size_t)argument * 1000;

	heap_thread_begin(true);
	for (unsigned round = 0; round < 100; round++) {
		for (size_t i = 0; i < 1000; i++)
			kernelrefs_note(KERNELREF_MESSAGE, first,
					address(first + i));
		for (size_t i = 1; i < 1000; i++)
			kernelrefs_drop(KERNELREF_MESSAGE, first,
					address(first + i));
	}
	heap_thread_end(false);
	return NULL;
}

/* Many at once, interrupted by a handler that does the same. */
START_TEST(test_threads)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	pthread_t threads[4];

	signal(SIGALRM, note_in_handler);
	setitimer(ITIMER_REAL, &often, NULL);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, note_much,
				      (void *)(i + 1)) == 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
	expect(look());
	ck_assert_uint_eq(seen_count, ARRAY_LEN(threads));
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		ck_assert(is_held(address((i + 1) * 1000)));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("kernelrefs");
	const struct {
		const char *name;
		const TTest *test;
		int ways;
	} cases[] = {
		{ "model", test_model, 1 },
		{ "grows", test_grows, 1 },
		{ "foreign", test_foreign, 1 },
		{ "no_memory", test_no_memory, 1 },
		{ "epoll", test_epoll, 1 },
		{ "epoll_many", test_epoll_many, 1 },
		{ "timer", test_timer, 1 },
		{ "signal", test_signal, 2 },
		{ "threads", test_threads, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		TCase *tcase = unit_case(suite, cases[i].name, NULL);

		tcase_add_checked_fixture(tcase, setup, NULL);
		tcase_add_loop_test(tcase, cases[i].test, 0, cases[i].ways);
	}
	return unit_run(suite);
}
