/*
 * cycle.h - one collection.  The tour of the collector starts in cycle.c.
 * Defaults: Context: a program thread that is about to become the collector.
 */
#ifndef BILGE_CYCLE_H
#define BILGE_CYCLE_H

#include "report/leaks.h"

/*
 * cycle_check - find what is unreachable, with the world stopped for as long
 * as marking takes.
 *
 * Units:   own_sp, everything on the caller's stack above it is the program's;
 *          is_last, the process is about to end: the world stands still until
 *          it has.
 * Returns: 0, with RANK_CYCLE held until cycle_end(): leaks_groups() tells.
 * Errors:  -EBUSY, a cycle is under way; -ETIMEDOUT, -ENOSYS, -ENOMEM, ...: it
 *          was abandoned, and one line has said why.
 */
int cycle_check(uintptr_t own_sp, bool is_last);
void cycle_end(void);

void cycle_fork_lock(void);
void cycle_fork_unlock(bool in_child);

#endif
