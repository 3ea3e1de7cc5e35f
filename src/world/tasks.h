/*
 * tasks.h - what /proc says of this process's threads.
 * Defaults: Context: collector, stopped.  Locks: RANK_CYCLE held.
 *
 * A task is a thread's number in /proc, and is not always its tid.
 */
#ifndef BILGE_TASKS_H
#define BILGE_TASKS_H

#include "base/base.h"

/*
 * tasks_open - open the task list, for one stop.  An error shows where the list
 * is asked.
 */
void tasks_open(int pid);
void tasks_close(void);

/* tasks_look - find out whose numbers /proc has, once after tasks_open(). */
void tasks_look(void);

/* tasks_are_foreign - of an outer pid namespace, as of the last look? */
bool tasks_are_foreign(void);

/* tasks_tid_of - what a task is called by itself.  0: it is gone. */
int tasks_tid_of(int task);

/* tasks_is_gone - false in doubt. */
bool tasks_is_gone(int task);

/* tasks_blocked - the signals that a task blocks, as sys.h; none in doubt. */
uint64_t tasks_blocked(int task);

/*
 * tasks_call - the system call in which a task waits.
 * Returns: false: it is in none, or cannot be asked.
 */
struct task_call {
	uint64_t number;
	uintptr_t arguments[6];
	uintptr_t sp;
};
bool tasks_call(int task, struct task_call *ret_call);

/*
 * tasks_list - visit every task.  One that comes meanwhile may be missed.
 * Units:   visit, returns 1 for a task that counts, 0, or -errno.
 * Returns: how many counted, or -errno.
 */
int tasks_list(int (*visit)(int task));

/* tasks_count - how many threads the kernel counts; or -errno. */
long tasks_count(void);

#endif
