/*
 * barrier_mprotect.c - dirty units by mprotect(2) and SIGSEGV, for kernels
 * without userfaultfd or older than 6.7.
 *
 * A unit is clean while fence.c has it as read-only.  The first write faults
 * and opens it; a system call that writes there would fail instead, so the
 * wrappers of preload/ open and keep open what the kernel is about to write.
 *
 * Tracked are only spans of small slots.  In larger ones may lie what cannot be
 * protected at all, because the kernel writes there when nobody calls it:
 * stacks, on which it puts signal frames, and buffers of asynchronous requests.
 * They are read again while the world stands (rest), as are the roots; reading
 * them is a matter of memory bandwidth, where small blocks are a matter of
 * cache misses.
 *
 * Always true:
 *   V1  no page is protected that could be part of a stack: what is smaller
 *       than MINSIGSTKSZ, the least that a signal's frame fits into, is none;
 *   V2  at most MAPPINGS_MAX units in a row are opened one by one: larger heaps
 *       are opened in groups.
 */
#include "collect/barrier.h"

#include "base/sys.h"
#include "heap/fence.h"
#include "heap/heap.h"
#include "world/fault.h"

#include <errno.h>

/* Linux's MINSIGSTKSZ on this processor; libc's is a system call today. */
#define STACK_MIN	2048u

/*
 * Mappings that the heap may be split into; vm.max_map_count is 65530, and the
 * program has its own.
 */
#define MAPPINGS_MAX	((size_t)8192)

static bool
is_tracked_span(const struct span *span)
{
	return span != NULL && !span_is_large(span) &&
	       span->slot_size < STACK_MIN;			/* V1 */
}

bool
barrier_protects(uintptr_t addr)
{
	return fence_lends && is_tracked_span(arena_span_of(addr));
}

static bool
is_tracked(uintptr_t unit)
{
	return is_tracked_span(arena_span_of(unit));
}

/* set_group - V2. */
static void
set_group(void)
{
	size_t units = load_relaxed(&arena_view.frontier) >> UNIT_SHIFT;
	size_t group = 1;

	while (units / group > MAPPINGS_MAX)
		group *= 2;
	fault_set_group(group);
}

static int
mprotect_track(uintptr_t start, uintptr_t end)
{
	/* The heap is; see above. */
	if (start != arena_view.base || end < start)
		return -ENOSYS;
	set_group();
	/* Asked once a cycle: is the signal still ours? */
	return fault_install();
}

static void
mprotect_disarm(void)
{
	fence_open_read_only(arena_view.base, arena_end());
}

/* is_dirty - a tracked unit that may have been written. */
static bool
is_dirty(uintptr_t unit)
{
	return is_tracked(unit) && fence_state(unit) == FENCE_OPEN;
}

static int
mprotect_collect(uintptr_t start, uintptr_t end, bool rearm,
		 void (*visit)(uintptr_t, uintptr_t, void *), void *argument)
{
	uintptr_t next;

	if (fence_has_failed())
		return -ENOMEM;
	for (; start < end; start = next) {
		int error;

		for (next = start; next < end && is_dirty(next);
		     next += UNIT_SIZE)
			;
		if (next == start) {
			next += UNIT_SIZE;
			continue;
		}
		/* Before it is read: what is written later is seen later. */
		error = rearm ? fence_shut(start, next, FENCE_READ_ONLY,
					   is_tracked) : 0;
		if (error != 0)
			return error;
		visit(start, next, argument);
	}
	return 0;
}

struct rest {
	void (*visit)(uintptr_t, uintptr_t, void *);
	void *argument;
};

static void
visit_rest(struct span *span, void *argument)
{
	const struct rest *rest = argument;

	if (!is_tracked_span(span))
		rest->visit(span->run, span_end(span), rest->argument);
}

static void
mprotect_rest(void (*visit)(uintptr_t, uintptr_t, void *), void *argument)
{
	struct rest rest = { visit, argument };

	arena_for_each_span(visit_rest, &rest);
}

/* ---------------------------------------------------------------- self-test */

/* self_test - does a write open what was shut, and nothing else? */
static bool
self_test(void)
{
	bool zero, works;
	uintptr_t unit = arena_take(1, &zero);
	volatile char *byte = (volatile char *)unit;

	if (unit == 0)
		return false;
	works = fence_shut(unit, unit + UNIT_SIZE, FENCE_READ_ONLY,
			   NULL) == 0 &&
		*byte == *byte && fence_state(unit) == FENCE_READ_ONLY;
	if (works)
		*byte = *byte;
	works = works && fence_state(unit) == FENCE_OPEN;
	arena_give(unit, 1);
	return works;
}

static int
mprotect_open(void)
{
	const uint64_t fault = UINT64_C(1) << (SIGSEGV - 1);
	uint64_t mask;
	int error;

	/* From the start, or never: calls under way have lent nothing. */
	if (!fence_lends)
		return -ENOSYS;
	error = fault_install();
	if (error != 0)
		return error;
	/* A thread of the crew blocks all signals. */
	sys_sigprocmask(SIG_UNBLOCK, &fault, &mask);
	if (!self_test())
		error = -ENOSYS;
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	return error;
}

static void
mprotect_close(bool is_forked)
{
	/* A child has opened all when it was born. */
	if (!is_forked)
		mprotect_disarm();
}

const struct barrier barrier_mprotect = {
	.name = "mprotect",
	.is_concurrent = true,
	.open = mprotect_open,
	.close = mprotect_close,
	.track = mprotect_track,
	.collect = mprotect_collect,
	.rest = mprotect_rest,
	.disarm = mprotect_disarm,
};
