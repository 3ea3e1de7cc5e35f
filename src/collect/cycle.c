/*
 * cycle.c - one collection.  The tour of the collector starts here.
 *
 *   1.  Woken by collector.c.  The list of root ranges is     world running
 *       read (roots.c).
 *   2.  Arm: every page of the heap and of the larger root   world running
 *       ranges becomes clean (tracked.c, barrier.c).  Then
 *       all blocks become white, and free slots black.
 *   3.  First stop (stop.c): claimed slots become black,     world stopped
 *       and from here on claims are born black.  Registers,
 *       stacks and thread-local storage are scanned.
 *   4.  Mark: root ranges, then what is grey, until nothing  world running
 *       is (marker.c).
 *   5.  Pre-clean: what the program wrote meanwhile is read  world running
 *       again, as long as that becomes less.
 *   6.  Second stop: what is dirty, threads, and the ranges  world stopped
 *       that cannot be tracked are scanned, and what is grey
 *       by that.  Where that takes longer than a slice, the
 *       world runs and stands in turn until the rest fits
 *       into one (finish.c).  What is white now cannot be
 *       reached.
 *   7.  Sweep: white blocks are told, condemned, reclaimed   world running
 *       (leaks.c, sweep.c).  Then claims are white again.
 *
 * With a barrier that cannot follow a running program, and in the check at
 * exit, 3 to 6 are one stop.
 *
 * Always true:
 *   Y1  leaks are told, and blocks reclaimed, only after a mark that was
 *       complete: a thread that did not stop, a root that could not be read,
 *       a page whose state is not known abandons the cycle (M3);
 *   Y2  while the world stands no lock is taken that a stopped thread could
 *       hold (M4);
 *   Y3  a page was clean before the first of its words was read (M2), and the
 *       cycle ends with a stop in which nothing was dirty and nothing grey
 *       (M1).
 *
 * One collection at a time: cycle.lock (RANK_CYCLE).  Who wants it while a
 * cycle runs raises `wanted`, and the cycle gives up.  A fork does not wait: in
 * the child there is no cycle (cycle_fork_child()).
 */
#include "collect/cycle.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/panic.h"
#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/finish.h"
#include "collect/grey.h"
#include "collect/marker.h"
#include "collect/pause.h"
#include "collect/squad.h"
#include "collect/tracked.h"
#include "collect/verify.h"
#include "collect/work.h"
#include "heap/blind.h"
#include "heap/heap.h"
#include "heap/remap.h"
#include "report/held.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/alarm.h"
#include "world/crew.h"
#include "world/pages.h"
#include "world/roots.h"
#include "world/stacks.h"
#include "world/stop.h"

#include <errno.h>

/*
 * A mark for the quarantine that has no more than this to read is made in one
 * stop: that takes about 2 ms, and the faults of what the program would write
 * meanwhile take longer.  When one took more, the next is a concurrent one.
 */
#define AT_ONCE_MAX	(16 * MIB)
#define AT_ONCE_MAX_NS	(4 * NSEC_PER_MSEC)

/* How deep calls go that return before the next cycle, mostly. */
#define STALE_BELOW	(32 * KIB)

/* So many abandoned cycles in a row are worth a line, twice as many another. */
#define ABANDONED_SAY	3u

_Atomic uint32_t cycle_phase;

static struct {
	struct lock lock;

	/* Guarded by lock. */
	bool world_is_stopped;		/* from cycle_check() to cycle_end() */
	bool has_second_mark;
	unsigned abandoned_in_a_row;
	bool stood_long;		/* the last one made at once */
} cycle = { .lock = LOCK_INIT(RANK_CYCLE) };

void
cycle_lock(void)
{
	work_want(true);
	lock_acquire(&cycle.lock);
	work_want(false);
}

void
cycle_unlock(void)
{
	lock_release(&cycle.lock);
}

static void
set_phase(enum cycle_phase phase)
{
	store_release(&cycle_phase, phase);
}

/* ----------------------------------------------------- beginning and ending */

/* prepare_second_mark - memory for it, if there is to be one. */
static bool
prepare_second_mark(bool with_held)
{
	size_t blocks = with_held ? held_prepare() : 0;

	if (options->verify)
		blocks = MAX(heap_statistics().used_slots, 1u);
	if (blocks > 0 && !verify_prepare(blocks))
		held_release();
	else
		cycle.has_second_mark = blocks > 0;
	return cycle.has_second_mark || !options->verify;
}

/* whiten - Units: kind, what marks stand for; see guard.c. */
static void
whiten(enum cycle_kind kind)
{
	if (kind == CYCLE_QUARANTINE)
		guard_whiten();
	else
		marker_whiten();
}

/* begin - Units: is_check, the world will stand from the mark's begin on. */
static int
begin(bool is_check, struct stop_failure *ret_failure)
{
	int error;

	/* From here on a span found in the table stays a span (S5). */
	span_defer(true);
	sweep_unshield();
	remap_keep(true);
	/* What is told at exit should be exact; what is condemned, for good. */
	stacks_keep_below(is_check ? 0 : STALE_BELOW);
	pages_open();
	/* In a guarded heap nothing is left over from earlier blocks. */
	if (!marker_begin(is_check || (options->leaks != LEAKS_RECLAIM &&
				       !span_guards)) ||
	    !prepare_second_mark(is_check))
		return -ENOMEM;
	error = roots_prepare();
	if (error == 0 && !is_check)
		error = roots_list(options->roots == ROOTS_ALL);
	if (error != 0 && error != -ENOMEM)
		ret_failure->what = "/proc/self/maps cannot be read";
	return error;
}

static void
end(void)
{
	/* Claims that are black still are so for nobody. */
	store_relaxed(&cache_blackens, false);
	if (cycle.has_second_mark)
		verify_release();
	cycle.has_second_mark = false;
	marker_end();
	pages_close();
	remap_keep(false);
	span_defer(false);
	set_phase(PHASE_IDLE);
}

static void
say_abandoned(const char *what, const struct stop_failure *f)
{
	if (f->tid != 0)
		say("%s abandoned: thread %d: %s", what, f->tid, f->what);
	else
		say("%s abandoned: %s", what, f->what);
}

/* second_mark - after a complete one: is it, and what holds what?  Stopped. */
static int
second_mark(void)
{
	int error;

	if (blind_is_total())					/* M3 */
		return -ENOMEM;
	if (!cycle.has_second_mark)
		return 0;
	error = verify_run_stopped(held_is_prepared() ? held_reach : NULL);
	if (error == 0 && held_is_prepared())
		held_collect_stopped();
	else
		held_release();
	return options->verify ? error : 0;
}

/* first_stop - step 3. */
static int
first_stop(struct cycle_report *report, struct stop_failure *ret_failure)
{
	int error = pause_begin(0, false, ret_failure);

	if (error != 0)
		return error;
	set_phase(PHASE_MARK);
	marker_blacken_claims();				/* H3 */
	error = roots_scan_threads(options->roots == ROOTS_ALL,
				   marker_scan_range);
	report->first_stop_ns = pause_end();
	if (error != 0)
		ret_failure->what = "the threads' stacks cannot be read";
	return error;
}

static void
scan_part(uintptr_t start, uintptr_t end, void *unused)
{
	(void)unused;
	marker_scan_range(start, end);
}

static void
scan_dead(uintptr_t start, uintptr_t end)
{
	pages_for_each_touched(start, end, PAGES_ANONYMOUS, scan_part, NULL);
}

/* mark_stopped - 3 to 6 in one stop, which lasts when it has returned 0. */
static int
mark_stopped(enum cycle_kind kind, uintptr_t own_sp, bool is_last,
	     struct stop_failure *ret_failure)
{
	int error = pause_begin(own_sp, is_last, ret_failure);

	if (error != 0)
		return error;
	set_phase(PHASE_MARK);
	whiten(kind);
	marker_blacken_claims();
	marker_grey_ignored();
	error = roots_scan(options->roots == ROOTS_ALL, marker_scan_range);
	if (error == 0) {
		if (kind == CYCLE_QUARANTINE)
			guard_scan_heap(NULL);
		stacks_for_each_dead(scan_dead);
		work_drain(marker_of(0), UINT64_MAX);
		error = second_mark();
	}
	if (error == 0)
		return 0;
	ret_failure->what = error == -ENOMEM ? "out of memory"
			    : "/proc/self/maps cannot be read";
	pause_end();
	return error;
}

/* --------------------------------------------------- with the world running */

static int
mark_concurrently(struct cycle_report *report,
		  struct stop_failure *ret_failure)
{
	struct finish_report written = { .dirty_pages = 0 };
	uint64_t begin_ns;
	int error;

	set_phase(PHASE_ARM);
	written.clean_ns = sys_monotonic_ns();
	error = tracked_begin();				/* M2 */
	if (error != 0) {
		ret_failure->what = "the barrier cannot be armed";
		return error;
	}
	whiten(report->kind);
	error = first_stop(report, ret_failure);
	if (error != 0)
		return error;
	begin_ns = sys_monotonic_ns();
	marker_grey_ignored();
	tracked_scan_ranges(work_between);
	tracked_scan_dead(work_between);
	if (report->kind == CYCLE_QUARANTINE)
		guard_scan_heap(work_between);
	if (!work_together() || work_is_wanted())
		return -ECANCELED;
	ret_failure->what = "what was written is not known";
	error = finish_preclean(&written);
	if (error == 0)
		error = finish_stop(&written, second_mark, ret_failure);
	report->dirty_pages = written.dirty_pages;
	report->second_stop_ns = written.stood_ns;
	if (error == 0)
		report->concurrent_ns = stop_signal_ns() - begin_ns -
					report->second_stop_ns;
	return error;
}

static void
abandon(int error, const struct stop_failure *failure)
{
	unsigned n;

	stats.cycle.abandoned++;
	if (error == -ECANCELED)
		return;
	if (options->trace)
		say("abandoned: error %d: %s", -error, failure->what);
	if (failure->tid == 0 && error != -ENOMEM && error != -ENOSYS)
		barrier_failed();
	n = ++cycle.abandoned_in_a_row;
	if (n % ABANDONED_SAY == 0 &&
	    bits_is_power_of_two(n / ABANDONED_SAY))
		say_abandoned("several cycles were", failure);
}

static void
look_at_heap(struct cycle_report *report)
{
	struct heap_statistics s = heap_statistics();

	report->used_before = s.used_bytes;
	report->quarantined_before = s.quarantined_bytes;
}

/* is_made_at_once - is the world to stand while this cycle marks? */
static bool
is_made_at_once(const struct cycle_report *report)
{
	uint64_t roots = tracked_root_bytes();	/* of the last concurrent one */

	if (!barrier_current()->is_concurrent)
		return true;
	return report->kind == CYCLE_QUARANTINE && roots != 0 &&
	       !cycle.stood_long &&
	       roots + report->used_before - report->quarantined_before <=
	       AT_ONCE_MAX;
}

/* sweep - step 7. */
static int
sweep(bool reclaims, struct cycle_report *report)
{
	int error = 0;

	if (report->kind == CYCLE_LEAKS)
		error = sweep_run(reclaims, &report->sweep);
	if (span_guards)
		guard_sweep(&report->guard);
	return error;
}

int
cycle_run(enum cycle_kind kind, bool reclaims, struct cycle_report *report,
	  void (*told)(const struct cycle_report *))
{
	struct stop_failure failure = { .what = "out of memory" };
	uint64_t cpu_ns = sys_thread_cpu_ns();
	bool at_once;
	int error;

	*report = (struct cycle_report){
		.begin_ns = sys_monotonic_ns(),
		.kind = kind,
	};
	lock_acquire(&cycle.lock);
	/* The sooner it is over, the fewer pages are written twice. */
	work_plan(kind != CYCLE_QUARANTINE);
	look_at_heap(report);
	report->barrier = barrier_open()->name;
	error = work_is_wanted() ? -ECANCELED : begin(false, &failure);
	at_once = is_made_at_once(report);
	if (error == 0 && !at_once)
		error = mark_concurrently(report, &failure);
	else if (error == 0)
		error = mark_stopped(kind, 0, false, &failure);
	if (error == 0) {
		set_phase(PHASE_SWEEP);
		report->threads = stop_standing();
		report->second_stop_ns += pause_end();
		cycle.stood_long = at_once &&
			report->second_stop_ns > AT_ONCE_MAX_NS;
		report->live_bytes = kind == CYCLE_LEAKS ? marker_bytes()
			: report->used_before - report->quarantined_before;
		report->root_bytes = tracked_root_bytes();
		error = sweep(reclaims, report);
		failure.what = "out of memory";
	}
	finish_end();
	tracked_end();
	verify_settle();
	report->cpu_ns = sys_thread_cpu_ns() - cpu_ns +
			 work_helpers_cpu_ns();
	stats.cycle.cpu_ns += report->cpu_ns;
	if (error == 0) {
		cycle.abandoned_in_a_row = 0;
		report->number = ++stats.cycle.count;
		report->used_after = heap_statistics().used_bytes;
		stats.cycle.marked_bytes = report->live_bytes;
		stats.cycle.dirty_pages += report->dirty_pages;
		told(report);
		leaks_release();
	} else {
		abandon(error, &failure);
	}
	end();
	lock_release(&cycle.lock);
	return error;
}

void
cycle_rest(void)
{
	lock_acquire(&cycle.lock);
	barrier_close();
	lock_release(&cycle.lock);
}

/* --------------------------------------------------------- in one stop only */

int
cycle_check(uintptr_t own_sp, bool is_last)
{
	struct stop_failure failure = { .what = "out of memory" };
	uint64_t cpu_ns = sys_thread_cpu_ns();
	bool is_stopped = false;
	uint64_t mask;
	int error;

	cycle_lock();
	/* A handler of this thread would change what is being marked. */
	mutator_mask_signals(&mask);
	error = begin(true, &failure);
	if (error == 0)
		error = mark_stopped(CYCLE_LEAKS, own_sp, is_last, &failure);
	if (error == 0) {
		is_stopped = is_last;
		set_phase(PHASE_SWEEP);
		if (!is_stopped)
			pause_end();
		else
			stats.cycle.exit_pause_ns = pause_ns();
		stats.cycle.marked_bytes = marker_bytes();
		error = leaks_collect(LEAKS_ALL, NULL);
		if (span_guards)
			guard_check(true);
		failure = (struct stop_failure){ .what = "out of memory" };
	}
	end();
	if (error != 0) {
		if (is_stopped)
			stop_end();
		guard_forget();
		held_release();
		stats.cycle.abandoned++;
		say_abandoned("leak check", &failure);		/* Y1 */
		mutator_unmask_signals(mask);
		lock_release(&cycle.lock);
		return error;
	}
	verify_settle();
	stats.cycle.count++;
	stats.cycle.cpu_ns += sys_thread_cpu_ns() - cpu_ns;
	cycle.world_is_stopped = is_stopped;
	mutator_unmask_signals(mask);
	return 0;
}

void
cycle_check_quarantine(void)
{
	cycle_lock();
	span_defer(true);
	pages_open();
	guard_check(false);
	pages_close();
	span_defer(false);
	cycle_unlock();
}

void
cycle_end(void)
{
	leaks_release();
	guard_forget();
	held_release();
	if (cycle.world_is_stopped)
		stop_leave();
	cycle.world_is_stopped = false;
	lock_release(&cycle.lock);
}

void
cycle_fork_child(void)
{
	lock_reset(&cycle.lock);
	work_fork_child();
	store_relaxed(&cache_blackens, false);
	set_phase(PHASE_IDLE);
	crew_fork_child();
	squad_fork_child();
	alarm_fork_child();
	grey_fork_child();
	tracked_fork_child();
	barrier_fork_child();
	sweep_fork_child();
}
