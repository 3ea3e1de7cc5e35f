/*
 * cmd.c - statuses, messages and memory of the command.
 */
#include "cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void
say(const char *format, va_list args)
{
	/* One write a line: other processes write to the same place. */
	char *text;

	if (vasprintf(&text, format, args) < 0)
		return;
	fflush(stdout);
	fprintf(stderr, "bilge: %s\n", text);
	free(text);
}

void
cmd_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void
cmd_die(enum status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	exit(status);
}

void
cmd_common_option(int option, const char *help)
{
	switch (option) {
	case 'h':
		fputs(help, stdout);
		break;
	case 'V':
		puts("bilge " PACKAGE_VERSION);
		break;
	default:
		exit(STATUS_USAGE);
	}
	if (fflush(stdout) != 0)
		cmd_die(STATUS_FAILED, "cannot write: %m");
	exit(STATUS_OK);
}

long
cmd_number(const char *option, const char *text, long min, long max)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || number < min ||
	    number > max)
		cmd_die(STATUS_USAGE, "%s: '%s' is not a number from %ld "
		    "to %ld", option, text, min, max);
	return number;
}

void *
cmd_alloc(size_t size)
{
	void *block = calloc(1, size != 0 ? size : 1);

	if (block == NULL)
		cmd_die(STATUS_FAILED, "out of memory");
	return block;
}

void *
cmd_realloc(void *old, size_t size)
{
	void *block = realloc(old, size != 0 ? size : 1);

	if (block == NULL)
		cmd_die(STATUS_FAILED, "out of memory");
	return block;
}

char *
cmd_printf(const char *format, ...)
{
	va_list args;
	char *text;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0)
		cmd_die(STATUS_FAILED, "out of memory");
	return text;
}
