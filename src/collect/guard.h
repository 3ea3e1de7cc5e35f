/*
 * guard.h - which quarantined blocks may be used again (G1).
 *
 * A mark answers that, and where only that is asked, a simpler one than that
 * for leaks: the whole heap is read in the order of its addresses, reachable
 * or not.
 *
 * Defaults: Context: collector, world running or stopped.
 *           Locks: RANK_CYCLE held.
 */
#ifndef BILGE_GUARD_H
#define BILGE_GUARD_H

#include "report/groups.h"
#include "report/record.h"

/* Of one sweep, in bytes of slots. */
struct guard_result {
	uint64_t released_bytes;
	uint64_t kept_bytes;
};

/*
 * guard_whiten - what is in quarantine now is white, all else is black.
 * Context: as marker_whiten(), which it stands for.
 */
void guard_whiten(void);

/*
 * guard_scan_heap - scan all blocks but those in quarantine.
 * Units:   between, called now and then; false: stop, the cycle is given up.
 *          NULL: go on to the end.
 */
void guard_scan_heap(bool (*between)(void));

/*
 * guard_sweep - release what a complete mark has left white, and look whether
 * somebody has written to what is in quarantine.
 * Context: collector, world running, claims are black.
 */
void guard_sweep(struct guard_result *ret);

/*
 * guard_check - look for writes, and count what is pointed at; nothing is
 * released.
 * Units:   is_marked, a mark is complete.
 * Context: also stopped.
 */
void guard_check(bool is_marked);

/* What guard_check() has counted, until guard_forget(). */
const struct leak_group *guard_kept(size_t *ret_count);
void guard_forget(void);

/* guard_overwrites - the first writes to freed blocks that were found. */
const struct overwrite *guard_overwrites(size_t *ret_count);

#endif
