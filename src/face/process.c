/*
 * process.c - the process as a whole.
 *
 * Owns the mode of the process and the knowledge of whose memory this is.
 * Takes every lock there is around fork(2), in the order of lock.h, and lets
 * them go on both sides.
 *
 * Always true: a child of vfork(2), which runs in its parent's memory, is not
 * taken for the process; after fork(2) the child is, as soon as libc has called
 * the handler.
 *
 * Not here: what makes the mode what it is (bilge.c).
 */
#include "face/process.h"

#include "base/sys.h"
#include "collect/collector.h"
#include "collect/cycle.h"
#include "heap/blind.h"
#include "heap/fence.h"
#include "heap/heap.h"
#include "heap/meta.h"
#include "report/depot.h"
#include "report/ledger.h"
#include "report/modules.h"
#include "report/record.h"
#include "world/fault.h"
#include "world/kernelrefs.h"
#include "world/mutator.h"
#include "world/roots.h"
#include "world/unwind.h"

enum bilge_mode bilge_mode;
bool bilge_is_tracking;

/* Fixed by process_adopt(), in a child by bilge_fork_child(). */
static int process_pid;

void
process_adopt(void)
{
	process_pid = sys_getpid();
}

bool
process_is_ours(void)
{
	return sys_getpid() == process_pid;
}

void
bilge_limit(size_t limit)
{
	if (bilge_mode != BILGE_ACTIVE)
		return;
	heap_limit(limit);
	if (bilge_is_tracking)
		depot_shrink(limit / 16);
}

void
bilge_library_closed(void)
{
	uint64_t mask;

	if (bilge_mode != BILGE_ACTIVE || !bilge_is_tracking)
		return;
	mutator_enter(&mask);
	if (modules_closed())
		unwind_forget();
	mutator_leave(mask);
}

bool
bilge_is_function(const void *address)
{
	uint64_t mask;
	uint32_t index;
	bool result;

	mutator_enter(&mask);
	index = modules_find((uintptr_t)address);
	result = index != MODULE_NONE &&
		 modules_symbol(modules_get(index), (uintptr_t)address);
	mutator_leave(mask);
	return result;
}

void
bilge_alone_begin(void)
{
	uint64_t mask;

	if (bilge_mode != BILGE_ACTIVE || !process_is_ours())
		return;
	/* A handler that executes a program must not find us half-way. */
	mutator_mask_signals(&mask);
	collector_pause();
	mutator_unmask_signals(mask);
}

void
bilge_alone_end(void)
{
	if (bilge_mode == BILGE_ACTIVE && process_is_ours())
		collector_resume();
}

/* --------------------------------------------------------------------- fork */

static uint64_t fork_mask;	/* Owner thread: of the forking one */

void
bilge_fork_prepare(void)
{
	if (bilge_mode != BILGE_ACTIVE)
		return;
	mutator_mask_signals(&fork_mask);
	mutator_fork_lock();
	mutator_hold();
	roots_fork_lock();
	fault_fork_lock();
	kernelrefs_fork_lock();
	heap_fork_prepare();
	fence_fork_lock();
	unwind_fork_lock();
	depot_fork_lock();
	ledger_fork_lock();
	record_fork_lock();
	modules_fork_lock();
	blind_fork_lock();
	meta_fork_lock();
}

static void
fork_done(bool in_child)
{
	meta_fork_unlock(in_child);
	blind_fork_unlock(in_child);
	modules_fork_unlock(in_child);
	record_fork_unlock(in_child);
	ledger_fork_unlock(in_child);
	depot_fork_unlock(in_child);
	unwind_fork_unlock(in_child);
	fence_fork_unlock(in_child);
	heap_fork_done(in_child);
	kernelrefs_fork_unlock(in_child);
	fault_fork_unlock(in_child);
	roots_fork_unlock(in_child);
	mutator_fork_unlock(in_child);
	if (in_child) {
		cycle_fork_child();
		collector_fork_child();
	}
	mutator_release();
	mutator_unmask_signals(fork_mask);
}

void
bilge_fork_parent(void)
{
	if (bilge_mode == BILGE_ACTIVE)
		fork_done(false);
}

void
bilge_fork_child(void)
{
	if (bilge_mode != BILGE_ACTIVE)
		return;
	process_adopt();
	fork_done(true);
}
