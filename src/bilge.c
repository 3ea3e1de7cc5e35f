/*
 * bilge.c - the face of the collector.
 *
 * Owns the order in which everything starts, the mode of the process, and
 * what a wrong pointer means for the program.  This is the only file that
 * sees all layers; it sets their hooks.
 */
#include "bilge.h"

#include "base/panic.h"
#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/collector.h"
#include "collect/marker.h"
#include "heap/blind.h"
#include "heap/fence.h"
#include "heap/meta.h"
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
#include "world/fault.h"
#include "world/mutator.h"
#include "world/roots.h"
#include "world/stacks.h"
#include "world/stop.h"
#include "world/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum bilge_mode bilge_mode;
bool bilge_is_tracking;
_Atomic uint32_t bilge_only_site;

/* Fixed by bilge_begin() and bilge_start(). */
static struct {
	struct bilge_host host;
	/* Atomic: relaxed, each set once. */
	_Atomic bool unwinder_was_tried;
	_Atomic bool has_unwinder;
	int pid;		/* whose memory this is; another after vfork */
} bilge;

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
	heap_configure(bilge_is_tracking && options->past_end ? 1 : 0,
		       bilge_is_tracking, options->leaks == LEAKS_RECLAIM ||
		       options->verify);
	stop_set_signal((int)options->signal);
	bilge.pid = sys_getpid();
	if (bilge_is_tracking && depot_init() != 0)
		bilge_is_tracking = false;
}

static void
do_without_unwinder(void)
{
	store_relaxed(&bilge_only_site, SITE_UNKNOWN);
	store_relaxed(&bilge.unwinder_was_tried, true);
}

/* crash_report - panic's hook: bring the misuse into the record. */
static void
crash_report(const char *message)
{
	record_end(NULL, -1);
	(void)message;
}

/* start_fence - if pages of the heap may ever be protected. */
static void
start_fence(void)
{
	const uint64_t fault = UINT64_C(1) << (SIGSEGV - 1);
	bool has_cycles = options->percent != OPTION_OFF ||
			  options->limit != OPTION_OFF ||
			  options->interval != 0;
	bool lends = has_cycles && barrier_may_protect();

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
	bilge.host = *host;
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
		do_without_unwinder();
	if (!bilge_is_tracking)
		return;
	start_fence();
	record_open();
	record_start(NULL);
	trace_start();
	collector_start(tell_growth);
}

/* --------------------------------------------------------------- allocating */

/*
 * try_unwinder - open libunwind at the first allocation after libc is ready.
 *
 * Not from our constructor: it runs before libc's, and a dlopen there would
 * run libc's without arguments and environment.  Not under the loader: it
 * would be entered a second time.
 */
static COLD void
try_unwinder(uintptr_t caller)
{
	uint64_t mask;
	static atomic_flag is_trying = ATOMIC_FLAG_INIT;
	bool is_loader;

	if (bilge.host.code_start == 0 || environ == NULL ||
	    mutator_self == NULL || mutator_self->park.hold != 0)
		return;
	mutator_hold();
	mutator_mask_signals(&mask);
	is_loader = modules_is_loader(caller);
	mutator_unmask_signals(mask);
	mutator_release();
	if (is_loader || atomic_flag_test_and_set(&is_trying))
		return;
	store_relaxed(&bilge.unwinder_was_tried, true);
	if (unwind_init(bilge.host.code_start, bilge.host.code_end,
			bilge.host.open_library)) {
		store_relaxed(&bilge.has_unwinder, true);
	} else {
		do_without_unwinder();
		say("libunwind is missing; call stacks are not kept");
	}
}

/* is_sampled - is this allocation's stack to be kept? */
static bool
is_sampled(struct mutator *m, size_t size)
{
	if (options->sample <= 1)
		return true;
	m->sample_left -= (int64_t)MIN(size, (size_t)INT64_MAX);
	if (m->sample_left > 0)
		return false;
	m->sample_left = (int64_t)options->sample;
	return true;
}

/*
 * caller_site - the site of an allocation whose stack is not kept: the place
 * that called us, alone.  Sites must differ where programs do: one whose block
 * came back is never reclaimed again.
 */
static uint32_t
caller_site(const void *caller)
{
	uintptr_t frame = (uintptr_t)caller;
	uint32_t site;
	uint64_t mask;

	if (frame == 0)
		return SITE_UNKNOWN;
	site = depot_find_lately(frame);
	if (site == 0)
		site = depot_find(&frame, 1);
	if (likely(site != 0))
		return site;
	mutator_hold();
	mutator_mask_signals(&mask);
	site = depot_intern(&frame, 1);
	modules_find(frame - 1);
	mutator_unmask_signals(mask);
	mutator_release();
	return site;
}

static NOINLINE uint32_t
current_site(size_t size, const void *caller)
{
	struct mutator *m = mutator_self;
	const uintptr_t *frames;
	uint32_t count, site;
	uint64_t mask;

	if (m == NULL)
		return SITE_UNKNOWN;
	if (unlikely(m->is_unwinding))
		return SITE_NONE;	/* ours, not the program's */
	if (unlikely(m->ignore_depth > 0))
		return SITE_IGNORED;
	if (!load_relaxed(&bilge.has_unwinder)) {
		if (load_relaxed(&bilge_only_site) != 0)
			m->sample_left = INT64_MAX;
		return SITE_UNKNOWN;
	}
	if (!is_sampled(m, size))
		return caller_site(caller);
	mutator_hold();
	count = unwind_begin((uint32_t)options->depth, &frames);
	if (count == 0) {
		mutator_release();
		return SITE_UNKNOWN;
	}
	site = depot_find(frames, count);
	if (site == 0) {
		mutator_mask_signals(&mask);
		site = depot_intern(frames, count);
		/* While it is certainly loaded. */
		for (uint32_t i = 0; i < count; i++)
			modules_find(frames[i] - 1);
		mutator_unmask_signals(mask);
	}
	unwind_end();
	mutator_release();
	return site;
}

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
	for (size_t i = 0; i < ARRAY_LEN(bilge.host.harmless); i++)
		if (caller - bilge.host.harmless[i][0] <
		    bilge.host.harmless[i][1])
			return;
	bilge_give(block);
}

static bool
is_libc(const void *caller)
{
	return (uintptr_t)caller - bilge.host.libc_start <
	       bilge.host.libc_end - bilge.host.libc_start;
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
	if (unlikely(before == NULL) && bilge.host.thread_found != NULL)
		bilge.host.thread_found();
	if (unlikely(!load_relaxed(&bilge.unwinder_was_tried)))
		try_unwinder((uintptr_t)caller);
	site = current_site(size, caller);
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
	if (load_relaxed(&bilge.has_unwinder))
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
	mutator_hold();
	mutator_mask_signals(&mask);
	is_object = modules_find(address) != MODULE_NONE;
	mutator_unmask_signals(mask);
	mutator_release();
	if (is_object || address % SLOT_ALIGN != 0)
		return true;
	if (m != NULL && m->has_own_stack)
		return address >= sp && address < m->tp;
	return address >= sp && sys_getpid() == sys_gettid() &&
	       address < (uintptr_t)environ;
}

/* enter_fence - Returns: false, the thread cannot be made known. */
static bool
enter_fence(uint64_t *ret_mask)
{
	bilge_thread_begin(false);
	if (mutator_self == NULL)
		return false;
	mutator_hold();
	mutator_mask_signals(ret_mask);
	return true;
}

static void
leave_fence(uint64_t mask)
{
	mutator_unmask_signals(mask);
	mutator_release();
}

/* open_for - the kernel would touch what is shut. */
static void
open_for(uintptr_t start, size_t size)
{
	struct span *span = arena_span_of(start);
	uint64_t mask;

	if (fence_state(start) == FENCE_OPEN || span == NULL ||
	    !enter_fence(&mask))
		return;
	if (fence_state(start) == FENCE_CLOSED)
		fault_note_touch(start, 0);
	fence_open(start, MIN(start + size, span->run +
			      (span->run_units << UNIT_SHIFT)));
	leave_fence(mask);
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
	open_for((uintptr_t)block, SIZE_MAX / 2);
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
bilge_free(void *block, const char *function)
{
	enum heap_verdict verdict;

	if (unlikely(load_relaxed(&heap_has_condemned)))
		note_return(block);
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
			heap_note(moved, size, current_site(size, caller));
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

/* ------------------------------------------------------------------ threads */

void
bilge_thread_begin(bool has_own_stack)
{
	if (bilge_mode == BILGE_ACTIVE)
		heap_thread_begin(has_own_stack);
}

void
bilge_thread_ahead(const void *caller)
{
	if (bilge_is_tracking && !load_relaxed(&bilge.unwinder_was_tried))
		try_unwinder((uintptr_t)caller);
}

void
bilge_thread_end(bool keep_result)
{
	/* It takes libunwind's lock: nobody may be stopped with that. */
	mutator_hold();
	unwind_thread_end();
	mutator_release();
	heap_thread_end(keep_result);
}

int
bilge_thread_tid(uintptr_t thread_pointer)
{
	return mutator_tid_of(thread_pointer);
}

void
bilge_thread_joined(uintptr_t thread_pointer, int tid)
{
	mutator_joined(thread_pointer, tid);
}

void
bilge_thread_detached(uintptr_t thread_pointer)
{
	mutator_detached(thread_pointer);
}

/* The kernel keeps at least 128 MiB free below the first stack. */
#define FIRST_STACK_MAX	(64 * MIB)

bool
bilge_is_on_stack(uintptr_t start, uintptr_t end, uintptr_t main_end)
{
	uintptr_t sp = arch_stack_pointer();
	const struct mutator *m = mutator_self;

	if (m == NULL || start - sp > 64 * KIB)
		return false;
	if (m->has_own_stack)
		return end <= m->tp && !m->has_inner_stack;
	return end <= main_end && main_end - sp < FIRST_STACK_MAX;
}

void
bilge_stack_made(uintptr_t start, uintptr_t main_end)
{
	stacks_note(start, main_end);
}

uintptr_t *
bilge_interrupted(void)
{
	return mutator_self != NULL ? &mutator_self->park.interrupted : NULL;
}

/* A child of vfork has our memory: it is not the thread it looks like. */
static struct mutator *
true_self(void)
{
	struct mutator *m = mutator_self;

	return m != NULL && m->tid == sys_gettid() ? m : NULL;
}

void
bilge_vfork_begin(const uintptr_t *registers, uintptr_t sp)
{
	struct mutator *m = true_self();

	if (m == NULL)
		return;
	memcpy(m->park.registers, registers, sizeof(m->park.registers));
	m->park.is_vfork = true;
	m->park.spawn_sp = sp;
}

uintptr_t
bilge_spawn_begin(uintptr_t sp)
{
	struct mutator *m = true_self();
	uintptr_t outer;

	if (m == NULL)
		return 0;
	/* Of another, in whose middle a handler runs. */
	outer = m->park.is_vfork ? 0 : m->park.spawn_sp;
	memset(m->park.registers, 0, sizeof(m->park.registers));
	m->park.is_vfork = false;
	m->park.spawn_sp = sp;
	return outer;
}

void
bilge_spawn_end(uintptr_t outer)
{
	struct mutator *m = true_self();

	if (m != NULL)
		m->park.spawn_sp = outer;
}

bool
bilge_is_function(const void *address)
{
	uint64_t mask;
	uint32_t index;
	bool result;

	mutator_hold();
	mutator_mask_signals(&mask);
	index = modules_find((uintptr_t)address);
	result = index != MODULE_NONE &&
		 modules_symbol(modules_get(index), (uintptr_t)address);
	mutator_unmask_signals(mask);
	mutator_release();
	return result;
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
	mutator_hold();
	mutator_mask_signals(&mask);
	if (modules_closed())
		unwind_forget();
	mutator_unmask_signals(mask);
	mutator_release();
}

bool
bilge_protect_begin(const void *start, size_t size, int protection)
{
	uintptr_t from = (uintptr_t)start, to = from + size;
	uint64_t mask;

	if (bilge_mode != BILGE_ACTIVE || !arena_contains(from))
		return false;
	mutator_hold();
	mutator_mask_signals(&mask);
	/* Whoever opens these pages is the program. */
	for (uintptr_t at = from; fence_is_on && at < to; at += UNIT_SIZE)
		fence_give(at);
	span_expect_protected();
	if ((protection & PROT_READ) == 0)
		blind_note(from, to, true);
	mutator_unmask_signals(mask);
	mutator_release();
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
	mutator_hold();
	mutator_mask_signals(&mask);
	if (done)
		blind_note(from, to, false);
	else	/* It may have come a part of the way. */
		for (; from < to; from += ARCH_PAGE_SIZE)
			blind_note(from, from + ARCH_PAGE_SIZE,
				   !sys_is_readable(from));
	mutator_unmask_signals(mask);
	mutator_release();
}

void
bilge_alone_begin(void)
{
	if (bilge_mode == BILGE_ACTIVE && sys_getpid() == bilge.pid)
		collector_pause();
}

void
bilge_alone_end(void)
{
	if (bilge_mode == BILGE_ACTIVE && sys_getpid() == bilge.pid)
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
	bilge.pid = sys_getpid();
	fork_done(true);
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

/* report_leaks - Units: is_last, the process is about to end. */
static size_t
report_leaks(int exit_status, bool is_last)
{
	size_t leaked = 0;
	uint64_t mask;

	if (bilge_mode != BILGE_ACTIVE || !bilge_is_tracking ||
	    sys_getpid() != bilge.pid)
		return 0;
	mutator_mask_signals(&mask);
	if (is_last && record_is_kept())
		held_request(options->why);
	if (check(is_last) == 0) {
		leaked = tell_all(exit_status);
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
	if (bilge_mode != BILGE_ACTIVE || !bilge_is_tracking ||
	    sys_getpid() != bilge.pid || atomic_flag_test_and_set(&done))
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

/* ------------------------------------------------ what the kernel touches */

bool
bilge_lend_slow(uintptr_t data, size_t size)
{
	uint64_t mask;

	if (!barrier_protects(data)) {
		open_for(data, size);
		return false;
	}
	/* A block that small is in one unit. */
	if (fence_is_given(data) || !enter_fence(&mask))
		return false;
	fence_lend(data);
	leave_fence(mask);
	return true;
}

void
bilge_lend_end(uintptr_t data)
{
	uint64_t mask;

	if (!enter_fence(&mask))
		return;
	fence_return(data);
	leave_fence(mask);
}

void
bilge_show_slow(uintptr_t data, size_t size)
{
	if (fence_state(data) == FENCE_CLOSED)
		open_for(data, size);
}

void
bilge_give(const void *data)
{
	uint64_t mask;

	if (!barrier_protects((uintptr_t)data) || !enter_fence(&mask))
		return;
	fence_give((uintptr_t)data);
	leave_fence(mask);
}

bool
bilge_fault_exchange(const struct sys_action *action,
		     struct sys_action *ret_old, uint64_t *ret_mask)
{
	mutator_hold();
	mutator_mask_signals(ret_mask);
	/*
	 * A child of vfork, before it executes something: our handler is still
	 * needed, and is gone by then.  What is ignored stays so.
	 */
	if (sys_getpid() != bilge.pid && action != NULL &&
	    (uintptr_t)action->handler != (uintptr_t)SIG_IGN)
		action = NULL;
	return fault_exchange(action, ret_old);
}

void
bilge_fault_exchange_end(uint64_t mask)
{
	fault_exchange_end();
	leave_fence(mask);
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
