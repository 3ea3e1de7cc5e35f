/*
 * stop.c - how long it takes to stop every thread.
 *
 *   stop THREADS ROUNDS
 *
 * So many threads are idle, waiting in the kernel.  In turn, round by round:
 * a bare signal is sent to each, and each answers with an atomic addition and
 * a futex; and the world is stopped as the collector does it.  The time runs
 * from the first signal to the last answer.  Prints a line:
 *
 *   THREADS  bare p50  p99  stop p50  p99  going on again p50    microseconds
 *
 * Linked with the collector's core, like the unit tests.
 */
#include "measure.h"

#include "base/arch.h"
#include "base/sys.h"
#include "heap/heap.h"
#include "settings/options.h"
#include "world/stop.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIMIT		(10 * NSEC_PER_SEC)
#define BARE_SIGNAL	SIGUSR1

static _Atomic uint32_t answers, ready;
static int *tids;
static int pipes[2];

static void
answer(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	atomic_fetch_add(&answers, 1);
	sys_futex_wake(&answers, 1);
}

static void *
idle(void *argument)
{
	char byte;

	heap_thread_begin(true);
	tids[(size_t)argument] = sys_gettid();
	atomic_fetch_add(&ready, 1);
	/* Until the program ends: nothing is ever written. */
	return read(pipes[0], &byte, 1) == 1 ? argument : NULL;
}

static void
signal_all(uint32_t count)
{
	int pid = sys_getpid();
	uint32_t now;

	atomic_store(&answers, 0);
	for (uint32_t i = 0; i < count; i++)
		sys_tgkill(pid, tids[i], BARE_SIGNAL);
	while ((now = atomic_load(&answers)) < count)
		sys_futex_wait(&answers, now, NSEC_PER_SEC);
}

static double
part(uint64_t *times, size_t count, size_t percent)
{
	qsort(times, count, sizeof(*times), compare_counts);
	return (double)times[(count - 1) * percent / 100] / 1000;
}

static void
fail(const char *what)
{
	fprintf(stderr, "stop: %s\n", what);
	exit(1);
}

static void
begin(size_t count)
{
	char *const settings[] = { NULL };
	pthread_attr_t attributes;
	pthread_t thread;

	if (heap_init() != 0)
		fail("no heap");
	options_parse(settings);
	heap_configure(1, false, false);
	stop_set_signal((int)options->signal);
	heap_thread_begin(false);
	sys_sigaction(BARE_SIGNAL, answer,
		      SA_SIGINFO | SA_RESTART | SA_ONSTACK);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * KIB);
	tids = calloc(count, sizeof(*tids));
	if (tids == NULL || pipe(pipes) != 0)
		fail("no memory");
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&thread, &attributes, idle,
				   (void *)i) != 0)
			fail("no thread");
	while (atomic_load(&ready) < count)
		usleep(1000);
	usleep(10000);
}

int
main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 8;
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 500;
	uint64_t *bare = calloc(3 * rounds, sizeof(*bare)), time, end;
	uint64_t *stop = bare + rounds, *go = stop + rounds;
	struct stop_failure failure;

	if (rounds == 0 || bare == NULL)
		fail("usage: stop THREADS ROUNDS");
	begin(count);
	for (size_t i = 0; i < rounds; i++) {
		time = sys_monotonic_ns();
		signal_all((uint32_t)count);
		bare[i] = sys_monotonic_ns() - time;
		usleep(1000);
		if (stop_begin(LIMIT, arch_stack_pointer(), false,
			       &failure) != 0)
			fail(failure.what);
		end = sys_monotonic_ns();
		stop[i] = end - stop_signal_ns();
		stop_end();
		go[i] = sys_monotonic_ns() - end;
		usleep(1000);
	}
	printf("%zu %.1f %.1f %.1f %.1f %.1f\n", count,
	       part(bare, rounds, 50), part(bare, rounds, 99),
	       part(stop, rounds, 50), part(stop, rounds, 99),
	       part(go, rounds, 50));
	return 0;
}
