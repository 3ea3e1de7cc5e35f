/*
 * unwind.h - call stacks, through libunwind.
 * Defaults: Context: mutator inside mutator_hold().
 */
#ifndef BILGE_UNWIND_H
#define BILGE_UNWIND_H

#include "base/base.h"

/*
 * unwind_init - open libunwind privately and redirect what it calls.
 * Units:   [own_start, own_end), our code: its frames are left out; open, a
 *          dlopen(3) of libc's own.
 * Returns: false when there is no libunwind; stacks are then not kept.
 * Context: mutator outside mutator_hold(), after libc's constructor.
 */
bool unwind_init(uintptr_t own_start, uintptr_t own_end,
		 void *(*open)(const char *, int));

/*
 * unwind_begin - the return addresses of the calling thread, innermost first,
 * beginning with the one that leads out of our own code.
 * Returns: how many; 0 when unwinding is not possible here.  *ret_frames is
 *          the thread's own buffer, good until unwind_end().
 */
uint32_t unwind_begin(uint32_t frames_max, const uintptr_t **ret_frames);

/* unwind_end - after each unwind_begin() that returned more than 0. */
void unwind_end(void);

/* unwind_thread_end - drop what libunwind keeps for the calling thread. */
void unwind_thread_end(void);

/* unwind_forget - code was unloaded: forget what is known of addresses. */
void unwind_forget(void);

void unwind_fork_lock(void);
void unwind_fork_unlock(bool in_child);

#endif
