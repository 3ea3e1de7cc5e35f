/*
 * barrier.h - which pages did the program write?
 *
 * A barrier tracks ranges: the heap, and root mappings that were added.  A
 * page of them is clean or dirty.  Arming makes all pages clean; writing makes
 * a page dirty; collecting reports the dirty ones and may make them clean
 * again.  Memory that appears in a tracked range is dirty.
 *
 * Defaults: Context: collector, world running or stopped.
 *           Locks: RANK_CYCLE held.
 */
#ifndef BILGE_BARRIER_H
#define BILGE_BARRIER_H

#include "base/base.h"

/* One way to learn it; barrier_uffd.c, barrier_mprotect.c, barrier_stop.c. */
struct barrier {
	const char *name;
	/* Can the program run while marking goes on? */
	bool is_concurrent;
	/* Can several threads collect, each of another range? */
	bool is_divisible;

	/*
	 * open - get ready in this process and try it out on a page of ours.
	 * close - forget everything; forked: without a word to the kernel.
	 */
	int (*open)(void);
	void (*close)(bool is_forked);

	/* track - also [start, end) from now on; it is dirty. */
	int (*track)(uintptr_t start, uintptr_t end);

	/*
	 * collect - call visit for every dirty part of [start, end), which is
	 * tracked; make it clean if rearm is set.
	 * Returns: 0, or -errno: what was written is not known then (M3).
	 */
	int (*collect)(uintptr_t start, uintptr_t end, bool rearm,
		       void (*visit)(uintptr_t, uintptr_t, void *),
		       void *argument);

	/*
	 * rest - call visit for the parts of the heap that are not tracked
	 * and have to be read again while the world stands; NULL: none.
	 */
	void (*rest)(void (*visit)(uintptr_t, uintptr_t, void *),
		     void *argument);

	/* disarm - every page may be written without cost again. */
	void (*disarm)(void);
};

extern const struct barrier barrier_uffd;
/* barrier_uffd_is_there - does the kernel offer what it needs? */
bool barrier_uffd_is_there(void);
extern const struct barrier barrier_mprotect;
extern const struct barrier barrier_stop;

/*
 * barrier_open - choose the best barrier that works here; BILGE_BARRIER may
 * name it.  Done once in a process, and again where a cycle found it broken.
 */
const struct barrier *barrier_open(void);

/* barrier_current - the one chosen; barrier_stop before that. */
const struct barrier *barrier_current(void);

/*
 * barrier_may_protect - could a cycle of this process use barrier_mprotect?
 * Asked once, before the first.  Context: mutator.
 */
bool barrier_may_protect(void);

/*
 * barrier_foreseen - the name of the one that cycles of this process will
 * begin with, unless its self-test fails.  Asked once, after fence_start().
 * Context: mutator.
 */
const char *barrier_foreseen(void);

/* barrier_protects - could this address be in a protected page at any time? */
bool barrier_protects(uintptr_t addr);

/* barrier_failed - the current one did not do its work: step down. */
void barrier_failed(void);

/*
 * barrier_close - the thread whose descriptors it uses ends; barrier_open()
 * opens it again.
 */
void barrier_close(void);

/* barrier_fork_child - what was inherited acts on the parent's memory. */
void barrier_fork_child(void);

#endif
