/*
 * finish.c - the end of a mark: what the program wrote while it was made.
 *
 * Owns steps 5 and 6 of the cycle.  The last stop has to ask for what is dirty,
 * read that, and read all that cannot be tracked.  Where that would take too
 * long the world runs and stands in turn.  While it stands we pass over the
 * heap, a part in each slice, and read what is dirty there, until so little is
 * written during a pass that it fits into the last stop.
 *
 * How long the world runs follows from two speeds that are measured all the
 * time: how fast it writes pages that were clean, and how fast we read them.
 *
 * Always true:
 *   F1  0 is returned in a stop in which all was asked for and read, and
 *       nothing was grey at the end (M1);
 *   F2  what could not be asked for ends the cycle (M3).
 */
#include "collect/finish.h"

#include "base/arch.h"
#include "base/sys.h"
#include "collect/marker.h"
#include "collect/pause.h"
#include "collect/squad.h"
#include "collect/tracked.h"
#include "collect/work.h"
#include "settings/options.h"
#include "world/alarm.h"
#include "world/roots.h"

#include <errno.h>

/* Pre-cleaning goes on while more pages are dirty than one slice reads. */
#define DIRTY_FEW	256u
#define PRECLEAN_MAX	8u

/*
 * What one stop may take, besides the time to stop.  It takes half as much
 * again now and then, as a piece of work is done when its end is looked at.
 */
#define SLICE_NS	(300 * NSEC_PER_USEC)

/*
 * Where there are more threads than processors we wait for one when the world
 * runs, and it runs longer than we meant: then it has to stand longer, too.
 */
#define STAND_NS	(2 * NSEC_PER_MSEC)
#define STAND_MAX_NS	(4 * NSEC_PER_MSEC)

/* What the last one may take; with each that was none a little more. */
#define LAST_NS		(2 * NSEC_PER_MSEC)
#define LAST_MAX_NS	(4 * NSEC_PER_MSEC)

/* The world runs for so long between two stops. */
#define RUN_NS		SLICE_NS
#define RUN_MIN_NS	(30 * NSEC_PER_USEC)

/* In a pass with fewer pages to ask takes longer than to read them. */
#define DENSE_MIN	8192u

/* To read a page, alone, before it was measured. */
#define PAGE_NS		2000u

/*
 * After so many, and more in a larger heap, the stop takes what it takes.  A
 * slice reads more than so many pages: by then all has been read several times.
 */
#define SLICES_MIN	10000u
#define PAGES_A_SLICE	32u

struct finish {
	struct finish_report *report;
	int (*complete)(void);

	/*
	 * How long the world ran, and was being stopped, since the pages became
	 * clean, in the mean; in a pass, until that began, and since.
	 */
	uint64_t ran_ns;
	uint64_t pass_ran_ns;
	uint64_t began_ns;	/* since when it runs, if it does */
	uint64_t faults;	/* of the process, then */

	bool is_passing;
	size_t pages;		/* that were dirty in this pass */
	size_t last_pages;	/* in the one before */
	uint64_t pass_ns;	/* that we read in it */

	/* Speeds. */
	uint64_t turn_ns;	/* from one stop to the next */
	uint64_t dirty_per_ms;	/* pages written while the world runs */
	uint64_t page_ns;	/* to read one, all hands together */
	uint64_t rest_ns;	/* what only the last stop reads */

	uint64_t run_ns;
	uint64_t stand_ns;
	uint64_t stand_max_ns;
	uint64_t last_ns;
};

static uint64_t
per_ms(uint64_t pages, uint64_t ns)
{
	return pages * NSEC_PER_MSEC / MAX(ns, 1u);
}

int
finish_preclean(struct finish_report *report)
{
	/*
	 * Who has written nearly all while we marked would do so again while
	 * we read that: it takes as long.
	 */
	size_t before = marker_bytes() / ARCH_PAGE_SIZE, dirty;

	for (unsigned round = 0; round < PRECLEAN_MAX; round++) {
		uint64_t now = sys_monotonic_ns();
		int error = tracked_collect();

		dirty = tracked_dirty_pages();
		if (error != 0)
			return error;
		report->dirty_pages += dirty;
		report->dirty_per_ms = per_ms(dirty, now - report->clean_ns);
		report->clean_ns = now;
		/* The stops read what is left. */
		if (dirty > DIRTY_FEW && dirty > before / 4 * 3)
			break;
		before = dirty;
		while (!tracked_scan_dirty(sys_monotonic_ns() + WORK_NS))
			if (!work_between())
				return -ECANCELED;
		if (!work_drain(marker_of(0), 0))
			return -ECANCELED;
		if (dirty <= DIRTY_FEW)
			break;
	}
	return 0;
}

/* --------------------------------------------------------- what is measured */

/* mean - of what was measured before and now, if there is a before. */
static uint64_t
mean(uint64_t before, uint64_t now)
{
	return before == 0 ? now : (3 * before + now) / 4;
}

/* reading_takes - to read what is dirty by now. */
static uint64_t
reading_takes(const struct finish *f)
{
	return f->dirty_per_ms * f->ran_ns / NSEC_PER_MSEC * f->page_ns;
}

/*
 * set_pace - how long the world may run so that we read, while it stands,
 * twice what it writes; and when we come too late for that, how long it has to
 * stand.
 */
static void
set_pace(struct finish *f)
{
	uint64_t late = f->turn_ns - MIN(f->turn_ns, f->run_ns);
	/* Nanoseconds of reading for a millisecond of running. */
	uint64_t cost = MAX(f->dirty_per_ms * f->page_ns, 1u);
	uint64_t fits = SLICE_NS * NSEC_PER_MSEC / 2 / cost;

	f->run_ns = MIN(MAX(fits - MIN(fits, late), RUN_MIN_NS), RUN_NS);
	f->stand_ns = MIN(MAX(2 * (late + f->run_ns) * cost / NSEC_PER_MSEC,
			      SLICE_NS), f->stand_max_ns);
}

/*
 * note_run - the world has run, and stands.  A write to a clean page is a minor
 * fault, and most minor faults are such writes: that is how fast it writes
 * right now, while what an ask finds was written over a longer time, and some
 * of it more than once.
 */
static void
note_run(struct finish *f, uint64_t now)
{
	uint64_t ns = now - f->began_ns, faults = sys_minor_faults();

	if (f->is_passing)
		f->pass_ran_ns += ns;
	else
		f->ran_ns += ns;
	f->turn_ns = mean(f->turn_ns, ns);
	f->dirty_per_ms = mean(f->dirty_per_ms,
			       per_ms(faults - f->faults, ns));
	set_pace(f);
}

/* ----------------------------------------------------------------- standing */

/* read_dirty - Returns: is nothing left, and nothing grey? */
static bool
read_dirty(struct finish *f, uint64_t end_ns)
{
	uint64_t begin_ns = sys_monotonic_ns();
	size_t before = tracked_dirty_pages();
	bool done = tracked_scan_together(end_ns);
	size_t pages = before - tracked_dirty_pages();

	/* Of a few pages the rest is more than the pages. */
	if (pages >= DIRTY_FEW / 2)
		f->page_ns = mean(f->page_ns, (sys_monotonic_ns() - begin_ns) /
					      pages);
	return done;
}

/* pass - Returns: 1, it is not complete; -errno. */
static int
pass(struct finish *f, uint64_t end_ns)
{
	uint64_t begin_ns = sys_monotonic_ns();
	size_t pages;
	int error = tracked_pass(end_ns, &pages);

	f->pages += pages;
	f->pass_ns += sys_monotonic_ns() - begin_ns;
	if (error != 0)
		return error;					/* F2 */
	f->report->dirty_pages += f->pages;
	if (f->pages >= DENSE_MIN)
		f->page_ns = mean(f->page_ns, f->pass_ns / f->pages);
	/* Its first parts have been clean since it began. */
	f->ran_ns = f->pass_ran_ns / 2;
	f->is_passing = false;
	if (f->pages > f->last_pages / 8 * 7)
		f->stand_max_ns = MIN(f->stand_max_ns * 2, STAND_MAX_NS);
	f->last_pages = f->pages;
	return 1;
}

/* read_rest - what is only read in the last stop. */
static int
read_rest(struct finish *f)
{
	uint64_t begin_ns = sys_monotonic_ns();
	int error = roots_scan_again(options->roots == ROOTS_ALL,
				     marker_scan_range);

	if (error != 0)
		return error;
	tracked_scan_rest();
	f->rest_ns = mean(f->rest_ns, sys_monotonic_ns() - begin_ns);
	return 0;
}

/*
 * try - ask for all, and complete the mark if that is little.
 * Units:   end_ns, UINT64_MAX: in any case.
 * Returns: 0, it is complete; 1, it is not; -errno.
 */
static int
try(struct finish *f, uint64_t end_ns)
{
	uint64_t begin_ns = sys_monotonic_ns(), now;
	int error = tracked_collect();

	if (error != 0)
		return error;					/* F2 */
	now = sys_monotonic_ns();
	f->report->dirty_pages += tracked_dirty_pages();
	f->ran_ns = 0;
	f->last_ns = MIN(f->last_ns + f->last_ns / 8, LAST_MAX_NS);
	if (end_ns != UINT64_MAX) {
		end_ns = MAX(MAX(end_ns, begin_ns + f->last_ns),
			     now + SLICE_NS);
		if (now + f->page_ns * tracked_dirty_pages() + f->rest_ns >
		    end_ns)
			return 1;
	}
	if (!read_dirty(f, end_ns))
		return 1;
	error = read_rest(f);
	if (error != 0)
		return error;
	/*
	 * What cannot be tracked is read again in each of these.  Where that is
	 * much, to go on for as long is less than to do it once more.
	 */
	if (end_ns != UINT64_MAX)
		end_ns = MAX(end_ns, sys_monotonic_ns() + f->rest_ns);
	return work_drain(marker_of(0), end_ns) ? f->complete() : 1; /* F1 */
}

/* stand - what is done in one stop; as try(). */
static int
stand(struct finish *f, uint64_t end_ns)
{
	/* What an earlier slice has left comes first. */
	if (!read_dirty(f, end_ns))
		return 1;
	/* What is then too much for this stop is little for the next few. */
	if (end_ns == UINT64_MAX ||
	    (!f->is_passing && reading_takes(f) <= LAST_MAX_NS))
		return try(f, end_ns);
	if (!f->is_passing) {
		f->is_passing = true;
		f->pages = f->pass_ran_ns = f->pass_ns = 0;
	}
	return pass(f, end_ns);
}

/* Guarded by RANK_CYCLE. */
static bool is_prepared;

/* prepare - for many slices. */
static void
prepare(void)
{
	squad_begin();
	alarm_open();
	sys_be_prompt(true);
	is_prepared = true;
}

void
finish_end(void)
{
	if (!is_prepared)
		return;
	is_prepared = false;
	sys_be_prompt(false);
	squad_end();
}

static void
sleep_until(uint64_t ns)
{
	uint64_t now = sys_monotonic_ns();

	if (now < ns)
		sys_sleep_ns(ns - now);
}

int
finish_stop(struct finish_report *report, int (*complete)(void),
	    struct stop_failure *ret_failure)
{
	uint64_t begin_ns = sys_monotonic_ns();
	struct finish f = {
		.report = report, .complete = complete,
		.began_ns = begin_ns, .ran_ns = begin_ns - report->clean_ns,
		.faults = sys_minor_faults(),
		.dirty_per_ms = report->dirty_per_ms, .page_ns = PAGE_NS,
		.run_ns = RUN_NS, .stand_ns = SLICE_NS,
		.stand_max_ns = STAND_NS, .last_ns = LAST_NS,
		.last_pages = SIZE_MAX,
		/* What is verified should go all the ways there are. */
		.is_passing = options->verify,
	};
	uint64_t slices_max = SLICES_MIN + marker_bytes() / ARCH_PAGE_SIZE /
					   PAGES_A_SLICE;
	int error = 1;

	for (unsigned slice = 0; error > 0; slice++) {
		uint64_t now;

		error = pause_begin(0, false, ret_failure);
		if (error != 0)
			break;
		now = sys_monotonic_ns();
		note_run(&f, now);
		error = stand(&f, slice < slices_max ? now + f.stand_ns
						     : UINT64_MAX);
		if (error == 0)
			break;
		/* Before: they may take the processor from us at once. */
		f.began_ns = sys_monotonic_ns();
		f.faults = sys_minor_faults();
		alarm_set(f.began_ns + f.run_ns);
		report->stood_ns += pause_end();
		if (error < 0)
			ret_failure->what = error == -ENOMEM ? "out of memory"
				: "what was written is not known";
		else if (work_is_wanted())
			error = -ECANCELED;
		else if (slice == 0)
			prepare();
		else
			sleep_until(f.began_ns + f.run_ns);
	}
	/* Nobody stands for one once the world runs. */
	alarm_close();
	return error;
}
