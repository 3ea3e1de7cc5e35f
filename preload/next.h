/*
 * next.h - the functions behind ours: those the program would have called.
 */
#ifndef BILGE_NEXT_H
#define BILGE_NEXT_H

#include "base/base.h"

#include <dlfcn.h>

/*
 * NEXT - a function of this name behind ours, looked up at its first use and
 * remembered.  Every wrapper works as the very first call of the process.
 */
#define NEXT(name) ((__typeof__(&name))next_find(&next_##name, #name))
#define NEXT_DEFINE(name) static _Atomic(void *) next_##name

/* next_find - Context: any; dlsym does not allocate when it succeeds. */
static inline void *
next_find(_Atomic(void *) *place, const char *name)
{
	/* relaxed: every thread finds the same address. */
	void *found = load_relaxed(place);

	if (likely(found != NULL))
		return found;
	found = dlsym(RTLD_NEXT, name);
	store_relaxed(place, found);
	return found;
}

#endif
