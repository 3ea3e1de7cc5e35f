/*
 * alloc.c - what allocating and freeing costs, pattern by pattern.
 *
 *	alloc [-cl] [-n OPS] [-r ROUNDS] [-t MS] [PATTERN[/THREADS] ...]
 *
 *	-c  processor time of the process instead of elapsed time; steadier on
 *	    a busy machine, blind to threads that wait for each other
 *	-l  list the patterns, run nothing
 *	-n  operations of a thread in a round (default: as many as fill MS)
 *	-r  rounds, of which the median is printed (default 9)
 *	-t  length of a round in milliseconds (default 10)
 *
 * Prints a line "PATTERN/THREADS NANOSECONDS" for each pattern.  One operation
 * is a block allocated and freed, or one call of realloc.  Every thread does
 * the same number of them at the same time; the time is divided by the number
 * one thread did, so a line for two threads equals that for one where they do
 * not hinder each other.
 *
 * Only malloc, calloc, realloc and free are used, so any allocator can be
 * preloaded.  Tables are mapped, never allocated, and there is one round of
 * warming up that is not counted.
 *
 * Not here: comparing allocators (run_alloc.sh).
 */

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

enum {
	ROUNDS_MAX = 999,
	THREADS_MAX = 64,
	SIZES = 1024,		/* 4 KiB: leaves the first-level cache alone */
	PAGE = 4096,
	PARCEL = 256,		/* blocks handed over at once by cross */
	PARCELS = 16,		/* parcels under way */
	VECTOR_MIN = 16,	/* bytes, where realloc starts growing */
	VECTOR_MAX = 65536,	/* bytes, where it starts again */
};

struct worker;

struct pattern {
	const char *name;
	void (*run)(struct worker *, size_t ops);
	uint32_t size_min;	/* bytes; sizes are skewed to the small end */
	uint32_t size_max;
	uint32_t slots;		/* blocks alive at a time */
	uint32_t unit;		/* a round's operations are a multiple of it */
	bool paired;		/* every second thread frees for its neighbour */
};

/* Blocks on their way from the thread that allocates to the one that frees. */
struct ring {
	/* Atomic. */
	_Alignas(64) _Atomic size_t sent;	/* parcels, by the producer */
	_Alignas(64) _Atomic size_t taken;	/* parcels, by the consumer */

	/* Guarded by sent and taken. */
	_Alignas(64) void *parcels[PARCELS][PARCEL];
};

struct worker {
	/* Fixed before the threads start. */
	_Alignas(128) const struct pattern *pattern;	/* no false sharing */
	unsigned index;
	pthread_t thread;
	struct ring *ring;
	uint32_t *order;		/* a permutation of the slots */
	uint32_t sizes[SIZES];

	/* Owner thread. */
	uint64_t random;
	void **slots;
	uint32_t *lengths;
};

/* Changed by the main thread only, while the others wait at the barrier. */
static pthread_barrier_t gate;
static size_t round_ops;		/* 0: no further round */

/* Fixed when main begins; empty where the kernel does not say. */
static cpu_set_t allowed_cpus;

static _Noreturn void __attribute__((format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list args;

	fputs("alloc: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

static void *
map_zeroed(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("cannot map %zu bytes: %s", size, strerror(errno));
	return memory;
}

/* Knuth's generator: a multiplication, so that the loop costs next to nothing;
   only the upper half is random enough. */
static inline uint32_t
random_next(struct worker *w)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return w->random >> 32;
}

static inline uint32_t
random_below(struct worker *w, uint32_t limit)
{
	return ((uint64_t)random_next(w) * limit) >> 32;
}

/* The program uses what it gets.  The asm keeps the compiler from pairing the
   call with its free and leaving both out. */
static inline void *
use_block(void *block)
{
	if (block == NULL)
		die("out of memory");
	*(uint64_t *)block = 1;
	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

static void
run_pair(struct worker *w, size_t ops)
{
	for (size_t i = 0; i < ops; i++)
		free(use_block(malloc(w->sizes[i % SIZES])));
}

static inline void
fill_batch(struct worker *w)
{
	for (uint32_t i = 0; i < w->pattern->slots; i++)
		w->slots[i] = use_block(malloc(w->sizes[i % SIZES]));
}

static void
run_batch_fifo(struct worker *w, size_t ops)
{
	uint32_t slots = w->pattern->slots;

	for (size_t done = 0; done < ops; done += slots) {
		fill_batch(w);
		for (uint32_t i = 0; i < slots; i++)
			free(w->slots[i]);
	}
	memset(w->slots, 0, slots * sizeof *w->slots);
}

static void
run_batch_lifo(struct worker *w, size_t ops)
{
	uint32_t slots = w->pattern->slots;

	for (size_t done = 0; done < ops; done += slots) {
		fill_batch(w);
		for (uint32_t i = slots; i-- > 0;)
			free(w->slots[i]);
	}
	memset(w->slots, 0, slots * sizeof *w->slots);
}

static void
run_batch_shuffled(struct worker *w, size_t ops)
{
	uint32_t slots = w->pattern->slots;

	for (size_t done = 0; done < ops; done += slots) {
		fill_batch(w);
		for (uint32_t i = 0; i < slots; i++)
			free(w->slots[w->order[i]]);
	}
	memset(w->slots, 0, slots * sizeof *w->slots);
}

/* The table stays full from the first round on: what is measured is a heap in
   use, with holes. */
static inline __attribute__((always_inline)) void
replace_slots(struct worker *w, size_t ops, bool zeroed, bool used)
{
	for (size_t i = 0; i < ops; i++) {
		void **slot = &w->slots[random_below(w, w->pattern->slots)];
		size_t size = w->sizes[i % SIZES];
		char *block;

		free(*slot);
		block = use_block(zeroed ? calloc(1, size) : malloc(size));
		if (used)
			for (size_t at = 0; at < size; at += PAGE)
				*(volatile char *)(block + at) = 1;
		*slot = block;
	}
}

static void
run_random(struct worker *w, size_t ops)
{
	replace_slots(w, ops, false, false);
}

static void
run_random_used(struct worker *w, size_t ops)
{
	replace_slots(w, ops, false, true);
}

static void
run_calloc(struct worker *w, size_t ops)
{
	replace_slots(w, ops, true, false);
}

/* Vectors grow in random turn, so that few can grow into what lies behind. */
static void
run_realloc(struct worker *w, size_t ops)
{
	uint32_t slots = w->pattern->slots;

	for (size_t i = 0; i < ops; i++) {
		uint32_t slot = random_below(w, slots);
		uint32_t length = w->lengths[slot];

		length = length == 0 ? VECTOR_MIN : length + length / 2;
		if (length > VECTOR_MAX) {
			free(w->slots[slot]);
			w->slots[slot] = NULL;
			length = VECTOR_MIN;
		}
		w->slots[slot] = use_block(realloc(w->slots[slot], length));
		w->lengths[slot] = length;
	}
}

/*
 * The even worker allocates, its odd neighbour frees.  They yield instead of
 * spinning: the machine may have fewer processors than threads.
 * Tags: [R1] a parcel's blocks, producer to consumer; [R2] an emptied place,
 * consumer to producer.
 */
static void
run_cross(struct worker *w, size_t ops)
{
	struct ring *ring = w->ring;
	/* relaxed: between rounds all is ordered by the barrier. */
	size_t first = atomic_load_explicit(
	    w->index % 2 == 0 ? &ring->sent : &ring->taken,
	    memory_order_relaxed);

	for (size_t n = first; n < first + ops / PARCEL; n++) {
		void **parcel = ring->parcels[n % PARCELS];

		if (w->index % 2 == 0) {
			/* acquire [R2] */
			while (n - atomic_load_explicit(&ring->taken,
			    memory_order_acquire) == PARCELS)
				sched_yield();
			for (size_t i = 0; i < PARCEL; i++)
				parcel[i] = use_block(malloc(
				    w->sizes[(n * PARCEL + i) % SIZES]));
			/* release [R1] */
			atomic_store_explicit(&ring->sent, n + 1,
			    memory_order_release);
		} else {
			/* acquire [R1] */
			while (atomic_load_explicit(&ring->sent,
			    memory_order_acquire) == n)
				sched_yield();
			for (size_t i = 0; i < PARCEL; i++)
				free(parcel[i]);
			/* release [R2] */
			atomic_store_explicit(&ring->taken, n + 1,
			    memory_order_release);
		}
	}
}

static const struct pattern patterns[] = {
	{"pair", run_pair, 16, 1024, 0, 1, false},
	{"pair-fixed", run_pair, 64, 64, 0, 1, false},
	{"batch-fifo", run_batch_fifo, 16, 1024, 10000, 10000, false},
	{"batch-lifo", run_batch_lifo, 16, 1024, 10000, 10000, false},
	{"batch-shuffled", run_batch_shuffled, 16, 1024, 10000, 10000, false},
	{"random-small", run_random, 16, 1024, 10000, 1, false},
	{"random-mixed", run_random, 16, 32768, 10000, 1, false},
	{"cross", run_cross, 16, 1024, 0, PARCEL, true},
	{"large", run_random, 65536, 1048576, 32, 1, false},
	{"large-used", run_random_used, 65536, 1048576, 32, 1, false},
	{"realloc", run_realloc, 0, 0, 32, 1, false},
	{"calloc-small", run_calloc, 16, 1024, 10000, 1, false},
	{"calloc-mixed", run_calloc, 16, 32768, 10000, 1, false},
	{"calloc-large", run_calloc, 65536, 1048576, 32, 1, false},
};

enum { PATTERNS = sizeof patterns / sizeof patterns[0] };

/*
 * A size of the pattern: the smaller of two octaves drawn, then anywhere in
 * it.  Half of 16..1024 is below 64 bytes, as in most programs.
 */
static uint32_t
draw_size(struct worker *w)
{
	const struct pattern *pattern = w->pattern;
	uint32_t octaves, octave, other, size;

	if (pattern->size_max == pattern->size_min)
		return pattern->size_min;
	octaves = __builtin_ctz(pattern->size_max / pattern->size_min);
	octave = random_below(w, octaves);
	other = random_below(w, octaves);
	size = pattern->size_min << (octave < other ? octave : other);
	return size + random_below(w, size + 1);
}

static void
worker_init(struct worker *w, const struct pattern *pattern, unsigned index,
    struct ring *ring)
{
	uint32_t slots = pattern->slots;

	w->pattern = pattern;
	w->index = index;
	w->ring = ring;
	/* The same sequence in every run and for every allocator. */
	w->random = 0x9e3779b97f4a7c15u * (index + 1);
	for (int i = 0; i < SIZES; i++)
		w->sizes[i] = draw_size(w);
	if (slots == 0)
		return;
	w->slots = map_zeroed(slots * sizeof *w->slots);
	w->lengths = map_zeroed(slots * sizeof *w->lengths);
	w->order = map_zeroed(slots * sizeof *w->order);
	for (uint32_t i = 0; i < slots; i++) {
		uint32_t other = random_below(w, i + 1);

		w->order[i] = w->order[other];
		w->order[other] = i;
	}
}

/* A processor of its own, where there are enough: two threads that take turns
   on one are a different measurement, and the kernel would choose. */
static void
worker_pin(const struct worker *w)
{
	cpu_set_t own;
	int cpu = 0, left;

	if (CPU_COUNT(&allowed_cpus) == 0)
		return;
	left = w->index % CPU_COUNT(&allowed_cpus);
	while (!CPU_ISSET(cpu, &allowed_cpus) || left-- > 0)
		cpu++;
	CPU_ZERO(&own);
	CPU_SET(cpu, &own);
	sched_setaffinity(0, sizeof own, &own);
}

/* Leaves no block behind: the bench must not be a leaking program. */
static void
worker_fini(struct worker *w)
{
	uint32_t slots = w->pattern->slots;

	if (slots == 0)
		return;
	for (uint32_t i = 0; i < slots; i++)
		free(w->slots[i]);
	munmap(w->slots, slots * sizeof *w->slots);
	munmap(w->lengths, slots * sizeof *w->lengths);
	munmap(w->order, slots * sizeof *w->order);
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	worker_pin(w);
	for (;;) {
		pthread_barrier_wait(&gate);
		if (round_ops == 0)
			break;
		w->pattern->run(w, round_ops);
		pthread_barrier_wait(&gate);
	}
	worker_fini(w);
	return NULL;
}

static double
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

/* One round of all threads; the main thread is the first of them, so that one
   thread means a process that never had a second. */
static double
round_ns(struct worker *main_worker, size_t ops, clockid_t clock)
{
	double begin;

	round_ops = ops;
	begin = clock_ns(clock);
	pthread_barrier_wait(&gate);
	main_worker->pattern->run(main_worker, ops);
	pthread_barrier_wait(&gate);
	return clock_ns(clock) - begin;
}

static size_t
round_up(double value, size_t unit)
{
	return ((size_t)value / unit + 1) * unit;
}

struct settings {
	clockid_t clock;
	size_t ops;			/* 0: as many as fill round_ns */
	unsigned rounds;
	double round_ns;
};

static void
measure(const struct pattern *pattern, unsigned threads,
    const struct settings *settings)
{
	size_t size = threads * sizeof(struct worker);
	size_t rings_size = threads * sizeof(struct ring);
	struct worker *workers = map_zeroed(size);
	struct ring *rings = map_zeroed(rings_size);
	double times[ROUNDS_MAX], each = 1, ns;
	size_t unit = pattern->unit;
	size_t ops;

	pthread_barrier_init(&gate, NULL, threads);
	for (unsigned i = 0; i < threads; i++)
		worker_init(&workers[i], pattern, i, &rings[i / 2]);
	for (unsigned i = 1; i < threads; i++) {
		int error = pthread_create(&workers[i].thread, NULL,
		    worker_main, &workers[i]);

		if (error != 0)
			die("cannot start a thread: %s", strerror(error));
	}
	if (threads > 1)
		worker_pin(&workers[0]);

	/* Warm up, and find out how many operations fill a round. */
	if (settings->ops != 0) {
		ops = (settings->ops + unit - 1) / unit * unit;
		round_ns(workers, ops, settings->clock);
	} else {
		/* By processor time: a round that only waited is no measure. */
		for (ops = unit;; ops *= 2) {
			ns = round_ns(workers, ops, CLOCK_PROCESS_CPUTIME_ID);
			ns /= threads;
			if (ns >= settings->round_ns / 2)
				break;
		}
		ops = round_up(ops * settings->round_ns / ns, unit);
	}

	if (settings->clock == CLOCK_PROCESS_CPUTIME_ID)
		each = pattern->paired ? threads / 2 : threads;
	for (unsigned i = 0; i < settings->rounds; i++)
		times[i] = round_ns(workers, ops, settings->clock) / ops / each;
	qsort(times, settings->rounds, sizeof times[0], compare_doubles);
	printf("%s/%u %.2f\n", pattern->name, threads,
	    times[settings->rounds / 2]);
	fflush(stdout);

	round_ops = 0;
	pthread_barrier_wait(&gate);
	worker_fini(&workers[0]);
	for (unsigned i = 1; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	sched_setaffinity(0, sizeof allowed_cpus, &allowed_cpus);
	pthread_barrier_destroy(&gate);
	munmap(rings, rings_size);
	munmap(workers, size);
}

static void
measure_named(const char *name, const struct settings *settings)
{
	size_t length = strcspn(name, "/");
	long threads = 0;

	if (name[length] == '/') {
		char *end;

		threads = strtol(name + length + 1, &end, 10);
		if (*end != '\0' || threads < 1 || threads > THREADS_MAX)
			die("%s: 1 to %d threads", name, THREADS_MAX);
	}
	for (int i = 0; i < PATTERNS; i++) {
		const struct pattern *pattern = &patterns[i];

		if (strlen(pattern->name) != length ||
		    memcmp(pattern->name, name, length) != 0)
			continue;
		if (threads == 0)
			threads = pattern->paired ? 2 : 1;
		if (pattern->paired && threads % 2 != 0)
			die("%s: needs an even number of threads", name);
		measure(pattern, threads, settings);
		return;
	}
	die("%s: no such pattern; alloc -l lists them", name);
}

int
main(int argc, char **argv)
{
	struct settings settings = {CLOCK_MONOTONIC, 0, 9, 10e6};
	bool list = false;
	int option;

	while ((option = getopt(argc, argv, "cln:r:t:")) != -1) {
		switch (option) {
		case 'c':
			settings.clock = CLOCK_PROCESS_CPUTIME_ID;
			break;
		case 'l':
			list = true;
			break;
		case 'n':
			settings.ops = parse_number("alloc", optarg, LONG_MAX);
			break;
		case 'r':
			settings.rounds = parse_number("alloc", optarg,
			    ROUNDS_MAX);
			break;
		case 't':
			settings.round_ns = 1e6 * parse_number("alloc", optarg,
			    3600000);
			break;
		default:
			return 2;
		}
	}

	if (sched_getaffinity(0, sizeof allowed_cpus, &allowed_cpus) != 0)
		CPU_ZERO(&allowed_cpus);
	if (optind < argc && !list) {
		for (int i = optind; i < argc; i++)
			measure_named(argv[i], &settings);
		return 0;
	}
	for (unsigned threads = 1; threads <= 2; threads++) {
		for (int i = 0; i < PATTERNS; i++) {
			const struct pattern *pattern = &patterns[i];

			if (pattern->paired && threads % 2 != 0)
				continue;
			if (list)
				printf("%s/%u\n", pattern->name, threads);
			else
				measure(pattern, threads, &settings);
		}
	}
	return 0;
}
