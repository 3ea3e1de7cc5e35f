/*
 * gc_gaps.c - what the gaps of gc and gc_go say about the program's time.
 *
 *	gc_gaps FILE THREADS
 *
 * FILE has a line "BEGIN LENGTH PREEMPTED" for each gap of each thread, in
 * nanoseconds.  Prints a line each, in milliseconds:
 *
 *	gap_max, gap_p99.9, gap_p99	  of all gaps of all threads
 *	held_max, held_p99.9, held_p99	  of those that were no preemption
 *
 * and the minimum mutator utilisation, mmu_1 to mmu_50: the smallest share, in
 * percent, that the program had of the processors in any window of so many
 * milliseconds.  The program has a processor while one of its threads is not in
 * a gap; of a pair of threads that take turns on one processor, one always is.
 * So the scheduler alone costs next to nothing, a stop of all threads counts
 * whole, and a thread of the collector counts for the processor it takes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "measure.h"

/* At this time a gap begins (+1) or ends (-1). */
struct event {
	uint64_t at_ns;
	int change;
};

/* From here on, depth threads are in a gap; idle_ns is what came before. */
struct point {
	uint64_t at_ns;
	uint64_t idle_ns;	/* the sum over all threads */
	unsigned depth;
};

static struct event *events;
static struct point *points;
static uint64_t *gaps, *held;
static size_t event_count, gap_count, held_count;

static void *
grow(void *array, size_t count, size_t size)
{
	/* Doubles whenever a power of two is reached. */
	if ((count & (count - 1)) != 0)
		return array;
	array = realloc(array, (count == 0 ? 1 : 2 * count) * size);
	if (array == NULL)
		abort();
	return array;
}

static void
add_event(uint64_t at_ns, int change)
{
	events = grow(events, event_count, sizeof(*events));
	events[event_count++] = (struct event){ at_ns, change };
}

static void
read_gaps(const char *path)
{
	unsigned long begin, length;
	int is_preempted;
	FILE *file = fopen(path, "r");

	if (file == NULL) {
		perror(path);
		exit(1);
	}
	while (fscanf(file, "%lu %lu %d", &begin, &length,
		      &is_preempted) == 3) {
		add_event(begin, 1);
		add_event(begin + length, -1);
		gaps = grow(gaps, gap_count, sizeof(*gaps));
		gaps[gap_count++] = length;
		if (is_preempted)
			continue;
		held = grow(held, held_count, sizeof(*held));
		held[held_count++] = length;
	}
	fclose(file);
}

static int
compare_events(const void *left, const void *right)
{
	return compare_counts(&((const struct event *)left)->at_ns,
	    &((const struct event *)right)->at_ns);
}

static void
print_lengths(const char *name, uint64_t *lengths, size_t count)
{
	const double parts[] = { 1, 0.999, 0.99 };
	const char *names[] = { "max", "p99.9", "p99" };

	if (count > 0)
		qsort(lengths, count, sizeof(*lengths), compare_counts);
	for (int i = 0; i < 3; i++) {
		size_t at = (size_t)((double)count * parts[i]);
		uint64_t ns = count == 0 ? 0 : lengths[at < count ? at
							: count - 1];

		printf("%s_%s %.3f\n", name, names[i], (double)ns / 1e6);
	}
}

static void
sum_up(void)
{
	unsigned depth = 0;
	uint64_t idle = 0, last = 0;

	qsort(events, event_count, sizeof(*events), compare_events);
	points = calloc(event_count, sizeof(*points));
	if (points == NULL)
		abort();
	for (size_t i = 0; i < event_count; i++) {
		idle += depth * (events[i].at_ns - last);
		last = events[i].at_ns;
		depth += (unsigned)events[i].change;
		points[i] = (struct point){ last, idle, depth };
	}
}

/* idle_at - the sum of gaps up to a time at or after that of points[i]. */
static uint64_t
idle_at(size_t i, uint64_t at_ns)
{
	return points[i].idle_ns + points[i].depth * (at_ns - points[i].at_ns);
}

/*
 * idle_max - the most that the threads missed in any window of this length.
 * It is found where a window begins or ends with a gap.
 */
static uint64_t
idle_max(uint64_t window_ns)
{
	uint64_t most = 0, idle;
	size_t end = 0, begin = 0;

	for (size_t i = 0; i < event_count; i++) {
		uint64_t at = points[i].at_ns;

		while (end + 1 < event_count &&
		       points[end + 1].at_ns <= at + window_ns)
			end++;
		idle = idle_at(end, at + window_ns) - points[i].idle_ns;
		most = idle > most ? idle : most;

		if (at < points[0].at_ns + window_ns)
			continue;
		while (points[begin + 1].at_ns <= at - window_ns)
			begin++;
		idle = points[i].idle_ns - idle_at(begin, at - window_ns);
		most = idle > most ? idle : most;
	}
	return most;
}

int
main(int argc, char **argv)
{
	const unsigned windows_ms[] = { 1, 5, 10, 20, 50 };
	double threads, processors = (double)sysconf(_SC_NPROCESSORS_ONLN);

	if (argc != 3) {
		fprintf(stderr, "usage: gc_gaps FILE THREADS\n");
		return 2;
	}
	threads = atof(argv[2]);
	if (processors > threads)
		processors = threads;

	read_gaps(argv[1]);
	print_lengths("gap", gaps, gap_count);
	print_lengths("held", held, held_count);
	if (event_count > 0)
		sum_up();
	for (size_t i = 0; i < sizeof(windows_ms) / sizeof(*windows_ms); i++) {
		double window_ns = windows_ms[i] * 1e6;
		double idle = (double)idle_max((uint64_t)window_ns);
		double share = (threads * window_ns - idle) /
		    (processors * window_ns);

		share = share < 0 ? 0 : share > 1 ? 1 : share;
		printf("mmu_%u %.1f\n", windows_ms[i], 100 * share);
	}
	return 0;
}
