/*
 * output.h - the file a report goes to.
 */
#ifndef BILGE_OUTPUT_H
#define BILGE_OUTPUT_H

#include <stdio.h>
#include <sys/types.h>

/*
 * output_open - open the file for writing; NULL or "-" is the stream given.
 * Ends the command when it cannot be opened.
 */
FILE *output_open(const char *path, FILE *otherwise);

/* output_close - end the command unless all was written. */
void output_close(FILE *out, const char *path);

/* output_absolute - a path that holds in any directory; the caller frees. */
char *output_absolute(const char *path);

/*
 * output_expand - %p the process, %e its program, %t the time in seconds,
 * as the library does in BILGE_REPORT; after another % a character stands for
 * itself.  The caller frees.
 */
char *output_expand(const char *pattern, pid_t pid, const char *exe);

#endif
