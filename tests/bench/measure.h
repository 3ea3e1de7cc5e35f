/*
 * measure.h - what the benchmarks share: random numbers, order, their own
 * memory, numbers on the command line.
 *
 * All is inline: a benchmark is a program of one file.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* xorshift64* (Vigna): the low bits are the weak ones. */
static inline uint64_t
xorshift(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* For qsort. */
static inline int
compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static inline int
compare_counts(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* status_mib - a line of /proc/self/status that begins with "VmRSS:", say. */
static inline double
status_mib(const char *name)
{
	char line[256];
	double kib = 0;
	FILE *file = fopen("/proc/self/status", "r");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kib = atof(line + strlen(name));
	if (file != NULL)
		fclose(file);
	return kib / 1024;
}

/* parse_number - ends the program where the text is no number up to max. */
static inline unsigned long
parse_number(const char *program, const char *text, unsigned long max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text == '-' || end == text || *end != '\0' ||
	    value < 1 || value > max) {
		fprintf(stderr, "%s: %s: not a number from 1 to %lu\n",
		    program, text, max);
		exit(2);
	}
	return value;
}

#endif
