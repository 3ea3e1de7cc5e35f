/*
 * leaks.h - what is white: counted, told apart, grouped by site.
 * Defaults: Context: collector, world running.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_LEAKS_H
#define BILGE_LEAKS_H

#include "collect/candidate.h"
#include "report/groups.h"

/* Which white blocks count: all, or those that are not condemned yet. */
enum leaks_choice_of { LEAKS_ALL, LEAKS_NEW };

/*
 * leaks_collect - find all white blocks after a complete mark.
 *
 * Direct is a leak that no other leak points at; of leaks that only point at
 * each other in a circle one is direct, their head.
 *
 * Units:   visit, called once for each block that counts; may be NULL.
 * Errors:  -ENOMEM; nothing is known then.
 * Cost:    linear in the heap and in the bytes of the leaks.
 */
int leaks_collect(enum leaks_choice_of choice,
		  void (*visit)(const struct block *, bool is_direct));

/* The groups, direct ones first, largest first; until leaks_release(). */
const struct leak_group *leaks_groups(size_t *ret_count);
void leaks_release(void);

#endif
