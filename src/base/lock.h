/*
 * lock.h - futex locks with ranks.
 *
 * The order in which locks are taken, lowest rank first; a debug build checks
 * it at each acquire.  A thread never holds two locks of one rank.  Fork takes
 * all of them in this order, so that the child finds them free of others.
 *
 * Defaults: Context: mutator inside mutator_hold(), collector.
 */
#ifndef BILGE_LOCK_H
#define BILGE_LOCK_H

#include "base/base.h"

enum lock_rank {
	RANK_CYCLE,	/* one collection at a time: cycle.c */
	RANK_MUTATORS,	/* the registry of mutators: mutator.c */
	RANK_ROOTS,	/* ranges the program registered: roots.c */
	RANK_FAULT,	/* who handles SIGSEGV: fault.c */
	RANK_KERNELREFS, /* what the kernel holds: kernelrefs.c */
	RANK_HEAP,	/* spans of threads that ended: cache.c */
	RANK_ARENA,	/* runs of units: arena.c */
	RANK_SPAN,	/* unused span structs: span.c */
	RANK_FENCE,	/* shut units: fence.c */
	RANK_UNWIND,	/* libunwind's state: unwind.c */
	RANK_DEPOT,	/* call stacks: depot.c */
	RANK_LEDGER,	/* what each site has lost: ledger.c */
	RANK_RECORD,	/* the record's file: record.c */
	RANK_DIRTY,	/* the lists of dirty pages: tracked.c */
	RANK_GREY,	/* the pool of grey blocks: grey.c */
	RANK_MODULES,	/* the list of loaded objects: modules.c */
	RANK_BLIND,	/* unreadable parts of the heap: blind.c */
	RANK_META,	/* the collector's own memory: meta.c */
	RANK_COUNT
};

struct lock {
	/* Atomic: 0 free, 1 held, 2 held and somebody sleeps. */
	_Atomic uint32_t word;
	/* Fixed. */
	enum lock_rank rank;
	/* Guarded by the lock itself; kept in debug builds, 0 when free. */
	int holder;
};

#define LOCK_INIT(r)	{ .word = 0, .rank = (r), .holder = 0 }

void lock_acquire(struct lock *lock);
/* lock_try - the same if it is free; does not wait. */
bool lock_try(struct lock *lock);
void lock_release(struct lock *lock);

/* lock_is_mine - does the calling thread hold it?  For ASSERT only. */
bool lock_is_mine(const struct lock *lock);

/*
 * lock_reset - make a lock free in the child of a fork, whoever held it.
 * Context: forked.
 */
void lock_reset(struct lock *lock);

#endif
