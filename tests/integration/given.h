/*
 * given.h - an address is given to the kernel, and taken back.
 *
 * Addresses come hidden, and nothing here leaves a copy: what the kernel was
 * told from is overwritten, what it handed out too.
 */
#ifndef GIVEN_H
#define GIVEN_H

#include "victim.h"

#include <linux/aio_abi.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

/* make_timer - `tick` is for SIGEV_THREAD only. */
static NOINLINE UNUSED timer_t
make_timer(uintptr_t hidden, int notify, void (*tick)(union sigval))
{
	struct sigevent event = {
		.sigev_notify = notify, .sigev_signo = SIGUSR1,
	};
	timer_t timer;

	if (tick != NULL)
		event.sigev_notify_function = tick;
	event.sigev_value.sival_ptr = reveal(hidden);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	event.sigev_value.sival_ptr = NULL;
	use(&event);
	scrub();
	return timer;
}

static NOINLINE UNUSED void
queue_signal(int sig, bool for_thread, uintptr_t hidden)
{
	union sigval value = { .sival_ptr = reveal(hidden) };

	CHECK((for_thread ? pthread_sigqueue(pthread_self(), sig, value)
	    : sigqueue(getpid(), sig, value)) == 0);
	value.sival_ptr = NULL;
	use(&value);
	scrub();
}

static NOINLINE UNUSED void
take_signal(const sigset_t *set)
{
	siginfo_t info;

	CHECK(sigwaitinfo(set, &info) > 0);
	memset(&info, 0, sizeof info);
	use(&info);
	scrub();
}

static NOINLINE UNUSED void
ask_notice(mqd_t queue, uintptr_t hidden)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1,
	};

	event.sigev_value.sival_ptr = reveal(hidden);
	CHECK(mq_notify(queue, &event) == 0);
	event.sigev_value.sival_ptr = NULL;
	use(&event);
	scrub();
}

/* take_event - of a request that was submitted. */
static NOINLINE UNUSED void
take_event(aio_context_t context)
{
	struct io_event event;

	CHECK(syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL) == 1);
	memset(&event, 0, sizeof event);
	use(&event);
	scrub();
}

#endif
