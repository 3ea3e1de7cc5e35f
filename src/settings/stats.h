/*
 * stats.h - what we count.
 * Defaults: any context.
 */
#ifndef BILGE_STATS_H
#define BILGE_STATS_H

#include "base/base.h"

/*
 * Guarded by RANK_CYCLE: only the collector writes; the record reads them.
 */
struct cycle_stats {
	uint64_t count;		/* complete cycles */
	uint64_t abandoned;
	uint64_t marked_bytes;	/* slots' bytes reached in the last cycle */
	uint64_t pause_ns;	/* of the last cycle: the world stood */
	uint64_t stop_ns;	/* a part of it: until all stood */
	uint64_t cpu_ns;
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
	/* Atomic: relaxed, a count and nothing else. */
	_Atomic uint64_t misuses;
};

extern struct stats stats;

#endif
