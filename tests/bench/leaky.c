/*
 * leaky.c - a threaded server that loses memory.
 *
 *	leaky [-r MIB] [-g GIB] [-l MIB] [-t THREADS]
 *
 *	-r  MiB lost in a second; 0: a block with every request (default 50)
 *	-g  ends when so many GiB are lost (default 20)
 *	-l  live memory in MiB (default 200)
 *	-t  threads (default 4)
 *
 * A request allocates and frees some scratch memory, reads one entry of a cache
 * and replaces another.  As the rate asks for, it also loses a block of 64
 * bytes to 1 MiB, small ones as often as large ones, that it has written to.
 * Every entry is checked when it is read or replaced.
 *
 * Prints "at SECONDS REQUESTS_PER_S LOST_MIB RESIDENT_MIB" as it goes, and at
 * the end a line for each figure.  Where memory runs out it ends as well, with
 * "survived 0".
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../clock.h"
#include "measure.h"

enum {
	THREADS_MAX = 64,
	SCRATCH = 4,		/* blocks of a request */
	SCRATCH_ORDERS = 6,	/* 64 bytes to 4 KiB */
	ENTRY_ORDERS = 8,	/* 64 bytes to 16 KiB */
	LOST_ORDERS = 14,	/* 64 bytes to 1 MiB */
	PROGRESS_NS = 250000000,
};

struct entry {
	size_t size;
	uint64_t check;
	uint64_t data[];
};

struct worker {
	/* Fixed before the threads start. */
	_Alignas(128) pthread_t thread;

	/* Owner thread. */
	uint64_t random;

	/* Atomic: a count that the main thread reads. */
	_Atomic uint64_t requests;
};

/* Fixed before the threads start. */
static unsigned threads = 4;
static uint64_t rate = 50 << 20, lost_goal = UINT64_C(20) << 30;
static size_t live_goal = (size_t)200 << 20;
static size_t entry_count;
static uint64_t begin_ns;

/* Atomic. */
static _Atomic(struct entry *) *cache;
static _Atomic uint64_t lost;
static _Atomic bool is_over, is_exhausted;

static struct worker workers[THREADS_MAX];

static uint64_t
pick(struct worker *w, uint64_t limit)
{
	return (xorshift(&w->random) >> 33) % limit;
}

/* pick_size - every power of two from 64 on is as likely as the others. */
static size_t
pick_size(struct worker *w, unsigned orders)
{
	size_t least = (size_t)64 << pick(w, orders);

	return least + pick(w, least);
}

static void *
allocate(size_t size)
{
	void *p = malloc(size);

	if (p == NULL) {
		atomic_store(&is_exhausted, true);
		atomic_store(&is_over, true);
		return NULL;
	}
	memset(p, (int)size, size);
	return p;
}

static struct entry *
make_entry(struct worker *w)
{
	size_t size = pick_size(w, ENTRY_ORDERS);
	struct entry *e = allocate(size);

	if (e != NULL) {
		e->size = size;
		e->check = ~(uint64_t)(uintptr_t)e ^ size;
	}
	return e;
}

static void
check_entry(const struct entry *e)
{
	if (e->check == (~(uint64_t)(uintptr_t)e ^ e->size) &&
	    ((const unsigned char *)e)[e->size - 1] == (unsigned char)e->size)
		return;
	dprintf(STDERR_FILENO, "leaky: a live entry was overwritten\n");
	abort();
}

static void
lose_block(struct worker *w)
{
	size_t size = pick_size(w, LOST_ORDERS);
	void *volatile block;

	if (rate != 0 && (double)atomic_load(&lost) >
	    (double)rate * (double)(now_ns() - begin_ns) / 1e9)
		return;
	block = allocate(size);
	if (block != NULL && atomic_fetch_add(&lost, size) + size >= lost_goal)
		atomic_store(&is_over, true);
	block = NULL;
}

/* serve - entries are taken out while they are in use: no locks. */
static void
serve(struct worker *w)
{
	_Atomic(struct entry *) *place = &cache[pick(w, entry_count)];
	void *scratch[SCRATCH];
	struct entry *e;

	for (int i = 0; i < SCRATCH; i++)
		scratch[i] = allocate(pick_size(w, SCRATCH_ORDERS));
	e = atomic_exchange(place, NULL);
	if (e != NULL) {
		check_entry(e);
		e = atomic_exchange(place, e);
		free(e);
	}
	e = make_entry(w);
	if (e != NULL)
		e = atomic_exchange(&cache[pick(w, entry_count)], e);
	if (e != NULL)
		check_entry(e);
	free(e);
	lose_block(w);
	for (int i = 0; i < SCRATCH; i++)
		free(scratch[i]);
}

static void *
work(void *argument)
{
	struct worker *w = argument;
	uint64_t requests = 0;

	while (!atomic_load(&is_over)) {
		serve(w);
		atomic_store_explicit(&w->requests, ++requests,
		    memory_order_relaxed);
	}
	return NULL;
}

static uint64_t
count_requests(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < threads; i++)
		sum += atomic_load(&workers[i].requests);
	return sum;
}

static void
show_progress(void)
{
	uint64_t before_ns = begin_ns, before = 0, ns, requests;
	struct timespec tick = { 0, 20000000 };

	while (!atomic_load(&is_over)) {
		nanosleep(&tick, NULL);
		ns = now_ns();
		if (ns - before_ns < PROGRESS_NS)
			continue;
		requests = count_requests();
		printf("at %.1f %.0f %lu %.0f\n", (double)(ns - begin_ns) / 1e9,
		    (double)(requests - before) * 1e9 / (double)(ns - before_ns),
		    (unsigned long)(atomic_load(&lost) >> 20),
		    status_mib("VmRSS:"));
		fflush(stdout);
		before_ns = ns;
		before = requests;
	}
}

static double
live_mib(void)
{
	size_t sum = 0;

	for (size_t i = 0; i < entry_count; i++)
		if (cache[i] != NULL) {
			check_entry(cache[i]);
			sum += cache[i]->size;
		}
	return (double)sum / (1 << 20);
}

static void
print_figures(double seconds)
{
	double live = live_mib(), peak = status_mib("VmHWM:");

	printf("requests_per_s %.0f\n", (double)count_requests() / seconds);
	printf("seconds %.1f\n", seconds);
	printf("lost_mib %lu\n", (unsigned long)(atomic_load(&lost) >> 20));
	printf("live_mib %.0f\n", live);
	printf("peak_mib %.0f\n", peak);
	printf("peak/live %.2f\n", peak / live);
	printf("survived %d\n", !atomic_load(&is_exhausted));
}

int
main(int argc, char **argv)
{
	struct worker builder = { .random = 12345 };
	int option;

	while ((option = getopt(argc, argv, "r:g:l:t:")) != -1) {
		unsigned long n = strtoul(optarg, NULL, 10);

		switch (option) {
		case 'r': rate = (uint64_t)n << 20; break;
		case 'g': lost_goal = (uint64_t)n << 30; break;
		case 'l': live_goal = (size_t)n << 20; break;
		case 't': threads = (unsigned)n; break;
		default: return 2;
		}
	}
	if (threads < 1 || threads > THREADS_MAX)
		return 2;

	/* The mean of 64 << k and twice that, over all orders. */
	entry_count = live_goal / (96 * ((1 << ENTRY_ORDERS) - 1) /
				   ENTRY_ORDERS) + 1;
	cache = calloc(entry_count, sizeof(cache[0]));
	if (cache == NULL)
		return 1;
	for (size_t i = 0; i < entry_count; i++)
		cache[i] = make_entry(&builder);
	begin_ns = now_ns();
	for (unsigned i = 0; i < threads; i++) {
		workers[i].random = i + 1;
		if (pthread_create(&workers[i].thread, NULL, work,
				   &workers[i]) != 0)
			return 1;
	}
	show_progress();
	for (unsigned i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	print_figures((double)(now_ns() - begin_ns) / 1e9);
	return 0;
}
