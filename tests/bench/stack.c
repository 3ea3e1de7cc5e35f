/*
 * stack.c - what keeping the call stack of an allocation costs.
 *
 *	stack [-n OPS] [-r ROUNDS]
 *
 *	-n  allocations in a round (default 10000, at least one a site)
 *	-r  rounds, of which the median is printed (default 21)
 *
 * Allocates twenty functions deep, each with a frame of its own size and two
 * places that call the next, and without frame pointers: 16384 call stacks,
 * which differ in their inner fourteen frames.  Prints nanoseconds for one
 * block allocated and freed, the twenty calls included:
 *
 *	hot NS	from one site, over and over
 *	many NS	from 10000 sites, in random order, each seen before
 *	first NS	from 10000 sites, each for the first time
 *
 * What a stack costs is the difference to a run that keeps none (stack.sh).
 */

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

enum {
	ROUNDS_MAX = 999,
	SITES = 10000,
	BATCH = 1000,		/* blocks alive at a time */
	BLOCK = 48,		/* bytes */
};

/* A frame of its own for each.  The asm around the calls keeps the two of a
   function from becoming one, and either from becoming a jump. */
#define LEVEL __attribute__((noinline)) static void *

LEVEL
level_0(unsigned path)
{
	void *block = malloc(BLOCK);

	if (block == NULL) {
		fputs("stack: out of memory\n", stderr);
		exit(2);
	}
	*(unsigned *)block = path;
	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

/* Frames differ in size, or an unwinder would meet one rule twenty times. */
#define DEFINE_LEVEL(n, below)						\
LEVEL									\
level_##n(unsigned path)						\
{									\
	char frame[16 * n];						\
	void *block;							\
									\
	__asm__ volatile("" : : "r"(frame) : "memory");			\
	if (path >> (n - 1) & 1) {					\
		__asm__ volatile("# left" : "+r"(path));		\
		block = below(path);					\
		__asm__ volatile("# left" : "+r"(block));		\
	} else {							\
		__asm__ volatile("# right" : "+r"(path));		\
		block = below(path);					\
		__asm__ volatile("# right" : "+r"(block));		\
	}								\
	return block;							\
}

DEFINE_LEVEL(1, level_0)
DEFINE_LEVEL(2, level_1)
DEFINE_LEVEL(3, level_2)
DEFINE_LEVEL(4, level_3)
DEFINE_LEVEL(5, level_4)
DEFINE_LEVEL(6, level_5)
DEFINE_LEVEL(7, level_6)
DEFINE_LEVEL(8, level_7)
DEFINE_LEVEL(9, level_8)
DEFINE_LEVEL(10, level_9)
DEFINE_LEVEL(11, level_10)
DEFINE_LEVEL(12, level_11)
DEFINE_LEVEL(13, level_12)
DEFINE_LEVEL(14, level_13)
DEFINE_LEVEL(15, level_14)
DEFINE_LEVEL(16, level_15)
DEFINE_LEVEL(17, level_16)
DEFINE_LEVEL(18, level_17)
DEFINE_LEVEL(19, level_18)

/* The paths to take, in turn. */
static unsigned hot_paths[1];
static unsigned many_paths[SITES];

static double
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double
round_ns(const unsigned *paths, size_t path_count, size_t ops)
{
	static void *blocks[BATCH];
	double begin = clock_ns();
	size_t next = 0;

	for (size_t done = 0; done < ops; done += BATCH) {
		for (size_t i = 0; i < BATCH; i++) {
			blocks[i] = level_19(paths[next]);
			if (++next == path_count)
				next = 0;
		}
		for (size_t i = 0; i < BATCH; i++)
			free(blocks[i]);
	}
	memset(blocks, 0, sizeof blocks);
	return (clock_ns() - begin) / ops;
}

static double
median_ns(const unsigned *paths, size_t path_count, size_t ops,
    unsigned rounds)
{
	double times[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++)
		times[i] = round_ns(paths, path_count, ops);
	qsort(times, rounds, sizeof times[0], compare_doubles);
	return times[rounds / 2];
}

/* A walk by an odd stride through a power of two meets each path once, in an
   order that no predictor learns. */
static void
choose_paths(void)
{
	for (unsigned i = 0; i < SITES; i++)
		many_paths[i] = (i * 10007 + 4711) % 16384;
	hot_paths[0] = (SITES * 10007 + 4711) % 16384;
}

int
main(int argc, char **argv)
{
	size_t ops = SITES;
	unsigned rounds = 21;
	double first;
	int option;

	while ((option = getopt(argc, argv, "n:r:")) != -1) {
		switch (option) {
		case 'n':
			ops = parse_number("stack", optarg, LONG_MAX - BATCH);
			ops = (ops + BATCH - 1) / BATCH * BATCH;
			break;
		case 'r':
			rounds = parse_number("stack", optarg, ROUNDS_MAX);
			break;
		default:
			return 2;
		}
	}
	if (ops < SITES)
		ops = SITES;

	choose_paths();
	round_ns(hot_paths, 1, ops);
	printf("hot %.1f\n", median_ns(hot_paths, 1, ops, rounds));
	first = round_ns(many_paths, SITES, SITES);
	printf("many %.1f\n", median_ns(many_paths, SITES, ops, rounds));
	printf("first %.1f\n", first);
	return 0;
}
