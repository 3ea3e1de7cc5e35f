/*
 * cycle.c - one collection.  The tour of the collector starts here.
 *
 *   1.  Memory for the mark stack is taken.                   world running
 *   2.  The world is stopped (stop.c).  Claimed slots are made black, so that
 *       none of them is taken for a leak (marker.c, H3).
 *   3.  Roots (roots.c) make blocks grey; grey blocks are scanned until none
 *       is left (marker.c).  What is still white cannot be reached.
 *   4.  The world goes on, unless the process is about to end.  New claims are
 *       black until step 5 is done.
 *   5.  White blocks are told apart, counted and grouped (leaks.c).
 *
 * Always true:
 *   Y1  leaks are told only after a mark that was complete: a thread that did
 *       not stop or a root that could not be read abandons the cycle (M3);
 *   Y2  while the world stands nothing is allocated and no lock is taken that
 *       a stopped thread could hold (M4).
 *
 * One collection at a time: cycle.lock (RANK_CYCLE).
 */
#include "collect/cycle.h"

#include "base/lock.h"
#include "base/panic.h"
#include "base/sys.h"
#include "collect/grey.h"
#include "collect/marker.h"
#include "heap/heap.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/pages.h"
#include "world/roots.h"
#include "world/stop.h"

#include <errno.h>

/* A thread in a slow path of ours needs microseconds; in a fault, a disk. */
#define STOP_LIMIT_NS	(3 * NSEC_PER_SEC)

static struct lock cycle_lock = LOCK_INIT(RANK_CYCLE);

/* Guarded by RANK_CYCLE: from cycle_check() to cycle_end(). */
static bool world_is_stopped;

static void
say_abandoned(const struct stop_failure *f)
{
	if (f->tid != 0)
		say("leak check abandoned: thread %d: %s", f->tid, f->what);
	else
		say("leak check abandoned: %s", f->what);
}

/* mark_everything - steps 2 and 3, from the first parked thread to the last. */
static int
mark_everything(uintptr_t own_sp, bool is_last,
		struct stop_failure *ret_failure)
{
	uint64_t begin_ns;
	int error = roots_prepare();

	if (error != 0) {
		ret_failure->what = "/proc/self/maps cannot be read";
		return error;
	}
	begin_ns = sys_monotonic_ns();
	error = stop_begin(STOP_LIMIT_NS, own_sp, is_last, ret_failure);
	if (error != 0)
		return error;
	stats.cycle.stop_ns = sys_monotonic_ns() - begin_ns;
	store_relaxed(&cache_blackens, true);
	marker_begin();
	marker_grey_ignored();
	error = roots_scan(options->roots == ROOTS_ALL, marker_scan_range);
	if (error == 0)
		marker_drain();
	else
		ret_failure->what = "/proc/self/maps cannot be read";
	if (!is_last || error != 0)
		stop_end();
	stats.cycle.pause_ns = sys_monotonic_ns() - begin_ns;
	return error;
}

int
cycle_check(uintptr_t own_sp, bool is_last)
{
	struct stop_failure failure = { .what = "out of memory" };
	uint64_t begin_ns = sys_monotonic_ns();
	bool is_stopped = false;
	int error = -ENOMEM;
	uint64_t mask;

	lock_acquire(&cycle_lock);
	/* A handler of this thread would change what is being marked. */
	mutator_mask_signals(&mask);
	pages_open();
	if (grey_init(heap_statistics().used_slots)) {
		error = mark_everything(own_sp, is_last, &failure);
		is_stopped = error == 0 && is_last;
		if (error == 0)
			error = leaks_collect();
		grey_fini();
	}
	pages_close();
	store_relaxed(&cache_blackens, false);
	if (error != 0) {
		if (is_stopped)
			stop_end();
		stats.cycle.abandoned++;
		say_abandoned(&failure);			/* Y1 */
		mutator_unmask_signals(mask);
		lock_release(&cycle_lock);
		return error;
	}
	stats.cycle.count++;
	stats.cycle.marked_bytes = marker_bytes();
	stats.cycle.cpu_ns += sys_monotonic_ns() - begin_ns;
	world_is_stopped = is_stopped;
	mutator_unmask_signals(mask);
	return 0;
}

void
cycle_end(void)
{
	leaks_release();
	if (world_is_stopped)
		stop_leave();
	world_is_stopped = false;
	lock_release(&cycle_lock);
}

void
cycle_fork_lock(void)
{
	lock_acquire(&cycle_lock);
}

void
cycle_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&cycle_lock);
	else
		lock_release(&cycle_lock);
}
