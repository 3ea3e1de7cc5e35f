/*
 * pacer.h - when is the next cycle due?
 *
 * Pure: no state, no clock, no settings but those it is given.
 * Any context.
 */
#ifndef BILGE_PACER_H
#define BILGE_PACER_H

#include "base/base.h"

/* What the user chose. */
struct pacer_settings {
	uint64_t percent;	/* BILGE_PERCENT; OPTION_OFF */
	uint64_t limit;		/* bytes, BILGE_LIMIT or the cgroup's */
	uint64_t interval_ns;	/* BILGE_INTERVAL; 0: never for time alone */
	uint64_t quarantine;	/* percent, BILGE_QUARANTINE */
	uint64_t grace;		/* BILGE_GRACE */
};

/* What is known at the end of a cycle. */
struct pacer_cycle {
	uint64_t live_bytes;	/* marked */
	uint64_t root_bytes;	/* scanned outside the heap */
	uint64_t used_bytes;	/* in the program's hands, after the sweep */
	uint64_t pending_bytes;	/* condemned: the next cycle may free them */
	uint64_t overhead_bytes; /* resident besides used_bytes */
	uint64_t wall_ns;	/* how long the cycle took */
	uint64_t cpu_ns;	/* what it computed */
	uint64_t rate;		/* bytes a second by which it used more */
	unsigned clean_cycles;	/* in a row, in which nothing leaked */
};

struct pacer_plan {
	uint64_t goal_bytes;	/* used bytes that the heap should not exceed */
	uint64_t trigger_bytes;	/* used bytes at which the next cycle begins */
	uint64_t ceiling_bytes;	/* of memory: above it, a program is slowed */
	uint64_t growth_bytes;	/* that has grown by this while a cycle runs */
	uint64_t earliest_ns;	/* after the end of this one: not before */
	uint64_t latest_ns;	/* after it: a cycle in any case; 0: never */
};

struct pacer_plan pacer_plan(const struct pacer_settings *settings,
			     const struct pacer_cycle *cycle);

/*
 * pacer_quarantine - how much may be freed into quarantine from the begin of
 * one cycle to that of the next.
 * Units: bytes, that a cycle has to read: in slots that are neither free nor in
 *        quarantine, and in roots.
 */
uint64_t pacer_quarantine(const struct pacer_settings *settings,
			  uint64_t bytes);

/* pacer_first - before any cycle. */
struct pacer_plan pacer_first(const struct pacer_settings *settings);

/*
 * pacer_retry - how long to wait after a cycle that was abandoned.
 * Units:   failures, in a row, this one among them; wall_ns, what it took.
 */
uint64_t pacer_retry(unsigned failures, uint64_t wall_ns);

#endif
