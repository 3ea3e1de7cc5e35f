/*
 * program.h - the file behind a command's name, and whether the loader would
 * put a library in front of it.
 */
#ifndef BILGE_PROGRAM_H
#define BILGE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

struct program {
	char *path;			/* what the kernel maps */
	char *script;			/* the script it is run for, or NULL */
	char *interpreter;		/* the loader; NULL without one */
	const char *obstacle;		/* why it is not preloaded, or NULL */
	bool breaks;			/* to try would even end it */
};

/*
 * program_find - the file that execvp(3) would run.
 * Returns:  its path, the caller frees it; NULL with errno.
 */
char *program_find(const char *name);

/*
 * program_examine - follow scripts to their interpreter and read the headers.
 *
 * A file that cannot be read or is in no format we know has no obstacle: it
 * may be executable all the same.
 */
void program_examine(const char *path, struct program *ret_program);

void program_fini(struct program *program);

#endif
