/*
 * record_find.h - the record that a process has left.
 */
#ifndef BILGE_RECORD_FIND_H
#define BILGE_RECORD_FIND_H

#include "record_reader.h"

#include <sys/types.h>

/*
 * record_load - read the record in a file.
 * Returns:  the record, for record_destroy(); NULL, with the cause in
 *           *ret_why.
 */
struct record *record_load(const char *path, const char **ret_why);

/*
 * record_find - the record of a process among those that BILGE_RECORD with
 * this value names.
 *
 * A pattern with %e or %t may name files of other processes and of older runs;
 * the process may have become another program and have left one for each.  The
 * last that is its own counts.
 *
 * Units:    since, seconds: no file that was last written before is meant.
 * Returns:  as record_load().
 */
struct record *record_find(const char *pattern, pid_t pid, time_t since,
    const char **ret_why);

#endif
