/*
 * blocking.c - calls that wait and that no kernel restarts after a signal.
 *
 * Those with a signal mask are in signals.c.  How it is done: restart.h.  Each
 * is a wrapper with a frame of its own and calls the next function directly.
 */
#include "preload/lend.h"
#include "preload/next.h"
#include "preload/preload.h"
#include "preload/restart.h"

#include <aio.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <threads.h>
#include <unistd.h>

NEXT_DEFINE(poll);
NEXT_DEFINE(__poll_chk);
NEXT_DEFINE(ppoll);
NEXT_DEFINE(select);
NEXT_DEFINE(epoll_wait);
NEXT_DEFINE(nanosleep);
NEXT_DEFINE(clock_nanosleep);
NEXT_DEFINE(usleep);
NEXT_DEFINE(thrd_sleep);
NEXT_DEFINE(pause);
NEXT_DEFINE(semop);
NEXT_DEFINE(semtimedop);
NEXT_DEFINE(aio_suspend);
NEXT_DEFINE(gai_suspend);
NEXT_DEFINE(sem_timedwait);
NEXT_DEFINE(sem_clockwait);

/* Fortified programs call it; the headers hide it from others. */
PUBLIC int __poll_chk(struct pollfd *, nfds_t, int, size_t);

/* ----------------------------------------------------------------- timeouts */

static uint64_t
clock_now(clockid_t clock)
{
	struct timespec now = { 0, 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

void
timeout_begin(struct timeout *t, clockid_t clock, const struct timespec *time)
{
	t->clock = clock;
	t->is_limited = time != NULL && time->tv_sec >= 0 &&
		time->tv_nsec >= 0 && (uint64_t)time->tv_nsec < NSEC_PER_SEC &&
		(uint64_t)time->tv_sec < INT64_MAX / NSEC_PER_SEC / 2;
	/* Without waiting there is nothing to interrupt. */
	if (t->is_limited && (time->tv_sec | time->tv_nsec) != 0)
		t->end_ns = clock_now(clock) +
			(uint64_t)time->tv_sec * NSEC_PER_SEC +
			(uint64_t)time->tv_nsec;
	else
		t->end_ns = 0;
}

void
timeout_begin_ms(struct timeout *t, int ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

	timeout_begin(t, CLOCK_MONOTONIC, ms < 0 ? NULL : &time);
}

const struct timespec *
timeout_left(struct timeout *t)
{
	uint64_t now, left;

	if (!t->is_limited)
		return NULL;
	now = t->end_ns == 0 ? 0 : clock_now(t->clock);
	left = t->end_ns > now ? t->end_ns - now : 0;
	t->left.tv_sec = (time_t)(left / NSEC_PER_SEC);
	t->left.tv_nsec = (long)(left % NSEC_PER_SEC);
	return &t->left;
}

int
timeout_left_ms(struct timeout *t)
{
	const struct timespec *left = timeout_left(t);

	/* Up to half a millisecond early or late, not twice as late. */
	return left == NULL ? -1
	     : (int)(left->tv_sec * 1000 + (left->tv_nsec + 500000) / 1000000);
}

/* ---------------------------------------------------------------- sleeping */

PUBLIC int
nanosleep(const struct timespec *time, struct timespec *left)
{
	struct timeout t;

	timeout_begin(&t, CLOCK_MONOTONIC, time);
	return LENT_TO(left,
		RESTART(NEXT(nanosleep)(time, left),
			NEXT(nanosleep)(timeout_left(&t), left)));
}

PUBLIC int
clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
		struct timespec *left)
{
	struct timeout t = { .is_limited = false };
	uintptr_t lent = lend_begin(left, sizeof(*left));
	int error;

	/* A relative sleep is not touched by a change of the date. */
	if ((flags & TIMER_ABSTIME) == 0)
		timeout_begin(&t, clock == CLOCK_REALTIME ? CLOCK_MONOTONIC
							  : clock, time);
	restart_arm();
	error = NEXT(clock_nanosleep)(clock, flags, time, left);
	while (unlikely(error == EINTR) && restart_is_due()) {
		restart_arm();
		error = NEXT(clock_nanosleep)(clock, flags, t.is_limited
					      ? timeout_left(&t) : time, left);
	}
	lend_end(lent);
	return error;
}

PUBLIC int
usleep(useconds_t us)
{
	struct timespec time = { us / 1000000, us % 1000000 * 1000L };
	struct timeout t;

	timeout_begin(&t, CLOCK_MONOTONIC, &time);
	return RESTART(NEXT(usleep)(us),
		       NEXT(nanosleep)(timeout_left(&t), NULL));
}

PUBLIC unsigned
sleep(unsigned seconds)
{
	struct timespec time = { (time_t)seconds, 0 }, left = { 0, 0 };
	int saved_errno = errno;
	struct timeout t;

	timeout_begin(&t, CLOCK_MONOTONIC, &time);
	if (RESTART(NEXT(nanosleep)(&time, &left),
		    NEXT(nanosleep)(timeout_left(&t), &left)) == -1)
		return (unsigned)left.tv_sec;
	errno = saved_errno;
	return 0;
}

/* It says nothing in errno. */
PUBLIC int
thrd_sleep(const struct timespec *time, struct timespec *left)
{
	struct timeout t;
	uintptr_t lent = lend_begin(left, sizeof(*left));
	int result;

	timeout_begin(&t, CLOCK_MONOTONIC, time);
	restart_arm();
	result = NEXT(thrd_sleep)(time, left);
	while (unlikely(result == -1) && restart_is_due()) {
		restart_arm();
		result = NEXT(thrd_sleep)(timeout_left(&t), left);
	}
	lend_end(lent);
	return result;
}

PUBLIC int
pause(void)
{
	return RESTART_SAME(NEXT(pause)());
}

/* ------------------------------------------------------ waiting for a file */

PUBLIC int
poll(struct pollfd *fds, nfds_t count, int ms)
{
	struct timeout t;

	timeout_begin_ms(&t, ms);
	/* To the nanosecond: no more than it rounded up itself. */
	return LENT(fds, count * sizeof(*fds),
		RESTART(NEXT(poll)(fds, count, ms),
			NEXT(ppoll)(fds, count, timeout_left(&t), NULL)));
}

int
__poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t size)
{
	struct timeout t;

	timeout_begin_ms(&t, ms);
	return LENT(fds, count * sizeof(*fds),
		RESTART(NEXT(__poll_chk)(fds, count, ms, size),
			NEXT(ppoll)(fds, count, timeout_left(&t), NULL)));
}

/* left_of - what select(2) is told, and tells. */
static struct timeval *
left_of(struct timeout *t, struct timeval *ret)
{
	const struct timespec *left = timeout_left(t);

	if (left == NULL)
		return ret;
	ret->tv_sec = left->tv_sec;
	ret->tv_usec = (left->tv_nsec + 999) / 1000;
	if (ret->tv_usec == 1000000) {
		ret->tv_sec++;
		ret->tv_usec = 0;
	}
	return ret;
}

PUBLIC int
select(int count, fd_set *read, fd_set *write, fd_set *except,
       struct timeval *time)
{
	struct timespec limit = { 0, 0 };
	struct timeout t;

	if (time != NULL)
		limit = (struct timespec){ time->tv_sec +
			time->tv_usec / 1000000,
			time->tv_usec % 1000000 * 1000 };
	timeout_begin(&t, CLOCK_MONOTONIC, time != NULL ? &limit : NULL);
	/* When it is interrupted it leaves the sets alone. */
	return LENT3(read, 1, write, 1, except, 1,
		RESTART(NEXT(select)(count, read, write, except, time),
			NEXT(select)(count, read, write, except,
				    left_of(&t, time))));
}

PUBLIC int
epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
	struct timeout t;

	timeout_begin_ms(&t, ms);
	return LENT(events, (size_t)count * sizeof(*events),
		RESTART(NEXT(epoll_wait)(fd, events, count, ms),
			NEXT(epoll_wait)(fd, events, count,
					timeout_left_ms(&t))));
}

/* ------------------------------------------------- System V, POSIX and aio */

PUBLIC int
semop(int id, struct sembuf *operations, size_t count)
{
	return RESTART_SAME(NEXT(semop)(id, operations, count));
}

PUBLIC int
semtimedop(int id, struct sembuf *operations, size_t count,
	   const struct timespec *time)
{
	struct timeout t;

	timeout_begin(&t, CLOCK_MONOTONIC, time);
	return RESTART(NEXT(semtimedop)(id, operations, count, time),
		       NEXT(semtimedop)(id, operations, count,
					timeout_left(&t)));
}

PUBLIC int
aio_suspend(const struct aiocb *const list[], int count,
	    const struct timespec *time)
{
	struct timeout t;

	timeout_begin(&t, CLOCK_MONOTONIC, time);
	return RESTART(NEXT(aio_suspend)(list, count, time),
		       NEXT(aio_suspend)(list, count, timeout_left(&t)));
}

/* It says why in its result. */
PUBLIC int
gai_suspend(const struct gaicb *const list[], int count,
	    const struct timespec *time)
{
	struct timeout t;
	int error;

	timeout_begin(&t, CLOCK_MONOTONIC, time);
	restart_arm();
	error = NEXT(gai_suspend)(list, count, time);
	while (unlikely(error == EAI_INTR) && restart_is_due()) {
		restart_arm();
		error = NEXT(gai_suspend)(list, count, timeout_left(&t));
	}
	return error;
}

PUBLIC int
sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
	return RESTART_SAME(NEXT(sem_timedwait)(semaphore, until));
}

PUBLIC int
sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
	return RESTART_SAME(NEXT(sem_clockwait)(semaphore, clock, until));
}
