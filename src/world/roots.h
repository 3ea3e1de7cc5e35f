/*
 * roots.h - all memory outside the heap that may hold pointers.
 * Defaults: Context: stopped.  Locks: RANK_CYCLE and RANK_MUTATORS held.
 */
#ifndef BILGE_ROOTS_H
#define BILGE_ROOTS_H

#include "base/base.h"

/*
 * roots_prepare - note the loaded objects, which takes memory.
 * Errors:  -errno of reading the mappings.
 * Context: collector, world running.
 */
int roots_prepare(void);

/*
 * roots_scan - call scan for every part of every root.
 * Units:   with_mappings, also writable mappings that are no data segments.
 * Returns: 0, or -errno when the mappings cannot be read: the mark is not
 *          complete then (M3).
 */
int roots_scan(bool with_mappings,
	       void (*scan)(uintptr_t start, uintptr_t end));

/*
 * roots_register, roots_unregister - ranges the program names itself
 * (__lsan_register_root_region).
 * Returns: false when the table is full, or the range was not registered.
 * Context: mutator.  Locks: takes RANK_ROOTS.
 */
bool roots_register(uintptr_t start, size_t size);
bool roots_unregister(uintptr_t start, size_t size);

/* roots_exclude - memory of ours that looks like the program's.  Early. */
void roots_exclude(uintptr_t start, uintptr_t end);

/*
 * roots_note_loader - the mapping of the main thread's descriptor, in which
 * ld.so keeps its list of objects.  The program's own may be merged with it
 * later, so it is noted now.  Early.
 */
void roots_note_loader(void);

void roots_fork_lock(void);
void roots_fork_unlock(bool in_child);

#endif
