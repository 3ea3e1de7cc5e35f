/*
 * quarantine.h - blocks that the program has freed and that are held back.
 * Defaults: errno untouched.
 */
#ifndef BILGE_QUARANTINE_H
#define BILGE_QUARANTINE_H

#include "heap/cache.h"

/*
 * quarantine_start - from now on what is freed goes into quarantine.
 * Context: early, one thread, before the first span is cut.
 */
void quarantine_start(void);

/*
 * quarantine_put - clear a slot that the program gives back, and hold it.
 * Units:   site, of the call that frees it; SITE_UNKNOWN.
 * Returns: false, with nothing done, when it is in quarantine already.
 * Cost:    clears the slot; drops the pages of a large one.
 * Context: mutator, also a signal handler.  It may be stopped at any point:
 *          until its bit is set the block is the program's (H1).
 */
bool quarantine_put(struct span *span, uint32_t slot, uint32_t site);

/*
 * quarantine_release - let slots of a word be used again.  Their sites are
 * forgotten.
 * Units:   bits, all of them in quarantine, and nobody has their addresses.
 * Context: collector.
 */
void quarantine_release(struct span *span, uint32_t word, uint64_t bits);

/* quarantine_note - the site of the call that has just freed a block. */
void quarantine_note(const void *block, uint32_t site);

#endif
