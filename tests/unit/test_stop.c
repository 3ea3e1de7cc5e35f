/*
 * test_stop.c - stopping and restarting every thread (stop.c, park.c).
 *
 * While the world stands no counter moves, no thread is inside
 * mutator_hold() (H2), and no lock of the core is held by anybody else (M4).
 */
#include "unit.h"

#include "base/sys.h"
#include "bilge.h"
#include "heap/meta.h"
#include "report/depot.h"
#include "report/modules.h"
#include "settings/options.h"
#include "world/alarm.h"
#include "world/roots.h"
#include "world/stop.h"
#include "world/unwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS		6
#define LIMIT		(5 * NSEC_PER_SEC)

/* Each thread's own: moves as long as it runs. */
static struct {
	_Atomic uint64_t count;
	_Atomic bool is_inside;		/* of mutator_hold() */
	char padding[48];
} movers[THREADS];

static _Atomic uint64_t shared;
static _Atomic bool is_over;
static _Atomic uint32_t ready;

static void
setup_bilge(void)
{
	unsetenv("BILGE_LEAKS");
	bilge_begin();
	bilge_thread_begin(false);
	ck_assert_int_eq(modules_init(), 0);
	ck_assert(unwind_init(0, 0, dlopen));
}

static void
wait_ms(unsigned ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

static void
begin_threads(pthread_t *threads, size_t count, void *(*run)(void *))
{
	for (uintptr_t i = 0; i < count; i++)
		expect(pthread_create(&threads[i], NULL, run,
				      (void *)i) == 0);
	while (load_acquire(&ready) < count)
		sched_yield();
}

static void
end_threads(pthread_t *threads, size_t count)
{
	store_release(&is_over, true);
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void
begin_stop(void)
{
	struct stop_failure failure;

	expect(stop_begin(LIMIT, arch_stack_pointer(), false, &failure) == 0);
}

static uint64_t
sum_of_counts(void)
{
	uint64_t sum = load_acquire(&shared);

	for (size_t i = 0; i < THREADS; i++)
		sum += load_acquire(&movers[i].count);
	return sum;
}

/* check_stands - nothing moves for a while. */
static void
check_stands(unsigned ms)
{
	uint64_t before = sum_of_counts();

	wait_ms(ms);
	expect(sum_of_counts() == before);
}

static void
check_moves(uint64_t before)
{
	while (sum_of_counts() == before)
		wait_ms(1);
}

static void *
count_up(void *argument)
{
	size_t i = (size_t)argument;

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		atomic_fetch_add(&shared, 1);
		atomic_fetch_add(&movers[i].count, 1);
	}
	heap_thread_end(false);
	return NULL;
}

START_TEST(test_nobody_runs)
{
	pthread_t threads[THREADS];

	begin_threads(threads, THREADS, count_up);
	for (unsigned n = 0; n < 60; n++) {
		uint64_t before;

		begin_stop();
		check_stands(n % 10 == 0 ? 20 : 1);
		before = sum_of_counts();
		stop_end();
		check_moves(before);
	}
	end_threads(threads, THREADS);
}
END_TEST

/* begin_alarms - the world runs, until that time. */
static void
begin_alarms(unsigned ms)
{
	begin_stop();
	alarm_set(sys_monotonic_ns() + ms * NSEC_PER_MSEC);
	stop_end();
}

/*
 * With alarms they stand by themselves: before a stop, which finds them so, and
 * only until it has come and gone, or nobody means to stop them any more.
 */
START_TEST(test_alarms)
{
	pthread_t threads[THREADS];
	uint64_t before;

	begin_threads(threads, THREADS, count_up);
	alarm_open();
	for (unsigned n = 0; n < 20; n++) {
		begin_alarms(n % 4);
		wait_ms(20);
		check_stands(n % 10 == 0 ? 20 : 1);
		before = sum_of_counts();
		begin_alarms(1000);
		check_moves(before);
	}
	begin_alarms(0);
	wait_ms(20);
	check_stands(20);
	before = sum_of_counts();
	alarm_close();
	check_moves(before);
	/* A stopper that does not come is not waited for. */
	alarm_open();
	begin_alarms(0);
	check_moves(sum_of_counts());
	alarm_close();
	end_threads(threads, THREADS);
}
END_TEST

/* A child has none, and nobody in it stands for its parent's. */
START_TEST(test_alarms_of_parent)
{
	pthread_t threads[THREADS];
	int pid, status;

	begin_threads(threads, THREADS, count_up);
	alarm_open();
	begin_alarms(1000);
	expect(park_has_due());
	pid = fork();
	if (pid == 0) {
		alarm_fork_child();
		_exit(park_has_due());
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	alarm_close();
	expect(!park_has_due());
	end_threads(threads, THREADS);
}
END_TEST

static void *
lock_often(void *argument)
{
	size_t i = (size_t)argument;
	uint64_t mask;

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		mutator_mask_signals(&mask);
		mutator_lock();
		for (volatile unsigned spin = 0; spin < 2000; spin++)
			continue;
		atomic_fetch_add(&movers[i].count, 1);
		mutator_unlock();
		mutator_unmask_signals(mask);
		/* A lock that is never free long enough is not to be had. */
		for (volatile unsigned spin = 0; spin < 2000 * THREADS; spin++)
			continue;
	}
	heap_thread_end(false);
	return NULL;
}

/* Who stands for an alarm with the registry's lock does not keep a stop. */
START_TEST(test_alarms_of_holders)
{
	pthread_t threads[THREADS];
	unsigned late = 0;

	begin_threads(threads, THREADS, lock_often);
	alarm_open();
	for (unsigned n = 0; n < 80; n++) {
		uint64_t begin_ns;

		begin_alarms(1);
		wait_ms(5);
		begin_ns = sys_monotonic_ns();
		begin_stop();
		late += sys_monotonic_ns() - begin_ns > 90 * NSEC_PER_MSEC;
		stop_end();
	}
	/* A busy machine may be, once or twice; they would be ten times. */
	ck_assert_uint_le(late, 3);
	alarm_close();
	end_threads(threads, THREADS);
}
END_TEST

/*
 * The last stop: they stand for as long as it takes, and nobody wakes them;
 * but should the process not end then, they go on after a while.
 */
START_TEST(test_last_stop)
{
	struct stop_failure failure;
	pthread_t threads[THREADS];
	uint64_t before;

	begin_threads(threads, THREADS, count_up);
	expect(stop_begin(LIMIT, arch_stack_pointer(), true, &failure) == 0);
	check_stands(600);
	before = sum_of_counts();
	stop_leave();
	check_moves(before);
	end_threads(threads, THREADS);
}
END_TEST

/* Alone, and again: nobody to wait for. */
START_TEST(test_alone)
{
	size_t count;
	const struct park_entry *e;

	for (unsigned n = 0; n < 100; n++) {
		begin_stop();
		e = stop_threads(&count);
		expect(count == 1 && e->tid == sys_gettid());
		expect(e->park == &mutator_self->park);
		expect(e->park->tp == (uintptr_t)pthread_self());
		stop_end();
	}
}
END_TEST

static void *
hold_often(void *argument)
{
	size_t i = (size_t)argument;

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		mutator_hold();
		store_relaxed(&movers[i].is_inside, true);
		for (volatile unsigned spin = 0; spin < 500; spin++)
			continue;
		atomic_fetch_add(&movers[i].count, 1);
		store_relaxed(&movers[i].is_inside, false);
		mutator_release();
	}
	heap_thread_end(false);
	return NULL;
}

/* H2: who is inside when the stop comes goes on, and stands when it leaves. */
START_TEST(test_slow_paths)
{
	pthread_t threads[THREADS];

	begin_threads(threads, THREADS, hold_often);
	for (unsigned n = 0; n < 100; n++) {
		uint64_t before;

		begin_stop();
		for (size_t i = 0; i < THREADS; i++)
			expect(!load_acquire(&movers[i].is_inside));
		check_stands(n % 50 == 0 ? 10 : 0);
		before = sum_of_counts();
		stop_end();
		if (n % 10 == 0)
			check_moves(before);
	}
	end_threads(threads, THREADS);
}
END_TEST

static void *
hold_long(void *argument)
{
	uint64_t end = sys_monotonic_ns() + 200 * NSEC_PER_MSEC;

	heap_thread_begin(true);
	mutator_hold();
	store_release(&movers[0].is_inside, true);
	atomic_fetch_add(&ready, 1);
	/* The stop signal ends a sleep: not before the time is up. */
	while (sys_monotonic_ns() < end)
		wait_ms(10);
	store_release(&movers[0].is_inside, false);
	mutator_release();
	return argument;
}

START_TEST(test_long_slow_path)
{
	uint64_t begin = sys_monotonic_ns();
	pthread_t thread;

	begin_threads(&thread, 1, hold_long);
	begin_stop();
	ck_assert(!load_acquire(&movers[0].is_inside));
	ck_assert_uint_ge(sys_monotonic_ns() - begin, 150 * NSEC_PER_MSEC);
	stop_end();
	pthread_join(thread, NULL);
}
END_TEST

/* ---------------------------------------------------- in the kernel's hands */

static int pipes[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static _Atomic unsigned woken;

static void *
block(void *argument)
{
	struct pollfd poll_fd = { pipes[0], POLLIN, 0 };
	char byte;

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	switch ((size_t)argument) {
	case 0:
		/* SA_RESTART: the program does not see the signal. */
		expect(read(pipes[0], &byte, 1) == 1);
		break;
	case 1:
		pthread_mutex_lock(&mutex);
		while (!load_relaxed(&is_over))
			pthread_cond_wait(&condition, &mutex);
		pthread_mutex_unlock(&mutex);
		break;
	case 2:
		while (!load_relaxed(&is_over))
			poll(&poll_fd, 1, 10);
		break;
	case 3:
		while (!load_relaxed(&is_over))
			sched_yield();
		break;
	case 4:
		while (!load_relaxed(&is_over))
			wait_ms(1);
		break;
	default:
		/* Much of its time in the kernel, on its own memory. */
		while (!load_relaxed(&is_over)) {
			void *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS |
				       MAP_POPULATE, -1, 0);

			munmap(p, MIB);
		}
	}
	atomic_fetch_add(&woken, 1);
	heap_thread_end(false);
	return NULL;
}

START_TEST(test_system_calls)
{
	pthread_t threads[THREADS];

	ck_assert_int_eq(pipe(pipes), 0);
	begin_threads(threads, THREADS, block);
	wait_ms(20);
	for (unsigned n = 0; n < 50; n++) {
		size_t count;

		begin_stop();
		stop_threads(&count);
		expect(count == THREADS + 1);
		stop_end();
		wait_ms(1);
	}
	ck_assert_uint_eq(load_relaxed(&woken), 0);
	store_release(&is_over, true);
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&mutex);
	end_threads(threads, THREADS);
}
END_TEST

/* -------------------------------------------------- those who do not answer */

static void *
block_signal(void *argument)
{
	uint64_t mask;

	heap_thread_begin(true);
	unit_block_all(&mask);
	store_release((_Atomic int *)argument, sys_gettid());
	atomic_fetch_add(&ready, 1);
	while (load_acquire(&woken) == 0)
		wait_ms(1);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over))
		atomic_fetch_add(&shared, 1);
	return NULL;
}

static void *
block_what_libc_lets_it(void *argument)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	return count_up(argument);
}

/* As libc's own thread for timers: it stands all the same, again and again. */
START_TEST(test_last_signal)
{
	struct sys_action before, after;
	struct stop_failure failure;
	pthread_t threads[2];

	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	begin_threads(threads, 2, block_what_libc_lets_it);
	sys_sigaction_exchange(33, NULL, &before);
	for (unsigned n = 0; n < 5; n++) {
		ck_assert_int_eq(stop_begin(LIMIT, arch_stack_pointer(), false,
					    &failure), 0);
		check_stands(5);
		stop_end();
		check_moves(sum_of_counts());
	}
	/* libc has its signal back. */
	sys_sigaction_exchange(33, NULL, &after);
	ck_assert(before.handler == after.handler);
	end_threads(threads, 2);
}
END_TEST

/* M3: the attempt ends, says why, and the world runs on. */
START_TEST(test_blocked_signal)
{
	struct stop_failure failure;
	_Atomic int tid = 0;
	pthread_t deaf, threads[2];
	uint64_t begin, before;

	begin_threads(threads, 2, count_up);
	expect(pthread_create(&deaf, NULL, block_signal, &tid) == 0);
	while (load_acquire(&ready) < 3)
		sched_yield();
	for (unsigned n = 0; n < 2; n++) {
		begin = sys_monotonic_ns();
		ck_assert_int_eq(stop_begin(500 * NSEC_PER_MSEC,
					    arch_stack_pointer(), false,
					    &failure),
				 -ETIMEDOUT);
		ck_assert_uint_ge(sys_monotonic_ns() - begin,
				  500 * NSEC_PER_MSEC);
		ck_assert_int_eq(failure.tid, load_relaxed(&tid));
		ck_assert(failure.is_blocked);
		ck_assert_ptr_nonnull(failure.what);
		check_moves(sum_of_counts());
		/* Nothing is held. */
		mutator_lock();
		mutator_unlock();
	}
	/* It answers now, and the signals of before do no harm. */
	store_release(&woken, 1);
	while (load_acquire(&ready) < 4)
		sched_yield();
	begin_stop();
	check_stands(10);
	before = sum_of_counts();
	stop_end();
	check_moves(before);
	store_release(&is_over, true);
	pthread_join(deaf, NULL);
	end_threads(threads, 2);
}
END_TEST

/* One that never leaves a slow path does not block the signal. */
START_TEST(test_stuck_in_hold)
{
	struct stop_failure failure;
	pthread_t thread;

	begin_threads(&thread, 1, hold_long);
	ck_assert_int_eq(stop_begin(50 * NSEC_PER_MSEC, arch_stack_pointer(),
				    false, &failure), -ETIMEDOUT);
	ck_assert(!failure.is_blocked);
	ck_assert_int_ne(failure.tid, 0);
	/* It leaves after the stop was given up: it must not stand then. */
	pthread_join(thread, NULL);
	begin_stop();
	stop_end();
}
END_TEST

/* ---------------------------------------------------------- birth and death */

static void *
live_shortly(void *argument)
{
	/* Some come and go without a word. */
	if (argument != NULL)
		heap_thread_begin(true);
	/* Longer than a stop takes. */
	for (uint64_t end = sys_monotonic_ns() + 2 * NSEC_PER_MSEC;
	     sys_monotonic_ns() < end;)
		atomic_fetch_add(&shared, 1);
	if (argument != NULL)
		heap_thread_end(false);
	return NULL;
}

static void *
spawn(void *argument)
{
	size_t i = (size_t)argument;

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		pthread_t thread;

		void *says = load_relaxed(&movers[i].count) % 3 ? &shared
								: NULL;

		if (pthread_create(&thread, NULL, live_shortly, says) != 0)
			continue;
		pthread_join(thread, NULL);
		atomic_fetch_add(&movers[i].count, 1);
	}
	heap_thread_end(false);
	return NULL;
}

/* T1: threads come and go while the world is being stopped. */
START_TEST(test_churn)
{
	pthread_t threads[4];
	uint64_t before = 0;

	begin_threads(threads, 4, spawn);
	for (unsigned n = 0; n < 60; n++) {
		begin_stop();
		check_stands(n % 30 == 0 ? 10 : 1);
		before = sum_of_counts();
		stop_end();
	}
	check_moves(before);
	end_threads(threads, 4);
	begin_stop();
	stop_end();
}
END_TEST

static void *
stay_unknown(void *argument)
{
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over))
		atomic_fetch_add(&movers[(size_t)argument].count, 1);
	return NULL;
}

static int
foreign(void *argument)
{
	return stay_unknown(argument) != NULL;
}

/* Threads that are no mutators, and one that libc does not know. */
START_TEST(test_unknown_threads)
{
	pthread_t threads[2];
	size_t size = 64 * KIB;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int tid = clone(foreign, stack + size, CLONE_VM | CLONE_FS |
			CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			CLONE_SYSVSEM, (void *)2);

	ck_assert_int_gt(tid, 0);
	while (load_acquire(&ready) < 1)
		sched_yield();
	for (uintptr_t i = 0; i < 2; i++)
		expect(pthread_create(&threads[i], NULL, stay_unknown,
				      (void *)i) == 0);
	while (load_acquire(&ready) < 3)
		sched_yield();
	for (unsigned n = 0; n < 30; n++) {
		bool found = false;
		uint64_t before;
		size_t count;
		const struct park_entry *e;

		begin_stop();
		e = stop_threads(&count);
		expect(count == 4);
		for (size_t i = 0; i < count; i++)
			if (e[i].tid == tid) {
				found = true;
				expect(e[i].park->sp > (uintptr_t)stack &&
				       e[i].park->sp <
				       (uintptr_t)stack + size);
			}
		expect(found);
		check_stands(2);
		before = sum_of_counts();
		stop_end();
		check_moves(before);
	}
	end_threads(threads, 2);
}
END_TEST

/* ---------------------------------------------------------------- our threads */

static void *
mark_for_us(void *argument)
{
	uint64_t mask;
	char byte;

	/* As a collector's: it could not answer. */
	unit_block_all(&mask);
	expect(stop_exempt_begin());
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over))
		atomic_fetch_add(&woken, 1);
	stop_exempt_end();
	expect(read(pipes[0], &byte, 1) == 1);
	return argument;
}

/* They run on, are not listed, and are no reason to read the task list. */
START_TEST(test_exempt)
{
	struct stop_failure failure;
	pthread_t threads[2], ours[3];
	size_t count;

	ck_assert_int_eq(pipe(pipes), 0);
	begin_threads(threads, 2, count_up);
	for (size_t i = 0; i < 3; i++)
		expect(pthread_create(&ours[i], NULL, mark_for_us, NULL) == 0);
	while (load_acquire(&ready) < 5)
		sched_yield();
	for (unsigned n = 0; n < 30; n++) {
		unsigned before;

		begin_stop();
		stop_threads(&count);
		expect(count == 3);
		check_stands(2);
		before = load_relaxed(&woken);
		while (load_relaxed(&woken) == before)
			sched_yield();
		stop_end();
	}
	/* One that stops the others is not listed either. */
	ck_assert(stop_exempt_begin());
	begin_stop();
	stop_threads(&count);
	expect(count == 3);	/* this one is a mutator as well */
	stop_end();
	stop_exempt_end();
	/* Unknown again: they have to answer. */
	end_threads(threads, 2);
	wait_ms(20);
	ck_assert_int_eq(stop_begin(100 * NSEC_PER_MSEC, arch_stack_pointer(),
				    false, &failure), -ETIMEDOUT);
	ck_assert(failure.is_blocked);
	ck_assert_int_eq(write(pipes[1], "xyz", 3), 3);
	for (size_t i = 0; i < 3; i++)
		pthread_join(ours[i], NULL);
	begin_stop();
	stop_end();
}
END_TEST

static void *
say_so_late(void *argument)
{
	uint64_t mask;
	char byte;

	unit_block_all(&mask);
	atomic_fetch_add(&ready, 1);
	wait_ms(50);
	expect(stop_exempt_begin());
	expect(read(pipes[0], &byte, 1) == 1);
	stop_exempt_end();
	return argument;
}

/* One that was listed before it said that it is ours is not waited for. */
START_TEST(test_late_exempt)
{
	pthread_t ours;

	ck_assert_int_eq(pipe(pipes), 0);
	expect(pthread_create(&ours, NULL, say_so_late, NULL) == 0);
	while (load_acquire(&ready) < 1)
		sched_yield();
	begin_stop();
	expect(stop_standing() == 1);
	stop_end();
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	pthread_join(ours, NULL);
}
END_TEST

/* --------------------------------------------------------------------- many */

#define MANY	1000

static struct {
	_Atomic uint64_t rounds;
	uintptr_t low, high;		/* of its stack, as it saw it */
	int tid;
} many[MANY];

static void *
wait_idly(void *argument)
{
	size_t i = (size_t)argument;
	char byte;

	heap_thread_begin(true);
	many[i].tid = sys_gettid();
	many[i].high = (uintptr_t)__builtin_frame_address(0);
	many[i].low = many[i].high - 16 * KIB;
	atomic_fetch_add(&ready, 1);
	while (read(pipes[0], &byte, 1) == 1 && byte != 'e')
		atomic_fetch_add(&many[i].rounds, 1);
	heap_thread_end(false);
	return NULL;
}

/* Each stands, where it was; each goes on, and misses nothing. */
START_TEST(test_many)
{
	static pthread_t threads[MANY];
	static bool seen[MANY];
	const struct park_entry *e;
	pthread_attr_t attributes;
	size_t count, known;
	uint64_t rounds = 0;

	ck_assert_int_eq(pipe(pipes), 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * KIB);
	for (uintptr_t i = 0; i < MANY; i++)
		expect(pthread_create(&threads[i], &attributes, wait_idly,
				      (void *)i) == 0);
	while (load_acquire(&ready) < MANY)
		wait_ms(1);
	for (unsigned n = 0; n < 20; n++) {
		begin_stop();
		e = stop_threads(&count);
		expect(count == MANY + 1);
		memset(seen, 0, sizeof(seen));
		for (size_t i = 0; i < count; i++, e++) {
			expect(!e->is_gone);
			for (known = 0; known < MANY; known++)
				if (many[known].tid == e->tid)
					break;
			if (known == MANY) {
				expect(e->tid == sys_gettid());
				continue;
			}
			expect(!seen[known]);
			seen[known] = true;
			expect(e->park->sp > many[known].low &&
			       e->park->sp < many[known].high);
		}
		stop_end();
		for (unsigned i = 0; i < 50; i++)
			expect(write(pipes[1], "x", 1) == 1);
	}
	for (unsigned i = 0; i < MANY; i++)
		expect(write(pipes[1], "e", 1) == 1);
	for (size_t i = 0; i < MANY; i++) {
		pthread_join(threads[i], NULL);
		rounds += load_relaxed(&many[i].rounds);
	}
	ck_assert_uint_eq(rounds, 20 * 50);
}
END_TEST

static pthread_barrier_t all_there;

static void *
allocate_shortly(void *argument)
{
	heap_thread_begin(true);
	if (argument != NULL)
		pthread_barrier_wait(&all_there);
	for (unsigned i = 0; i < 10; i++)
		expect(heap_free(heap_alloc(i * 100, false)) == HEAP_DONE);
	heap_thread_end(false);
	return argument;
}

static void
come_and_go(unsigned count, void *at_once)
{
	pthread_t threads[8];

	for (; count > 0; count -= 8) {
		for (size_t i = 0; i < 8; i++)
			expect(pthread_create(&threads[i], NULL,
					      allocate_shortly,
					      at_once) == 0);
		for (size_t i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		if (count % 400 == 0) {
			begin_stop();
			stop_end();
		}
	}
}

/* Threads come and go by the thousand, and what we keep does not grow. */
START_TEST(test_no_growth)
{
	size_t before;

	pthread_barrier_init(&all_there, NULL, 8);
	come_and_go(800, &all_there);
	before = meta_room();
	come_and_go(8000, NULL);
	/* More caches may have got spans of more classes, once. */
	ck_assert_uint_ge(meta_room() + MIB, before);
}
END_TEST

/* --------------------------------------------------------------- late comers */

static struct park_entry late;
static size_t late_steps, late_chance;
static uint32_t late_epoch;

static void
park_late(void)
{
	ucontext_t context;

	memset(&context, 0, sizeof(context));
	park_enter_signal(&context);
}

/* Between two instructions of the handler, its stop ends and another begins. */
static void
change_stops(const ucontext_t *context)
{
	(void)context;
	if (late_steps++ != late_chance)
		return;
	park_stop_end();
	late_epoch = park_stop_begin(true);
	park_add(&late);
	park_stop_leave();
}

static void
step_late(size_t chance)
{
	late_chance = chance;
	late_steps = 0;
	late_epoch = park_stop_begin(true);
	park_add(&late);
	park_stop_leave();
	unit_step(park_late, change_stops);
}

/* P3: it is not counted for the second; it did not stand for that. */
START_TEST(test_late)
{
	size_t chance;

	late.tid = sys_gettid();
	late.park = &late.own;
	step_late(SIZE_MAX);
	expect(park_wait(1, 1) == 1);
	park_stop_end();
	/* From the last one on, up to where it stands for the second stop. */
	for (chance = late_steps - 1; chance > 0; chance--) {
		step_late(chance);
		if (load_relaxed(&late.own.epoch) == late_epoch)
			break;
		expect(park_wait(1, 1) == 0);
		park_stop_end();
	}
	ck_assert_uint_gt(chance, 0);
	ck_assert_uint_lt(chance, late_steps - 20);
}
END_TEST

/* -------------------------------------------------------------------- locks */

static void *
use_locks(void *argument)
{
	uint64_t state = unit_seed(1 + (unsigned)(uintptr_t)argument), mask;
	void *mine[8] = { NULL };
	uintptr_t frames[4];

	heap_thread_begin(true);
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		size_t i = unit_random(&state, 8);

		if (mine[i] != NULL)
			expect(heap_free(mine[i]) == HEAP_DONE);
		mine[i] = heap_alloc(unit_random_size(&state, 400 * KIB),
				     unit_random(&state, 2));
		if (i == 0)
			heap_trim();
		frames[0] = unit_random(&state, 1000000);
		mutator_hold();
		mutator_mask_signals(&mask);
		depot_intern(frames, 1);
		modules_find((uintptr_t)&use_locks);
		mutator_unmask_signals(mask);
		mutator_release();
		atomic_fetch_add(&movers[(size_t)argument].count, 1);
	}
	heap_thread_end(false);
	return NULL;
}

/* M4: were one held by a thread that stands, this would never end. */
START_TEST(test_locks_are_free)
{
	pthread_t threads[4];

	begin_threads(threads, 4, use_locks);
	for (unsigned n = 0; n < 300; n++) {
		begin_stop();
		roots_fork_lock();
		heap_fork_prepare();
		depot_fork_lock();
		modules_fork_lock();
		meta_fork_lock();
		meta_fork_unlock(false);
		modules_fork_unlock(false);
		depot_fork_unlock(false);
		heap_fork_done(false);
		roots_fork_unlock(false);
		/* And what they guard is whole: H2. */
		arena_fork_lock();
#ifdef BILGE_DEBUG
		expect(arena_is_valid());
#endif
		arena_fork_unlock(false);
		stop_end();
		wait_ms(1);
	}
	end_threads(threads, 4);
}
END_TEST

/*
 * libunwind blocks signals while it holds a lock; under the preloaded library
 * the stop signal still comes through.  It finds this one instead of libc's.
 */
PUBLIC int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	uint64_t kernel_set = 0, kernel_old = 0;

	/* H2: it takes its lock in slow paths only. */
	if (mutator_self != NULL && mutator_self->is_unwinding)
		expect(mutator_self->park.hold > 0);
	if (set != NULL)
		memcpy(&kernel_set, set, sizeof(kernel_set));
	kernel_set &= ~(UINT64_C(1) << (SIGSTKFLT - 1));
	sys_sigprocmask(how, set != NULL ? &kernel_set : NULL, &kernel_old);
	if (old != NULL) {
		sigemptyset(old);
		memcpy(old, &kernel_old, sizeof(kernel_old));
	}
	return 0;
}

/* As a thread of the program does it, from birth to death. */
static void *
unwind_shortly(void *argument)
{
	const uintptr_t *frames;

	bilge_thread_begin(true);
	for (unsigned i = 0; i < 4; i++) {
		mutator_hold();
		if (unwind_begin(16, &frames) > 0)
			unwind_end();
		mutator_release();
	}
	bilge_thread_end(false);
	return argument;
}

static void *
use_unwinder(void *argument)
{
	atomic_fetch_add(&ready, 1);
	while (!load_relaxed(&is_over)) {
		pthread_t thread;

		expect(pthread_create(&thread, NULL, unwind_shortly,
				      NULL) == 0);
		pthread_join(thread, NULL);
		atomic_fetch_add(&movers[(size_t)argument].count, 1);
	}
	return NULL;
}

/* So is the unwinder's, which libunwind takes where it likes. */
START_TEST(test_unwinder_is_free)
{
	pthread_t threads[4];
	uint64_t before = 0;

	begin_threads(threads, 4, use_unwinder);
	for (unsigned n = 0; n < 200; n++) {
		begin_stop();
		unwind_fork_lock();
		unwind_fork_unlock(false);
		before = sum_of_counts();
		stop_end();
		wait_ms(1);
	}
	check_moves(before);
	end_threads(threads, 4);
}
END_TEST

/* ------------------------------------------------------------------ signals */

static void
alarmed(int sig)
{
	(void)sig;
	atomic_fetch_add(&shared, 1);
}

/* A program with signals of its own: none is lost, none comes in between. */
START_TEST(test_own_signals)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	pthread_t threads[2];

	action.sa_handler = alarmed;
	ck_assert_int_eq(sigaction(SIGUSR2, &action, NULL), 0);
	begin_threads(threads, 2, count_up);
	for (unsigned n = 0; n < 100; n++) {
		uint64_t before;

		begin_stop();
		before = load_relaxed(&shared);
		pthread_kill(threads[n % 2], SIGUSR2);
		wait_ms(1);
		expect(load_relaxed(&shared) == before);
		stop_end();
		check_moves(sum_of_counts());
	}
	end_threads(threads, 2);
}
END_TEST

/* So it is for a thread that stands because it has left a slow path. */
START_TEST(test_signals_after_hold)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	pthread_t thread;

	action.sa_handler = alarmed;
	ck_assert_int_eq(sigaction(SIGUSR2, &action, NULL), 0);
	begin_threads(&thread, 1, hold_long);
	begin_stop();
	ck_assert_int_eq(pthread_kill(thread, SIGUSR2), 0);
	wait_ms(20);
	ck_assert_uint_eq(load_relaxed(&shared), 0);
	stop_end();
	pthread_join(thread, NULL);
	ck_assert_uint_eq(load_relaxed(&shared), 1);
}
END_TEST

static void *
sleep_in_poll(void *argument)
{
	struct mutator **self = argument;
	char byte;

	heap_thread_begin(true);
	*self = mutator_self;
	atomic_fetch_add(&ready, 1);
	while (poll(NULL, 0, 10000) == -1 && !load_relaxed(&is_over))
		atomic_fetch_add(&woken, 1);
	expect(read(pipes[0], &byte, 1) == 1);
	return NULL;
}

/* A stop that ends a call says so, unless a handler does as well. */
START_TEST(test_interrupted)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	struct mutator *other;
	pthread_t thread;

	ck_assert_int_eq(pipe(pipes), 0);
	action.sa_handler = alarmed;
	ck_assert_int_eq(sigaction(SIGUSR2, &action, NULL), 0);
	expect(pthread_create(&thread, NULL, sleep_in_poll, &other) == 0);
	while (load_acquire(&ready) < 1)
		sched_yield();
	/* With a signal: which it catches, which is ignored; and without. */
	for (unsigned n = 0; n < 30; n++) {
		unsigned before = load_relaxed(&woken);
		int sig = n % 3 == 0 ? SIGUSR2 : n % 3 == 1 ? SIGCHLD : 0;

		wait_ms(20);
		other->park.ended.failed = 0;
		begin_stop();
		expect(pthread_kill(thread, sig) == 0);
		stop_end();
		while (load_relaxed(&woken) == before)
			sched_yield();
		expect((other->park.ended.failed != 0) == (sig != SIGUSR2));
	}
	/* Nor does the program see one that comes when there is no stop. */
	for (unsigned n = 0; n < 10; n++) {
		unsigned before = load_relaxed(&woken);

		wait_ms(20);
		other->park.ended.failed = 0;
		expect(pthread_kill(thread, (int)options->signal) == 0);
		while (load_relaxed(&woken) == before)
			sched_yield();
		expect(other->park.ended.failed != 0);
	}
	/* In a call that goes on it says nothing. */
	store_release(&is_over, true);
	begin_stop();
	stop_end();
	wait_ms(20);
	other->park.ended.failed = 0;
	begin_stop();
	stop_end();
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(other->park.ended.failed, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stop");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "alone", test_alone }, { "nobody_runs", test_nobody_runs },
		{ "alarms", test_alarms },
		{ "alarms_of_parent", test_alarms_of_parent },
		{ "alarms_of_holders", test_alarms_of_holders },
		{ "last_stop", test_last_stop },
		{ "slow_paths", test_slow_paths },
		{ "long_slow_path", test_long_slow_path },
		{ "system_calls", test_system_calls },
		{ "last_signal", test_last_signal },
		{ "blocked_signal", test_blocked_signal },
		{ "stuck_in_hold", test_stuck_in_hold },
		{ "churn", test_churn },
		{ "unknown_threads", test_unknown_threads },
		{ "exempt", test_exempt }, { "late_exempt", test_late_exempt },
		{ "many", test_many },
		{ "no_growth", test_no_growth }, { "late", test_late },
		{ "locks_are_free", test_locks_are_free },
		{ "own_signals", test_own_signals },
		{ "signals_after_hold", test_signals_after_hold },
		{ "interrupted", test_interrupted },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			unit_core_defaults, NULL);
	tcase_add_checked_fixture(
		unit_case(suite, "unwinder_is_free", test_unwinder_is_free),
		setup_bilge, NULL);
	return unit_run(suite);
}
