/*
 * marker.h - from roots to everything that can be reached.
 *
 * Several threads mark together; each has a marker of its own.
 *
 * Defaults: Context: collector, world running or stopped.
 *           Locks: RANK_CYCLE held by the cycle.
 */
#ifndef BILGE_MARKER_H
#define BILGE_MARKER_H

#include "collect/candidate.h"

#define MARKERS_MAX	64

struct marker;

/* marker_of - the marker of the index-th marking thread; 0: the collector. */
struct marker *marker_of(unsigned index);

/*
 * marker_begin - get ready.
 * Units:   is_exact, of a block only the bytes that were asked for are read;
 *          otherwise, faster, all of its slot.
 * Returns: false when there is no memory for lists.
 */
bool marker_begin(bool is_exact);

/*
 * marker_whiten - no block is marked; all that is free is black.
 * Context: collector, after the barrier was armed; or stopped.
 */
void marker_whiten(void);

/* marker_end - after the last use of a cycle, also of one abandoned. */
void marker_end(void);

/*
 * marker_blacken_claims - all claims are black, and will be (H3).
 * Context: stopped.
 */
void marker_blacken_claims(void);

/*
 * marker_scan_range - grey every block that a word of [start, end) points to,
 * by the collector's marker.
 */
void marker_scan_range(uintptr_t start, uintptr_t end);

/* marker_grey - have a block scanned; its bit is set already. */
void marker_grey(struct marker *marker, const struct block *block);

/*
 * marker_scan_slots - scan slots of a span that are black, and in no list.
 * Units: bits, of the word-th word of its bitmaps.
 */
void marker_scan_slots(struct marker *marker, const struct span *span,
		       uint32_t word, uint64_t bits);

/* marker_grey_ignored - grey the blocks the program told us to ignore. */
void marker_grey_ignored(void);

/*
 * marker_rescan - scan again what lies in [start, end), a part of the heap
 * that was written, of the blocks that are marked (M1).
 */
void marker_rescan(struct marker *marker, uintptr_t start, uintptr_t end);

/*
 * marker_drain - scan what is grey.
 * Units:   budget, bytes to scan before it returns in any case.
 * Returns: is nothing grey any more, here and in the pool?
 */
bool marker_drain(struct marker *marker, size_t budget);

/*
 * marker_give_back - what a marker has left goes to the pool, for others.
 * Context: collector, also another thread than the one that used it.
 */
void marker_give_back(struct marker *marker);

/*
 * marker_settle - return when no marking thread reads blocks by what was known
 * before: each has begun anew, or none is at it.
 * Context: mutator outside mutator_hold().
 */
void marker_settle(void);

/* Bytes of the slots that were marked, and scanned, since marker_begin(). */
uint64_t marker_bytes(void);
uint64_t marker_scanned_bytes(void);

#endif
