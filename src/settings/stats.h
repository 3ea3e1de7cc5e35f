/*
 * stats.h - what we count.
 * Defaults: any context.
 */
#ifndef BILGE_STATS_H
#define BILGE_STATS_H

#include "base/base.h"

/*
 * How often which duration, in buckets an eighth of a power of two wide: a
 * quantile is exact to 12 percent.
 */
struct histogram {
	uint64_t count;
	uint64_t max;
	uint32_t buckets[64 * 8];
};

void histogram_add(struct histogram *histogram, uint64_t value);

/* histogram_quantile - Units: permille, 0 .. 1000. */
uint64_t histogram_quantile(const struct histogram *histogram,
			    unsigned permille);

/*
 * Guarded by RANK_CYCLE: only the collector writes; the record reads them.
 */
struct cycle_stats {
	uint64_t count;		/* complete cycles */
	uint64_t abandoned;
	uint64_t marked_bytes;	/* slots' bytes reached in the last cycle */
	uint64_t dirty_pages;	/* read again, in all cycles */
	struct histogram pause_ns;	/* the world stood */
	struct histogram stop_ns;	/* a part of it: until all stood */
	uint64_t exit_pause_ns;	/* of the check at exit, in neither of them */
	uint64_t cpu_ns;
	uint64_t verified;	/* cycles that a second mark agreed with */
};

struct leak_stats {
	uint64_t direct_bytes;
	uint64_t direct_blocks;
	uint64_t indirect_bytes;
	uint64_t indirect_blocks;
};

struct stats {
	struct cycle_stats cycle;
	struct leak_stats leak;
	/* Guarded by RANK_CYCLE. */
	const char *barrier;		/* the name of the one in use */
	const char *barrier_foreseen;	/* before any was; set once */
	uint64_t reclaimed_bytes;
	uint64_t reclaimed_blocks;
	uint64_t quarantined_bytes;	/* of slots, at the end */
	/* Atomic: relaxed, a count and nothing else. */
	_Atomic uint64_t misuses;
	_Atomic uint64_t resurrected;
};

extern struct stats stats;

#endif
