/*
 * lending.c - memory that others open and close: the kernel and the program.
 *
 * Owns the way by which a mutator tells the fence (fence.c) that the kernel is
 * about to touch a block, and how the program's own mprotect(2) and its own
 * handler of SIGSEGV get along with ours.
 *
 * Always true: while it changes the fence a thread is known, held and has its
 * signals masked; a thread that cannot be made known changes nothing.
 *
 * Not here: which system calls touch what (preload/).
 */
#include "face/lending.h"

#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/marker.h"
#include "face/process.h"
#include "face/threads.h"
#include "heap/blind.h"
#include "heap/span.h"
#include "world/fault.h"
#include "world/mutator.h"

#include <signal.h>
#include <sys/mman.h>

/* enter_fence - Returns: false, the thread cannot be made known. */
static bool
enter_fence(uint64_t *ret_mask)
{
	bilge_thread_begin(false);
	if (mutator_self == NULL)
		return false;
	mutator_enter(ret_mask);
	return true;
}

void
lending_open(uintptr_t start, size_t size)
{
	struct span *span = arena_span_of(start);
	uint64_t mask;

	if (fence_state(start) == FENCE_OPEN || span == NULL ||
	    !enter_fence(&mask))
		return;
	if (fence_state(start) == FENCE_CLOSED)
		fault_note_touch(start, 0);
	fence_open(start, MIN(start + size, span_end(span)));
	mutator_leave(mask);
}

bool
bilge_lend_slow(uintptr_t data, size_t size)
{
	uint64_t mask;

	if (!barrier_protects(data)) {
		lending_open(data, size);
		return false;
	}
	/* A block that small is in one unit. */
	if (fence_is_given(data) || !enter_fence(&mask))
		return false;
	fence_lend(data);
	mutator_leave(mask);
	return true;
}

void
bilge_lend_end(uintptr_t data)
{
	uint64_t mask;

	if (!enter_fence(&mask))
		return;
	fence_return(data);
	mutator_leave(mask);
}

void
bilge_show_slow(uintptr_t data, size_t size)
{
	if (fence_state(data) == FENCE_CLOSED)
		lending_open(data, size);
}

void
bilge_give(const void *data)
{
	uint64_t mask;

	if (!barrier_protects((uintptr_t)data) || !enter_fence(&mask))
		return;
	fence_give((uintptr_t)data);
	mutator_leave(mask);
}

/* -------------------------------------------------------- the program's own */

bool
bilge_protect_begin(const void *start, size_t size, int protection)
{
	uintptr_t from = (uintptr_t)start, to = from + size;
	uint64_t mask;

	if (bilge_mode != BILGE_ACTIVE || !arena_contains(from))
		return false;
	mutator_enter(&mask);
	/* Whoever opens these pages is the program. */
	for (uintptr_t at = from; fence_is_on && at < to; at += UNIT_SIZE)
		fence_give(at);
	span_expect_protected();
	if ((protection & PROT_READ) == 0)
		blind_note(from, to, true);
	mutator_leave(mask);
	/* Who reads there just now has not seen the note. */
	if ((protection & PROT_READ) == 0)
		marker_settle();
	return true;
}

void
bilge_protect_end(const void *start, size_t size, int protection, bool done)
{
	uintptr_t from = (uintptr_t)start, to = from + size;
	uint64_t mask;

	if (done && (protection & PROT_READ) == 0)
		return;
	mutator_enter(&mask);
	if (done)
		blind_note(from, to, false);
	else	/* It may have come a part of the way. */
		for (; from < to; from += ARCH_PAGE_SIZE)
			blind_note(from, from + ARCH_PAGE_SIZE,
				   !sys_is_readable(from));
	mutator_leave(mask);
}

bool
bilge_fault_exchange(const struct sys_action *action,
		     struct sys_action *ret_old, uint64_t *ret_mask)
{
	mutator_enter(ret_mask);
	/*
	 * A child of vfork, before it executes something: our handler is still
	 * needed, and is gone by then.  What is ignored stays so.
	 */
	if (!process_is_ours() && action != NULL &&
	    (uintptr_t)action->handler != (uintptr_t)SIG_IGN)
		action = NULL;
	return fault_exchange(action, ret_old);
}

void
bilge_fault_exchange_end(uint64_t mask)
{
	fault_exchange_end();
	mutator_leave(mask);
}
