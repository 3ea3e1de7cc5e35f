/*
 * sigstack.h - alternate signal stacks in blocks.
 */
#ifndef BILGE_SIGSTACK_H
#define BILGE_SIGSTACK_H

#include "world/mutator.h"

enum sigstack_verdict {
	SIGSTACK_ELSEWHERE,	/* no thread's stack is there */
	SIGSTACK_KEPT,		/* the block stays until it is elsewhere */
	SIGSTACK_KEPT_BEFORE,	/* it was freed already, and stays */
};

/*
 * sigstack_change - the calling thread's alternate stack begins here now.
 * Units:   start, 0 or what lies in no block: it is none of ours.
 * Returns: true: the block is to be freed, for this site, that the program has
 *          freed while the last one was there.
 * Locks:   takes RANK_MUTATORS.
 */
bool sigstack_change(uintptr_t start, void **ret_block, uint32_t *ret_site);

/*
 * sigstack_keep - the program frees a block of a span that has_stack.
 * Locks:   takes RANK_MUTATORS.
 * Cost:    linear in threads.
 */
enum sigstack_verdict sigstack_keep(uintptr_t block, size_t size,
				    uint32_t site);
enum sigstack_verdict sigstack_keep_locked(uintptr_t block, size_t size,
					   uint32_t site);

/* sigstack_leave - the calling thread is about to be forgotten. */
void sigstack_leave(void);

/*
 * sigstack_end_locked - a thread is gone.
 * Returns: as sigstack_change().
 * Context: also collector, forked.  Locks: RANK_MUTATORS held.
 */
bool sigstack_end_locked(struct mutator *m, void **ret_block,
			 uint32_t *ret_site);

#endif
