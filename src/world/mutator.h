/*
 * mutator.h - the registry of the program's threads.
 * Defaults: Context: mutator.  Locks: takes RANK_MUTATORS.
 */
#ifndef BILGE_MUTATOR_H
#define BILGE_MUTATOR_H

#include "world/park.h"

struct cache;

/* BILGE_DEPTH's largest value and what our own frames take. */
#define MUTATOR_FRAMES_MAX	(128 + 8)

enum mutator_state {
	MUTATOR_ALIVE,
	/* Ended but not joined: its result is still in its descriptor. */
	MUTATOR_ENDED,
};

struct mutator {
	struct park park;

	/* Fixed when it registers. */
	int tid;
	uintptr_t tp;

	/* Owner thread. */
	struct cache *cache;
	uint32_t ignore_depth;		/* nesting of __lsan_disable() */
	uint32_t is_unwinding;
	int64_t sample_left;		/* bytes until the next kept stack */
	void *unwinder_data;		/* libunwind's for this thread */
	/*
	 * A call stack while it is looked up.  Not on the thread's own stack:
	 * there, what was below would stay in it and look like pointers.
	 */
	uintptr_t frames[MUTATOR_FRAMES_MAX];
	/* Bytes that the pacer has not heard of: claimed, quarantined. */
	size_t unpaced;
	size_t unpaced_frees;

	/* Guarded by RANK_MUTATORS. */
	enum mutator_state state;
	bool is_detached;
	bool has_own_stack;		/* libc's, with a guard page below */
	/*
	 * Its alternate stack, where that is in the heap; and the block that it
	 * lies in, once the program has freed that (heap/sigstack.c).
	 */
	uintptr_t signal_stack;
	uintptr_t freed_stack;
	uint32_t freed_site;		/* of the call that freed it */
	/* Owner thread: a part of its stack has served as another one. */
	bool has_inner_stack;
	struct mutator *next, *prev;
	struct mutator *next_tid;	/* alive, with a tid of the same hash */
	struct mutator *next_tp;	/* with a tp of the same hash */
};

/* Owner thread: NULL until it registers and after it has ended. */
extern __thread struct mutator *mutator_self
	__attribute__((tls_model("initial-exec")));

/*
 * mutator_hold, mutator_release - mark a slow path: a stop waits until it is
 * left (H2).  They nest.  Nothing that may block on another thread's progress,
 * except a lock of lock.h, is called in between.
 */
ALWAYS_INLINE void
mutator_hold(void)
{
	struct mutator *m = mutator_self;

	if (likely(m != NULL)) {
		m->park.hold++;
		atomic_signal_fence(memory_order_seq_cst);
	}
}

ALWAYS_INLINE void
mutator_release(void)
{
	struct mutator *m = mutator_self;

	if (likely(m != NULL)) {
		atomic_signal_fence(memory_order_seq_cst);
		if (--m->park.hold == 0 && unlikely(m->park.is_noted))
			park_enter_noted(&m->park);
	}
}

/*
 * mutator_scrub_stack - clear what the calls that just returned have left on
 * the stack below.  Addresses among it would stay in the holes of later frames
 * and look like pointers to the blocks that are there by then.
 */
void mutator_scrub_stack(void);

/*
 * mutator_mask_signals - keep the program's handlers out of a section that
 * takes locks: a handler that allocates must not wait for the code it
 * interrupted.  The stop signal still comes through: inside mutator_hold() it
 * is noted, and a thread that waits for the registry can be stopped.  The end
 * of a section also scrubs the stack.
 */
void mutator_set_stop_signal(int sig);
void mutator_mask_signals(uint64_t *ret_old);
void mutator_unmask_signals(uint64_t old);

/*
 * mutator_enter, mutator_leave - around a slow path that takes locks: it is
 * held, and the signals are masked.
 */
ALWAYS_INLINE void
mutator_enter(uint64_t *ret_mask)
{
	mutator_hold();
	mutator_mask_signals(ret_mask);
}

ALWAYS_INLINE void
mutator_leave(uint64_t mask)
{
	mutator_unmask_signals(mask);
	mutator_release();
}

/*
 * mutator_register - make the calling thread known, unless it is already: a
 * handler of its own may have been first.
 * Units:   has_own_stack, its stack is libc's, below its thread pointer and
 *          above a guard page.
 * Returns: NULL when there is no memory for it.
 */
struct mutator *mutator_register(bool has_own_stack);

/*
 * mutator_end - the calling thread ends.  Its descriptor, with its result,
 * stays a root until mutator_joined() when keep_result is set.
 */
void mutator_end(bool keep_result);

/*
 * mutator_tid_of - of the latest thread that had this descriptor; 0: none.
 * Asked before a join: afterwards the descriptor may be another thread's.
 */
int mutator_tid_of(uintptr_t tp);

/* mutator_joined - nobody needs the result of this ended thread any more. */
void mutator_joined(uintptr_t tp, int tid);

/* mutator_detached - nobody will ever need the result of this thread. */
void mutator_detached(uintptr_t tp);

/*
 * mutator_set_hook - called with a mutator that has ended, under RANK_MUTATORS,
 * by whoever finds out; in the child of a fork with the others, whose caches
 * are NULL by then.
 */
void mutator_set_hook(void (*ended)(struct mutator *));

/* mutator_reap_locked - drop mutators whose threads are gone. */
void mutator_reap_locked(void);

void mutator_lock(void);
bool mutator_try_lock(void);
void mutator_unlock(void);

/* mutator_first_locked - the first of all, by next. */
struct mutator *mutator_first_locked(void);

/* mutator_find_locked - the living mutator with this tid, or NULL. */
struct mutator *mutator_find_locked(int tid);

/*
 * Ended threads' stacks, which libc keeps for new threads: what is on them is
 * no root.  The descriptors say themselves whether they are still libc's.
 */
#define DEAD_STACKS_MAX 1024
size_t mutator_dead_stacks_locked(const uintptr_t **ret_tps);

void mutator_fork_lock(void);
void mutator_fork_unlock(bool in_child);

#endif
