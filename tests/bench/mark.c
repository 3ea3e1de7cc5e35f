/*
 * mark.c - how fast a collector reads a heap.
 *
 *	mark SHAPE MIB [ROUNDS]
 *
 * Builds MIB of live memory and has it collected ROUNDS (default 3) times: by
 * bdwgc, with GC_gcollect, or by bilge, with LeakSanitizer's request for a
 * check.  Prints the median as "SHAPE MIB_PER_S", by processor time of the whole
 * process: others may be busy, and a thread that marks counts.  With neither, it prints how
 * fast a plain loop reads as much memory: the bandwidth of one processor.
 *
 *	lists	  long lists
 *	trees	  one binary tree
 *	tables	  hash tables with short chains
 *	buffers	  1 MiB each, no pointers in them
 *
 * Nodes have 32 to 256 bytes and lie in random order, so that following a
 * pointer misses the caches; what is not a pointer in them is noise.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../clock.h"
#include "measure.h"

extern void GC_gcollect(void) __attribute__((weak));
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum {
	LISTS = 1024,
	BUCKETS = 4096,		/* of a table, twice its nodes */
	NODE_MEAN = 144,	/* bytes */
	BUFFER = 1 << 20,
	ROUNDS_MAX = 99,
};

struct node {
	struct node *left;
	struct node *right;
	uint64_t data[];
};

static uint64_t random_state = 1;

/* Exported: what only the collector reads would not be written otherwise. */
struct node *lists[LISTS];
struct node *tree;
struct node ***tables;
uint64_t **buffers;
uint64_t read_sum;

static void *
allocate(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL) {
		perror("mark");
		exit(1);
	}
	return p;
}

/* ---------------------------------------------------------------- the shapes */

static struct node *
make_node(void)
{
	size_t words = 4 + (xorshift(&random_state) >> 33) % 29;
	struct node *node = allocate(words * 8);

	for (size_t i = 0; i < words - 2; i++)
		node->data[i] = xorshift(&random_state);
	return node;
}

static void
link_lists(struct node **nodes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		nodes[i]->left = lists[i % LISTS];
		lists[i % LISTS] = nodes[i];
	}
}

static void
link_tree(struct node **nodes, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (i % 2 == 0)
			nodes[(i - 1) / 2]->right = nodes[i];
		else
			nodes[(i - 1) / 2]->left = nodes[i];
	tree = nodes[0];
}

static void
link_tables(struct node **nodes, size_t count)
{
	struct node **table, **bucket;

	tables = allocate((count / (BUCKETS / 2) + 1) * sizeof(*tables));
	for (size_t i = 0; i < count; i++) {
		size_t t = i / (BUCKETS / 2);

		if (tables[t] == NULL)
			tables[t] = allocate(BUCKETS * sizeof(**tables));
		table = tables[t];
		bucket = &table[(xorshift(&random_state) >> 33) % BUCKETS];
		nodes[i]->left = *bucket;
		*bucket = nodes[i];
	}
}

static void
make_buffers(size_t count)
{
	buffers = allocate(count * sizeof(*buffers));
	for (size_t i = 0; i < count; i++) {
		buffers[i] = allocate(BUFFER);
		for (size_t j = 0; j < BUFFER / 8; j++)
			buffers[i][j] = xorshift(&random_state);
	}
}

/*
 * build - nodes in random order.  The table of them is allocated: in a mapping
 * bdwgc would not see it.
 */
static void
build(void (*link)(struct node **, size_t), size_t count)
{
	struct node **nodes = allocate(count * sizeof(*nodes)), *node;
	size_t j;

	for (size_t i = 0; i < count; i++) {
		nodes[i] = make_node();
		j = (xorshift(&random_state) >> 8) % (i + 1);
		node = nodes[i];
		nodes[i] = nodes[j];
		nodes[j] = node;
	}
	link(nodes, count);
	free(nodes);
}

/* --------------------------------------------------------------- the readers */

/* read_memory - as much as there is live, from a mapping of its own. */
static void
read_memory(size_t size)
{
	static const uint64_t *memory;
	uint64_t a = 0, b = 0, c = 0, d = 0;

	if (memory == NULL) {
		void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			perror("mark");
			exit(1);
		}
		memory = memset(p, 1, size);
	}
	for (size_t i = 0; i + 4 <= size / 8; i += 4) {
		a += memory[i];
		b += memory[i + 1];
		c += memory[i + 2];
		d += memory[i + 3];
	}
	read_sum = a + b + c + d;
}

static void
read_heap(size_t size)
{
	if (GC_gcollect != NULL)
		GC_gcollect();
	else if (__lsan_do_recoverable_leak_check != NULL)
		__lsan_do_recoverable_leak_check();
	else
		read_memory(size);
}

int
main(int argc, char **argv)
{
	uint64_t times[ROUNDS_MAX], begin;
	size_t mib, size, rounds = 3;

	if (argc < 3) {
		fprintf(stderr, "usage: mark SHAPE MIB [ROUNDS]\n");
		return 2;
	}
	mib = strtoul(argv[2], NULL, 10);
	size = mib << 20;
	if (argc > 3)
		rounds = strtoul(argv[3], NULL, 10);
	if (size == 0 || rounds < 1 || rounds > ROUNDS_MAX)
		return 2;

	if (strcmp(argv[1], "lists") == 0)
		build(link_lists, size / NODE_MEAN);
	else if (strcmp(argv[1], "trees") == 0)
		build(link_tree, size / NODE_MEAN);
	else if (strcmp(argv[1], "tables") == 0)
		build(link_tables, size / (NODE_MEAN + 2 * sizeof(void *)));
	else if (strcmp(argv[1], "buffers") == 0)
		make_buffers(size / BUFFER);
	else
		return 2;

	read_heap(size);	/* warms up */
	for (size_t i = 0; i < rounds; i++) {
		begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
		read_heap(size);
		times[i] = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
	}
	qsort(times, rounds, sizeof(times[0]), compare_counts);
	printf("%s %.0f\n", argv[1],
	    (double)mib * 1e9 / (double)times[rounds / 2]);
	return 0;
}
