/*
 * threads.h - what the program's threads tell us of themselves.
 * Defaults: as in bilge.h.
 */
#ifndef BILGE_THREADS_H
#define BILGE_THREADS_H

#include "base/base.h"
#include "world/park.h"

/* Threads.  See heap_thread_begin(), mutator_end(), mutator_joined(). */
void bilge_thread_begin(bool has_own_stack);
void bilge_thread_end(bool keep_result);
int bilge_thread_tid(uintptr_t thread_pointer);
void bilge_thread_joined(uintptr_t thread_pointer, int tid);
void bilge_thread_detached(uintptr_t thread_pointer);

/*
 * bilge_is_on_stack - do these addresses lie, near, in the caller's frames?
 * Units: main_end, an address behind the frames of the first stack.
 */
bool bilge_is_on_stack(uintptr_t start, uintptr_t end, uintptr_t main_end);

/*
 * bilge_signal_stack - the calling thread has changed its alternate stack.
 * Units: start, 0: it has none.
 */
void bilge_signal_stack(uintptr_t start);

/* bilge_stack_made - see stacks_note(). */
void bilge_stack_made(uintptr_t start, uintptr_t main_end);

/*
 * bilge_ended_calls - where the stop handler leaves the stack pointer of the
 * calling thread's system call, if a stop alone may have ended it.
 * Returns: NULL when the thread is not known.
 */
struct ended *bilge_ended_calls(void);

/*
 * bilge_vfork_begin - the thread is about to call vfork(2) at this stack
 * pointer, with these in its callee-saved registers.
 */
void bilge_vfork_begin(const uintptr_t *registers, uintptr_t sp);

/*
 * bilge_spawn_begin, bilge_spawn_end - in between, below this stack pointer
 * and with all registers saved above it, a child is made in our memory.
 * Returns: for the other one.
 */
uintptr_t bilge_spawn_begin(uintptr_t sp);
void bilge_spawn_end(uintptr_t outer);

#endif
