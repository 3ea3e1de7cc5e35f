/*
 * signals.c - signal handlers that allocate, whatever they interrupted.
 *
 * The C library's own malloc hangs here: these run under bilge only.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

#include "victim.h"

#define SLOTS	64

struct slots {
	unsigned char *block[SLOTS];
	size_t size[SLOTS];
	unsigned random;
	unsigned char mark;
};

static struct slots in_handler = { .random = 1, .mark = 0xa5 };
static volatile sig_atomic_t handled;

/* Replace one block, after a look at what is in it. */
static void
step(struct slots *slots, size_t size_max)
{
	int i = rand_r(&slots->random) % SLOTS;
	size_t size = rand_r(&slots->random) % size_max + 1;

	if (slots->block[i] != NULL) {
		CHECK(slots->block[i][0] == slots->mark);
		CHECK(slots->block[i][slots->size[i] - 1] == slots->mark);
	}
	if (size % 3 == 0 && slots->block[i] != NULL) {
		slots->block[i] = realloc(slots->block[i], size);
	} else {
		free(slots->block[i]);
		slots->block[i] = size % 5 == 0 ? calloc(1, size) :
		    malloc(size);
	}
	CHECK(slots->block[i] != NULL);
	memset(slots->block[i], slots->mark, size);
	slots->size[i] = size;
}

static void
on_alarm(int number)
{
	static atomic_flag is_running = ATOMIC_FLAG_INIT;
	int kept = errno;

	/*
	 * The signal is blocked in the thread that handles it and in no other:
	 * the next one may come to a second thread meanwhile.
	 */
	if (atomic_flag_test_and_set(&is_running))
		return;
	handled++;
	step(&in_handler, handled % 50 == 0 ? 100000 : 500);
	atomic_flag_clear(&is_running);
	errno = kept;
}

static void
work_until(struct slots *slots, size_t size_max, int count)
{
	time_t end = time(NULL) + 30;

	while (handled < count && time(NULL) < end)
		step(slots, size_max);
	CHECK(handled >= count);
}

static void
start_timer(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval every = { { 0, 100 }, { 0, 100 } };

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void
stop_timer(void)
{
	struct itimerval never = { { 0, 0 }, { 0, 0 } };

	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* Small blocks: the handler interrupts the short paths. */
static int
small(const char *arg)
{
	static struct slots mine = { .random = 2, .mark = 0x5a };

	start_timer();
	work_until(&mine, 300, 4000);
	stop_timer();
	return 0;
}

/* Large blocks: it interrupts the paths that take locks. */
static int
large(const char *arg)
{
	static struct slots mine = { .random = 3, .mark = 0x5a };

	start_timer();
	work_until(&mine, 300000, 4000);
	stop_timer();
	return 0;
}

static void *
thread_main(void *arg)
{
	work_until(arg, 40000, 4000);
	return NULL;
}

static int
threads(const char *arg)
{
	static struct slots mine[3] = {
		{ .random = 4, .mark = 1 },
		{ .random = 5, .mark = 2 },
		{ .random = 6, .mark = 3 }
	};
	sigset_t alarm;
	pthread_t thread[3];
	int i;

	for (i = 0; i < 3; i++)
		CHECK(pthread_create(&thread[i], NULL, thread_main,
		    &mine[i]) == 0);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	start_timer();
	while (handled < 4000)
		usleep(1000);
	stop_timer();
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	for (i = 0; i < 3; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "small", small },
		{ "large", large },
		{ "threads", threads },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
