/*
 * collector.c - who runs cycles, and when.
 *
 * Owns the collector's thread: member 0 of the crew.  It is made when the
 * first cycle is due, sleeps between cycles, and ends when the program has
 * been idle for a while; then the next allocation that matters makes it anew.
 *
 * When is decided by the pacer in terms of bytes in the program's hands.  To
 * know them exactly takes a look at all spans: it is taken when so much was
 * allocated since the last look that they may have reached the trigger.  What
 * waits in quarantine has a trigger of its own, and where leaks are not looked
 * for while the program runs, a simpler cycle (guard.c).
 *
 * Always true:
 *   N1  at most one collector's thread exists: who changes state from NONE to
 *       ALIVE may join the last one and start it, and only itself changes it
 *       back, at its end;
 *   N2  while pauses is not 0 it is not started, and one that runs ends soon.
 */
#include "collect/collector.h"

#include "base/sys.h"
#include "collect/work.h"
#include "heap/heap.h"
#include "report/trace.h"
#include "settings/options.h"
#include "world/crew.h"
#include "world/mutator.h"

#include <errno.h>

/* A process this young and small is left alone. */
#define INFANCY_NS	(50 * NSEC_PER_MSEC)

/*
 * A program that has claimed nothing for so long, and waits for nothing of
 * ours, is idle: the thread ends.
 */
#define IDLE_NS		(500 * NSEC_PER_MSEC)

/*
 * A thread that allocates while its cycle is behind waits for so long at a
 * time, and for longer the farther it is.  Where memory is being lost it does
 * so for each so many bytes.
 */
#define ASSIST_NS	(NSEC_PER_MSEC)
#define ASSIST_MAX	16u
#define ASSIST_BYTES	UNIT_SIZE
#define ASSIST_MAX_NS	(100 * NSEC_PER_MSEC)

/* The bytes in use are counted as often, then. */
#define COUNT_NS	(10 * NSEC_PER_MSEC)

/* Memory is being lost when a cycle has found this part of what lives. */
#define LOSING_PART	16

/* A thread that frees while its cycle is behind waits from here on. */
#define HURRY_RELEASE_MIN	(32 * MIB)

enum { NONE, ALIVE };
enum { REQUEST_LOOK = 1, REQUEST_QUIT = 2 };

static struct {
	/* Fixed by collector_start(). */
	struct pacer_settings settings;
	void (*told)(const struct cycle_report *);
	bool reclaims;
	bool is_on;
	uint64_t share;			/* of one processor, percent */
	int pid;

	/* Atomic. */
	_Atomic uint32_t state;		/* N1 */
	_Atomic uint32_t request;	/* a futex: what the thread is to do */
	_Atomic uint32_t pauses;	/* N2 */
	_Atomic uint64_t allocated;	/* bytes claimed, ever */
	_Atomic uint64_t look_at;	/* of allocated: time for a look */
	_Atomic bool is_running;	/* a cycle: what follows is of it */
	_Atomic uint64_t ceiling;	/* held bytes: assist above them, */
	_Atomic uint64_t hurry_at;	/* when so many bytes_grown_to() too */
	_Atomic uint64_t step;		/* bytes behind that double the wait */
	_Atomic uint64_t used;		/* bytes, and when they were counted */
	_Atomic uint64_t used_ns;
	_Atomic uint64_t due_ns;	/* a cycle in any case; 0: never */
	_Atomic bool is_losing;		/* as the last cycle has found */
	_Atomic uint64_t quarantined;	/* bytes freed into quarantine, ever */
	_Atomic uint64_t release_at;	/* of those: time for a cycle */
	_Atomic uint64_t hurry_release_at;	/* of those: assist then */

	/* The collector's thread. */
	struct pacer_plan plan;
	struct pacer_cycle last;	/* what the plan follows from, */
	uint64_t planned_ns;		/* since then */
	uint64_t end_ns;		/* of the last cycle */
	unsigned clean_cycles;
	unsigned failures;		/* cycles abandoned, in a row */
	uint64_t retry_ns;		/* not before */
	uint64_t release_not_before_ns;	/* the processors' share, BILGE_CPU */
	bool has_pending;
} collector;

/* ------------------------------------------------------------------- pacing */

/* plan_look - when may used bytes reach the trigger? */
static void
plan_look(uint64_t used)
{
	uint64_t now = load_relaxed(&collector.allocated);
	uint64_t left = collector.plan.trigger_bytes > used
			? collector.plan.trigger_bytes - used : 0;

	store_relaxed(&collector.look_at, now + MIN(left, UINT64_MAX / 2));
}

/* held_bytes - of runs, used or not, that hold memory. */
static uint64_t
held_bytes(void)
{
	return arena_used_bytes() + arena_dirty_bytes();
}

/* count_used - now and then: it takes a look at all spans. */
static uint64_t
count_used(void)
{
	uint64_t now = sys_coarse_ns(), last = load_relaxed(&collector.used_ns);

	if (now - last >= COUNT_NS &&
	    atomic_compare_exchange_strong_explicit(&collector.used_ns, &last,
		now, memory_order_relaxed, memory_order_relaxed))
		store_relaxed(&collector.used,
			      heap_statistics().used_bytes);
	return load_relaxed(&collector.used);
}

/*
 * bytes_grown_to - what the growth of the heap is judged by.  Where memory is
 * being lost it is what is in use, as if nothing were reclaimed: what a cycle
 * gives back is not there to be lost again before it ends.
 */
static uint64_t
bytes_grown_to(bool is_losing)
{
	return is_losing ? count_used() + sweep_reclaimed() : held_bytes();
}

/* overhead - bytes held besides those in use. */
static uint64_t
overhead(uint64_t used)
{
	uint64_t held = held_bytes();

	return held > used ? held - used : 0;
}

/* plan_again - a program may hold more since, without using it. */
static void
plan_again(uint64_t used)
{
	/* Before the first cycle nothing is known of it. */
	if (collector.last.live_bytes == 0)
		return;
	collector.last.overhead_bytes = overhead(used);
	collector.plan = pacer_plan(&collector.settings, &collector.last);
}

static void
plan_next(const struct cycle_report *r)
{
	uint64_t now = sys_monotonic_ns();
	uint64_t since = MAX(now - collector.planned_ns, 1u);
	/* As if nothing had been reclaimed. */
	uint64_t used = r->used_after + r->sweep.reclaimed_bytes;
	uint64_t grown = used - MIN(used, collector.last.used_bytes);
	struct pacer_cycle c = {
		.live_bytes = r->live_bytes,
		.root_bytes = r->root_bytes,
		.used_bytes = r->used_after,
		.pending_bytes = r->sweep.pending_bytes,
		.wall_ns = now - r->begin_ns,
		.cpu_ns = r->cpu_ns,
		.rate = (uint64_t)((double)grown * 1e9 / (double)since),
	};
	bool is_clean = r->sweep.lost_blocks == 0 &&
			r->sweep.pending_bytes == 0 &&
			r->sweep.reclaimed_blocks == 0;

	collector.clean_cycles = is_clean ? collector.clean_cycles + 1 : 0;
	c.clean_cycles = collector.clean_cycles;
	/* Before what it is judged by changes: it is as good as over. */
	store_relaxed(&collector.is_running, false);
	c.overhead_bytes = overhead(r->used_after);
	collector.last = c;
	collector.plan = pacer_plan(&collector.settings, &c);
	collector.planned_ns = collector.end_ns = now;
	collector.has_pending = r->sweep.pending_bytes != 0;
	collector.failures = 0;
	store_relaxed(&collector.is_losing,
		      r->sweep.lost_bytes + r->sweep.pending_bytes +
		      r->sweep.reclaimed_bytes > r->live_bytes / LOSING_PART);
	store_relaxed(&collector.due_ns, collector.plan.latest_ns == 0 ? 0
		      : now + collector.plan.latest_ns);
	plan_look(r->used_after);
}

/* plan_release - when is enough in quarantine for another cycle? */
static void
plan_release(uint64_t freed_before, const struct cycle_report *r)
{
	uint64_t held = r->guard.kept_bytes;

	/* It did not rest: that is made good now. */
	if (r->kind == CYCLE_QUARANTINE)
		collector.release_not_before_ns = sys_monotonic_ns() +
			r->cpu_ns * (100 - collector.share) / collector.share;
	store_relaxed(&collector.release_at, freed_before +
		      pacer_quarantine(&collector.settings, r->root_bytes +
				       (r->used_after > held ?
					r->used_after - held : 0)));
}

static void
tell(const struct cycle_report *report)
{
	if (report->kind == CYCLE_LEAKS)
		plan_next(report);
	trace_cycle(report, &collector.plan);
	if (report->kind == CYCLE_LEAKS)
		collector.told(report);
}

/* retry_later - there is reason to try again, but not at once. */
static void
retry_later(int error, uint64_t begin_ns)
{
	uint64_t now = sys_monotonic_ns(), wait_ns;

	/* Whoever wanted the lock is no reason why the next one should fail. */
	if (error != -ECANCELED || collector.failures == 0)
		collector.failures++;
	wait_ns = pacer_retry(collector.failures, now - begin_ns);
	collector.end_ns = now;
	collector.retry_ns = now + wait_ns;
	store_relaxed(&collector.look_at,
		      load_relaxed(&collector.allocated) + MIB);
	store_relaxed(&collector.release_at,
		      load_relaxed(&collector.quarantined) + MIB);
	if (load_relaxed(&collector.due_ns) != 0)
		store_relaxed(&collector.due_ns, now + MAX(wait_ns,
			      MIN(collector.plan.latest_ns, NSEC_PER_SEC)));
}

static void
run_cycle(enum cycle_kind kind, uint64_t used)
{
	uint64_t freed_before = load_relaxed(&collector.quarantined);
	const struct pacer_plan *plan = &collector.plan;
	uint64_t begin_ns = sys_monotonic_ns();
	struct cycle_report report;
	int error;

	/*
	 * What grows beyond that is too much.  Only memory counts: what is
	 * freed and allocated again meanwhile is nothing to wait for.
	 */
	store_relaxed(&collector.step, MAX(plan->goal_bytes / 64, MIB));
	store_relaxed(&collector.ceiling, plan->ceiling_bytes);
	store_relaxed(&collector.used, used);
	store_relaxed(&collector.used_ns, sys_coarse_ns());
	store_relaxed(&collector.hurry_at, plan->growth_bytes +
		      (load_relaxed(&collector.is_losing)
		       ? used + sweep_reclaimed() : held_bytes()));
	/* As much again as lives or waits. */
	store_relaxed(&collector.hurry_release_at,
		      freed_before + MAX(used, HURRY_RELEASE_MIN));
	store_relaxed(&collector.release_at, UINT64_MAX);
	store_relaxed(&collector.is_running, kind == CYCLE_LEAKS);
	error = cycle_run(kind, collector.reclaims, &report, tell);
	store_relaxed(&collector.is_running, false);
	store_relaxed(&collector.hurry_release_at, UINT64_MAX);
	if (error == 0)
		plan_release(freed_before, &report);
	else
		retry_later(error, begin_ns);
}

/* --------------------------------------------------------------- the thread */

static bool
is_due(uint64_t now)
{
	uint64_t due = load_relaxed(&collector.due_ns);

	return due != 0 && now >= due;
}

/* look - has the time come?  Runs a cycle if so. */
static void
look(void)
{
	uint64_t now = sys_monotonic_ns();
	bool is_grown = load_relaxed(&collector.allocated) >=
			load_relaxed(&collector.look_at);
	bool is_full = load_relaxed(&collector.quarantined) >=
		       load_relaxed(&collector.release_at);
	uint64_t used;

	if (!is_grown && !is_due(now) && !is_full)
		return;
	if (now < collector.retry_ns) {
		store_relaxed(&collector.look_at,
			      load_relaxed(&collector.allocated) + MIB);
		if (is_full)
			store_relaxed(&collector.release_at,
				      load_relaxed(&collector.quarantined) +
				      MIB);
		return;
	}
	if (is_grown && now - collector.end_ns < collector.plan.earliest_ns)
		sys_sleep_ns(collector.plan.earliest_ns -
			     (now - collector.end_ns));
	else if (!is_grown && !is_due(now) &&
		 now < collector.release_not_before_ns)
		sys_sleep_ns(collector.release_not_before_ns - now);
	cache_reap();
	used = heap_statistics().used_bytes;
	plan_again(used);
	if (is_due(now) || used >= collector.plan.trigger_bytes ||
	    (is_full && collector.reclaims))
		run_cycle(CYCLE_LEAKS, used);
	else if (is_full)
		run_cycle(CYCLE_QUARANTINE, used);
	else
		plan_look(used);
}

/* sleep_until_needed - Returns: false when it is time to end. */
static bool
sleep_until_needed(void)
{
	uint64_t before = load_relaxed(&collector.allocated);
	uint64_t now = sys_monotonic_ns();
	uint64_t due = load_relaxed(&collector.due_ns);
	uint64_t wait_ns = IDLE_NS;
	uint32_t request;

	if (due != 0)
		wait_ns = MIN(wait_ns, due > now ? due - now : 1);
	if (load_acquire(&collector.request) == 0)
		sys_futex_wait(&collector.request, 0, wait_ns);
	request = atomic_exchange_explicit(&collector.request, 0,
					   memory_order_acq_rel);
	if ((request & REQUEST_QUIT) != 0)
		return false;
	if (request != 0 || is_due(sys_monotonic_ns()))
		return true;
	/* Nothing new, and nothing that only another cycle could free. */
	return wait_ns < IDLE_NS || collector.has_pending ||
	       load_relaxed(&collector.allocated) != before;
}

static void
work(void *unused)
{
	(void)unused;
	while (load_relaxed(&collector.pauses) == 0) {
		look();
		if (load_relaxed(&collector.pauses) != 0 ||
		    !sleep_until_needed())
			break;
	}
	cycle_rest();
	store_release(&collector.state, NONE);			/* N1 */
}

/* take_state - N1. */
static bool
take_state(void)
{
	uint32_t none = NONE;

	return atomic_compare_exchange_strong_explicit(&collector.state,
		&none, ALIVE, memory_order_acq_rel, memory_order_relaxed);
}

/* start_thread - Context: mutator, also a signal handler. */
static void
start_thread(void)
{
	uint64_t mask;

	/* A child of vfork shares our memory: it has no say. */
	if (load_relaxed(&collector.pauses) != 0 ||
	    sys_getpid() != collector.pid)
		return;
	mutator_mask_signals(&mask);
	mutator_hold();
	if (take_state()) {
		/* Its last instructions need its stack. */
		crew_join(0);
		if (load_relaxed(&collector.pauses) != 0) {
			/* Who pauses waits until the state is NONE. */
			store_release(&collector.state, NONE);	/* N2 */
		} else if (crew_start(0, work, NULL) != 0) {
			store_release(&collector.state, NONE);
			store_relaxed(&collector.look_at,
				      load_relaxed(&collector.allocated) +
				      4 * MIB);
		}
	}
	mutator_release();
	mutator_unmask_signals(mask);
}

static void
request(uint32_t what)
{
	if (atomic_fetch_or_explicit(&collector.request, what,
				     memory_order_acq_rel) == 0)
		sys_futex_wake(&collector.request, 1);
}

/* is_over - does a cycle run, and more is held than there should be? */
static bool
is_over(void)
{
	return load_relaxed(&collector.is_running) &&
	       load_relaxed(&cycle_phase) != PHASE_IDLE &&
	       held_bytes() > load_relaxed(&collector.ceiling);
}

/* bytes_behind - by how much memory has outgrown the cycle; 0: it has not. */
static uint64_t
bytes_behind(bool is_losing)
{
	uint64_t hurry_at = load_relaxed(&collector.hurry_at), grown;

	if (!is_over())
		return 0;
	grown = bytes_grown_to(is_losing);
	return grown > hurry_at ? grown - hurry_at : 0;
}

/*
 * assist - leave the processor to the cycle, if it is behind.  Where memory is
 * being lost it does not rest from the ceiling on.
 */
static void
assist(size_t bytes)
{
	bool is_losing = load_relaxed(&collector.is_losing);
	uint64_t behind, wait_ns;

	if (likely(!is_over()) || sys_getpid() != collector.pid)
		return;
	behind = bytes_behind(is_losing);
	if (behind > 0 || is_losing)
		work_hurry();
	if (behind == 0)
		return;
	wait_ns = ASSIST_NS * MIN(1 + behind / load_relaxed(&collector.step),
				  ASSIST_MAX);
	if (is_losing)
		wait_ns = MIN(wait_ns * MAX(bytes / ASSIST_BYTES, 1u),
			      ASSIST_MAX_NS);
	/* In parts: the cycle may end in between. */
	for (uint64_t part_ns; wait_ns > 0; wait_ns -= part_ns) {
		part_ns = MIN(wait_ns, ASSIST_NS);
		sys_sleep_ns(part_ns);
		if (bytes_behind(is_losing) == 0)
			break;
	}
}

/* assist_release - the same of what is freed. */
static void
assist_release(uint64_t quarantined)
{
	uint64_t hurry_at = load_relaxed(&collector.hurry_release_at);
	uint64_t steps;

	if (likely(quarantined < hurry_at) ||
	    load_relaxed(&cycle_phase) == PHASE_IDLE ||
	    sys_getpid() != collector.pid)
		return;
	work_hurry();
	steps = 1 + (quarantined - hurry_at) / (HURRY_RELEASE_MIN / 16);
	sys_sleep_ns(MIN(steps, ASSIST_MAX) * ASSIST_NS);
}

void
collector_note(size_t claimed, size_t freed)
{
	uint64_t allocated = claimed +
		atomic_fetch_add_explicit(&collector.allocated, claimed,
					  memory_order_relaxed);
	uint64_t quarantined = freed +
		atomic_fetch_add_explicit(&collector.quarantined, freed,
					  memory_order_relaxed);

	if (!collector.is_on)
		return;
	assist(claimed);
	assist_release(quarantined);
	if (allocated < load_relaxed(&collector.look_at) &&
	    quarantined < load_relaxed(&collector.release_at) &&
	    !is_due(sys_coarse_ns()))
		return;
	if (load_relaxed(&collector.state) == NONE)
		start_thread();
	else
		request(REQUEST_LOOK);
}

/* ------------------------------------------------------- start, pause, fork */

static void
begin_pacing(void)
{
	uint64_t now = sys_monotonic_ns();

	collector.pid = sys_getpid();
	collector.plan = pacer_first(&collector.settings);
	collector.last = (struct pacer_cycle){ 0 };
	collector.planned_ns = collector.end_ns = now;
	collector.clean_cycles = 0;
	collector.has_pending = false;
	collector.failures = 0;
	collector.retry_ns = 0;
	store_relaxed(&collector.is_losing, false);
	store_relaxed(&collector.is_running, false);
	store_relaxed(&collector.step, MIB);
	store_relaxed(&collector.due_ns, collector.settings.interval_ns == 0
		      ? 0 : now + MAX(collector.settings.interval_ns,
				      INFANCY_NS));
	store_relaxed(&collector.hurry_release_at, UINT64_MAX);
	store_relaxed(&collector.release_at,
		      load_relaxed(&collector.quarantined) +
		      pacer_quarantine(&collector.settings, 0));
	plan_look(0);
}

void
collector_start(void (*told)(const struct cycle_report *))
{
	collector.settings = (struct pacer_settings){
		.percent = OPTION_OFF,
		.limit = OPTION_OFF,
		.grace = options->grace,
		.quarantine = options->quarantine,
	};
	if (options_want_leak_cycles()) {
		collector.settings.percent = options->percent;
		collector.settings.limit = options->limit;
		collector.settings.interval_ns = options->interval;
	}
	collector.told = told;
	collector.share = MIN(MAX(sys_cpu_count() * options->cpu, 1u), 100u);
	collector.reclaims = options->leaks == LEAKS_RECLAIM;
	begin_pacing();
	collector.is_on = options_want_cycles();
	if (collector.is_on)
		heap_set_pressure_hook(collector_note);
}

void
collector_pause(void)
{
	uint64_t mask;

	if (!collector.is_on)
		return;
	atomic_fetch_add_explicit(&collector.pauses, 1, memory_order_seq_cst);
	/* A cycle gives up for us; then its thread finds that we are here. */
	cycle_lock();
	request(REQUEST_QUIT);
	cycle_unlock();
	mutator_mask_signals(&mask);
	while (!take_state())
		sys_sched_yield();
	crew_join(0);
	store_release(&collector.state, NONE);
	mutator_unmask_signals(mask);
}

void
collector_resume(void)
{
	if (!collector.is_on)
		return;
	store_relaxed(&collector.request, 0);
	atomic_fetch_sub_explicit(&collector.pauses, 1, memory_order_seq_cst);
}

void
collector_fork_child(void)
{
	store_relaxed(&collector.state, NONE);
	store_relaxed(&collector.request, 0);
	store_relaxed(&collector.pauses, 0);
	if (collector.is_on)
		begin_pacing();
}
