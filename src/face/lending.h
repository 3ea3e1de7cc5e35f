/*
 * lending.h - memory that others open and close: the kernel and the program.
 * Defaults: as in bilge.h.
 */
#ifndef BILGE_LENDING_H
#define BILGE_LENDING_H

#include "heap/arena.h"
#include "heap/fence.h"

/*
 * What the kernel touches in a system call, while pages of the heap may be
 * protected (fence.h).
 *
 * bilge_lend - the kernel will read and write memory that begins here.
 * Returns: true: bilge_lend_end() has to follow the call.
 * bilge_show - it will only read it.
 */
bool bilge_lend_slow(uintptr_t data, size_t size);
void bilge_lend_end(uintptr_t data);
void bilge_show_slow(uintptr_t data, size_t size);

ALWAYS_INLINE bool
bilge_lend(const void *data, size_t size)
{
	return unlikely(fence_is_on) && arena_contains((uintptr_t)data) &&
	       bilge_lend_slow((uintptr_t)data, size);
}

ALWAYS_INLINE void
bilge_show(const void *data, size_t size)
{
	/* relaxed: what is shut now nobody should have an address of. */
	if (unlikely(load_relaxed(&fence_count) != 0) &&
	    arena_contains((uintptr_t)data))
		bilge_show_slow((uintptr_t)data, size);
}

/* bilge_give - memory that the kernel may write at any time from now on. */
void bilge_give(const void *data);

/* lending_open - open what is shut of a block, before somebody touches it. */
void lending_open(uintptr_t start, size_t size);

/*
 * bilge_protect_begin, bilge_protect_end - around mprotect(2).
 * Units:   protection, PROT_READ and the like; done, it has succeeded.
 * Returns: does the range begin in our heap?  Then bilge_protect_end() follows.
 */
bool bilge_protect_begin(const void *start, size_t size, int protection);
void bilge_protect_end(const void *start, size_t size, int protection,
		       bool done);

/*
 * bilge_fault_exchange - set and get the program's disposition of SIGSEGV.
 * Returns: false: that is libc's business; in any case the call is followed
 *          by bilge_fault_exchange_end().
 */
struct sys_action;
bool bilge_fault_exchange(const struct sys_action *action,
			  struct sys_action *ret_old, uint64_t *ret_mask);
void bilge_fault_exchange_end(uint64_t mask);

#endif
