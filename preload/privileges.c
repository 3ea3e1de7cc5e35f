/*
 * privileges.c - a process changes who it is.
 *
 * libc carries setuid(2) and its kin to every thread that it knows.  The
 * collector's thread it does not know, and the kernel refuses some changes to
 * a process of several threads: while any of these calls is under way, no
 * thread of ours exists.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <grp.h>
#include <sched.h>
#include <unistd.h>

NEXT_DEFINE(setuid);
NEXT_DEFINE(setgid);
NEXT_DEFINE(seteuid);
NEXT_DEFINE(setegid);
NEXT_DEFINE(setreuid);
NEXT_DEFINE(setregid);
NEXT_DEFINE(setresuid);
NEXT_DEFINE(setresgid);
NEXT_DEFINE(setgroups);
NEXT_DEFINE(unshare);
NEXT_DEFINE(setns);

/* ALONE - the call's result, made while there is no thread of ours. */
#define ALONE(call) ({			\
	int result_;			\
	bilge_alone_begin();		\
	result_ = (call);		\
	bilge_alone_end();		\
	result_; })

PUBLIC int
setuid(uid_t uid)
{
	return ALONE(NEXT(setuid)(uid));
}

PUBLIC int
setgid(gid_t gid)
{
	return ALONE(NEXT(setgid)(gid));
}

PUBLIC int
seteuid(uid_t uid)
{
	return ALONE(NEXT(seteuid)(uid));
}

PUBLIC int
setegid(gid_t gid)
{
	return ALONE(NEXT(setegid)(gid));
}

PUBLIC int
setreuid(uid_t real, uid_t effective)
{
	return ALONE(NEXT(setreuid)(real, effective));
}

PUBLIC int
setregid(gid_t real, gid_t effective)
{
	return ALONE(NEXT(setregid)(real, effective));
}

PUBLIC int
setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return ALONE(NEXT(setresuid)(real, effective, saved));
}

PUBLIC int
setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return ALONE(NEXT(setresgid)(real, effective, saved));
}

PUBLIC int
setgroups(size_t count, const gid_t *groups)
{
	return ALONE(NEXT(setgroups)(count, groups));
}

PUBLIC int
unshare(int flags)
{
	return ALONE(NEXT(unshare)(flags));
}

PUBLIC int
setns(int fd, int type)
{
	return ALONE(NEXT(setns)(fd, type));
}
