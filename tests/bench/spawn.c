/*
 * spawn.c - time and memory of a command, for several environments in turn.
 *
 *	spawn COUNT COMMAND [ARG ...] -- LABEL [NAME=VALUE ...] [-- ...]
 *
 * Runs the command COUNT times under each label, one label after the other so
 * that all of them meet the same moods of the machine, with the variables
 * named after the label added to the environment.  What the command prints is
 * dropped.  Prints for each label a line
 *
 *	LABEL MILLISECONDS MORE KIB
 *
 * with medians: from start to end of the command; how much more that is than
 * under the first label in the same turn; and the peak resident memory of the
 * largest process among the command and the children it waited for.
 *
 * This program stays small, because the kernel lets a child's peak begin with
 * the memory its parent shared with it until it called execve.
 */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

enum {
	COUNT_MAX = 10000,
	LABELS_MAX = 16,
	VARIABLES_MAX = 4096,
};

struct label {
	const char *name;
	char **added;			/* NAME=VALUE, up to a NULL */
	double ms[COUNT_MAX];
	double more_ms[COUNT_MAX];
	double peak_kib[COUNT_MAX];
};

static struct label labels[LABELS_MAX];
static int label_count;

static _Noreturn void
die(const char *what, const char *why)
{
	fprintf(stderr, "spawn: %s: %s\n", what, why);
	exit(2);
}

static double
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

/* Only the last of two values of a name may stand in an environment. */
static char **
compose_environment(char **added)
{
	static char *variables[VARIABLES_MAX + 1];
	int count = 0;

	for (char **at = added; *at != NULL; at++)
		variables[count++] = *at;
	for (char **at = environ; *at != NULL; at++) {
		size_t length = strcspn(*at, "=") + 1;
		int i = 0;

		while (added[i] != NULL &&
		    strncmp(added[i], *at, length) != 0)
			i++;
		if (added[i] != NULL)
			continue;
		if (count == VARIABLES_MAX)
			die("environment", "too many variables");
		variables[count++] = *at;
	}
	variables[count] = NULL;
	return variables;
}

static void
run(char **command, struct label *label, int turn)
{
	static posix_spawn_file_actions_t quiet;
	static int quiet_is_set;
	char **environment = compose_environment(label->added);
	struct rusage usage;
	double begin;
	int error, status;
	pid_t child;

	if (!quiet_is_set) {
		posix_spawn_file_actions_init(&quiet);
		posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO,
		    "/dev/null", O_WRONLY, 0);
		posix_spawn_file_actions_adddup2(&quiet, STDOUT_FILENO,
		    STDERR_FILENO);
		quiet_is_set = 1;
	}

	begin = clock_ms();
	error = posix_spawnp(&child, command[0], &quiet, NULL, command,
	    environment);
	if (error != 0)
		die(command[0], strerror(error));
	while (wait4(child, &status, 0, &usage) < 0)
		if (errno != EINTR)
			die("wait4", strerror(errno));
	label->ms[turn] = clock_ms() - begin;
	label->more_ms[turn] = label->ms[turn] - labels[0].ms[turn];
	label->peak_kib[turn] = usage.ru_maxrss;
	/* A command that fails early would look fast. */
	if (status != 0)
		die(label->name, WIFEXITED(status) ?
		    "the command failed" : "the command was killed");
}

static double
median(double *values, int count)
{
	qsort(values, count, sizeof *values, compare_doubles);
	return values[count / 2];
}

/* Cuts the arguments at each "--" into the command and the labels. */
static void
parse_labels(int argc, char **argv)
{
	for (int i = 3; i < argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		argv[i] = NULL;
		if (i + 1 == argc || label_count == LABELS_MAX)
			die("labels", "none given, or too many");
		labels[label_count].name = argv[i + 1];
		labels[label_count++].added = argv + i + 2;
	}
}

int
main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 0;

	parse_labels(argc, argv);
	if (count < 1 || count > COUNT_MAX || label_count == 0) {
		fputs("usage: spawn COUNT COMMAND [ARG ...] "
		    "-- LABEL [NAME=VALUE ...] [-- ...]\n", stderr);
		return 2;
	}

	/* The first run brings the files into memory; it counts for none. */
	for (int i = 0; i < label_count; i++)
		run(argv + 2, &labels[i], 0);
	for (int turn = 0; turn < count; turn++)
		for (int i = 0; i < label_count; i++)
			run(argv + 2, &labels[i], turn);

	for (int i = 0; i < label_count; i++) {
		struct label *label = &labels[i];

		printf("%s %.3f %.3f %.0f\n", label->name,
		    median(label->ms, count), median(label->more_ms, count),
		    median(label->peak_kib, count));
	}
	return 0;
}
