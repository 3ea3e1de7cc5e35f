/*
 * depot.h - call stacks, each kept once.
 * Defaults: Context: mutator inside mutator_hold(), collector.
 */
#ifndef BILGE_DEPOT_H
#define BILGE_DEPOT_H

#include "base/base.h"

#define DEPOT_DEPTH_MAX	128

/* One call stack.  Never changes and never goes. */
struct stack {
	uint64_t hash;
	_Atomic(struct stack *) next;	/* in its bucket */
	uint32_t count;
	uintptr_t frames[];		/* return addresses, innermost first */
};

/* depot_init - Context: early.  Errors: -ENOMEM. */
int depot_init(void);

/*
 * depot_intern - the id of a call stack.
 * Returns:  an id of at least SITE_FIRST; SITE_UNKNOWN without memory.
 * Locks:    takes RANK_DEPOT: signals are masked.  Known stacks are found
 *           without it by depot_find().
 */
uint32_t depot_intern(const uintptr_t *frames, uint32_t count);

/* depot_find - the id of a known call stack, 0 if it is new.  Lock-free. */
uint32_t depot_find(const uintptr_t *frames, uint32_t count);

/* depot_stack - the call stack of an id; NULL for SITE_UNKNOWN and below. */
const struct stack *depot_stack(uint32_t id);

/* depot_shrink - reserve no more than this from now on. */
void depot_shrink(size_t size);

void depot_fork_lock(void);
void depot_fork_unlock(bool in_child);

#endif
