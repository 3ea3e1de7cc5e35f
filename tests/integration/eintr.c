/*
 * eintr.c - calls that wait, in a program that is stopped all the time.
 *
 *   eintr timeouts|waits|own|parts [STOPS]
 *
 * Nobody may see a stop: no call fails with EINTR that no handler of the
 * program has interrupted, none ends early or waits anew, none moves less data
 * than it would have, and those that a handler interrupts still do.
 */
#include "eintr_calls.h"
#include "victim.h"

#include <aio.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <threads.h>
#include <time.h>

#define ROUNDS_MAX	4000
#define MY_WAITS(X)							\
	X(poll) X(select) X(epoll) X(pause) X(sigsuspend)		\
	X(sigwaitinfo) X(semop) X(msgrcv) X(sleep) X(nanosleep)
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static _Atomic bool is_over;
static _Atomic unsigned sent_at_all, sent_min;
static int pipe_fds[2], epoll_fd, sem_id, msg_id, sockets[2];
static sem_t semaphore;
const struct timespec wait_time = { 0, WAIT_MS * 1000000L };
static struct aiocb aio;
static char aio_byte;

static double
now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

struct timespec
absolute(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	time.tv_nsec += wait_time.tv_nsec;
	time.tv_sec += time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static sigset_t
only(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return set;
}

/* ------------------------------------------- each returns 0 in time or errno */

static int
result(int value)
{
	return value < 0 ? errno : 0;
}

static int
timeout_poll(void)
{
	struct pollfd fd = { pipe_fds[0], POLLIN, 0 };

	return result(poll(&fd, 1, WAIT_MS));
}

static int
timeout_ppoll(void)
{
	struct pollfd fd = { pipe_fds[0], POLLIN, 0 };

	return result(ppoll(&fd, 1, &wait_time, NULL));
}

static int
timeout_select(void)
{
	struct timeval time = { 0, WAIT_MS * 1000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipe_fds[0], &set);
	return result(select(pipe_fds[0] + 1, &set, NULL, NULL, &time));
}

static int
timeout_pselect(void)
{
	sigset_t none;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipe_fds[0], &set);
	sigemptyset(&none);
	return result(pselect(pipe_fds[0] + 1, &set, NULL, NULL, &wait_time,
			      &none));
}

static int
timeout_epoll_wait(void)
{
	struct epoll_event event;

	return result(epoll_wait(epoll_fd, &event, 1, WAIT_MS));
}

static int
timeout_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return result(epoll_pwait(epoll_fd, &event, 1, WAIT_MS, &none));
}

static int
timeout_epoll_pwait2(void)
{
	struct epoll_event event;

	return result(epoll_pwait2(epoll_fd, &event, 1, &wait_time, NULL));
}

static int
timeout_nanosleep(void)
{
	struct timespec left;

	return result(nanosleep(&wait_time, &left));
}

static int
timeout_clock_nanosleep(void)
{
	return clock_nanosleep(CLOCK_REALTIME, 0, &wait_time, NULL);
}

static int
timeout_clock_absolute(void)
{
	struct timespec until = absolute(CLOCK_MONOTONIC);

	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int
timeout_usleep(void)
{
	return result(usleep(WAIT_MS * 1000));
}

static int
timeout_thrd_sleep(void)
{
	return thrd_sleep(&wait_time, NULL) == 0 ? 0 : EINTR;
}

static int
timeout_sigtimedwait(void)
{
	sigset_t set = only(SIGUSR2);
	int sig = sigtimedwait(&set, NULL, &wait_time);

	return sig < 0 && errno == EAGAIN ? 0 : sig < 0 ? errno : EINVAL;
}

static int
timeout_semtimedop(void)
{
	struct sembuf down = { 0, -1, 0 };

	return semtimedop(sem_id, &down, 1, &wait_time) < 0 && errno == EAGAIN
	       ? 0 : errno;
}

static int
timeout_aio_suspend(void)
{
	const struct aiocb *list[1] = { &aio };

	return aio_suspend(list, 1, &wait_time) < 0 && errno == EAGAIN
	       ? 0 : errno;
}

static int
timeout_sem_timedwait(void)
{
	struct timespec until = absolute(CLOCK_REALTIME);

	return sem_timedwait(&semaphore, &until) < 0 && errno == ETIMEDOUT
	       ? 0 : errno;
}

static int
timeout_sem_clockwait(void)
{
	struct timespec until = absolute(CLOCK_MONOTONIC);

	return sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) < 0 &&
	       errno == ETIMEDOUT ? 0 : errno;
}

static const struct {
	const char *name;
	int (*run)(void);
} timeouts[] = {
	{ "poll", timeout_poll }, { "ppoll", timeout_ppoll },
	{ "select", timeout_select }, { "pselect", timeout_pselect },
	{ "epoll_wait", timeout_epoll_wait },
	{ "epoll_pwait", timeout_epoll_pwait },
	{ "epoll_pwait2", timeout_epoll_pwait2 },
	{ "nanosleep", timeout_nanosleep },
	{ "clock_nanosleep", timeout_clock_nanosleep },
	{ "clock_absolute", timeout_clock_absolute },
	{ "usleep", timeout_usleep }, { "thrd_sleep", timeout_thrd_sleep },
	{ "sigtimedwait", timeout_sigtimedwait },
	{ "semtimedop", timeout_semtimedop },
	{ "aio_suspend", timeout_aio_suspend },
	{ "sem_timedwait", timeout_sem_timedwait },
	{ "sem_clockwait", timeout_sem_clockwait },
#define TIMEOUT_ROW(name) { #name, timeout_##name },
	MORE_TIMEOUTS(TIMEOUT_ROW)
};

/* ---------------------------------------- each waits until something happens */

static int
wait_poll(void)
{
	struct pollfd fd = { pipe_fds[0], POLLIN, 0 };

	return result(poll(&fd, 1, -1));
}

static int
wait_select(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipe_fds[0], &set);
	return result(select(pipe_fds[0] + 1, &set, NULL, NULL, NULL));
}

static int
wait_epoll(void)
{
	struct epoll_event event;

	return result(epoll_wait(epoll_fd, &event, 1, -1));
}

static int
wait_pause(void)
{
	return result(pause());
}

static int
wait_sigsuspend(void)
{
	sigset_t none;

	sigemptyset(&none);
	return result(sigsuspend(&none));
}

static int
wait_sigwaitinfo(void)
{
	sigset_t set = only(SIGUSR2);

	return result(sigwaitinfo(&set, NULL));
}

static int
wait_semop(void)
{
	struct sembuf down = { 0, -1, 0 };

	return result(semop(sem_id, &down, 1));
}

static int
wait_msgrcv(void)
{
	struct { long type; char text[8]; } message;

	return result((int)msgrcv(msg_id, &message, sizeof(message.text), 0,
				  0));
}

static int
wait_sleep(void)
{
	return sleep(1000) != 0 ? errno : 0;
}

static int
wait_nanosleep(void)
{
	struct timespec time = { 1000, 0 };

	return result(nanosleep(&time, NULL));
}

static const struct {
	const char *name;
	int (*run)(void);
} waits[] = {
#define WAIT_ROW(name) { #name, wait_##name },
	MY_WAITS(WAIT_ROW)
	MORE_WAITS(WAIT_ROW)
};

/* ------------------------------------------------------------------- stops */

static void
stop_often(const char *arg)
{
	unsigned stops = *arg != '\0' ? (unsigned)atoi(arg) : 600;
	double end = now_ms() + 2000;

	while (stops > 0 || now_ms() < end || sent_at_all < sent_min) {
		if (__lsan_do_recoverable_leak_check != NULL)
			CHECK(__lsan_do_recoverable_leak_check() == 0);
		stops -= stops > 0;
		sched_yield();
	}
	is_over = true;
}

static void
prepare(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t set = only(SIGUSR2);

	/* Before any thread: all block it. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	CHECK(pipe(pipe_fds) == 0);
	epoll_fd = epoll_create1(0);
	CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_fds[0], &event) == 0);
	sem_id = semget(IPC_PRIVATE, 1, 0600);
	msg_id = msgget(IPC_PRIVATE, 0600);
	CHECK(sem_id >= 0 && msg_id >= 0 && sem_init(&semaphore, 0, 0) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	aio.aio_fildes = sockets[0];
	aio.aio_buf = &aio_byte;
	aio.aio_nbytes = 1;
	CHECK(aio_read(&aio) == 0);
	calls_begin();
}

static void
clean_up(void)
{
	semctl(sem_id, 0, IPC_RMID);
	msgctl(msg_id, IPC_RMID, NULL);
	calls_end();
}

static double late[COUNT(timeouts)][ROUNDS_MAX];
static unsigned rounds[COUNT(timeouts)];

static void *
time_out(void *argument)
{
	size_t n = (size_t)argument;

	while (!is_over && rounds[n] < ROUNDS_MAX) {
		double begin = now_ms();
		int error = timeouts[n].run();

		late[n][rounds[n]++] = now_ms() - begin - WAIT_MS;
		if (error != 0)
			fprintf(stderr, "%s: %s\n", timeouts[n].name,
				strerror(error));
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/*
 * Never early, and no later than threads come late that many others delay:
 * what began anew at each stop would never end.
 */
static int
run_timeouts(const char *arg)
{
	pthread_t threads[COUNT(timeouts)];

	prepare();
	for (size_t i = 0; i < COUNT(timeouts); i++)
		CHECK(pthread_create(&threads[i], NULL, time_out,
				     (void *)i) == 0);
	stop_often(arg);
	for (size_t i = 0; i < COUNT(timeouts); i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < COUNT(timeouts); i++) {
		qsort(late[i], rounds[i], sizeof(late[i][0]), compare);
		if (late[i][0] < -1 || late[i][rounds[i] / 2] > 25)
			fprintf(stderr, "%s: from %.2f to %.2f ms late, "
				"%.2f in the median\n", timeouts[i].name,
				late[i][0], late[i][rounds[i] - 1],
				late[i][rounds[i] / 2]);
		if (getenv("EINTR_TIMES") != NULL)
			printf("%-16s %4u rounds, late %6.3f %6.3f %6.3f\n",
			       timeouts[i].name, rounds[i], late[i][0],
			       late[i][rounds[i] / 2],
			       late[i][rounds[i] - 1]);
	}
	clean_up();
	return 0;
}

static _Atomic bool may_return;
static _Atomic unsigned returned, handled[COUNT(waits)];
static __thread size_t self;	/* of waits */

static void
handle(int sig)
{
	sigset_t set;

	(void)sig;
	/* It blocks all; but stops must come while it runs. */
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	if (__lsan_do_recoverable_leak_check != NULL)
		CHECK(sigismember(&set, SIGSTKFLT) == 0);
	handled[self]++;
}

static void *
wait_for_ever(void *argument)
{
	int error;

	self = (size_t)argument;
	error = waits[self].run();
	if (!may_return)
		fprintf(stderr, "%s came back: %s\n",
			waits[self].name, strerror(error));
	returned++;
	return NULL;
}

static int
run_waits(const char *arg)
{
	struct { long type; char text[8]; } message = { 1, "hello" };
	struct sigaction action = { .sa_handler = handle };
	struct sembuf up = { 0, 1, 0 };
	pthread_t threads[COUNT(waits)];

	prepare();
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	for (size_t i = 0; i < COUNT(waits); i++)
		CHECK(pthread_create(&threads[i], NULL, wait_for_ever,
				     (void *)i) == 0);
	usleep(10000);
	stop_often(arg);
	CHECK(returned == 0);
	may_return = true;
	CHECK(write(pipe_fds[1], "x", 1) == 1);
	CHECK(semop(sem_id, &up, 1) == 0);
	CHECK(msgsnd(msg_id, &message, sizeof(message.text), 0) == 0);
	for (size_t i = 0; i < COUNT(waits); i++) {
		pthread_kill(threads[i], waits[i].run == wait_sigwaitinfo
			     ? SIGUSR2 : SIGUSR1);
		pthread_join(threads[i], NULL);
	}
	clean_up();
	return 0;
}

/* The program's own signals interrupt, each of them. */
static _Atomic unsigned sent[COUNT(waits)], seen[COUNT(waits)];
static _Atomic unsigned lost, lost_of[COUNT(waits)];

static _Atomic int tids[COUNT(waits)];

/* is_asleep - in its call, or stopped on the way there. */
static bool
is_asleep(int tid)
{
	char path[60], text[100];
	bool asleep;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	CHECK(file != NULL && fgets(text, sizeof(text), file) != NULL);
	asleep = strstr(text, ") S") != NULL;
	fclose(file);
	return asleep;
}

static void *
be_interrupted(void *argument)
{
	size_t n = self = (size_t)argument;

	tids[n] = gettid();
	while (!is_over) {
		int error = waits[n].run();

		if (error != EINTR)
			fprintf(stderr, "%s: %s\n", waits[n].name,
				strerror(error));
		seen[n]++;
	}
	return NULL;
}

static _Atomic unsigned signals[COUNT(waits)];

static void
send_to(pthread_t thread, size_t n)
{
	signals[n]++;
	pthread_kill(thread, SIGUSR1);
}

/*
 * is_lost - has the handler run, and does the thread sleep for all that?  One
 * that is late for a busy machine does neither.
 */
static bool
is_lost(size_t n)
{
	for (int look = 0; look < 30; look++) {
		if (handled[n] < signals[n] || !is_asleep(tids[n]))
			return false;
		usleep(10000);
	}
	return seen[n] < sent[n];
}

static void *
interrupt(void *argument)
{
	pthread_t *threads = argument;

	while (!is_over) {
		usleep(3000);
		for (size_t i = 0; i < COUNT(waits); i++)
			while (!is_over &&
			       (tids[i] == 0 || !is_asleep(tids[i])))
				usleep(1000);
		for (size_t i = 0; i < COUNT(waits); i++) {
			sent[i]++;
			sent_at_all++;
			send_to(threads[i], i);
		}
		for (size_t i = 0; i < COUNT(waits); i++) {
			double end = now_ms() + 100;

			while (seen[i] < sent[i] && !is_over) {
				if (now_ms() > end && is_lost(i)) {
					lost++;
					lost_of[i]++;
					send_to(threads[i], i);
				}
				sched_yield();
			}
			sent[i] = seen[i];
		}
	}
	return NULL;
}

static int
run_own(const char *arg)
{
	struct sigaction action = { .sa_handler = handle };
	pthread_t threads[COUNT(waits)], sender;
	unsigned each;

	prepare();
	sent_min = 20 * COUNT(waits);
	sigfillset(&action.sa_mask);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	for (size_t i = 0; i < COUNT(waits); i++)
		CHECK(pthread_create(&threads[i], NULL, be_interrupted,
				     (void *)i) == 0);
	usleep(10000);
	CHECK(pthread_create(&sender, NULL, interrupt, threads) == 0);
	stop_often(arg);
	pthread_join(sender, NULL);
	for (size_t i = 0; i < COUNT(waits); i++)
		while (pthread_tryjoin_np(threads[i], NULL) != 0) {
			pthread_kill(threads[i], SIGUSR1);
			usleep(1000);
		}
	/*
	 * Few, and of no call many: those that came when the thread did not
	 * sleep yet, as they may without.  1 in 1000 does on a busy machine.
	 */
	each = sent_at_all / (unsigned)COUNT(waits);
	for (size_t i = 0; i < COUNT(waits); i++)
		if (lost_of[i] > each / 8 + 1)
			fprintf(stderr, "%s: %u of %u interrupted nothing\n",
				waits[i].name, lost_of[i], each);
	if (lost > sent_at_all / 50)
		fprintf(stderr, "%u of %u interrupted nothing\n", lost,
			sent_at_all);
	if (getenv("EINTR_TIMES") != NULL)
		for (size_t i = 0; i < COUNT(waits); i++)
			printf("%-16s %u of %u\n", waits[i].name, lost_of[i],
			       each);
	clean_up();
	return 0;
}

static int
run_parts(const char *arg)
{
	pthread_t threads[PARTS_MAX];
	unsigned count = parts_begin(threads, &is_over);

	stop_often(arg);
	parts_end(threads, count);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "timeouts", run_timeouts }, { "waits", run_waits },
		{ "own", run_own }, { "parts", run_parts }, { NULL, NULL },
	};

	return victim_main(argc, argv, victims);
}
