/*
 * stress.c - a program that does everything with its memory at once.
 *
 *   stress SECONDS SEED
 *
 * Threads allocate in every way there is, hand blocks to each other, end and
 * begin; handlers allocate; children are forked and do the same for a while.
 * Each block says in its first words how large it is and what it holds, and is
 * checked when it is freed.  In the end nothing is left: a leak report is as
 * wrong as a damaged block.  Where LeakSanitizer's interface is there, leaks
 * are looked for all the time, and there are none.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "random.h"

#define THREADS		4
#define MINE		64
#define BOARD		256
#define LIFETIME	3000	/* operations of a thread */
#define SIZE_MAX_SMALL	3000
#define SIZE_MAX_LARGE	(700 * 1024)

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

struct block {
	size_t size;
	uint64_t check;
	unsigned char data[];
};

static _Atomic(struct block *) board[BOARD];
static _Atomic bool is_over;
static _Atomic unsigned threads_made, children_made, signals_handled;
static uint64_t seed;

#define CHECK(x) \
	((x) ? (void)0 : fail(__LINE__, #x))

static _Noreturn void
fail(int line, const char *what)
{
	dprintf(2, "stress.c:%d: not true: %s (seed %lu)\n", line, what,
		(unsigned long)seed);
	_exit(99);
}

/* ------------------------------------------------------------------- blocks */

static size_t
pick_size(uint64_t *state)
{
	size_t size = pick(state, 80) == 0
		? pick(state, SIZE_MAX_LARGE)
		: pick(state, (size_t)16 << pick(state, 8));

	return size + sizeof(struct block);
}

/* Of large ones only a part is looked at, and the end. */
static size_t
step(size_t at)
{
	return at < 256 ? at + 1 : at + 509;
}

static void
fill(struct block *b, size_t size, uint64_t check)
{
	size_t length = size - sizeof(*b);

	b->size = size;
	b->check = check;
	for (size_t at = 0; at < length; at = step(at))
		b->data[at] = (unsigned char)(check + at);
	if (length > 0)
		b->data[length - 1] = (unsigned char)(check + length - 1);
}

static void
verify_part(const struct block *b, size_t size, size_t length, uint64_t check)
{
	CHECK(b->size == size && b->check == check);
	for (size_t at = 0; at < length; at = step(at))
		CHECK(b->data[at] == (unsigned char)(check + at));
}

static void
verify(const struct block *b)
{
	size_t length = b->size - sizeof(*b);

	CHECK(b->size >= sizeof(*b) && b->size < 4 * SIZE_MAX_LARGE);
	verify_part(b, b->size, length, b->check);
	CHECK(length == 0 || b->data[length - 1] ==
	      (unsigned char)(b->check + length - 1));
}

static struct block *
make(uint64_t *state)
{
	size_t size = pick_size(state), alignment;
	unsigned char *p;

	switch (pick(state, 8)) {
	case 0:
		p = calloc(1, size);
		CHECK(p != NULL);
		for (size_t at = 0; at < size; at = step(at))
			CHECK(p[at] == 0);
		break;
	case 1:
		alignment = (size_t)16 << pick(state, 9);
		p = aligned_alloc(alignment, size);
		CHECK(p != NULL && (uintptr_t)p % alignment == 0);
		break;
	case 2:
		CHECK(posix_memalign((void **)&p, 64, size) == 0);
		break;
	default:
		p = malloc(size);
	}
	CHECK(p != NULL && (uintptr_t)p % 16 == 0);
	fill((struct block *)p, size, mix(*state));
	return (struct block *)p;
}

static struct block *
change(struct block *b, uint64_t *state)
{
	size_t old = b->size, size = pick_size(state);
	uint64_t check = b->check;

	verify(b);
	b = realloc(b, size);
	CHECK(b != NULL);
	verify_part(b, old, (old < size ? old : size) - sizeof(*b), check);
	fill(b, size, check + 1);
	return b;
}

static void
drop(struct block *b)
{
	if (b == NULL)
		return;
	verify(b);
	b->check = ~b->check;
	free(b);
}

static struct block *
hand_over(struct block *b, uint64_t *state)
{
	return atomic_exchange(&board[pick(state, BOARD)], b);
}

/* ----------------------------------------------------------------- handlers */

static void
on_signal(int sig)
{
	/* The clock's low bits are random enough here. */
	struct timespec now;
	uint64_t state;
	int saved_errno = errno;

	(void)sig;
	clock_gettime(CLOCK_MONOTONIC, &now);
	state = mix(seed + (uint64_t)now.tv_nsec);
	atomic_fetch_add(&signals_handled, 1);
	drop(hand_over(make(&state), &state));
	drop(change(make(&state), &state));
	errno = saved_errno;
}

static timer_t
begin_signals(void)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGALRM };
	struct itimerspec every = { { 0, 301000 }, { 0, 301000 } };
	timer_t timer;

	action.sa_handler = on_signal;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	CHECK(timer_settime(timer, 0, &every, NULL) == 0);
	return timer;
}

/* -------------------------------------------------------- threads, children */

static void
look_for_leaks(void)
{
	if (__lsan_do_recoverable_leak_check != NULL)
		CHECK(__lsan_do_recoverable_leak_check() == 0);
}

static void
operate(uint64_t *state, unsigned operations)
{
	struct block *mine[MINE] = { NULL };

	for (unsigned n = 0; n < operations; n++) {
		struct block **b = &mine[pick(state, MINE)];

		if (*b == NULL)
			*b = make(state);
		switch (pick(state, 6)) {
		case 0:
			*b = hand_over(*b, state);
			break;
		case 1:
			*b = change(*b, state);
			break;
		case 2:
			drop(*b);
			*b = NULL;
			break;
		}
		if (pick(state, 4000) == 0)
			malloc_trim(0);
	}
	for (size_t i = 0; i < MINE; i++)
		drop(mine[i]);
}

/*
 * live_as_child - with the parent's blocks, and none of its threads.  What
 * they had in their registers is lost to it, so it ends where nobody asks.
 */
static void
live_as_child(uint64_t state)
{
	operate(&state, 2000);
	for (size_t i = 0; i < BOARD; i++)
		drop(atomic_exchange(&board[i], NULL));
	kill(getpid(), SIGKILL);
}

static void
have_child(uint64_t *state)
{
	uint64_t child_state = mix(*state);
	int status;
	pid_t child = fork();

	if (child == 0)
		live_as_child(child_state);
	CHECK(child > 0);
	while (waitpid(child, &status, 0) != child)
		CHECK(errno == EINTR);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	atomic_fetch_add(&children_made, 1);
}

static void *
live(void *argument)
{
	uint64_t state = mix(seed + (uintptr_t)argument);

	operate(&state, (unsigned)pick(&state, LIFETIME));
	if (pick(&state, 16) == 0)
		have_child(&state);
	return NULL;
}

/* live_again - one thread after the other. */
static void *
live_again(void *argument)
{
	pthread_t thread;

	(void)argument;
	while (!atomic_load(&is_over)) {
		uintptr_t number = atomic_fetch_add(&threads_made, 1) + 1;

		CHECK(pthread_create(&thread, NULL, live,
				     (void *)number) == 0);
		pthread_join(thread, NULL);
	}
	return NULL;
}

int
main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 10);
	pthread_t threads[THREADS];
	timer_t timer;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	timer = begin_signals();
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, live_again,
				     NULL) == 0);
	while (time(NULL) < end) {
		struct timespec pause = { 0, 20000000 };

		nanosleep(&pause, NULL);
		look_for_leaks();
	}
	atomic_store(&is_over, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	timer_delete(timer);
	look_for_leaks();
	for (size_t i = 0; i < BOARD; i++)
		drop(atomic_exchange(&board[i], NULL));
	printf("%u threads, %u children, %u signals\n",
	       atomic_load(&threads_made), atomic_load(&children_made),
	       atomic_load(&signals_handled));
	return 0;
}
