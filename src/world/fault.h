/*
 * fault.h - SIGSEGV: touches of what fence.c has shut, and the program's own.
 *
 * Once a handler of ours is installed, the program sees and sets a disposition
 * that only fault.c knows, and gets every fault that is not ours as if we were
 * not there.
 *
 * Defaults: Context: mutator inside mutator_hold() with its signals masked,
 *           collector.
 */
#ifndef BILGE_FAULT_H
#define BILGE_FAULT_H

#include "base/sys.h"

/*
 * fault_install - take the signal, or see that we have it still.
 * Returns:  0; -EBUSY, somebody took it without asking (a raw system call).
 * Locks:    takes RANK_FAULT.
 */
int fault_install(void);

/*
 * fault_exchange - the program's disposition; either may be NULL.
 * Returns:  false: the signal is not ours, the program's call goes to libc
 *           before fault_exchange_end().
 * Locks:    RANK_FAULT is held from here to fault_exchange_end().
 */
bool fault_exchange(const struct sys_action *action,
		    struct sys_action *ret_old);
void fault_exchange_end(void);

/*
 * fault_set_group - units that are read-only are opened by so many, a power of
 * two.  Any context.
 */
void fault_set_group(size_t units);

/* What was touched that is condemned. */
struct fault_touch {
	uintptr_t addr;
	uintptr_t pc;		/* 0: by a system call */
};

/*
 * fault_take_touch - the next touch that nobody has taken.
 * Returns:  false: none.  Context: collector.  Locks: RANK_CYCLE held.
 */
bool fault_take_touch(struct fault_touch *ret);

/* fault_note_touch - of a wrapper. */
void fault_note_touch(uintptr_t addr, uintptr_t pc);

void fault_fork_lock(void);
void fault_fork_unlock(bool in_child);

#endif
