/*
 * sites.h - the site of the allocation that is being made.
 * Defaults: as in bilge.h.
 */
#ifndef BILGE_SITES_H
#define BILGE_SITES_H

#include "base/base.h"

/*
 * The site of every allocation, where no stacks are kept; else 0.
 * Atomic: relaxed, set once.
 */
extern _Atomic uint32_t bilge_only_site HIDDEN;

/* Atomic: relaxed, set once. */
extern _Atomic bool sites_unwinder_was_tried HIDDEN;

/*
 * sites_start - from here on the unwinder can be opened.
 * Units: code_start, code_end, our own mapping; open_library, dlopen(3).
 */
void sites_start(uintptr_t code_start, uintptr_t code_end,
		 void *(*open_library)(const char *path, int mode));

/* sites_do_without_unwinder - no call stacks are wanted, or can be had. */
void sites_do_without_unwinder(void);

/*
 * sites_try_unwinder - open it, if that can be done now.
 * Context: mutator outside mutator_hold().
 */
void sites_try_unwinder(uintptr_t caller);

/* sites_have_stacks - can unwind_begin() be called? */
bool sites_have_stacks(void);

/*
 * sites_current - the site of an allocation of this size.
 * Units:   caller, an address in the code that asked, or 0.
 * Context: mutator outside mutator_hold().
 */
uint32_t sites_current(size_t size, const void *caller);

/*
 * sites_freeing - the site of a call that frees a block: its stack where each
 * allocation's is kept, else the place alone.
 */
uint32_t sites_freeing(const void *caller);

/*
 * bilge_thread_ahead - a thread is about to be made: what is easier done while
 * there are fewer is done now.
 */
void bilge_thread_ahead(const void *caller);

#endif
