/*
 * roots.h - all memory outside the heap that may hold pointers.
 * Defaults: Context: stopped.  Locks: RANK_CYCLE and RANK_MUTATORS held.
 */
#ifndef BILGE_ROOTS_H
#define BILGE_ROOTS_H

#include "world/pages.h"

/* Memory that is or was writable, and is not threads' alone. */
struct root_range {
	uintptr_t start;
	uintptr_t end;
	enum pages_kind kind;	/* PAGES_SHARED_FILE: others may write to it */
	/*
	 * A thread has its descriptor or its stack here: of a thread that
	 * libc did not make, or on memory that the program gave it.  Whoever
	 * makes it read-only stops that thread for good.
	 */
	bool has_thread;
};

/*
 * roots_prepare - note the loaded objects and what the kernel holds, take
 * memory; before the stop.
 * Errors:  -errno of reading the mappings, -ENOMEM.
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
 * The same in parts, for a mark with the world running:
 *
 *   roots_list()           world running: note the ranges, less what is
 *                          threads' alone;
 *   roots_scan_threads()   stopped: all but the ranges: registers, stacks,
 *                          thread-local storage, registered ranges;
 *   roots_for_each_range() world running: visit what was noted.  A range may
 *                          have vanished since: it is to be read with care,
 *                          as sys_copy_from() does;
 *   roots_scan_again()     stopped: as roots_scan_threads(), and all of what
 *                          is neither threads' nor was noted: mappings that
 *                          came or grew, stacks of threads that ended.
 *
 * What was noted is left to the caller, who knows which of its pages have
 * changed.  A range of the list may be another mapping by then, at the same
 * place.  Errors and Units are those of roots_scan(), with_mappings being the
 * same throughout; -ENOMEM, too many threads or mappings.
 */
int roots_list(bool with_mappings);
int roots_scan_threads(bool with_mappings,
		       void (*scan)(uintptr_t start, uintptr_t end));
void roots_for_each_range(void (*visit)(const struct root_range *range,
					void *argument), void *argument);
int roots_scan_again(bool with_mappings,
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
