/*
 * work.c - how the collector marks while the program runs.
 *
 * Owns who waits for the cycle to be given up, and the shares of its threads.
 *
 * Always true:
 *   A1  a thread that has given up stops the others: none waits for what it
 *       would have scanned.
 */
#include "collect/work.h"

#include "base/arch.h"
#include "base/sys.h"
#include "collect/grey.h"
#include "collect/marker.h"
#include "settings/options.h"
#include "world/crew.h"

/* What is scanned between two looks at the clock: a small part of a slice. */
#define BUDGET		(128 * KIB)

static struct {
	/* Atomic: how many wait; a cycle gives up for them. */
	_Atomic uint32_t wanted;
	/* Atomic: relaxed. */
	_Atomic bool is_hurried;
	/* Atomic: relaxed, read when those who add to it have been joined. */
	_Atomic uint64_t helpers_cpu_ns;

	/* Guarded by RANK_CYCLE. */
	unsigned workers;
	unsigned share;			/* of a worker's time, percent */
	uint64_t begin_ns;
	uint64_t cpu_ns;		/* the thread's time at that moment */
} work;

void
work_want(bool wanted)
{
	if (!wanted) {
		atomic_fetch_sub_explicit(&work.wanted, 1,
					  memory_order_relaxed);
		return;
	}
	atomic_fetch_add_explicit(&work.wanted, 1, memory_order_relaxed);
	/* It may be at rest. */
	sys_futex_wake(&work.wanted, 1);
}

bool
work_is_wanted(void)
{
	return load_relaxed(&work.wanted) != 0;
}

void
work_hurry(void)
{
	store_relaxed(&work.is_hurried, true);
}

static void
begin_work(void)
{
	work.begin_ns = sys_monotonic_ns();
	work.cpu_ns = sys_thread_cpu_ns();
}

void
work_plan(bool rests)
{
	uint64_t percent = sys_cpu_count() * options->cpu;

	work.workers = options->workers != 0
		? (unsigned)options->workers : (unsigned)(percent / 100);
	work.workers = MIN(MAX(work.workers, 1u), MARKERS_MAX);
	work.share = options->workers != 0 || !rests ? 100
		: (unsigned)MIN(percent / work.workers, 100u);
	begin_work();
	store_relaxed(&work.is_hurried, false);
	store_relaxed(&work.helpers_cpu_ns, 0);
}

/*
 * rest - leave the processors to the program, as its share says.  While others
 * have the processor we rest, too.
 */
static void
rest(void)
{
	uint64_t passed = sys_monotonic_ns() - work.begin_ns, due;

	if (passed < WORK_NS || work.share >= 100 ||
	    load_relaxed(&work.is_hurried))
		return;
	due = (sys_thread_cpu_ns() - work.cpu_ns) * 100 / work.share;
	/* Whoever wants us does not wait for the rest to be over. */
	if (due > passed)
		sys_futex_wait(&work.wanted, 0, due - passed);
	begin_work();
}

bool
work_between(void)
{
	rest();
	return !work_is_wanted();
}

bool
work_drain(struct marker *m, uint64_t end_ns)
{
	while (!marker_drain(m, BUDGET)) {
		if (end_ns == 0 ? !work_between()
				: sys_monotonic_ns() >= end_ns)
			return false;
	}
	return true;
}

/* give_up - nobody waits any more for what this thread would have done. */
static void
give_up(void)
{
	grey_stop();						/* A1 */
	grey_leave();
}

static void
mark_until_wanted(struct marker *m)
{
	do
		while (!marker_drain(m, BUDGET))
			if (work_is_wanted()) {
				give_up();
				return;
			}
	while (grey_wait());
}

void
work_count_helper(void)
{
	atomic_fetch_add_explicit(&work.helpers_cpu_ns, sys_thread_cpu_ns(),
				  memory_order_relaxed);
}

/* help - what the other members of the crew do while the program runs. */
static void
help(void *argument)
{
	struct marker *m = marker_of((unsigned)(uintptr_t)argument);

	mark_until_wanted(m);
	work_count_helper();
}

bool
work_together(void)
{
	unsigned helpers = 0;

	for (unsigned i = 1; i < work.workers; i++) {
		grey_join();
		if (crew_start(i, help, (void *)(uintptr_t)i) != 0) {
			grey_leave();
			break;
		}
		helpers++;
	}
	if (helpers == 0)
		return work_drain(marker_of(0), 0);
	grey_join();
	do
		if (!work_drain(marker_of(0), 0)) {
			give_up();
			break;
		}
	while (grey_wait());
	for (unsigned i = 1; i <= helpers; i++)
		crew_join(i);
	/* What they were given last may have made more of it grey. */
	return work_drain(marker_of(0), 0);
}

uint64_t
work_helpers_cpu_ns(void)
{
	return load_relaxed(&work.helpers_cpu_ns);
}

void
work_fork_child(void)
{
	store_relaxed(&work.wanted, 0);
}
