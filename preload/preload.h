/*
 * preload.h - what the files of this folder share.
 */
#ifndef BILGE_PRELOAD_H
#define BILGE_PRELOAD_H

#include "bilge.h"

#include <errno.h>
#include <signal.h>

/*
 * process_begin - decide whether to stand down, and begin if not: at the very
 * first call, which may come before any constructor.
 */
void process_begin(void);

/* free_slow - free any block, for a function of this name. */
void free_slow(void *block, const char *function, const void *caller);

/* free_as - the same, quickly if it can be done quickly. */
ALWAYS_INLINE void
free_as(void *block, const char *function)
{
	if (unlikely(!heap_free_fast(block)))
		free_slow(block, function, __builtin_return_address(0));
}

/* free_elsewhere - free a block that is not ours. */
void free_elsewhere(void *block);

/* loader_open, loader_close - libc's dlopen(3) and dlclose(3). */
void *loader_open(const char *file, int mode);
void loader_close(void *handle);

/* stacks_main_end - where the frames of the process's first stack end. */
uintptr_t stacks_main_end(void);

/*
 * signals_blocked - a set that is to be blocked, or a copy of it in *room,
 * without those that must not be.
 */
const sigset_t *signals_blocked(const sigset_t *set, sigset_t *room);

/* threads_init - Context: the library's constructor. */
void threads_init(void);

/* threads_found - the calling thread was not made by pthread_create. */
void threads_found(void);

#endif
