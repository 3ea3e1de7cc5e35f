/*
 * tell.h - the reports: what goes into them, and where they go.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_TELL_H
#define BILGE_TELL_H

#include "collect/cycle.h"

/* tell_start - remember what standard error is.  Context: early. */
void tell_start(void);

/*
 * tell_growth - what a cycle of the running program found that is new: each
 * site in the record, and in the text, where the user has named a place for
 * it, when it is first seen and each time it has doubled.
 */
void tell_growth(const struct cycle_report *report);

/*
 * tell_all - after cycle_check(): all leaks, and what was reclaimed.
 * Units:   exit_status, -1: it is not known; is_last, this check is not made
 *          again.
 * Returns: how many blocks were leaked.
 */
size_t tell_all(int exit_status, bool is_last);

#endif
