/*
 * exec.c - a process becomes another program.
 *
 * A stop signal that is under way when a thread executes another program finds
 * that one without a handler, and ends it.  So no thread of ours exists
 * meanwhile, as in privileges.c.  A child that shares our memory, of vfork(2),
 * is sent none.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <stdarg.h>
#include <unistd.h>

NEXT_DEFINE(execve);
NEXT_DEFINE(execvpe);
NEXT_DEFINE(fexecve);
NEXT_DEFINE(execveat);

/* REPLACE - it comes back only when it fails. */
#define REPLACE(call) ({		\
	int result_;			\
	bilge_alone_begin();		\
	result_ = (call);		\
	bilge_alone_end();		\
	result_; })

PUBLIC int
execve(const char *path, char *const argv[], char *const envp[])
{
	return REPLACE(NEXT(execve)(path, argv, envp));
}

PUBLIC int
execv(const char *path, char *const argv[])
{
	return REPLACE(NEXT(execve)(path, argv, environ));
}

PUBLIC int
execvpe(const char *file, char *const argv[], char *const envp[])
{
	return REPLACE(NEXT(execvpe)(file, argv, envp));
}

PUBLIC int
execvp(const char *file, char *const argv[])
{
	return REPLACE(NEXT(execvpe)(file, argv, environ));
}

PUBLIC int
fexecve(int fd, char *const argv[], char *const envp[])
{
	return REPLACE(NEXT(fexecve)(fd, argv, envp));
}

PUBLIC int
execveat(int fd, const char *path, char *const argv[], char *const envp[],
	 int flags)
{
	return REPLACE(NEXT(execveat)(fd, path, argv, envp, flags));
}

/*
 * ARGUMENTS - an array of those from `first` to the null pointer; `list` stands
 * behind that then.
 */
#define ARGUMENTS(first, list) ({					\
	size_t count_ = 1;						\
	char **argv_;							\
									\
	va_start(list, first);						\
	while (va_arg(list, char *) != NULL)				\
		count_++;						\
	va_end(list);							\
	argv_ = __builtin_alloca((count_ + 1) * sizeof(*argv_));	\
	argv_[0] = (char *)(uintptr_t)(first);				\
	va_start(list, first);						\
	for (size_t i_ = 1; i_ <= count_; i_++)				\
		argv_[i_] = va_arg(list, char *);			\
	argv_; })

PUBLIC int
execl(const char *path, const char *first, ...)
{
	va_list list;
	char **argv = ARGUMENTS(first, list);

	va_end(list);
	return REPLACE(NEXT(execve)(path, argv, environ));
}

PUBLIC int
execlp(const char *file, const char *first, ...)
{
	va_list list;
	char **argv = ARGUMENTS(first, list);

	va_end(list);
	return REPLACE(NEXT(execvpe)(file, argv, environ));
}

PUBLIC int
execle(const char *path, const char *first, ...)
{
	va_list list;
	char **argv = ARGUMENTS(first, list);
	char **envp = va_arg(list, char **);

	va_end(list);
	return REPLACE(NEXT(execve)(path, argv, envp));
}
