/*
 * loader.c - libraries that come and go.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <dlfcn.h>

NEXT_DEFINE(dlclose);
NEXT_DEFINE(dlopen);

void *
loader_open(const char *file, int mode)
{
	return NEXT(dlopen)(file, mode);
}

void
loader_close(void *handle)
{
	NEXT(dlclose)(handle);
}

PUBLIC int
dlclose(void *handle)
{
	int result = NEXT(dlclose)(handle);

	bilge_library_closed();
	return result;
}

/*
 * RTLD_DEEPBIND would bind the library's malloc to libc's: a block of ours
 * that it frees, or one of libc's that we are given, ends the process.  The
 * call is a jump: libc looks at its caller for DT_RUNPATH and the namespace.
 */
PUBLIC void *
dlopen(const char *file, int mode)
{
	return NEXT(dlopen)(file, bilge_mode == BILGE_ACTIVE
				  ? mode & ~RTLD_DEEPBIND : mode);
}
