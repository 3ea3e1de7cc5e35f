/*
 * transfer.c - calls that move data, which a stop may neither fail nor cut.
 *
 * See transfer.h.  Calls with nothing else to them are here; the others are in
 * kernel.c and buffers.c.
 */
#include "preload/transfer.h"

#include "preload/lend.h"
#include "preload/next.h"
#include "preload/preload.h"

#include "base/sys.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

NEXT_DEFINE(getsockopt);
NEXT_DEFINE(setsockopt);
NEXT_DEFINE(ppoll);
NEXT_DEFINE(connect);
NEXT_DEFINE(writev);
NEXT_DEFINE(sendmsg);
NEXT_DEFINE(recvmsg);
NEXT_DEFINE(getrandom);
NEXT_DEFINE(clock_gettime);

/* Of asm/socket.h, for programs whose time_t is longer. */
#define SO_RCVTIMEO_64	66
#define SO_SNDTIMEO_64	67

_Atomic bool transfer_has_timeouts;

uint64_t
transfer_now(void)
{
	struct timespec now = { 0, 0 };

	NEXT(clock_gettime)(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

PUBLIC int
setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	if (level == SOL_SOCKET &&
	    (option == SO_RCVTIMEO || option == SO_SNDTIMEO ||
	     option == SO_RCVTIMEO_64 || option == SO_SNDTIMEO_64))
		store_relaxed(&transfer_has_timeouts, true);
	return NEXT(setsockopt)(fd, level, option, value, size);
}

/* timeout_of - Returns: 0, there is none. */
static uint64_t
timeout_of(const struct transfer *t)
{
	struct timeval time = { 0, 0 };
	socklen_t size = sizeof(time);

	if (NEXT(getsockopt)(t->fd, SOL_SOCKET, t->option, &time,
			     &size) != 0)
		return 0;
	return (uint64_t)time.tv_sec * NSEC_PER_SEC +
	       (uint64_t)time.tv_usec * NSEC_PER_USEC;
}

/* wait_until - Returns: false, with errno: not before that time. */
static NOINLINE bool
wait_until(const struct transfer *t, uint64_t end_ns)
{
	struct pollfd fd = {
		.fd = t->fd,
		.events = t->option == SO_RCVTIMEO ? POLLIN : POLLOUT,
	};
	uint64_t now = transfer_now();
	struct timespec time;
	struct timeout left;
	int ready = 0;

	if (now < end_ns) {
		time.tv_sec = (time_t)((end_ns - now) / NSEC_PER_SEC);
		time.tv_nsec = (long)((end_ns - now) % NSEC_PER_SEC);
		timeout_begin(&left, CLOCK_MONOTONIC, &time);
		ready = RESTART(NEXT(ppoll)(&fd, 1, &time, NULL),
				NEXT(ppoll)(&fd, 1, timeout_left(&left),
					    NULL));
	}
	if (ready == 0)
		errno = EAGAIN;
	return ready > 0;
}

bool
transfer_goes_on(struct transfer *t)
{
	int saved_errno = errno;
	uint64_t timeout_ns = timeout_of(t);
	bool goes_on = true;

	t->is_repeated = true;
	if (timeout_ns != 0) {
		/* A timeout that somebody else has set: from now on. */
		if (t->begin_ns == 0)
			t->begin_ns = transfer_now();
		store_relaxed(&transfer_has_timeouts, true);
		goes_on = wait_until(t, t->begin_ns + timeout_ns);
	}
	if (goes_on)
		errno = saved_errno;
	return goes_on;
}

/* is_stream - may what is left follow in a call of its own? */
static bool
is_stream(int fd)
{
	socklen_t size = sizeof(int);
	struct stat st;
	int type;

	if (sys_fstat(fd, &st) != 0)
		return false;
	if (S_ISSOCK(st.st_mode))
		return NEXT(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type,
					&size) == 0 && type == SOCK_STREAM;
	return S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
}

/* What is made of a vector at a time. */
#define PARTS	16

/* rest_of - Returns: how many parts there are behind the first bytes. */
static size_t
rest_of(const struct iovec *parts, size_t count, size_t done,
	struct iovec *ret_parts)
{
	size_t n = 0;

	for (size_t i = 0; i < count && n < PARTS; i++) {
		size_t skip = MIN(done, parts[i].iov_len);

		done -= skip;
		if (skip == parts[i].iov_len)
			continue;
		ret_parts[n].iov_base = (char *)parts[i].iov_base + skip;
		ret_parts[n++].iov_len = parts[i].iov_len - skip;
	}
	return n;
}

ssize_t
transfer_rest(struct transfer *t, enum transfer_way way,
	      const struct iovec *parts, size_t count, ssize_t done, int flags)
{
	struct iovec rest[PARTS];
	struct msghdr message = { .msg_iov = rest };
	int saved_errno = errno;
	size_t n;

	while (is_stream(t->fd) &&
	       (n = rest_of(parts, count, (size_t)done, rest)) > 0 &&
	       /* A timeout is for all of it. */
	       transfer_goes_on(t)) {
		ssize_t more;

		message.msg_iovlen = n;
		restart_arm();
		if (way == TRANSFER_WRITE)
			more = NEXT(writev)(t->fd, rest, (int)n);
		else if (way == TRANSFER_SEND)
			more = NEXT(sendmsg)(t->fd, &message, flags);
		else
			more = NEXT(recvmsg)(t->fd, &message, flags);
		if (more > 0)
			done += more;
		else if (more == 0 || errno != EINTR || !restart_is_due())
			break;
		else
			continue;
		/* All of these parts, or it was not a stop that cut them. */
		if (rest_of(rest, n, (size_t)more, rest) > 0 &&
		    !restart_is_cut())
			break;
	}
	errno = saved_errno;
	return done;
}

PUBLIC int
connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t size)
{
	struct transfer t = transfer_begin(fd, SO_SNDTIMEO);
	int result = TRANSFER(&t, NEXT(connect)(fd, to, size));

	/* What the first call would have said of a connection under way. */
	if (unlikely(result == -1 && t.is_repeated) &&
	    (errno == EALREADY || errno == EAGAIN) &&
	    to.__sockaddr__->sa_family != AF_UNIX)
		errno = EINPROGRESS;
	return result;
}

/* What is not short may be cut. */
PUBLIC ssize_t
getrandom(void *data, size_t size, unsigned flags)
{
	uintptr_t lent = lend_begin(data, size);
	ssize_t done = 0, result;

	do {
		restart_arm();
		result = NEXT(getrandom)((char *)data + done,
					 size - (size_t)done, flags);
		if (result > 0)
			done += result;
	} while (result > 0 && (size_t)done < size && restart_is_cut());
	lend_end(lent);
	return done > 0 ? done : result;
}
