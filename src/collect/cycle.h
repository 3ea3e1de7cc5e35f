/*
 * cycle.h - one collection.  The tour of the collector starts in cycle.c.
 * Defaults: Locks: takes RANK_CYCLE.
 */
#ifndef BILGE_CYCLE_H
#define BILGE_CYCLE_H

#include "collect/guard.h"
#include "collect/sweep.h"
#include "report/leaks.h"

/* Where a cycle is.  There is no phase but these. */
enum cycle_phase {
	PHASE_IDLE,	/* every span is swept, nothing is armed */
	PHASE_ARM,	/* the barrier tracks writes, nothing is marked */
	PHASE_MARK,	/* claims are black; the program runs, or stands */
	PHASE_SWEEP,	/* marking is complete; claims are black still */
};

/* Atomic: changes only in cycle.c. */
extern _Atomic uint32_t cycle_phase;

/* What a cycle is to find out. */
enum cycle_kind {
	CYCLE_LEAKS,		/* what can be reached */
	CYCLE_QUARANTINE,	/* only: what of the quarantine is pointed at */
};

/* What one cycle did, for the trace, the record and the pacer. */
struct cycle_report {
	uint64_t number;
	uint64_t begin_ns;		/* monotonic */
	uint64_t first_stop_ns;		/* from first thread parked to last
					   one released */
	uint64_t concurrent_ns;		/* between the stops, less the slices */
	uint64_t second_stop_ns;	/* with all slices */
	uint64_t cpu_ns;		/* of all threads that marked */
	uint64_t used_before, used_after;	/* bytes in slots */
	uint64_t live_bytes;		/* marked */
	uint64_t root_bytes;
	uint64_t dirty_pages;
	uint64_t threads;		/* that stood at last */
	const char *barrier;
	enum cycle_kind kind;
	uint64_t quarantined_before;	/* bytes in slots */
	struct sweep_result sweep;
	struct guard_result guard;
};

/*
 * cycle_run - one cycle with the world running, as far as the barrier allows.
 * Units:   reclaims, see sweep_run(); told, called before RANK_CYCLE is
 *          released: leaks_groups() has what is new, if leaks were asked for.
 * Returns: 0; -ECANCELED, somebody wanted the lock; another -errno: it was
 *          abandoned, and where that goes on one line has said why.
 * Context: collector, a thread of the crew.
 */
int cycle_run(enum cycle_kind kind, bool reclaims, struct cycle_report *ret,
	      void (*told)(const struct cycle_report *));

/* cycle_rest - the calling thread of the crew ends: drop what was its own. */
void cycle_rest(void);

/*
 * cycle_check - find what is unreachable, with the world stopped for as long
 * as marking takes.
 *
 * Units:   own_sp, everything on the caller's stack above it is the program's;
 *          is_last, the process is about to end: the world stands still until
 *          it has.
 * Returns: 0, with RANK_CYCLE held until cycle_end(): leaks_groups() tells.
 * Errors:  -ETIMEDOUT, -ENOSYS, -ENOMEM, ...: it was abandoned, and one line
 *          has said why.
 * Context: a program thread that is about to become the collector.
 */
int cycle_check(uintptr_t own_sp, bool is_last);
void cycle_end(void);

/*
 * cycle_check_quarantine - look for writes to freed blocks, without a mark.
 * Context: mutator.
 */
void cycle_check_quarantine(void);

/*
 * cycle_lock, cycle_unlock - no cycle is under way in between; one that is, is
 * given up.
 * Context: mutator.
 */
void cycle_lock(void);
void cycle_unlock(void);

/* cycle_fork_child - whatever was under way is not, here.  Forked. */
void cycle_fork_child(void);

#endif
