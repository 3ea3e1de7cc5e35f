/*
 * groups.h - blocks counted by where they were allocated.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_GROUPS_H
#define BILGE_GROUPS_H

#include "base/base.h"

/* The blocks of one site and, of leaks, kind. */
struct leak_group {
	uint32_t site;
	bool is_direct;
	uint64_t bytes;		/* as the program asked for */
	uint64_t blocks;
	/* Not counted here: from the ledger, where reports need it. */
	uint64_t first_ns;
	uint64_t reclaimed_bytes;
};

/* All zero is an empty one. */
struct groups {
	struct leak_group *table;	/* open addressing; blocks 0: empty */
	size_t table_size;		/* a power of two */
	size_t count;
};

/* groups_add - count a block.  Returns: false when there is no memory. */
bool groups_add(struct groups *groups, uint32_t site, bool is_direct,
		uint64_t bytes);

/*
 * groups_sort - table[0] to table[count - 1] are the groups from now on, direct
 * ones first, largest first.  None is added any more.
 */
void groups_sort(struct groups *groups);

/* groups_release - it is empty again. */
void groups_release(struct groups *groups);

#endif
