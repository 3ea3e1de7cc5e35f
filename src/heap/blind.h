/*
 * blind.h - parts of the heap that the program has made unreadable.
 *
 * Guard pages of stacks that it divides from a block, mostly.  Whoever reads
 * blocks for pointers asks here first.
 */
#ifndef BILGE_BLIND_H
#define BILGE_BLIND_H

#include "base/base.h"

/* Atomic: is there any?  False in nearly every program. */
extern _Atomic bool blind_is_any;

/*
 * blind_note - the program makes [start, end) unreadable, or readable again.
 * Where there is no memory to remember it, all is taken for unreadable from
 * then on (blind_is_total()).
 * Context: mutator inside mutator_hold() with its signals masked.
 *          Locks: takes RANK_BLIND.
 */
void blind_note(uintptr_t start, uintptr_t end, bool is_blind);

/*
 * blind_is_total - was there once no memory for a note?  What was marked since
 * is not all that can be reached.  Context: any.
 */
bool blind_is_total(void);

/* blind_skip - see blind_next(). */
bool blind_skip(uintptr_t *at, uintptr_t end, uintptr_t *ret_end);

/*
 * blind_next - the next part of [*at, end) that can be read, from *at, which is
 * moved to its beginning.
 * Returns: false when there is none left.
 * Context: collector.  Locks: takes RANK_BLIND where there are any.
 */
ALWAYS_INLINE bool
blind_next(uintptr_t *at, uintptr_t end, uintptr_t *ret_end)
{
	/* relaxed: who makes a part unreadable waits for those who read. */
	if (likely(!load_relaxed(&blind_is_any))) {
		*ret_end = end;
		return *at < end;
	}
	return blind_skip(at, end, ret_end);
}

void blind_fork_lock(void);
void blind_fork_unlock(bool in_child);

#endif
