/*
 * preload.h - what the files of this folder share.
 */
#ifndef BILGE_PRELOAD_H
#define BILGE_PRELOAD_H

#include "bilge.h"

#include <errno.h>

/*
 * process_begin - decide whether to stand down, and begin if not: at the very
 * first call, which may come before any constructor.
 */
void process_begin(void);

/* free_elsewhere - free a block that is not ours. */
void free_elsewhere(void *block);

/* threads_init - Context: the library's constructor. */
void threads_init(void);

/* threads_found - the calling thread was not made by pthread_create. */
void threads_found(void);

#endif
