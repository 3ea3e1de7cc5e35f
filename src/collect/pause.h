/*
 * pause.h - the world stands, and how long it did.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_PAUSE_H
#define BILGE_PAUSE_H

#include "world/stop.h"

/*
 * pause_begin - stop the world, as stop_begin() does.
 * Units:   own_sp, 0: the caller is no thread of the program; is_last, the
 *          process is about to end: that is no pause.
 */
int pause_begin(uintptr_t own_sp, bool is_last,
		struct stop_failure *ret_failure);

/* pause_end - Returns: nanoseconds since the first thread was stopped. */
uint64_t pause_end(void);

/* pause_ns - the same, so far. */
uint64_t pause_ns(void);

#endif
