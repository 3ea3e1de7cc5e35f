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

/*
 * Stacks of one frame that were looked up lately, by a hash of it.
 * Atomic: release [D] when one is put there.
 */
#define DEPOT_LATELY_BITS 10u
extern _Atomic(const struct stack *)
	depot_lately[1u << DEPOT_LATELY_BITS] HIDDEN;

/* Fixed by depot_init(). */
extern uintptr_t depot_start HIDDEN;

/* An id is a stack's place in the table, in steps of so many bytes. */
#define DEPOT_STEP	16u

/* depot_id - of a stack that is kept. */
ALWAYS_INLINE uint32_t
depot_id(const struct stack *s)
{
	return (uint32_t)(((uintptr_t)s - depot_start) / DEPOT_STEP);
}

/* depot_place - where in depot_lately a frame's stack is. */
ALWAYS_INLINE size_t
depot_place(uintptr_t frame)
{
	return frame * UINT64_C(0x9e3779b97f4a7c15) >> (64 - DEPOT_LATELY_BITS);
}

/*
 * depot_find_lately - as depot_find() for one frame, if that was looked up
 * lately; else 0.  Context: any.
 */
ALWAYS_INLINE uint32_t
depot_find_lately(uintptr_t frame)
{
	/* acquire [D] */
	const struct stack *s = load_acquire(&depot_lately[depot_place(frame)]);

	if (unlikely(s == NULL) || unlikely(s->frames[0] != frame))
		return 0;
	return depot_id(s);
}

/* depot_stack - the call stack of an id; NULL for SITE_UNKNOWN and below. */
const struct stack *depot_stack(uint32_t id);

/* depot_shrink - reserve no more than this from now on. */
void depot_shrink(size_t size);

void depot_fork_lock(void);
void depot_fork_unlock(bool in_child);

#endif
