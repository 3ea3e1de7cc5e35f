/*
 * gc.c - a large graph of pointers that several threads rewrite.
 *
 *	gc [-m MIB] [-t THREADS] [-s SECONDS] [-a PERCENT] [-l PERCENT]
 *	   [-i MS] [-g FILE]
 *
 *	-m  live memory (default 1024)
 *	-t  threads (default 4)
 *	-s  seconds that are measured (default 10)
 *	-a  percent of the operations that allocate a node and give one up; the
 *	    others move pointers only (default 25)
 *	-l  percent of the nodes given up that are lost and not freed (default 0)
 *	-i  under bdwgc, a collection every so many milliseconds (default 0: never
 *	    for time alone)
 *	-g  where the gaps go, for gc_gaps
 *
 * The graph is records of lists of nodes, 32 bytes to 1 KiB each.  A thread
 * works on its own records, which lie all over the heap, and exchanges nodes
 * with the others over a board.  Every node has one pointer to it, so what is
 * moved, freed or lost is never a matter of opinion.
 *
 * A thread reads the clock after each operation.  What took longer than GAP_MIN
 * is a gap: it is noted with its length and whether the kernel took the
 * processor away (preempted) or something kept the thread (held).
 *
 * Prints "kops_per_s", "peak_mib" and "end_mib" lines; "gc: measuring" and
 * "gc: measured" go to standard error before and after.  gc.go is the same in
 * Go.
 *
 * Not here: what the gaps mean (gc_gaps.c), comparing collectors (gc.sh).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../clock.h"
#include "measure.h"

extern void GC_gcollect(void) __attribute__((weak));

enum {
	THREADS_MAX = 64,
	LISTS = 16,		/* of a record */
	LIST_LENGTH = 4,	/* nodes, when it is made */
	DEPTH = 4,		/* nodes walked to the pointer that changes */
	BOARD = 256,
	GAP_MIN = 20000,	/* nanoseconds */
	GAPS_MAX = 1 << 20,	/* of a thread */
};

/* Bytes; a node is as likely to have each of these sizes. */
static const uint16_t sizes[16] = {
	32, 32, 32, 32, 48, 48, 48, 64, 64, 64, 96, 96, 128, 128, 256, 1024,
};

struct node {
	struct node *next;
	uint64_t data[];
};

struct record {
	struct node *list[LISTS];
};

struct gap {
	uint64_t begin_ns;
	uint64_t length_ns;
	bool is_preempted;
};

struct worker {
	/* Fixed before the threads start. */
	_Alignas(128) pthread_t thread;
	unsigned index;

	/* Owner thread. */
	uint64_t random;
	uint64_t ops;
	size_t gap_count;
	struct gap *gaps;	/* mapped: no allocation while we measure */
};

/* Fixed before the threads start. */
static unsigned threads = 4, alloc_percent = 25, lose_percent;
static uint64_t live_bytes = UINT64_C(1024) << 20;
static uint64_t measured_ns = UINT64_C(10) * 1000000000;
static uint64_t interval_ms;
static size_t record_count;
static struct record **records;

/* Atomic. */
static _Atomic(struct node *) board[BOARD];

static struct worker workers[THREADS_MAX];
static pthread_barrier_t gate;

static uint64_t
pick(struct worker *w, uint64_t limit)
{
	return (xorshift(&w->random) >> 33) % limit;
}

static void *
allocate(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL) {
		perror("gc: calloc");
		exit(1);
	}
	return p;
}

/* ------------------------------------------------------------ the operations */

static struct node **
pick_list(struct worker *w)
{
	size_t own = pick(w, record_count / threads);

	return &records[own * threads + w->index]->list[pick(w, LISTS)];
}

/* pick_link - a pointer somewhere on this list. */
static struct node **
pick_link(struct worker *w, struct node **link)
{
	for (uint64_t n = pick(w, DEPTH); n > 0 && *link != NULL; n--)
		link = &(*link)->next;
	return link;
}

static struct node *
remove_node(struct node **link)
{
	struct node *node = *link;

	if (node != NULL) {
		*link = node->next;
		node->next = NULL;
	}
	return node;
}

static void
insert_node(struct node **link, struct node *node)
{
	if (node == NULL)
		return;
	node->next = *link;
	*link = node;
}

static struct node *
make_node(struct worker *w)
{
	return allocate(sizes[pick(w, 16)]);
}

static void
operate(struct worker *w)
{
	struct node **a = pick_list(w), **b = pick_list(w), *node;
	bool is_same = a == b;
	uint64_t what = pick(w, 100);

	a = pick_link(w, a);
	if (what < alloc_percent) {
		insert_node(a, make_node(w));
		node = remove_node(pick_link(w, b));
		if (pick(w, 100) >= lose_percent)
			free(node);
	} else if (what == 99) {
		node = remove_node(a);
		node = atomic_exchange(&board[pick(w, BOARD)], node);
		insert_node(pick_link(w, b), node);
	} else if (!is_same) {
		/* Two tails of one list would make a ring. */
		b = pick_link(w, b);
		node = *a;
		*a = *b;
		*b = node;
	}
}

/* ------------------------------------------------------------------ the gaps */

static long
preemptions(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static void
measure(struct worker *w)
{
	long preempted = preemptions(), count;
	uint64_t last = now_ns(), end = last + measured_ns, now;

	while (last < end) {
		operate(w);
		w->ops++;
		now = now_ns();
		if (now - last > GAP_MIN && w->gap_count < GAPS_MAX) {
			count = preemptions();
			w->gaps[w->gap_count++] = (struct gap){
				last, now - last, count != preempted,
			};
			preempted = count;
			now = now_ns();
		}
		last = now;
	}
}

static void
write_gaps(const char *path)
{
	FILE *file = fopen(path, "w");

	if (file == NULL) {
		perror(path);
		exit(1);
	}
	for (unsigned i = 0; i < threads; i++)
		for (size_t j = 0; j < workers[i].gap_count; j++)
			fprintf(file, "%lu %lu %d\n",
			    (unsigned long)workers[i].gaps[j].begin_ns,
			    (unsigned long)workers[i].gaps[j].length_ns,
			    workers[i].gaps[j].is_preempted);
	fclose(file);
}

/* ---------------------------------------------------------------- the threads */

static void *
work(void *argument)
{
	struct worker *w = argument;

	for (size_t i = w->index; i < record_count; i += threads) {
		records[i] = allocate(sizeof(*records[i]));
		for (unsigned n = 0; n < LISTS * LIST_LENGTH; n++)
			insert_node(&records[i]->list[n % LISTS], make_node(w));
	}
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	measure(w);
	return NULL;
}

static void
collect_now_and_then(void)
{
	uint64_t end = now_ns() + measured_ns;
	struct timespec pause = {
		(time_t)(interval_ms / 1000),
		(long)(interval_ms % 1000 * 1000000),
	};

	if (GC_gcollect == NULL || interval_ms == 0)
		return;
	while (now_ns() + interval_ms * 1000000 < end) {
		nanosleep(&pause, NULL);
		GC_gcollect();
	}
}

static size_t
count_records(void)
{
	size_t bytes = sizeof(struct record) + sizeof(struct record *);

	for (unsigned i = 0; i < LISTS * LIST_LENGTH; i++)
		bytes += sizes[i % 16];
	return live_bytes / bytes / threads * threads + threads;
}

int
main(int argc, char **argv)
{
	const char *gaps_path = NULL;
	uint64_t ops = 0;
	int option;

	while ((option = getopt(argc, argv, "m:t:s:a:l:i:g:")) != -1) {
		unsigned long n = strtoul(optarg, NULL, 10);

		switch (option) {
		case 'm': live_bytes = (uint64_t)n << 20; break;
		case 't': threads = (unsigned)n; break;
		case 's': measured_ns = n * 1000000000; break;
		case 'a': alloc_percent = (unsigned)n; break;
		case 'l': lose_percent = (unsigned)n; break;
		case 'i': interval_ms = n; break;
		case 'g': gaps_path = optarg; break;
		default: return 2;
		}
	}
	if (threads < 1 || threads > THREADS_MAX)
		return 2;

	record_count = count_records();
	records = allocate(record_count * sizeof(records[0]));
	pthread_barrier_init(&gate, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++) {
		workers[i].index = i;
		workers[i].random = i + 1;
		workers[i].gaps = mmap(NULL, GAPS_MAX * sizeof(struct gap),
		    PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (workers[i].gaps == MAP_FAILED ||
		    pthread_create(&workers[i].thread, NULL, work,
				   &workers[i]) != 0) {
			perror("gc");
			return 1;
		}
	}
	pthread_barrier_wait(&gate);
	dprintf(STDERR_FILENO, "gc: measuring\n");
	pthread_barrier_wait(&gate);
	collect_now_and_then();
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		ops += workers[i].ops;
	}
	dprintf(STDERR_FILENO, "gc: measured\n");

	printf("kops_per_s %.0f\n", (double)ops * 1e6 / (double)measured_ns);
	printf("peak_mib %.0f\n", status_mib("VmHWM:"));
	printf("end_mib %.0f\n", status_mib("VmRSS:"));
	if (gaps_path != NULL)
		write_gaps(gaps_path);
	return 0;
}
