/*
 * transfer.h - calls that move data, which a stop may neither fail nor cut.
 *
 * SA_RESTART leaves two gaps.  On a socket with a timeout (SO_RCVTIMEO,
 * SO_SNDTIMEO) a call that slept fails with EINTR: it is repeated when the
 * socket is ready, and fails as it would have when its time is up.  And a call
 * that has moved a part, such as a write(2) into a pipe that is full by now,
 * returns with that: the rest is moved too.
 *
 * Where no socket of the process has a timeout the clock is not read.
 */
#ifndef BILGE_TRANSFER_H
#define BILGE_TRANSFER_H

#include "preload/restart.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* Atomic: relaxed, only ever set: some socket has a timeout. */
extern HIDDEN _Atomic bool transfer_has_timeouts;

struct transfer {
	int fd;
	int option;		/* SO_RCVTIMEO or SO_SNDTIMEO */
	uint64_t begin_ns;	/* 0: it was not asked for */
	bool is_repeated;
};

/* transfer_now - Units: nanoseconds on the monotonic clock. */
uint64_t transfer_now(void);

ALWAYS_INLINE struct transfer
transfer_begin(int fd, int option)
{
	bool has_timeouts = unlikely(load_relaxed(&transfer_has_timeouts));

	return (struct transfer){
		.fd = fd,
		.option = option,
		.begin_ns = has_timeouts ? transfer_now() : 0,
	};
}

/*
 * transfer_goes_on - a stop has ended the call: sleep until it is time to make
 * it again.
 * Returns: false, with errno, when it is not: the time is up, or a handler of
 *          the program has run.
 */
bool transfer_goes_on(struct transfer *t);

/* TRANSFER - the result of the call; of it again, after a stop. */
#define TRANSFER(t, call) ({						\
	int errno_ = errno;						\
	__typeof__(call) result_;					\
	restart_arm();							\
	result_ = (call);						\
	while (unlikely(result_ == -1 && errno == EINTR) &&		\
	       restart_is_due() && transfer_goes_on(t)) {		\
		errno = errno_;						\
		restart_arm();						\
		result_ = (call);					\
	}								\
	result_; })

/* TRANSFER_ON - the same, for all but those that may be cut. */
#define TRANSFER_ON(fd, option, call) ({				\
	struct transfer transfer_ = transfer_begin(fd, option);	\
									\
	TRANSFER(&transfer_, call); })

enum transfer_way { TRANSFER_WRITE, TRANSFER_SEND, TRANSFER_RECEIVE };

/*
 * transfer_rest - a stop may have cut a call that moved `done` bytes of these
 * parts: move the others, if it is a stream of bytes.
 * Units:   flags, of send(2) and recv(2).
 * Returns: how many were moved in all.
 */
ssize_t transfer_rest(struct transfer *t, enum transfer_way way,
		      const struct iovec *parts, size_t count, ssize_t done,
		      int flags);

/* TRANSFER_REST - the same for one part, asked after every call. */
#define TRANSFER_REST(t, way, data, size, done, flags) ({		\
	ssize_t done_ = (done);						\
									\
	if (unlikely(done_ >= 0 && (size_t)done_ < (size)) &&		\
	    restart_is_cut())						\
		done_ = transfer_rest(t, way, &(struct iovec){		\
			(void *)(uintptr_t)(data), size }, 1, done_,	\
			flags);						\
	done_; })

#endif
