/*
 * protect.c - the program changes who may read its memory.
 *
 * What it closes of our heap, guard pages of stacks that it keeps in blocks,
 * the collector must not touch.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <sys/mman.h>

NEXT_DEFINE(mprotect);
NEXT_DEFINE(pkey_mprotect);

/* PROTECTED - the result of a call that sets the protection of a range. */
#define PROTECTED(start, size, protection, call) ({			\
	bool is_ours_ = bilge_protect_begin(start, size, protection);	\
	int result_ = (call);						\
	if (unlikely(is_ours_))						\
		bilge_protect_end(start, size, protection, result_ == 0); \
	result_; })

PUBLIC int
mprotect(void *start, size_t size, int protection)
{
	return PROTECTED(start, size, protection,
			 NEXT(mprotect)(start, size, protection));
}

PUBLIC int
pkey_mprotect(void *start, size_t size, int protection, int key)
{
	return PROTECTED(start, size, protection,
			 NEXT(pkey_mprotect)(start, size, protection, key));
}
