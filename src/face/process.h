/*
 * process.h - the process as a whole: mode, limits, libraries, fork.
 * Defaults: as in bilge.h.
 */
#ifndef BILGE_PROCESS_H
#define BILGE_PROCESS_H

#include "base/base.h"

/* How the library behaves in this process. */
enum bilge_mode {
	BILGE_UNBORN,	/* nothing was allocated yet */
	BILGE_ACTIVE,
	BILGE_PASSIVE,	/* it stands down: calls go to the next allocator */
};

/* Atomic: relaxed, changes before the program's first thread starts. */
extern enum bilge_mode bilge_mode;

/* Fixed by bilge_begin(): are sizes and sites kept? */
extern bool bilge_is_tracking;

/* process_adopt - the memory we look after is that of this process.  Early. */
void process_adopt(void);

/* process_is_ours - false in a child of vfork(2), which has our memory. */
bool process_is_ours(void);

/* bilge_limit - setrlimit(2) is about to limit the address space. */
void bilge_limit(size_t limit);

/* bilge_library_closed - dlclose(3) has returned. */
void bilge_library_closed(void);

/* bilge_is_function - does some module define a function at this address? */
bool bilge_is_function(const void *address);

/*
 * bilge_alone_begin, bilge_alone_end - no thread of ours exists in between.
 * errno is left alone.
 */
void bilge_alone_begin(void);
void bilge_alone_end(void);

/* Fork, from the handlers of pthread_atfork(3). */
void bilge_fork_prepare(void);
void bilge_fork_parent(void);
void bilge_fork_child(void);

#endif
