/*
 * bilge.c - the face of the collector.
 *
 * Owns the order in which everything starts, the program's three calls
 * (allocate, free, resize) and what a wrong pointer in them means, and the
 * checks for leaks that the program or its exit asks for.  This is the only
 * file that sees all layers; it sets their hooks.
 *
 * Always true: nothing is allocated or freed here before bilge_begin() has set
 * the mode; a pointer that is certainly wrong ends the process, one that may be
 * another allocator's goes to that.
 *
 * Not here: what else preload/ calls (face/).
 */
#include "bilge.h"

#include "base/panic.h"
#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/collector.h"
#include "heap/meta.h"
#include "heap/quarantine.h"
#include "report/depot.h"
#include "report/ledger.h"
#include "report/held.h"
#include "report/modules.h"
#include "report/record.h"
#include "report/render.h"
#include "report/tell.h"
#include "report/trace.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/mutator.h"
#include "world/roots.h"
#include "world/stop.h"
#include "world/unwind.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct bilge_host bilge_host;	/* Fixed by bilge_start() */

/* ----------------------------------------------------------------- starting */

/* read_environment - before libc has set environ, from the kernel's copy. */
static char **
read_environment(void)
{
	static char *variables[512];
	size_t size = 256 * KIB, filled = 0, count = 0;
	int fd = sys_open("/proc/thread-self/environ", O_RDONLY, 0);
	char *text = meta_map(size);
	long n;

	while (fd >= 0 && text != NULL &&
	       (n = sys_read(fd, text + filled, size - 1 - filled)) > 0)
		filled += (size_t)n;
	for (size_t at = 0; at < filled; at += strlen(text + at) + 1)
		if (strncmp(text + at, "BILGE_", 6) == 0 &&
		    count + 1 < ARRAY_LEN(variables))
			variables[count++] = text + at;
	if (fd >= 0)
		sys_close(fd);
	return variables;
}

void
bilge_begin(void)
{
	int error;

	/* Set first: what is called below may allocate. */
	bilge_mode = BILGE_ACTIVE;
	error = heap_init();
	if (error != 0) {
		say("no address space for the heap; standing down");
		bilge_mode = BILGE_PASSIVE;
		return;
	}
	options_parse(environ != NULL ? environ : read_environment());
	bilge_is_tracking = options->leaks != LEAKS_IGNORE;
	if (options->free == FREE_GUARD)
		quarantine_start();
	heap_configure((bilge_is_tracking || span_guards) &&
		       options->past_end ? 1 : 0,
		       bilge_is_tracking, options->leaks == LEAKS_RECLAIM ||
		       options->verify);
	stop_set_signal((int)options->signal);
	process_adopt();
	if (bilge_is_tracking && depot_init() != 0)
		bilge_is_tracking = false;
}

/* crash_report - panic's hook: bring the misuse into the record. */
static void
crash_report(const char *message)
{
	record_end(NULL, -1, false);
	(void)message;
}

/* start_fence - if pages of the heap may ever be protected. */
static void
start_fence(void)
{
	const uint64_t fault = UINT64_C(1) << (SIGSEGV - 1);
	bool lends = options_want_cycles() && barrier_may_protect();

	if (!lends && options->leaks != LEAKS_RECLAIM)
		return;
	if (fence_start(arena_view.base, arena_view.size, lends) != 0)
		return;
	/* It may be inherited; a blocked fault ends the process. */
	sys_sigprocmask(SIG_UNBLOCK, &fault, NULL);
}

void
bilge_start(const struct bilge_host *host, const char *reason)
{
	if (reason != NULL) {
		say("standing down: %s", reason);
		bilge_mode = BILGE_PASSIVE;
		return;
	}
	if (bilge_mode == BILGE_UNBORN)
		bilge_begin();
	bilge_host = *host;
	sites_start(host->code_start, host->code_end, host->open_library);
	sys_set_clock(host->read_clock);
	if (options->help) {
		options_print_help();
		sys_exit_group(0);
	}
	if (bilge_mode == BILGE_PASSIVE)
		return;
	panic_set_hook(crash_report);
	tell_start();
	roots_exclude(host->data_start, host->data_end);
	if (options->roots == ROOTS_SEGMENTS)
		roots_note_loader();
	render_init(host->library, host->command);
	bilge_thread_begin(false);
	if (modules_init() != 0 || options->depth == 0)
		sites_do_without_unwinder();
	if (!bilge_is_tracking && !span_guards)
		return;
	start_fence();
	if (options_want_cycles())
		stats.barrier_foreseen = barrier_foreseen();
	record_open();
	record_start(NULL);
	trace_start();
	collector_start(tell_growth);
}

/* --------------------------------------------------------------- allocating */

/*
 * give_to_libc - libc's own blocks may be written by the kernel in calls that
 * nobody sees: buffers of streams, sets of processors.
 */
static COLD void
give_to_libc(const void *block, uintptr_t caller)
{
	if (block == NULL || !barrier_protects((uintptr_t)block) ||
	    fence_is_given((uintptr_t)block))
		return;
	for (size_t i = 0; i < ARRAY_LEN(bilge_host.harmless); i++)
		if (caller - bilge_host.harmless[i][0] <
		    bilge_host.harmless[i][1])
			return;
	bilge_give(block);
}

static bool
is_libc(const void *caller)
{
	return (uintptr_t)caller - bilge_host.libc_start <
	       bilge_host.libc_end - bilge_host.libc_start;
}

void *
bilge_alloc_tracked(size_t size, size_t alignment, bool zero,
		    const void *caller)
{
	struct mutator *before = mutator_self;
	uint32_t site;
	void *block = alignment == 0 ? bilge_alloc_quick(size, zero, caller)
				     : NULL;

	if (block != NULL)
		return block;
	block = alignment == 0 ? heap_alloc(size, zero)
			       : heap_alloc_aligned(size, alignment);
	if (block == NULL)
		return NULL;
	if (unlikely(fence_lends) && is_libc(caller))
		give_to_libc(block, (uintptr_t)caller);
	if (unlikely(before == NULL) && bilge_host.thread_found != NULL)
		bilge_host.thread_found();
	if (unlikely(!load_relaxed(&sites_unwinder_was_tried)))
		sites_try_unwinder((uintptr_t)caller);
	site = sites_current(size, caller);
	mutator_scrub_stack();
	/* Last: from here on it is a block, and may be found lost. */
	heap_note(block, size, site);
	return block;
}

static COLD _Noreturn void
die_of_misuse(const char *function, const void *address,
	      enum heap_verdict verdict)
{
	const char *what = verdict == HEAP_DOUBLE_FREE ? "double free"
						       : "invalid pointer";
	const uintptr_t *frames = NULL;
	uint32_t count = 0;

	atomic_fetch_add_explicit(&stats.misuses, 1, memory_order_relaxed);
	if (sites_have_stacks())
		count = unwind_begin(32, &frames);
	record_misuse(function, address, what, frames, count);
	panic("%s(): %s %p", function, what, (void *)(uintptr_t)address);
}

/*
 * is_certainly_invalid - an address outside the heap that no allocator can
 * have given out: on the caller's stack, or in a loaded object.
 */
static bool
is_certainly_invalid(uintptr_t address)
{
	uint64_t mask;
	uintptr_t sp = arch_stack_pointer();
	struct mutator *m = mutator_self;
	bool is_object;

	if (bilge_mode != BILGE_ACTIVE)
		return false;
	mutator_enter(&mask);
	is_object = modules_find(address) != MODULE_NONE;
	mutator_leave(mask);
	if (is_object || address % SLOT_ALIGN != 0)
		return true;
	if (m != NULL && m->has_own_stack)
		return address >= sp && address < m->tp;
	return address >= sp && sys_getpid() == sys_gettid() &&
	       address < (uintptr_t)environ;
}

/*
 * note_return - a block is about to be freed or resized that was found to be
 * unreachable: something hid it from us.
 */
static COLD void
note_return(void *block)
{
	uint32_t site;

	if (!heap_uncondemn(block, &site))
		return;
	lending_open((uintptr_t)block, SIZE_MAX / 2);
	sweep_resurrect(site);
}

/*
 * is_reclaimed - may this wrong free be our own doing?  The block may have been
 * reclaimed, its span be gone, or cut anew.  Then it is no error of the
 * program's, and nothing is reclaimed any more.
 */
static COLD bool
is_reclaimed(const void *block)
{
	if (stats.reclaimed_blocks == 0 || !arena_is_reserved((uintptr_t)block))
		return false;
	atomic_fetch_add_explicit(&stats.resurrected, 1, memory_order_relaxed);
	if (ledger_exempt_all())
		say("a reclaimed block was still in use; nothing is reclaimed "
		    "any more: see BILGE_GRACE");
	return true;
}

bool
bilge_free(void *block, const char *function, const void *caller)
{
	enum heap_verdict verdict;

	if (unlikely(load_relaxed(&heap_has_condemned)))
		note_return(block);
	if (span_guards && bilge_is_tracking)
		verdict = heap_quarantine(block, sites_freeing(caller));
	else
		verdict = heap_free(block);
	if (likely(verdict == HEAP_DONE)) {
		if (bilge_is_tracking)
			mutator_scrub_stack();
		return true;
	}
	if (is_reclaimed(block))
		return true;
	if (verdict == HEAP_FOREIGN &&
	    !is_certainly_invalid((uintptr_t)block))
		return false;
	die_of_misuse(function, block, verdict);
}

static void
note_resized(const void *old, void *block, size_t size, const void *caller)
{
	uint32_t site = sites_current(size, caller);

	heap_note(block, size, site);
	if (span_guards && block != old)
		quarantine_note(old, site);
}

void *
bilge_resize(void *block, size_t size, bool *ret_foreign, const char *function,
	     const void *caller)
{
	void *moved = NULL;
	enum heap_verdict verdict;

	if (unlikely(load_relaxed(&heap_has_condemned)))
		note_return(block);
	verdict = heap_resize(block, size, &moved);
	*ret_foreign = false;
	switch (verdict) {
	case HEAP_DONE:
		if (unlikely(fence_lends) && is_libc(caller))
			give_to_libc(moved, (uintptr_t)caller);
		if (bilge_is_tracking)
			note_resized(block, moved, size, caller);
		return moved;
	case HEAP_NO_MEMORY:
		return NULL;
	case HEAP_FOREIGN:
		if (!is_certainly_invalid((uintptr_t)block)) {
			*ret_foreign = true;
			return NULL;
		}
		break;
	case HEAP_DOUBLE_FREE:
	case HEAP_INVALID:
		break;
	}
	if (is_reclaimed(block))	/* what it held is lost */
		return bilge_alloc_tracked(size, 0, true, caller);
	die_of_misuse(function, block, verdict);
}

/* ---------------------------------------------------------------- reporting */

/*
 * check - everything the program had in callee-saved registers is in this
 * function's frame or above, and the collector scans from here on.
 */
static NOINLINE int
check(bool is_last)
{
	__builtin_unwind_init();
	return cycle_check((uintptr_t)__builtin_frame_address(0) -
			   ARCH_SAVED_REGISTERS, is_last);
}

/* end_quarantine - the end of a process whose leaks nobody asks for. */
static void
end_quarantine(int exit_status)
{
	uint64_t mask;

	/* Not held: a cycle that is under way may have to stop us first. */
	mutator_mask_signals(&mask);
	cycle_check_quarantine();
	record_end(NULL, exit_status, true);
	mutator_unmask_signals(mask);
}

/* report_leaks - Units: is_last, the process is about to end. */
static size_t
report_leaks(int exit_status, bool is_last)
{
	size_t leaked = 0;
	uint64_t mask;

	if (bilge_mode != BILGE_ACTIVE || !process_is_ours())
		return 0;
	if (!bilge_is_tracking) {
		if (is_last && span_guards)
			end_quarantine(exit_status);
		return 0;
	}
	mutator_mask_signals(&mask);
	if (is_last && record_is_kept())
		held_request(options->why);
	if (check(is_last) == 0) {
		leaked = tell_all(exit_status, is_last);
		cycle_end();
	}
	mutator_unmask_signals(mask);
	return leaked;
}

size_t
bilge_check(void)
{
	return report_leaks(-1, false);
}

/* check_once - Returns: how many blocks were leaked, if this is the time. */
static size_t
check_once(int exit_status)
{
	static atomic_flag done = ATOMIC_FLAG_INIT;

	/* A child of vfork shares our memory: it has no say. */
	if (bilge_mode != BILGE_ACTIVE || !process_is_ours() ||
	    atomic_flag_test_and_set(&done))
		return 0;
	return report_leaks(exit_status, true);
}

int
bilge_exit_check(int exit_status)
{
	if (check_once(exit_status) > 0 && exit_status == 0)
		return (int)options->exitcode;
	return exit_status;
}

bool
bilge_exit_check_now(void)
{
	return check_once(-1) > 0;
}

/* ------------------------------------------------ LeakSanitizer's interface */

bool
bilge_root_add(const void *start, size_t size)
{
	bool done;

	mutator_hold();
	done = roots_register((uintptr_t)start, size);
	mutator_release();
	return done;
}

bool
bilge_root_remove(const void *start, size_t size)
{
	bool done;

	mutator_hold();
	done = roots_unregister((uintptr_t)start, size);
	mutator_release();
	return done;
}

void
bilge_ignore_begin(void)
{
	bilge_thread_begin(false);
	if (mutator_self != NULL)
		mutator_self->ignore_depth++;
}

void
bilge_ignore_end(void)
{
	if (mutator_self != NULL && mutator_self->ignore_depth > 0)
		mutator_self->ignore_depth--;
}

void
bilge_ignore_block(const void *block)
{
	heap_set_site(block, SITE_IGNORED);
}
