/*
 * test_signals.c - handlers that allocate, wherever they interrupt the heap.
 *
 * Timers fire every few microseconds on threads that allocate all the time;
 * test_steps.c does the same at each instruction, but for one thread and few
 * operations.
 */
#include "unit.h"

#include "base/sys.h"
#include "world/mutator.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS	2
#define BLOCKS	200
#define SECONDS	1

static _Atomic bool is_over;
static _Atomic unsigned handled;

/* Blocks that handlers and threads give to each other. */
static _Atomic(unsigned char *) board[32];

static __thread uint64_t handler_state;

static unsigned char *
make(uint64_t *state)
{
	size_t size = 1 + (unit_random(state, 100) == 0
			   ? unit_random(state, 200 * KIB)
			   : unit_random_size(state, 2000));
	unsigned char *p = heap_alloc(size, false);

	expect(p != NULL);
	/* Its last byte says what the others are. */
	memset(p, (int)(size * 5), MIN(size, 512u));
	heap_note(p, size, SITE_FIRST + (uint32_t)size);
	return p;
}

static void
drop(unsigned char *p)
{
	struct span *span;
	uint32_t slot;
	size_t size;

	if (p == NULL)
		return;
	span = arena_span_of((uintptr_t)p);
	slot = span_is_large(span) ? 0 : span_slot_of(span, (uintptr_t)p);
	size = span_site(span, slot) - SITE_FIRST;
	expect(size == span_requested(span, slot));
	for (size_t i = 0; i < MIN(size, 512u); i++)
		expect(p[i] == (unsigned char)(size * 5));
	expect(heap_free(p) == HEAP_DONE);
}

static void
on_alarm(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
	for (unsigned i = 0; i < 3; i++)
		drop(atomic_exchange(&board[unit_random(&handler_state, 32)],
				     make(&handler_state)));
}

static timer_t
begin_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGALRM };
	struct itimerspec every = { { 0, 50021 }, { 0, 50021 } };
	timer_t timer;

	event._sigev_un._tid = sys_gettid();
	expect(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	expect(timer_settime(timer, 0, &every, NULL) == 0);
	return timer;
}

static void *
work(void *argument)
{
	uint64_t state = unit_seed(1 + (unsigned)(uintptr_t)argument);
	unsigned char *mine[BLOCKS] = { NULL };
	timer_t timer;

	expect(heap_thread_begin(true));
	handler_state = bits_mix(state) | 1;
	timer = begin_timer();
	while (!load_relaxed(&is_over)) {
		size_t i = unit_random(&state, BLOCKS);

		drop(mine[i]);
		mine[i] = make(&state);
		if (unit_random(&state, 5) == 0)
			mine[i] = atomic_exchange(
				&board[unit_random(&state, 32)], mine[i]);
		if (unit_random(&state, 5000) == 0)
			heap_trim();
	}
	timer_delete(timer);
	for (size_t i = 0; i < BLOCKS; i++)
		drop(mine[i]);
	heap_thread_end(false);
	return NULL;
}

START_TEST(test_timers)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	pthread_t threads[THREADS];

	unit_heap(1, true);
	action.sa_handler = on_alarm;
	expect(sigaction(SIGALRM, &action, NULL) == 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, work,
				      (void *)i) == 0);
	sleep(SECONDS);
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_gt(handled, 100);
	for (size_t i = 0; i < 32; i++)
		drop(atomic_exchange(&board[i], NULL));
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

/* Handlers that interrupt handlers, each allocating. */
static volatile sig_atomic_t depth, depth_max;
static volatile bool is_nesting;

static void
on_nested(int sig)
{
	unsigned char *p;

	if (!is_nesting)
		return;
	depth++;
	depth_max = MAX(depth, depth_max);
	p = make(&handler_state);
	if (sig < SIGRTMIN + 6)
		raise(sig + 1);
	drop(p);
	depth--;
}

static void
nest(const ucontext_t *context)
{
	if (!unit_signals_are_blocked(context))
		raise(SIGRTMIN + 1);
}

static void
allocate_some(void)
{
	uint64_t state = unit_seed(20);

	for (unsigned i = 0; i < 30; i++)
		drop(make(&state));
}

START_TEST(test_nested)
{
	struct sigaction action = { .sa_handler = on_nested };

	unit_heap(1, true);
	handler_state = unit_seed(21);
	for (int sig = SIGRTMIN + 1; sig <= SIGRTMIN + 6; sig++)
		expect(sigaction(sig, &action, NULL) == 0);
	is_nesting = true;
	unit_step(allocate_some, nest);
	is_nesting = false;
	ck_assert_int_eq(depth_max, 6);
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

/* The very first allocation of a thread is a handler's. */
static _Atomic(unsigned char *) first;

static void
on_first(int sig)
{
	uint64_t state = unit_seed(30);

	(void)sig;
	atomic_store(&first, make(&state));
}

static void *
wait_for_signal(void *argument)
{
	while (atomic_load(&first) == NULL)
		usleep(100);
	heap_thread_end(false);
	return argument;
}

START_TEST(test_first)
{
	pthread_t thread;

	unit_heap(1, true);
	signal(SIGUSR1, on_first);
	expect(pthread_create(&thread, NULL, wait_for_signal, NULL) == 0);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	drop(atomic_load(&first));
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("signals");

	unit_case(suite, "timers", test_timers);
	unit_case(suite, "nested", test_nested);
	unit_case(suite, "first", test_first);
	return unit_run(suite);
}
