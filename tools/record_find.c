/*
 * record_find.c - the record that a process has left.
 */
#include "record_find.h"
#include "cmd.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct record *
record_load(const char *path, const char **ret_why)
{
	FILE *in = fopen(path, "re");
	struct record *record;

	if (in == NULL) {
		*ret_why = strerror(errno);
		return NULL;
	}
	record = record_read(in, ret_why);
	fclose(in);
	return record;
}

/* The names that the library may have made of a pattern, for glob(3). */
static char *
names_of(const char *pattern, pid_t pid)
{
	size_t length;
	char *names;
	FILE *out = open_memstream(&names, &length);

	if (out == NULL)
		cmd_die(STATUS_FAILED, "out of memory");
	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '%' && pattern[1] != '\0') {
			pattern++;
			if (*pattern == 'p') {
				fprintf(out, "%ld", (long)pid);
				continue;
			}
			if (*pattern == 'e' || *pattern == 't') {
				fputc('*', out);
				continue;
			}
		}
		fprintf(out, "\\%c", *pattern);
	}
	if (fclose(out) != 0)
		cmd_die(STATUS_FAILED, "out of memory");
	return names;
}

/* Was it written later than *last?  Then *last is when. */
static bool
is_later(const char *path, struct timespec *last)
{
	struct stat st;

	if (stat(path, &st) != 0 || st.st_mtim.tv_sec < last->tv_sec ||
	    (st.st_mtim.tv_sec == last->tv_sec &&
	    st.st_mtim.tv_nsec < last->tv_nsec))
		return false;
	*last = st.st_mtim;
	return true;
}

struct record *
record_find(const char *pattern, pid_t pid, time_t since, const char **ret_why)
{
	char *names = names_of(pattern, pid);
	/* The other name: while another process writes to the first. */
	char *other = cmd_printf("%s.%ld", names, (long)pid);
	struct record *found = NULL, *record;
	struct timespec last = { .tv_sec = since }, before;
	glob_t paths = { 0 };

	*ret_why = strerror(ENOENT);
	glob(names, 0, NULL, &paths);
	glob(other, GLOB_APPEND, NULL, &paths);
	for (size_t i = 0; i < paths.gl_pathc; i++) {
		before = last;
		if (!is_later(paths.gl_pathv[i], &last))
			continue;
		record = record_load(paths.gl_pathv[i], ret_why);
		if (record == NULL || record->pid != pid) {
			if (record != NULL)
				record_destroy(record);
			last = before;
			continue;
		}
		if (found != NULL)
			record_destroy(found);
		found = record;
	}
	globfree(&paths);
	free(other);
	free(names);
	return found;
}
