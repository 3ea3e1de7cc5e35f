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
 *       world goes on in between, for a shrinking share of the
 *       time until the rest fits into one.  What is white now
 *       cannot be reached.
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
#include "collect/grey.h"
#include "collect/marker.h"
#include "collect/tracked.h"
#include "collect/verify.h"
#include "heap/blind.h"
#include "heap/heap.h"
#include "heap/remap.h"
#include "report/held.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/crew.h"
#include "world/pages.h"
#include "world/roots.h"
#include "world/stacks.h"
#include "world/stop.h"

#include <errno.h>

/* A thread in a slow path of ours needs microseconds; in a fault, a disk. */
#define STOP_LIMIT_NS	(3 * NSEC_PER_SEC)

/* What one stop may take, besides the time to stop; see step 6. */
#define SLICE_NS	(500 * NSEC_PER_USEC)

/* Pre-cleaning goes on while more pages are dirty than one slice reads. */
#define DIRTY_FEW	256u
#define PRECLEAN_MAX	8u

/*
 * In step 6 the world runs for so long between two stops; for half of that when
 * it has written more than half of what was read meanwhile.
 */
#define RUN_NS		SLICE_NS
#define RUN_MIN_NS	(30 * NSEC_PER_USEC)

/*
 * Where there are more threads than processors we wait for one when the world
 * runs, and it runs longer than we meant: then it has to stand longer, too.
 */
#define STAND_MAX_NS	(4 * NSEC_PER_MSEC)

/* After so many, 5 to 20 s, the stop takes what it takes. */
#define SLICES_MAX	10000u

/* What is scanned between two looks at the clock: a small part of a slice. */
#define BUDGET		(128 * KIB)

/*
 * A mark for the quarantine that has no more than this to read is made in one
 * stop: that takes about 2 ms, and the faults of what the program would write
 * meanwhile take longer.  When one took more, the next is a concurrent one.
 */
#define AT_ONCE_MAX	(16 * MIB)
#define AT_ONCE_MAX_NS	(4 * NSEC_PER_MSEC)

/* How deep calls go that return before the next cycle, mostly. */
#define STALE_BELOW	(32 * KIB)

/* A worker computes for so long, then rests as BILGE_CPU wants. */
#define WORK_NS		(2 * NSEC_PER_MSEC)

/* So many abandoned cycles in a row are worth a line, twice as many another. */
#define ABANDONED_SAY	3u

_Atomic uint32_t cycle_phase;

static struct {
	struct lock lock;
	/* Atomic: how many wait for the lock; a cycle gives up for them. */
	_Atomic uint32_t wanted;
	/* Atomic: relaxed, see cycle_hurry(). */
	_Atomic bool is_hurried;
	/* Atomic: relaxed, read when those who add to it have been joined. */
	_Atomic uint64_t helpers_cpu_ns;

	/* Guarded by lock. */
	bool world_is_stopped;		/* from cycle_check() to cycle_end() */
	bool has_second_mark;
	unsigned workers;
	unsigned share;			/* of a worker's time, percent */
	uint64_t work_begin_ns;
	uint64_t work_cpu_ns;		/* the thread's time at that moment */
	unsigned abandoned_in_a_row;
	bool stood_long;		/* the last one made at once */
} cycle = { .lock = LOCK_INIT(RANK_CYCLE) };

void
cycle_lock(void)
{
	atomic_fetch_add_explicit(&cycle.wanted, 1, memory_order_relaxed);
	lock_acquire(&cycle.lock);
	atomic_fetch_sub_explicit(&cycle.wanted, 1, memory_order_relaxed);
}

void
cycle_unlock(void)
{
	lock_release(&cycle.lock);
}

void
cycle_hurry(void)
{
	store_relaxed(&cycle.is_hurried, true);
}

static bool
is_wanted(void)
{
	return load_relaxed(&cycle.wanted) != 0;
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

/* ------------------------------------------------------------------ working */

static void
begin_work(void)
{
	cycle.work_begin_ns = sys_monotonic_ns();
	cycle.work_cpu_ns = sys_thread_cpu_ns();
}

/*
 * rest - leave the processors to the program, as BILGE_CPU says.  While others
 * have the processor we rest, too.
 */
static void
rest(void)
{
	uint64_t passed = sys_monotonic_ns() - cycle.work_begin_ns, due;

	if (passed < WORK_NS || cycle.share >= 100 ||
	    load_relaxed(&cycle.is_hurried))
		return;
	due = (sys_thread_cpu_ns() - cycle.work_cpu_ns) * 100 / cycle.share;
	if (due > passed)
		sys_sleep_ns(due - passed);
	begin_work();
}

static bool
between(void)
{
	rest();
	return !is_wanted();
}

/* drain - scan until nothing is grey, the time is up or we are wanted. */
static bool
drain(uint64_t end_ns)
{
	while (!marker_drain(marker_of(0), BUDGET)) {
		if (end_ns == 0 ? !between() : sys_monotonic_ns() >= end_ns)
			return false;
	}
	return true;
}

/* give_up - nobody waits any more for what this thread would have done. */
static void
give_up(void)
{
	grey_stop();
	grey_leave();
}

static void
mark_until_wanted(struct marker *m)
{
	do
		while (!marker_drain(m, BUDGET))
			if (is_wanted()) {
				give_up();
				return;
			}
	while (grey_wait());
}

/* help - what the other members of the crew do while the program runs. */
static void
help(void *argument)
{
	struct marker *m = marker_of((unsigned)(uintptr_t)argument);

	mark_until_wanted(m);
	/* All that this thread, which is about to end, has used. */
	atomic_fetch_add_explicit(&cycle.helpers_cpu_ns, sys_thread_cpu_ns(),
				  memory_order_relaxed);
}

/* mark_together - step 4 on several processors. */
static bool
mark_together(void)
{
	unsigned helpers = 0;

	for (unsigned i = 1; i < cycle.workers; i++) {
		grey_join();
		if (crew_start(i, help, (void *)(uintptr_t)i) != 0) {
			grey_leave();
			break;
		}
		helpers++;
	}
	if (helpers == 0)
		return drain(0);
	grey_join();
	do
		if (!drain(0)) {
			give_up();
			break;
		}
	while (grey_wait());
	for (unsigned i = 1; i <= helpers; i++)
		crew_join(i);
	/* What they were given last may have made more of it grey. */
	return drain(0);
}

static void
count_workers(enum cycle_kind kind)
{
	uint64_t processors = sys_cpu_count();
	uint64_t percent = processors * options->cpu;

	cycle.workers = options->workers != 0
		? (unsigned)options->workers : (unsigned)(percent / 100);
	cycle.workers = MIN(MAX(cycle.workers, 1u), MARKERS_MAX);
	cycle.share = options->workers != 0 ? 100
		: (unsigned)MIN(percent / cycle.workers, 100u);
	/* The sooner it is over, the fewer pages are written twice. */
	if (kind == CYCLE_QUARANTINE)
		cycle.share = 100;
	begin_work();
	store_relaxed(&cycle.is_hurried, false);
}

/* ----------------------------------------------------------------- stopping */

/* stop_world - Units: own_sp, 0: the caller is no thread of the program. */
static int
stop_world(uintptr_t own_sp, bool is_last, uint64_t *ret_begin_ns,
	   struct stop_failure *ret_failure)
{
	int error;

	*ret_begin_ns = sys_monotonic_ns();
	error = stop_begin(STOP_LIMIT_NS, own_sp, is_last, ret_failure);
	/* At exit nobody waits for the world to go on. */
	if (error == 0 && !is_last)
		histogram_add(&stats.cycle.stop_ns,
			      sys_monotonic_ns() - *ret_begin_ns);
	return error;
}

/* start_world - Returns: how long it stood. */
static uint64_t
start_world(uint64_t begin_ns)
{
	uint64_t ns;

	stop_end();
	ns = sys_monotonic_ns() - begin_ns;
	histogram_add(&stats.cycle.pause_ns, ns);
	return ns;
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
	uint64_t begin_ns;
	int error = stop_world(0, false, &begin_ns, ret_failure);

	if (error != 0)
		return error;
	set_phase(PHASE_MARK);
	marker_blacken_claims();				/* H3 */
	error = roots_scan_threads(options->roots == ROOTS_ALL,
				   marker_scan_range);
	report->first_stop_ns = start_world(begin_ns);
	if (error != 0)
		ret_failure->what = "the threads' stacks cannot be read";
	return error;
}

/* preclean - step 5. */
static int
preclean(struct cycle_report *report)
{
	/*
	 * Who has written nearly all while we marked would do so again while
	 * we read that: it takes as long.
	 */
	size_t before = marker_bytes() / ARCH_PAGE_SIZE;

	for (unsigned round = 0; round < PRECLEAN_MAX; round++) {
		int error = tracked_collect();
		size_t dirty = tracked_dirty_pages();

		if (error != 0)
			return error;
		report->dirty_pages += dirty;
		/* Step 6 scans what is left. */
		if (dirty <= DIRTY_FEW || dirty > before / 4 * 3)
			break;
		before = dirty;
		while (!tracked_scan_dirty(sys_monotonic_ns() + WORK_NS))
			if (!between())
				return -ECANCELED;
		if (!drain(0))
			return -ECANCELED;
	}
	return 0;
}

/* finish - the slices of step 6. */
struct finish {
	uint64_t run_ns;	/* how long the world runs between two stops */
	uint64_t stand_ns;	/* and stands, besides what cannot be divided */
	unsigned runs;		/* since we asked */
	uint64_t began_ns;	/* since when it runs */
	uint64_t ran_ns;	/* in all since we asked what was written */
	uint64_t ask_ns;	/* how long it took to ask */
	size_t dirty;		/* pages that we were told */
};

/* ask - what was written?  World running or stopped. */
static int
ask(struct cycle_report *report, struct finish *f)
{
	uint64_t begin_ns = sys_monotonic_ns();
	int error = tracked_collect();

	report->dirty_pages += f->dirty = tracked_dirty_pages();
	f->ask_ns = sys_monotonic_ns() - begin_ns;
	f->began_ns = begin_ns;
	f->ran_ns = 0;
	f->runs = 0;
	return error;
}

/*
 * is_long_ago - has the world run for so long since we asked, that to ask now
 * would make a pause too long?  What is written in a millisecond may take as
 * long to make clean again.  While we ask with the world running it goes on
 * writing: less than in twice that time we do not get.
 */
static bool
is_long_ago(const struct finish *f)
{
	return f->ran_ns > 2 * f->ask_ns + SLICE_NS / 2;
}

/*
 * try_to_finish - step 6, one slice of it.
 * Returns: 0, with the world stopped and the mark complete; 1, the time was
 *          up; -errno.
 */
static int
try_to_finish(struct cycle_report *report, struct finish *f, uint64_t end_ns)
{
	uint64_t begin_ns;
	int error;

	/* What an earlier slice has left comes first. */
	if (!tracked_scan_dirty(end_ns) || !drain(end_ns) ||
	    (is_long_ago(f) && end_ns != UINT64_MAX))
		return 1;
	error = ask(report, f);
	if (error != 0)
		return error;
	/* To ask is the price of a try: what it is for has its own time. */
	end_ns = MAX(end_ns, sys_monotonic_ns() + SLICE_NS);
	if (!tracked_scan_dirty(end_ns))
		return 1;
	error = roots_scan_again(options->roots == ROOTS_ALL,
				 marker_scan_range);
	if (error != 0)
		return error;
	/*
	 * What cannot be tracked is read again in each slice.  Where that is
	 * much, to go on for as long is less than to do it once more.
	 */
	begin_ns = sys_monotonic_ns();
	tracked_scan_rest();
	end_ns = MAX(end_ns, 2 * sys_monotonic_ns() - begin_ns);
	return drain(end_ns) ? second_mark() : 1;		/* Y3 */
}

/* scan_between - what a slice has left, while the world runs. */
static int
scan_between(struct cycle_report *report, struct finish *f)
{
	uint64_t end_ns = sys_monotonic_ns() + f->run_ns;
	bool was_long = f->ran_ns / (f->runs + 1) > f->run_ns + f->run_ns / 2;
	size_t before = f->dirty;
	int error = 0;

	if (tracked_scan_dirty(end_ns) && is_long_ago(f)) {
		error = ask(report, f);
		if (f->dirty > before / 2) {
			if (was_long)
				f->stand_ns = MIN(f->stand_ns * 2,
						  STAND_MAX_NS);
			f->run_ns = MAX(f->run_ns / 2, RUN_MIN_NS);
		}
	} else {
		drain(end_ns);
	}
	return error;
}

/* second_stop - step 6.  The world stands when it has returned 0. */
static int
second_stop(struct cycle_report *report, uint64_t *ret_begin_ns,
	    struct stop_failure *ret_failure)
{
	struct finish f = { .run_ns = RUN_NS, .stand_ns = SLICE_NS };
	int error = ask(report, &f);

	for (unsigned slice = 0; error == 0; slice++) {
		uint64_t now;

		error = stop_world(0, false, ret_begin_ns, ret_failure);
		if (error != 0)
			return error;
		now = sys_monotonic_ns();
		f.ran_ns += now - f.began_ns;
		f.runs++;
		error = try_to_finish(report, &f, slice < SLICES_MAX
				      ? now + f.stand_ns : UINT64_MAX);
		if (error == 0)
			return 0;
		report->second_stop_ns += start_world(*ret_begin_ns);
		f.began_ns = sys_monotonic_ns();
		if (error > 0)
			error = scan_between(report, &f);
		if (error == 0 && is_wanted())
			return -ECANCELED;
	}
	ret_failure->what = error == -ENOMEM ? "out of memory"
			    : "what was written is not known";
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
	     uint64_t *ret_begin_ns, struct stop_failure *ret_failure)
{
	int error = stop_world(own_sp, is_last, ret_begin_ns, ret_failure);

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
		drain(UINT64_MAX);
		error = second_mark();
	}
	if (error == 0)
		return 0;
	ret_failure->what = error == -ENOMEM ? "out of memory"
			    : "/proc/self/maps cannot be read";
	start_world(*ret_begin_ns);
	return error;
}

/* --------------------------------------------------- with the world running */

static int
mark_concurrently(struct cycle_report *report, uint64_t *ret_begin_ns,
		  struct stop_failure *ret_failure)
{
	uint64_t begin_ns;
	int error;

	set_phase(PHASE_ARM);
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
	tracked_scan_ranges(between);
	tracked_scan_dead(between);
	if (report->kind == CYCLE_QUARANTINE)
		guard_scan_heap(between);
	if (!mark_together() || is_wanted())
		return -ECANCELED;
	ret_failure->what = "what was written is not known";
	error = preclean(report);
	if (error != 0)
		return error;
	error = second_stop(report, ret_begin_ns, ret_failure);
	if (error == 0)
		report->concurrent_ns = *ret_begin_ns - begin_ns -
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
	uint64_t stop_begin_ns, cpu_ns = sys_thread_cpu_ns();
	size_t threads;
	bool at_once;
	int error;

	*report = (struct cycle_report){
		.begin_ns = sys_monotonic_ns(),
		.kind = kind,
	};
	lock_acquire(&cycle.lock);
	count_workers(kind);
	store_relaxed(&cycle.helpers_cpu_ns, 0);
	look_at_heap(report);
	report->barrier = barrier_open()->name;
	error = is_wanted() ? -ECANCELED : begin(false, &failure);
	at_once = is_made_at_once(report);
	if (error == 0 && !at_once)
		error = mark_concurrently(report, &stop_begin_ns, &failure);
	else if (error == 0)
		error = mark_stopped(kind, 0, false, &stop_begin_ns, &failure);
	if (error == 0) {
		set_phase(PHASE_SWEEP);
		stop_threads(&threads);
		report->threads = threads;
		report->second_stop_ns += start_world(stop_begin_ns);
		cycle.stood_long = at_once &&
			report->second_stop_ns > AT_ONCE_MAX_NS;
		report->live_bytes = kind == CYCLE_LEAKS ? marker_bytes()
			: report->used_before - report->quarantined_before;
		report->root_bytes = tracked_root_bytes();
		error = sweep(reclaims, report);
		failure.what = "out of memory";
	}
	tracked_end();
	verify_settle();
	report->cpu_ns = sys_thread_cpu_ns() - cpu_ns +
			 load_relaxed(&cycle.helpers_cpu_ns);
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
	uint64_t cpu_ns = sys_thread_cpu_ns(), begin_ns;
	bool is_stopped = false;
	uint64_t mask;
	int error;

	cycle_lock();
	/* A handler of this thread would change what is being marked. */
	mutator_mask_signals(&mask);
	error = begin(true, &failure);
	if (error == 0)
		error = mark_stopped(CYCLE_LEAKS, own_sp, is_last, &begin_ns,
				     &failure);
	if (error == 0) {
		is_stopped = is_last;
		set_phase(PHASE_SWEEP);
		if (!is_stopped)
			start_world(begin_ns);
		else
			stats.cycle.exit_pause_ns =
				sys_monotonic_ns() - begin_ns;
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
	store_relaxed(&cycle.wanted, 0);
	store_relaxed(&cache_blackens, false);
	set_phase(PHASE_IDLE);
	crew_fork_child();
	grey_fork_child();
	tracked_fork_child();
	barrier_fork_child();
	sweep_fork_child();
}
