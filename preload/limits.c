/*
 * limits.c - a program limits its own address space.
 *
 * Reserved addresses count against RLIMIT_AS: with a terabyte of them, the
 * first mapping or stack page after the call would fail.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <sys/resource.h>
#include <unistd.h>

NEXT_DEFINE(setrlimit);
NEXT_DEFINE(setrlimit64);
NEXT_DEFINE(prlimit);
NEXT_DEFINE(prlimit64);

static void
note_limit(int resource, rlim64_t soft)
{
	int saved_errno = errno;

	if (resource == RLIMIT_AS && soft != RLIM64_INFINITY)
		bilge_limit(soft);
	errno = saved_errno;
}

PUBLIC int
setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	note_limit((int)resource, limit->rlim_cur);
	return NEXT(setrlimit)(resource, limit);
}

PUBLIC int
setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	note_limit((int)resource, limit->rlim_cur);
	return NEXT(setrlimit64)(resource, limit);
}

PUBLIC int
prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit,
	struct rlimit *old)
{
	if (limit != NULL && (pid == 0 || pid == getpid()))
		note_limit((int)resource, limit->rlim_cur);
	return NEXT(prlimit)(pid, resource, limit, old);
}

PUBLIC int
prlimit64(pid_t pid, enum __rlimit_resource resource,
	  const struct rlimit64 *limit, struct rlimit64 *old)
{
	if (limit != NULL && (pid == 0 || pid == getpid()))
		note_limit((int)resource, limit->rlim_cur);
	return NEXT(prlimit64)(pid, resource, limit, old);
}
