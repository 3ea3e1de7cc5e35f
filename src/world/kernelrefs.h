/*
 * kernelrefs.h - addresses that only the kernel holds for the program.
 * Defaults: Context: mutator, also its signal handlers; outside
 *           mutator_hold().  Locks: takes RANK_KERNELREFS.
 *           An address that is none of the heap's is not noted.
 */
#ifndef BILGE_KERNELREFS_H
#define BILGE_KERNELREFS_H

#include "base/base.h"

/* Where the kernel keeps it, and what the key is. */
enum kernelref {
	KERNELREF_EPOLL,	/* epoll_ctl(2); 0 */
	KERNELREF_TIMER,	/* timer_create(2); 0 */
	KERNELREF_SIGNAL,	/* sigqueue(3); the signal */
	KERNELREF_NOTIFY,	/* mq_notify(3); the queue's descriptor */
	KERNELREF_AIO,		/* io_submit(2); the context */
	KERNELREF_MESSAGE,	/* in a pipe, socket or queue; which one */
};

/*
 * kernelrefs_note - the kernel holds an address from now on.
 *
 * The caller keeps it where it is seen until this returns.  What is taken back
 * by kernelrefs_drop() is noted before it is given to the kernel, anything
 * else afterwards: kernelrefs_prepare() takes it back when the kernel does not
 * show it.
 */
void kernelrefs_note(enum kernelref kind, uint64_t key, uintptr_t address);

/* kernelrefs_drop - the program has got it back, once. */
void kernelrefs_drop(enum kernelref kind, uint64_t key, uintptr_t address);

/* kernelrefs_drop_all - nothing of this kind and key is held any more. */
void kernelrefs_drop_all(enum kernelref kind, uint64_t key);

/* kernelrefs_has - is anything of this kind noted?  Without a lock. */
bool kernelrefs_has(enum kernelref kind);

/*
 * kernelrefs_prepare - ask the kernel what it holds, where /proc tells: drop
 * what is gone, note what came unseen.
 * Context: collector, world running.  Locks: RANK_CYCLE held.
 */
void kernelrefs_prepare(void);

/*
 * kernelrefs_scan - call scan for all that is held.
 * Returns: false when there was no memory to note one: roots are missing (M3).
 * Context: stopped.
 */
bool kernelrefs_scan(void (*scan)(uintptr_t start, uintptr_t end));

/*
 * kernelrefs_use_task - whose descriptors are looked at from now on.
 * Units:   task, its name in /proc/self/task; 0: the caller's.
 * Context: collector, stopped.  Locks: RANK_CYCLE held.
 */
void kernelrefs_use_task(int task);

void kernelrefs_fork_lock(void);
void kernelrefs_fork_unlock(bool in_child);

#endif
