/*
 * marker.h - from roots to everything that can be reached.
 * Defaults: Context: stopped.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_MARKER_H
#define BILGE_MARKER_H

#include "collect/candidate.h"

/* marker_begin - no block is marked, claimed slots are black (H3). */
void marker_begin(void);

/* marker_scan_range - grey every block a word of [start, end) points to. */
void marker_scan_range(uintptr_t start, uintptr_t end);

/* marker_grey_ignored - grey the blocks the program told us to ignore. */
void marker_grey_ignored(void);

/* marker_drain - scan until nothing is grey. */
void marker_drain(void);

/* Bytes of the slots that were marked since marker_begin(). */
uint64_t marker_bytes(void);

#endif
