/*
 * buffers.c - calls in which the kernel writes into the program's memory.
 *
 * See lend.h.  Calls that are interposed for another reason too are in the
 * files of that reason.  What libc reads for itself, into the buffers of
 * streams, is in blocks that it asked for (bilge_alloc_tracked()); those that
 * the program chooses are given for good, as is what the kernel may write when
 * nobody calls it.
 */
#include "preload/lend.h"
#include "preload/next.h"
#include "preload/preload.h"
#include "preload/transfer.h"

#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/*
 * LENDS - a function that writes size bytes at data; LENDS2, LENDS3: at several
 * places.
 */
#define LENDS(type, name, parameters, arguments, a, a_size)		\
NEXT_DEFINE(name);							\
PUBLIC type name parameters						\
{									\
	return LENT(a, a_size, NEXT(name) arguments);			\
}

#define LENDS2(type, name, parameters, arguments, a, a_size, b, b_size)	\
NEXT_DEFINE(name);							\
PUBLIC type name parameters						\
{									\
	return LENT2(a, a_size, b, b_size, NEXT(name) arguments);	\
}

#define LENDS3(type, name, parameters, arguments, a, a_size, b, b_size, c, \
	       c_size)							\
NEXT_DEFINE(name);							\
PUBLIC type name parameters						\
{									\
	return LENT3(a, a_size, b, b_size, c, c_size,			\
		     NEXT(name) arguments);				\
}

/* RECEIVES - one that may sleep on a socket with a timeout, `fd`. */
#define RECEIVES(type, name, parameters, arguments, a, a_size, b, b_size, c, \
		 c_size)						\
NEXT_DEFINE(name);							\
PUBLIC type name parameters						\
{									\
	return LENT3(a, a_size, b, b_size, c, c_size,			\
		     TRANSFER_ON(fd, SO_RCVTIMEO, NEXT(name) arguments)); \
}

/* ------------------------------------------------------- reading, receiving */

LENDS(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at),
      p, n)
LENDS(ssize_t, pread64, (int fd, void *p, size_t n, off64_t at),
      (fd, p, n, at), p, n)
LENDS(int, getentropy, (void *p, size_t n), (p, n), p, n)
LENDS(ssize_t, getdents64, (int fd, void *p, size_t n), (fd, p, n), p, n)
LENDS2(ssize_t, mq_timedreceive, (mqd_t queue, char *p, size_t n,
       unsigned *priority, const struct timespec *until),
       (queue, p, n, priority, until), p, n, priority, sizeof(*priority))
RECEIVES(ssize_t, recvfrom, (int fd, void *p, size_t n, int flags,
	 __SOCKADDR_ARG from, socklen_t *size),
	 (fd, p, n, flags, from, size), p, n, from.__sockaddr__,
	 sizeof(struct sockaddr_storage), size, sizeof(*size))

/* Of fortified programs; the headers hide them from others. */
PUBLIC ssize_t __read_chk(int, void *, size_t, size_t);
PUBLIC ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
PUBLIC ssize_t __pread64_chk(int, void *, size_t, off64_t, size_t);
PUBLIC ssize_t __recv_chk(int, void *, size_t, size_t, int);
PUBLIC ssize_t __recvfrom_chk(int, void *, size_t, size_t, int,
			      struct sockaddr *, socklen_t *);
PUBLIC size_t __fread_chk(void *, size_t, size_t, size_t, FILE *);
PUBLIC size_t __fread_unlocked_chk(void *, size_t, size_t, size_t, FILE *);
PUBLIC ssize_t __readlink_chk(const char *, char *, size_t, size_t);
PUBLIC ssize_t __readlinkat_chk(int, const char *, char *, size_t, size_t);
PUBLIC char *__getcwd_chk(char *, size_t, size_t);
PUBLIC int __getgroups_chk(int, gid_t *, size_t);

RECEIVES(ssize_t, __read_chk, (int fd, void *p, size_t n, size_t room),
	 (fd, p, n, room), p, n, NULL, 0, NULL, 0)
LENDS(ssize_t, __pread_chk, (int fd, void *p, size_t n, off_t at,
      size_t room), (fd, p, n, at, room), p, n)
LENDS(ssize_t, __pread64_chk, (int fd, void *p, size_t n, off64_t at,
      size_t room), (fd, p, n, at, room), p, n)
RECEIVES(ssize_t, __recv_chk, (int fd, void *p, size_t n, size_t room,
	 int flags), (fd, p, n, room, flags), p, n, NULL, 0, NULL, 0)
RECEIVES(ssize_t, __recvfrom_chk, (int fd, void *p, size_t n, size_t room,
	 int flags, struct sockaddr *from, socklen_t *size),
	 (fd, p, n, room, flags, from, size), p, n, from,
	 sizeof(struct sockaddr_storage), size, sizeof(*size))

#undef fread_unlocked

/* What is longer than a stream's buffer goes to its place directly. */
LENDS(size_t, fread, (void *p, size_t n, size_t count, FILE *f),
      (p, n, count, f), p, n * count)
LENDS(size_t, fread_unlocked, (void *p, size_t n, size_t count, FILE *f),
      (p, n, count, f), p, n * count)
LENDS(size_t, __fread_chk, (void *p, size_t room, size_t n, size_t count,
      FILE *f), (p, room, n, count, f), p, n * count)
LENDS(size_t, __fread_unlocked_chk, (void *p, size_t room, size_t n,
      size_t count, FILE *f), (p, room, n, count, f), p, n * count)

/*
 * A vector's parts: each is lent, the first VECTOR_MAX of them.  After those
 * the unit is given for good.
 */
#define VECTOR_MAX	64

struct vector {
	uintptr_t lent[VECTOR_MAX];
	int count;
};

static void
lend_part(struct vector *v, const void *data, size_t size)
{
	if (v->count == VECTOR_MAX)
		bilge_give(data);
	else if (bilge_lend(data, size))
		v->lent[v->count++] = (uintptr_t)data;
}

static void
lend_parts(struct vector *v, const struct iovec *parts, size_t count)
{
	/* A vector that cannot be read is the kernel's to refuse. */
	if (!fence_is_on || count > IOV_MAX || parts == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		lend_part(v, parts[i].iov_base, parts[i].iov_len);
}

static void
end_lending(struct vector *v)
{
	while (v->count > 0)
		bilge_lend_end(v->lent[--v->count]);
}

#define LENDS_VECTOR_TO(name, parameters, call)				\
NEXT_DEFINE(name);							\
PUBLIC ssize_t name parameters						\
{									\
	struct vector v;						\
	ssize_t result;							\
									\
	v.count = 0;							\
	lend_parts(&v, parts, (size_t)count);				\
	result = (call);						\
	end_lending(&v);						\
	return result;							\
}

#define LENDS_VECTOR(name, parameters, arguments)			\
	LENDS_VECTOR_TO(name, parameters, NEXT(name) arguments)

LENDS_VECTOR_TO(readv, (int fd, const struct iovec *parts, int count),
		TRANSFER_ON(fd, SO_RCVTIMEO, NEXT(readv)(fd, parts, count)))
LENDS_VECTOR(preadv, (int fd, const struct iovec *parts, int count, off_t at),
	     (fd, parts, count, at))
LENDS_VECTOR(preadv64, (int fd, const struct iovec *parts, int count,
	     off64_t at), (fd, parts, count, at))
LENDS_VECTOR(preadv2, (int fd, const struct iovec *parts, int count, off_t at,
	     int flags), (fd, parts, count, at, flags))
LENDS_VECTOR(preadv64v2, (int fd, const struct iovec *parts, int count,
	     off64_t at, int flags), (fd, parts, count, at, flags))
LENDS_VECTOR(process_vm_readv, (pid_t pid, const struct iovec *parts,
	     unsigned long count, const struct iovec *from,
	     unsigned long from_count, unsigned long flags),
	     (pid, parts, count, from, from_count, flags))

static void
lend_message(struct vector *v, struct msghdr *m)
{
	if (!fence_is_on || m == NULL)
		return;
	lend_part(v, m, sizeof(*m));
	lend_part(v, m->msg_name, m->msg_namelen);
	lend_part(v, m->msg_control, m->msg_controllen);
	lend_parts(v, m->msg_iov, m->msg_iovlen);
}

NEXT_DEFINE(recvmsg);
NEXT_DEFINE(recvmmsg);

PUBLIC ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	struct vector v;
	ssize_t result;

	v.count = 0;
	lend_message(&v, message);
	result = TRANSFER_ON(fd, SO_RCVTIMEO,
			     NEXT(recvmsg)(fd, message, flags));
	end_lending(&v);
	return result;
}

PUBLIC int
recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
	 struct timespec *timeout)
{
	struct vector v;
	int result;

	v.count = 0;
	if (fence_is_on && messages != NULL)
		for (unsigned i = 0; i < MIN(count, (unsigned)IOV_MAX); i++) {
			lend_part(&v, &messages[i].msg_len,
				  sizeof(messages[i].msg_len));
			lend_message(&v, &messages[i].msg_hdr);
		}
	result = LENT_TO(timeout, TRANSFER_ON(fd, SO_RCVTIMEO,
		NEXT(recvmmsg)(fd, messages, count, flags, timeout)));
	end_lending(&v);
	return result;
}

/* ------------------------------------------------------------------ writing */

/* SHOWS - a function in which the kernel reads size bytes at data. */
#define SHOWS(type, name, parameters, arguments, data, size)		\
NEXT_DEFINE(name);							\
PUBLIC type name parameters						\
{									\
	bilge_show(data, size);						\
	return NEXT(name) arguments;					\
}

#undef fwrite_unlocked

SHOWS(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at),
      (fd, p, n, at), p, n)
SHOWS(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at),
      (fd, p, n, at), p, n)

NEXT_DEFINE(sendto);

PUBLIC ssize_t
sendto(int fd, const void *data, size_t size, int flags,
       __CONST_SOCKADDR_ARG to, socklen_t to_size)
{
	struct transfer t = transfer_begin(fd, SO_SNDTIMEO);
	ssize_t result;

	bilge_show(data, size);
	result = TRANSFER(&t, NEXT(sendto)(fd, data, size, flags, to,
					   to_size));
	return TRANSFER_REST(&t, TRANSFER_SEND, data, size, result, flags);
}

/* What is longer than a stream's buffer comes from its place directly. */
SHOWS(size_t, fwrite, (const void *p, size_t n, size_t count, FILE *f),
      (p, n, count, f), p, n * count)
SHOWS(size_t, fwrite_unlocked, (const void *p, size_t n, size_t count,
      FILE *f), (p, n, count, f), p, n * count)

static void
show_parts(const struct iovec *parts, size_t count)
{
	if (likely(load_relaxed(&fence_count) == 0) || count > IOV_MAX ||
	    parts == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		bilge_show(parts[i].iov_base, parts[i].iov_len);
}

#define SHOWS_VECTOR(name, parameters, arguments)			\
NEXT_DEFINE(name);							\
PUBLIC ssize_t name parameters						\
{									\
	show_parts(parts, (size_t)count);				\
	return NEXT(name) arguments;					\
}

SHOWS_VECTOR(pwritev, (int fd, const struct iovec *parts, int count, off_t at),
	     (fd, parts, count, at))
SHOWS_VECTOR(pwritev64, (int fd, const struct iovec *parts, int count,
	     off64_t at), (fd, parts, count, at))

NEXT_DEFINE(writev);
NEXT_DEFINE(sendmsg);
NEXT_DEFINE(sendmmsg);

PUBLIC ssize_t
writev(int fd, const struct iovec *parts, int count)
{
	struct transfer t = transfer_begin(fd, SO_SNDTIMEO);
	ssize_t result;

	show_parts(parts, (size_t)count);
	result = TRANSFER(&t, NEXT(writev)(fd, parts, count));
	if (result >= 0 && unlikely(restart_is_cut()))
		result = transfer_rest(&t, TRANSFER_WRITE, parts,
				       (size_t)count, result, 0);
	return result;
}

PUBLIC ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct transfer t = transfer_begin(fd, SO_SNDTIMEO);
	ssize_t result;

	if (unlikely(load_relaxed(&fence_count) != 0) && message != NULL)
		show_parts(message->msg_iov, message->msg_iovlen);
	result = TRANSFER(&t, NEXT(sendmsg)(fd, message, flags));
	if (result >= 0 && unlikely(restart_is_cut()))
		result = transfer_rest(&t, TRANSFER_SEND, message->msg_iov,
				       message->msg_iovlen, result, flags);
	return result;
}

PUBLIC int
sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	if (unlikely(load_relaxed(&fence_count) != 0) && messages != NULL)
		for (unsigned i = 0; i < MIN(count, (unsigned)IOV_MAX); i++)
			show_parts(messages[i].msg_hdr.msg_iov,
				   messages[i].msg_hdr.msg_iovlen);
	return TRANSFER_ON(fd, SO_SNDTIMEO,
			   NEXT(sendmmsg)(fd, messages, count, flags));
}

/* ------------------------------------------------------------ asking: files */

#define LENDS_STAT(name, parameters, arguments) \
	LENDS(int, name, parameters, arguments, st, sizeof(*st))

LENDS_STAT(stat, (const char *path, struct stat *st), (path, st))
LENDS_STAT(stat64, (const char *path, struct stat64 *st), (path, st))
LENDS_STAT(lstat, (const char *path, struct stat *st), (path, st))
LENDS_STAT(lstat64, (const char *path, struct stat64 *st), (path, st))
LENDS_STAT(fstat, (int fd, struct stat *st), (fd, st))
LENDS_STAT(fstat64, (int fd, struct stat64 *st), (fd, st))
LENDS_STAT(fstatat, (int fd, const char *path, struct stat *st, int flags),
	   (fd, path, st, flags))
LENDS_STAT(fstatat64, (int fd, const char *path, struct stat64 *st,
	   int flags), (fd, path, st, flags))
LENDS_STAT(statx, (int fd, const char *path, int flags, unsigned mask,
	   struct statx *st), (fd, path, flags, mask, st))
LENDS_STAT(statfs, (const char *path, struct statfs *st), (path, st))
LENDS_STAT(statfs64, (const char *path, struct statfs64 *st), (path, st))
LENDS_STAT(fstatfs, (int fd, struct statfs *st), (fd, st))
LENDS_STAT(fstatfs64, (int fd, struct statfs64 *st), (fd, st))

/* Of programs built before glibc 2.33. */
PUBLIC int __xstat(int, const char *, struct stat *);
PUBLIC int __xstat64(int, const char *, struct stat64 *);
PUBLIC int __lxstat(int, const char *, struct stat *);
PUBLIC int __lxstat64(int, const char *, struct stat64 *);
PUBLIC int __fxstat(int, int, struct stat *);
PUBLIC int __fxstat64(int, int, struct stat64 *);
PUBLIC int __fxstatat(int, int, const char *, struct stat *, int);
PUBLIC int __fxstatat64(int, int, const char *, struct stat64 *, int);

LENDS_STAT(__xstat, (int v, const char *path, struct stat *st), (v, path, st))
LENDS_STAT(__xstat64, (int v, const char *path, struct stat64 *st),
	   (v, path, st))
LENDS_STAT(__lxstat, (int v, const char *path, struct stat *st),
	   (v, path, st))
LENDS_STAT(__lxstat64, (int v, const char *path, struct stat64 *st),
	   (v, path, st))
LENDS_STAT(__fxstat, (int v, int fd, struct stat *st), (v, fd, st))
LENDS_STAT(__fxstat64, (int v, int fd, struct stat64 *st), (v, fd, st))
LENDS_STAT(__fxstatat, (int v, int fd, const char *path, struct stat *st,
	   int flags), (v, fd, path, st, flags))
LENDS_STAT(__fxstatat64, (int v, int fd, const char *path, struct stat64 *st,
	   int flags), (v, fd, path, st, flags))

LENDS(ssize_t, readlink, (const char *path, char *p, size_t n), (path, p, n),
      p, n)
LENDS(ssize_t, readlinkat, (int fd, const char *path, char *p, size_t n),
      (fd, path, p, n), p, n)
LENDS(ssize_t, __readlink_chk, (const char *path, char *p, size_t n,
      size_t room), (path, p, n, room), p, n)
LENDS(ssize_t, __readlinkat_chk, (int fd, const char *path, char *p, size_t n,
      size_t room), (fd, path, p, n, room), p, n)
LENDS(char *, getcwd, (char *p, size_t n), (p, n), p, n)
LENDS(char *, __getcwd_chk, (char *p, size_t n, size_t room), (p, n, room),
      p, n)
LENDS(ssize_t, getxattr, (const char *path, const char *name, void *p,
      size_t n), (path, name, p, n), p, n)
LENDS(ssize_t, lgetxattr, (const char *path, const char *name, void *p,
      size_t n), (path, name, p, n), p, n)
LENDS(ssize_t, fgetxattr, (int fd, const char *name, void *p, size_t n),
      (fd, name, p, n), p, n)
LENDS(ssize_t, listxattr, (const char *path, char *p, size_t n),
      (path, p, n), p, n)
LENDS(ssize_t, llistxattr, (const char *path, char *p, size_t n),
      (path, p, n), p, n)
LENDS(ssize_t, flistxattr, (int fd, char *p, size_t n), (fd, p, n), p, n)
LENDS(int, mincore, (void *start, size_t size, unsigned char *p),
      (start, size, p), p, size / ARCH_PAGE_SIZE + 1)
LENDS(int, pipe, (int fds[2]), (fds), fds, 2 * sizeof(*fds))
LENDS(int, pipe2, (int fds[2], int flags), (fds, flags), fds,
      2 * sizeof(*fds))
LENDS(ssize_t, sendfile, (int to, int from, off_t *at, size_t n),
      (to, from, at, n), at, sizeof(*at))
LENDS(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t n),
      (to, from, at, n), at, sizeof(*at))
LENDS2(ssize_t, copy_file_range, (int from, off64_t *from_at, int to,
       off64_t *to_at, size_t n, unsigned flags),
       (from, from_at, to, to_at, n, flags), from_at, sizeof(*from_at),
       to_at, sizeof(*to_at))
LENDS2(ssize_t, splice, (int from, off64_t *from_at, int to, off64_t *to_at,
       size_t n, unsigned flags), (from, from_at, to, to_at, n, flags),
       from_at, sizeof(*from_at), to_at, sizeof(*to_at))

/* The last argument of these may be an address, or a number. */
NEXT_DEFINE(ioctl);
NEXT_DEFINE(fcntl);
NEXT_DEFINE(fcntl64);

#define LAST_ARGUMENT(after) ({						\
	va_list list_;							\
	void *last_;							\
									\
	va_start(list_, after);						\
	last_ = va_arg(list_, void *);					\
	va_end(list_);							\
	last_; })

PUBLIC int
ioctl(int fd, unsigned long request, ...)
{
	void *argument = LAST_ARGUMENT(request);

	return LENT(argument, _IOC_SIZE(request),
		    NEXT(ioctl)(fd, request, argument));
}

PUBLIC int
fcntl(int fd, int command, ...)
{
	void *argument = LAST_ARGUMENT(command);

	return LENT(argument, sizeof(struct flock),
		    NEXT(fcntl)(fd, command, argument));
}

PUBLIC int
fcntl64(int fd, int command, ...)
{
	void *argument = LAST_ARGUMENT(command);

	return LENT(argument, sizeof(struct flock),
		    NEXT(fcntl64)(fd, command, argument));
}

/* ---------------------------------------------------------- asking: sockets */

#define SOCKET_LENDS(name, parameters, arguments)			\
	LENDS2(int, name, parameters, arguments, address.__sockaddr__,	\
	       sizeof(struct sockaddr_storage), size, sizeof(*size))

#define ACCEPTS(name, parameters, arguments)				\
	RECEIVES(int, name, parameters, arguments, address.__sockaddr__, \
		 sizeof(struct sockaddr_storage), size, sizeof(*size), NULL, 0)

ACCEPTS(accept, (int fd, __SOCKADDR_ARG address, socklen_t *size),
	(fd, address, size))
ACCEPTS(accept4, (int fd, __SOCKADDR_ARG address, socklen_t *size, int flags),
	(fd, address, size, flags))
SOCKET_LENDS(getsockname, (int fd, __SOCKADDR_ARG address, socklen_t *size),
	     (fd, address, size))
SOCKET_LENDS(getpeername, (int fd, __SOCKADDR_ARG address, socklen_t *size),
	     (fd, address, size))
LENDS2(int, getsockopt, (int fd, int level, int option, void *p,
       socklen_t *size), (fd, level, option, p, size), p, 1, size,
       sizeof(*size))
LENDS(int, socketpair, (int domain, int type, int protocol, int fds[2]),
      (domain, type, protocol, fds), fds, 2 * sizeof(*fds))

/* ----------------------------------------------- asking: processes and time */

LENDS(pid_t, wait, (int *status), (status), status, sizeof(*status))
LENDS(pid_t, waitpid, (pid_t pid, int *status, int flags),
      (pid, status, flags), status, sizeof(*status))
LENDS(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int flags),
      (type, id, info, flags), info, sizeof(*info))
LENDS2(pid_t, wait3, (int *status, int flags, struct rusage *usage),
       (status, flags, usage), status, sizeof(*status), usage, sizeof(*usage))
LENDS2(pid_t, wait4, (pid_t pid, int *status, int flags,
       struct rusage *usage), (pid, status, flags, usage), status,
       sizeof(*status), usage, sizeof(*usage))
LENDS(int, getrlimit, (__rlimit_resource_t what, struct rlimit *p),
      (what, p), p, sizeof(*p))
LENDS(int, getrlimit64, (__rlimit_resource_t what, struct rlimit64 *p),
      (what, p), p, sizeof(*p))
LENDS(int, getrusage, (__rusage_who_t who, struct rusage *p), (who, p), p,
      sizeof(*p))
LENDS(clock_t, times, (struct tms *p), (p), p, sizeof(*p))
LENDS(int, uname, (struct utsname *p), (p), p, sizeof(*p))
LENDS(int, sysinfo, (struct sysinfo *p), (p), p, sizeof(*p))
LENDS(int, getgroups, (int count, gid_t *p), (count, p), p,
      (size_t)count * sizeof(*p))
LENDS(int, __getgroups_chk, (int count, gid_t *p, size_t room),
      (count, p, room), p, (size_t)count * sizeof(*p))
LENDS3(int, getresuid, (uid_t *a, uid_t *b, uid_t *c), (a, b, c), a,
       sizeof(*a), b, sizeof(*b), c, sizeof(*c))
LENDS3(int, getresgid, (gid_t *a, gid_t *b, gid_t *c), (a, b, c), a,
       sizeof(*a), b, sizeof(*b), c, sizeof(*c))
LENDS(int, sched_getaffinity, (pid_t pid, size_t n, cpu_set_t *p),
      (pid, n, p), p, n)
LENDS(int, pthread_getaffinity_np, (pthread_t thread, size_t n, cpu_set_t *p),
      (thread, n, p), p, n)
LENDS(int, sched_getparam, (pid_t pid, struct sched_param *p), (pid, p), p,
      sizeof(*p))
LENDS(int, sched_rr_get_interval, (pid_t pid, struct timespec *p), (pid, p),
      p, sizeof(*p))
LENDS(int, clock_gettime, (clockid_t clock, struct timespec *p), (clock, p),
      p, sizeof(*p))
LENDS(int, clock_getres, (clockid_t clock, struct timespec *p), (clock, p),
      p, sizeof(*p))
LENDS(int, getitimer, (__itimer_which_t which, struct itimerval *p),
      (which, p), p, sizeof(*p))
LENDS(int, setitimer, (__itimer_which_t which, const struct itimerval *set,
      struct itimerval *p), (which, set, p), p, sizeof(*p))
LENDS(int, timer_gettime, (timer_t timer, struct itimerspec *p), (timer, p),
      p, sizeof(*p))
LENDS(int, timer_settime, (timer_t timer, int flags,
      const struct itimerspec *set, struct itimerspec *p),
      (timer, flags, set, p), p, sizeof(*p))
LENDS(int, timerfd_gettime, (int fd, struct itimerspec *p), (fd, p), p,
      sizeof(*p))
LENDS(int, timerfd_settime, (int fd, int flags, const struct itimerspec *set,
      struct itimerspec *p), (fd, flags, set, p), p, sizeof(*p))
LENDS(int, sigpending, (sigset_t *p), (p), p, sizeof(*p))
LENDS(int, shmctl, (int id, int command, struct shmid_ds *p),
      (id, command, p), p, sizeof(*p))

/* ----------------------------------------------------------- given for good */

NEXT_DEFINE(setvbuf);
NEXT_DEFINE(setbuf);
NEXT_DEFINE(setbuffer);
NEXT_DEFINE(aio_read);
NEXT_DEFINE(aio_read64);
NEXT_DEFINE(lio_listio);
NEXT_DEFINE(lio_listio64);
NEXT_DEFINE(pthread_mutex_init);

PUBLIC int
setvbuf(FILE *f, char *data, int mode, size_t size)
{
	bilge_give(data);
	return NEXT(setvbuf)(f, data, mode, size);
}

PUBLIC void
setbuf(FILE *f, char *data)
{
	bilge_give(data);
	NEXT(setbuf)(f, data);
}

PUBLIC void
setbuffer(FILE *f, char *data, size_t size)
{
	bilge_give(data);
	NEXT(setbuffer)(f, data, size);
}

/* A thread of libc's reads, when it comes to it. */
PUBLIC int
aio_read(struct aiocb *request)
{
	bilge_give((const void *)request->aio_buf);
	return NEXT(aio_read)(request);
}

PUBLIC int
aio_read64(struct aiocb64 *request)
{
	bilge_give((const void *)request->aio_buf);
	return NEXT(aio_read64)(request);
}

PUBLIC int
lio_listio(int mode, struct aiocb *const requests[], int count,
	   struct sigevent *event)
{
	for (int i = 0; fence_lends && i < count; i++)
		if (requests[i] != NULL)
			bilge_give((const void *)requests[i]->aio_buf);
	return NEXT(lio_listio)(mode, requests, count, event);
}

PUBLIC int
lio_listio64(int mode, struct aiocb64 *const requests[], int count,
	     struct sigevent *event)
{
	for (int i = 0; fence_lends && i < count; i++)
		if (requests[i] != NULL)
			bilge_give((const void *)requests[i]->aio_buf);
	return NEXT(lio_listio64)(mode, requests, count, event);
}

/* The kernel unlocks, or hands on, what a thread that ended has locked. */
PUBLIC int
pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *kind)
{
	int protocol = PTHREAD_PRIO_NONE, robust = PTHREAD_MUTEX_STALLED;

	if (unlikely(fence_lends) && kind != NULL) {
		pthread_mutexattr_getprotocol(kind, &protocol);
		pthread_mutexattr_getrobust(kind, &robust);
		if (protocol == PTHREAD_PRIO_INHERIT ||
		    robust == PTHREAD_MUTEX_ROBUST)
			bilge_give(mutex);
	}
	return NEXT(pthread_mutex_init)(mutex, kind);
}
