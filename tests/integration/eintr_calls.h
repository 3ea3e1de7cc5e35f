/*
 * eintr_calls.h - calls on files, sockets and queues that wait.
 *
 * Each timeout_NAME() returns 0 when it came back in time, or errno; each
 * wait_NAME() waits until something happens, and returns 0 or errno.
 */
#ifndef EINTR_CALLS_H
#define EINTR_CALLS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#define WAIT_MS		30

#define MORE_TIMEOUTS(X)						\
	X(recv) X(recvfrom) X(recvmsg) X(recvmmsg) X(read) X(readv)	\
	X(send) X(sendto) X(sendmsg) X(sendmmsg) X(write) X(writev)	\
	X(accept) X(accept4) X(connect) X(io_getevents)			\
	X(io_pgetevents) X(gai_suspend) X(mq_timedreceive)		\
	X(mq_timedsend) X(cond_timedwait)				\
	X(raw_poll) X(raw_ppoll) X(raw_select) X(raw_pselect6)		\
	X(raw_epoll_wait) X(raw_epoll_pwait) X(raw_epoll_pwait2)	\
	X(raw_nanosleep) X(raw_clock_nanosleep) X(raw_absolute)		\
	X(raw_sigtimedwait) X(raw_semtimedop)

#define MORE_WAITS(X)							\
	X(sigpause) X(sigpause_mask) X(read) X(terminal) X(inotify)	\
	X(recv) X(recv_timed) X(send_timed) X(accept) X(accept_timed)	\
	X(connect_timed) X(write) X(flock) X(setlkw) X(lockf) X(wait4)	\
	X(waitid) X(mq_receive) X(mq_send) X(msgsnd) X(sem_wait)	\
	X(futex) X(io_getevents) X(raw_pause) X(raw_sigsuspend)		\
	X(raw_poll) X(raw_msgsnd) X(raw_semop)

#define DECLARE_TIMEOUT(name)	int timeout_##name(void);
#define DECLARE_WAIT(name)	int wait_##name(void);
MORE_TIMEOUTS(DECLARE_TIMEOUT)
MORE_WAITS(DECLARE_WAIT)

extern const struct timespec wait_time;

/* absolute - so long from now. */
struct timespec absolute(clockid_t clock);

/*
 * parts_begin, parts_end - threads that move much data, for whoever takes it
 * slowly, until it is over; each says on standard error what came short.
 */
#define PARTS_MAX	32
unsigned parts_begin(pthread_t threads[PARTS_MAX], _Atomic bool *is_over);
void parts_end(pthread_t threads[PARTS_MAX], unsigned count);

/* Before and after all of them. */
void calls_begin(void);
void calls_end(void);

#endif
