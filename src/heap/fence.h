/*
 * fence.h - units of the heap that the program cannot touch just now.
 *
 * A unit is open, read-only (a barrier waits for the first write) or closed to
 * all (it is condemned).  A touch faults, and opens it; so does a system call's
 * wrapper before the kernel would touch it, because the kernel fails instead.
 *
 * Defaults: Context: mutator inside mutator_hold() with its signals masked,
 *           collector.  Locks: takes RANK_FENCE.
 */
#ifndef BILGE_FENCE_H
#define BILGE_FENCE_H

#include "heap/sizeclass.h"

enum fence_state {
	FENCE_OPEN,
	FENCE_READ_ONLY,
	FENCE_CLOSED,
};

/*
 * Does any unit ever become anything but open in this process?  Fixed by
 * fence_start(); until then nothing here costs anything.
 */
extern bool fence_is_on;

/* Fixed by fence_start(): may units become read-only? */
extern bool fence_lends;

/* Atomic: relaxed; how many units are not open, a hint. */
extern _Atomic size_t fence_count;

/*
 * fence_start - get ready for a range.  Context: early, one thread.
 * Units:  lends, units may become read-only.
 * Errors: -ENOMEM.
 */
int fence_start(uintptr_t base, size_t size, bool lends);

/*
 * fence_shut - make the open units of [start, end) read-only or closed, but
 * those for which may_shut says no and those lent.
 * Units:   may_shut, called under the lock: what it finds out stays true until
 *          the next fence_open() of the unit; NULL, all.
 * Errors:  -errno of mprotect: -ENOMEM, too many mappings; some are shut.
 */
int fence_shut(uintptr_t start, uintptr_t end, enum fence_state state,
	       bool (*may_shut)(uintptr_t unit));

/* fence_open - make all units of [start, end) open. */
void fence_open(uintptr_t start, uintptr_t end);

/* fence_open_read_only - make those open that are read-only. */
void fence_open_read_only(uintptr_t start, uintptr_t end);

/* fence_state - of a unit.  Any context. */
enum fence_state fence_state(uintptr_t addr);

/*
 * fence_fault - the program has touched an address and was refused.
 * Units:    [start, end), what is shut there as its unit is opened with it.
 * Returns:  what its unit was, and it is open now; FENCE_OPEN, it was open.
 * Context:  signal, also where the lock is held; the stop signal is blocked
 *           (a page is open and not yet noted to be so in between).
 */
enum fence_state fence_fault(uintptr_t addr, uintptr_t start, uintptr_t end);

/*
 * fence_reopen - the same for a unit that is noted as open and cannot be
 * touched: two faults and a shutting at the same time leave it so.
 */
void fence_reopen(uintptr_t addr);

/*
 * fence_lend - open the unit of an address and keep it open until
 * fence_return(); they count.  fence_give, for good: until the unit is free.
 */
void fence_lend(uintptr_t addr);
void fence_return(uintptr_t addr);
void fence_give(uintptr_t addr);

/* fence_is_given - is it kept open for good?  Any context. */
bool fence_is_given(uintptr_t addr);

/* fence_forget - a run of units is about to be free: open, nothing lent. */
void fence_forget(uintptr_t start, uintptr_t end);

/*
 * fence_has_failed - could a unit not be opened alone, so that all had to be?
 * There are too many mappings.  Reset by asking.
 */
bool fence_has_failed(void);

void fence_fork_lock(void);
void fence_fork_unlock(bool in_child);

#endif
