/*
 * bilge.h - the face of the collector: what preload/ calls.
 *
 * Defaults: Context: mutator, also its signal handlers.  Safety: MT-Safe,
 * AS-Safe (a handler that interrupted an allocation gets its memory from a
 * cache of its own), AC-Safe.  errno is left alone.
 */
#ifndef BILGE_H
#define BILGE_H

#include "face/lending.h"
#include "face/process.h"
#include "face/sites.h"
#include "face/threads.h"
#include "heap/heap.h"
#include "report/depot.h"
#include "world/kernelrefs.h"
#include "world/mutator.h"

/* What only preload/ can know or do. */
struct bilge_host {
	const char *library;		/* path of the preloaded object */
	const char *command;		/* installed path of the command */
	uintptr_t code_start, code_end;	/* its mapping */
	uintptr_t data_start, data_end;	/* a part of it: no roots there */
	uintptr_t libc_start, libc_end;	/* libc's mapping */
	/* Functions of libc whose blocks only the program writes: code, size */
	uintptr_t harmless[4][2];
	/* libc's clock_gettime(3) and dlopen(3). */
	int (*read_clock)(clockid_t clock, struct timespec *ret);
	void *(*open_library)(const char *path, int mode);
	/* A thread nobody announced has allocated: see that its end is seen. */
	void (*thread_found)(void);
};

/* bilge_begin - settings and heap; done by the first allocation.  Early. */
void bilge_begin(void);

/*
 * bilge_start - everything else, from the library's constructor.
 * Units: reason, why the library has to stand down; NULL if it has not.
 */
void bilge_start(const struct bilge_host *host, const char *reason);

/*
 * bilge_alloc_quick - a tracked block whose stack is not kept, from a place
 * that has asked before.
 *
 * Nothing is left of it on the stack, so that nothing has to be cleared there.
 *
 * Returns: NULL when it takes more than that: bilge_alloc_tracked() then.
 */
ALWAYS_INLINE void *
bilge_alloc_quick(size_t size, bool zero, const void *caller)
{
	struct mutator *m = mutator_self;
	uint32_t site = load_relaxed(&bilge_only_site);
	size_t dirty;
	void *block;

	if (unlikely(size >= heap_noted_end) || unlikely(m == NULL) ||
	    unlikely((m->ignore_depth | m->is_unwinding) != 0))
		return NULL;
	if (unlikely(m->sample_left <= (int64_t)size))
		return NULL;
	/* Once more where it takes more: one in sixty, no harm is done. */
	m->sample_left -= (int64_t)size;
	if (site == 0) {
		site = depot_find_lately((uintptr_t)caller);
		if (unlikely(site == 0))
			return NULL;
	}
	if (unlikely(!heap_alloc_noted(size, site, &block, &dirty)))
		return NULL;
	if ((zero || heap_clears) && dirty != 0)
		return span_clear_slot(block, dirty);
	return block;
}

/*
 * bilge_alloc_tracked - the way of bilge_alloc() when sites are kept.
 * Units: caller, an address in the code that asked, or 0.
 */
void *bilge_alloc_tracked(size_t size, size_t alignment, bool zero,
			  const void *caller);

/*
 * bilge_alloc - a block; zeroed if asked for.
 * Returns: NULL when there is no memory or size exceeds PTRDIFF_MAX.
 */
ALWAYS_INLINE void *
bilge_alloc(size_t size, bool zero, const void *caller)
{
	if (bilge_is_tracking)
		return bilge_alloc_tracked(size, 0, zero, caller);
	return heap_alloc(size, zero);
}

ALWAYS_INLINE void *
bilge_alloc_aligned(size_t size, size_t alignment, const void *caller)
{
	if (bilge_is_tracking)
		return bilge_alloc_tracked(size, alignment, false, caller);
	return heap_alloc_aligned(size, alignment);
}

/*
 * bilge_free - give a block back.
 *
 * A block freed twice, or an address where no block begins, ends the process
 * with one line that names function and address.
 *
 * Returns: false when the address is not ours: the next allocator's.
 */
bool bilge_free(void *block, const char *function, const void *caller);

/*
 * bilge_resize - size is not 0.
 * Returns: the block, NULL when there is no memory: then the old one stands.
 *          *ret_foreign: it is not ours.
 */
void *bilge_resize(void *block, size_t size, bool *ret_foreign,
		   const char *function, const void *caller);

/*
 * bilge_check - look for leaks and report them.
 * Returns: how many blocks were leaked; 0 when the check was abandoned.
 */
size_t bilge_check(void);

/*
 * bilge_exit_check - the check at exit, once in a process.  The program's
 * other threads stand still from then on.
 * Returns: the status to exit with.
 */
int bilge_exit_check(int exit_status);

/*
 * bilge_exit_check_now - the check at exit, now: it is not repeated.
 * Returns: were there leaks?
 */
bool bilge_exit_check_now(void);

/* LeakSanitizer's interface. */
void bilge_ignore_begin(void);
void bilge_ignore_end(void);
void bilge_ignore_block(const void *block);
bool bilge_root_add(const void *start, size_t size);
bool bilge_root_remove(const void *start, size_t size);

#endif
