/*
 * library.c - where libbilge.so is.
 */
#include "library.h"
#include "cmd.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "libbilge.so"

/* The real path if the file can be read, else NULL. */
static char *
existing(char *path)
{
	char *real = access(path, R_OK) == 0 ? realpath(path, NULL) : NULL;

	free(path);
	return real;
}

char *
library_find(void)
{
	char here[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);
	size_t bindir = strlen(BINDIR);
	size_t prefix;
	char *slash, *found;

	if (length > 0) {
		here[length] = '\0';
		slash = strrchr(here, '/');
		*slash = '\0';
		found = existing(cmd_printf("%s/../preload/" LT_OBJDIR NAME,
		    here));
		if (found != NULL)
			return found;

		/* Staged: what stands before our bindir stands before all. */
		prefix = (size_t)(slash - here);
		if (prefix > bindir &&
		    strcmp(slash - bindir, BINDIR) == 0) {
			found = existing(cmd_printf("%.*s" PKGLIBDIR "/" NAME,
			    (int)(prefix - bindir), here));
			if (found != NULL)
				return found;
		}
	}
	return existing(cmd_printf("%s", PKGLIBDIR "/" NAME));
}

/* Is the path an entry of the list, as the loader splits it? */
static bool
has_entry(const char *list, const char *path)
{
	size_t length = strlen(path);
	size_t entry;

	while (*list != '\0') {
		list += strspn(list, " :");
		entry = strcspn(list, " :");
		if (entry == length && memcmp(list, path, length) == 0)
			return true;
		list += entry;
	}
	return false;
}

void
library_preload(const char *path)
{
	const char *others = getenv("LD_PRELOAD");
	char *list;

	if (strpbrk(path, " :") != NULL)
		cmd_die(STATUS_FAILED, "%s: the loader cannot preload a path "
		    "with a space or a colon", path);
	if (others != NULL && has_entry(others, path))
		return;
	if (others != NULL && *others != '\0')
		list = cmd_printf("%s:%s", path, others);
	else
		list = cmd_printf("%s", path);
	if (setenv("LD_PRELOAD", list, 1) != 0)
		cmd_die(STATUS_FAILED, "out of memory");
	free(list);
}
