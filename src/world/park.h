/*
 * park.h - how one thread stands still.  What runs in the stop signal's
 * handler is here, and nothing else.
 *
 * A stop is announced by park_stop_begin(), which makes the world's epoch odd
 * and publishes the list of threads; every thread that is signalled, or that
 * leaves a slow path, sees it, saves what it must, counts itself and sleeps
 * until the epoch is even again.
 */
#ifndef BILGE_PARK_H
#define BILGE_PARK_H

#include "base/arch.h"
#include "world/ended.h"

/* One thread as the stopper sees it. */
struct park {
	/* Owner thread: > 0 inside a slow path, which is not stoppable (H2). */
	uint32_t hold;
	/* Owner thread: a stop came while hold was not 0. */
	uint32_t is_noted;
	/* Owner thread. */
	struct ended ended;
	/*
	 * Owner thread: below this stack pointer it may be waiting for a child
	 * in its own memory, 0: not; in vfork(2) itself, or in a function that
	 * makes a child so; with these in its callee-saved registers.
	 */
	uintptr_t spawn_sp;
	bool is_vfork;
	uintptr_t registers[ARCH_CALLEE_SAVED];

	/* World stopped: written by the thread before it counts itself. */
	uintptr_t sp;		/* of the interrupted code */
	uintptr_t frame;	/* what holds its registers begins here */
	uintptr_t tp;		/* thread pointer */
	const void *context;	/* what a signal interrupted, or NULL */
	uintptr_t held[2];	/* by the kernel: alternate stack, GS base */
	_Atomic uint32_t epoch;	/* of the stop it parked for, 0: none yet */
};

/* An entry of the stopper's list. */
struct park_entry {
	int tid;
	int task;		/* its name in /proc: another namespace's tid */
	/* Stopper only. */
	bool is_gone;		/* it ended before it parked */
	bool is_knocked;	/* it got the last signal, see stop.c */
	bool is_away;		/* the kernel keeps it, until a child is gone */
	struct park *park;	/* of its mutator, or `own` */
	struct park_entry *next;	/* with a tid of the same hash */
	struct park own;	/* for threads that are no mutators */
};

/* park_enter_signal - the handler's whole work.  Context: signal. */
void park_enter_signal(void *ucontext);

/*
 * park_enter_noted - stand still now, for a stop that came during a slow path.
 * Context: mutator, hold is 0.
 */
void park_enter_noted(struct park *park);

/*
 * park_stop_begin - announce a stop; nobody is listed yet.
 * Units:   is_last, the process is about to end: see park_stop_leave().
 * Returns: the epoch that threads write when they park.
 * Context: collector.
 */
uint32_t park_stop_begin(bool is_last);

/*
 * park_add - make an entry known to the handler; it stays where it is until
 * park_stop_end().  Of two with one tid the later counts.
 */
void park_add(struct park_entry *entry);

/* park_find - the entry that park_add() was given for a tid, or NULL. */
struct park_entry *park_find(int tid);

/*
 * park_wait - sleep until `want` threads have parked or the time is up.
 * Returns: how many have parked.
 */
uint32_t park_wait(uint32_t want, uint64_t limit_ns);

/*
 * park_parts - where its registers are, other than above its stack pointer.
 * Returns: how many parts there are, ascending.
 * Context: stopped.
 */
unsigned park_parts(const struct park *park,
		    uintptr_t ret[ARCH_CONTEXT_PARTS][2]);

/*
 * park_set_due - from then on, a thread that gets the stop signal stands until
 * the next stop has come and gone; 0: those that stand so go on.
 * Units: due_ns, monotonic.
 */
void park_set_due(uint64_t due_ns);
bool park_has_due(void);

/* park_call_held - those that stand for that, and are listed now, may park. */
void park_call_held(void);

/* park_stop_end - let everybody go on. */
void park_stop_end(void);

/*
 * park_stop_leave - of a last stop: the process ends now.  Nobody is woken, so
 * that no thread is seen to come back from an interrupted call; but should
 * what is left of exit() need a lock that one of them holds, they go on after
 * a short while.
 */
void park_stop_leave(void);

#endif
