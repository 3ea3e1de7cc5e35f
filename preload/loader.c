/*
 * loader.c - libraries that come and go.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <dlfcn.h>

NEXT_DEFINE(dlclose);

PUBLIC int
dlclose(void *handle)
{
	int result = NEXT(dlclose)(handle);

	bilge_library_closed();
	return result;
}
