/*
 * eintr_calls.c - calls on files, sockets and queues that wait.  See eintr.c.
 */
#include "eintr_calls.h"
#include "victim.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FOR_EVER_S	1000

static char byte;
/* Nothing ever comes; nothing more goes in; the same with timeouts. */
static int empty, full, empty_timed, full_timed, empty_long, full_long;
static int listener, listener_timed, listener_long;
static int pipe_empty, pipe_full, terminal, notify, locked[3];
static mqd_t queue_empty, queue_full;
static int messages_full, sets, semaphores;
static sem_t semaphore;
static pid_t child;
static uint32_t futex_word;
static aio_context_t aio;
static struct sockaddr_in busy;
static struct gaicb lookup = { .ar_name = "eintr" };
static char fifo[200], lock_name[200];

static int
result(ssize_t value)
{
	return value < 0 ? errno : 0;
}

/* in_time - what a timeout fails with. */
static int
in_time(ssize_t value, int error)
{
	return value < 0 && errno == error ? 0 : value < 0 ? errno : EINVAL;
}

static struct iovec part = { &byte, 1 };

static struct msghdr
one_part(void)
{
	return (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 };
}

/* ----------------------------------------------------------------- timeouts */

int
timeout_recv(void)
{
	return in_time(recv(empty_timed, &byte, 1, 0), EAGAIN);
}

int
timeout_recvfrom(void)
{
	return in_time(recvfrom(empty_timed, &byte, 1, 0, NULL, NULL), EAGAIN);
}

int
timeout_recvmsg(void)
{
	struct msghdr message = one_part();

	return in_time(recvmsg(empty_timed, &message, 0), EAGAIN);
}

int
timeout_recvmmsg(void)
{
	struct mmsghdr messages = { one_part(), 0 };

	return in_time(recvmmsg(empty_timed, &messages, 1, 0, NULL), EAGAIN);
}

int
timeout_read(void)
{
	return in_time(read(empty_timed, &byte, 1), EAGAIN);
}

int
timeout_readv(void)
{
	return in_time(readv(empty_timed, &part, 1), EAGAIN);
}

int
timeout_send(void)
{
	return in_time(send(full_timed, &byte, 1, 0), EAGAIN);
}

int
timeout_sendto(void)
{
	return in_time(sendto(full_timed, &byte, 1, 0, NULL, 0), EAGAIN);
}

int
timeout_sendmsg(void)
{
	struct msghdr message = one_part();

	return in_time(sendmsg(full_timed, &message, 0), EAGAIN);
}

int
timeout_sendmmsg(void)
{
	struct mmsghdr messages = { one_part(), 0 };

	return in_time(sendmmsg(full_timed, &messages, 1, 0), EAGAIN);
}

int
timeout_write(void)
{
	return in_time(write(full_timed, &byte, 1), EAGAIN);
}

int
timeout_writev(void)
{
	return in_time(writev(full_timed, &part, 1), EAGAIN);
}

int
timeout_accept(void)
{
	return in_time(accept(listener_timed, NULL, NULL), EAGAIN);
}

int
timeout_accept4(void)
{
	return in_time(accept4(listener_timed, NULL, NULL, 0), EAGAIN);
}

static void
set_timeout(int fd, int option, time_t seconds, int milliseconds)
{
	struct timeval time = { seconds, milliseconds * 1000 };

	CHECK(setsockopt(fd, SOL_SOCKET, option, &time, sizeof(time)) == 0);
}

static int
connect_busy(int fd)
{
	return connect(fd, (struct sockaddr *)&busy, sizeof(busy));
}

int
timeout_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), error;

	set_timeout(fd, SO_SNDTIMEO, 0, WAIT_MS);
	error = in_time(connect_busy(fd), EINPROGRESS);
	close(fd);
	return error;
}

int
timeout_io_getevents(void)
{
	struct timespec time = wait_time;
	struct io_event event;

	return result(syscall(SYS_io_getevents, aio, 1L, 1L, &event, &time));
}

int
timeout_io_pgetevents(void)
{
	struct timespec time = wait_time;
	struct io_event event;

	return result(syscall(SYS_io_pgetevents, aio, 1L, 1L, &event, &time,
			      NULL));
}

int
timeout_gai_suspend(void)
{
	const struct gaicb *list[] = { &lookup };
	int error = gai_suspend(list, 1, &wait_time);

	/* The manual says EAI_AGAIN; this is what it is. */
	return error == EAI_AGAIN || error == EAI_SYSTEM ? 0
	       : error == EAI_INTR ? EINTR : EINVAL;
}

int
timeout_mq_timedreceive(void)
{
	struct timespec until = absolute(CLOCK_REALTIME);

	return in_time(mq_timedreceive(queue_empty, &byte, 1, NULL, &until),
		       ETIMEDOUT);
}

int
timeout_mq_timedsend(void)
{
	struct timespec until = absolute(CLOCK_REALTIME);

	return in_time(mq_timedsend(queue_full, &byte, 1, 0, &until),
		       ETIMEDOUT);
}

int
timeout_cond_timedwait(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	struct timespec until = absolute(CLOCK_REALTIME);
	int error;

	pthread_mutex_lock(&mutex);
	error = pthread_cond_timedwait(&condition, &mutex, &until);
	pthread_mutex_unlock(&mutex);
	return error == ETIMEDOUT ? 0 : error == 0 ? EINVAL : error;
}

/* ------------------------------------------------------- without a function */

int
timeout_raw_poll(void)
{
	struct pollfd fd = { pipe_empty, POLLIN, 0 };

	return result(syscall(SYS_poll, &fd, 1, WAIT_MS));
}

int
timeout_raw_ppoll(void)
{
	struct timespec time = wait_time;
	struct pollfd fd = { pipe_empty, POLLIN, 0 };

	return result(syscall(SYS_ppoll, &fd, 1, &time, NULL, 8));
}

int
timeout_raw_select(void)
{
	struct timeval time = { 0, WAIT_MS * 1000 };

	return result(syscall(SYS_select, 0, NULL, NULL, NULL, &time));
}

int
timeout_raw_pselect6(void)
{
	struct timespec time = wait_time;

	return result(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL));
}

int
timeout_raw_epoll_wait(void)
{
	struct epoll_event event;

	return result(syscall(SYS_epoll_wait, sets, &event, 1, WAIT_MS));
}

int
timeout_raw_epoll_pwait(void)
{
	struct epoll_event event;

	return result(syscall(SYS_epoll_pwait, sets, &event, 1, WAIT_MS, NULL,
			      8));
}

int
timeout_raw_epoll_pwait2(void)
{
	struct epoll_event event;

	return result(syscall(SYS_epoll_pwait2, sets, &event, 1, &wait_time,
			      NULL, 8));
}

int
timeout_raw_nanosleep(void)
{
	return result(syscall(SYS_nanosleep, &wait_time, NULL));
}

int
timeout_raw_clock_nanosleep(void)
{
	return result(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0,
			      &wait_time, NULL));
}

int
timeout_raw_absolute(void)
{
	struct timespec until = absolute(CLOCK_MONOTONIC);

	return result(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC,
			      TIMER_ABSTIME, &until, NULL));
}

int
timeout_raw_sigtimedwait(void)
{
	uint64_t set = 1u << (SIGUSR2 - 1);

	return in_time(syscall(SYS_rt_sigtimedwait, &set, NULL, &wait_time,
			       8), EAGAIN);
}

static struct sembuf down = { 0, -1, 0 };

int
timeout_raw_semtimedop(void)
{
	return in_time(syscall(SYS_semtimedop, semaphores, &down, 1,
			       &wait_time), EAGAIN);
}

int
wait_raw_poll(void)
{
	struct pollfd fd = { pipe_empty, POLLIN, 0 };

	return result(syscall(SYS_poll, &fd, 1, -1));
}

int
wait_raw_pause(void)
{
	return result(syscall(SYS_pause));
}

int
wait_raw_sigsuspend(void)
{
	uint64_t none = 0;

	return result(syscall(SYS_rt_sigsuspend, &none, 8));
}

int
wait_raw_msgsnd(void)
{
	static const struct { long type; char text[1024]; } message = { 1, "" };

	return result(syscall(SYS_msgsnd, messages_full, &message, 1024, 0));
}

int
wait_raw_semop(void)
{
	return result(syscall(SYS_semop, semaphores, &down, 1));
}

/* -------------------------------------------------------------------- waits */

/* As in BSD; the headers give its name to the next one. */
extern int old_sigpause(int mask) __asm__("sigpause");
extern int xpg_sigpause(int sig) __asm__("__xpg_sigpause");

int
wait_sigpause_mask(void)
{
	return result(old_sigpause(1 << (SIGSTKFLT - 1)));
}

int
wait_sigpause(void)
{
	return result(xpg_sigpause(SIGUSR2));
}

int
wait_read(void)
{
	return result(read(pipe_empty, &byte, 1));
}

int
wait_terminal(void)
{
	return result(read(terminal, &byte, 1));
}

int
wait_inotify(void)
{
	char event[512];

	return result(read(notify, event, sizeof(event)));
}

int
wait_recv(void)
{
	return result(recv(empty, &byte, 1, 0));
}

int
wait_recv_timed(void)
{
	return result(recv(empty_long, &byte, 1, 0));
}

int
wait_send_timed(void)
{
	return result(send(full_long, &byte, 1, 0));
}

int
wait_accept(void)
{
	return result(accept(listener, NULL, NULL));
}

int
wait_accept_timed(void)
{
	return result(accept(listener_long, NULL, NULL));
}

int
wait_connect_timed(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), error;

	set_timeout(fd, SO_SNDTIMEO, FOR_EVER_S, 0);
	error = result(connect_busy(fd));
	close(fd);
	return error;
}

int
wait_write(void)
{
	return result(write(pipe_full, &byte, 1));
}

int
wait_flock(void)
{
	return result(flock(locked[1], LOCK_EX));
}

int
wait_setlkw(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };

	return result(fcntl(locked[2], F_SETLKW, &lock));
}

int
wait_lockf(void)
{
	return result(lockf(locked[2], F_LOCK, 1));
}

int
wait_wait4(void)
{
	return result(wait4(child, NULL, 0, NULL));
}

int
wait_waitid(void)
{
	siginfo_t info;

	return result(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
}

int
wait_mq_receive(void)
{
	return result(mq_receive(queue_empty, &byte, 1, NULL));
}

int
wait_mq_send(void)
{
	return result(mq_send(queue_full, &byte, 1, 0));
}

int
wait_msgsnd(void)
{
	static const struct { long type; char text[1024]; } message = { 1, "" };

	return result(msgsnd(messages_full, &message, sizeof(message.text),
			     0));
}

int
wait_sem_wait(void)
{
	return result(sem_wait(&semaphore));
}

int
wait_futex(void)
{
	return result(syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, NULL));
}

int
wait_io_getevents(void)
{
	struct io_event event;

	return result(syscall(SYS_io_getevents, aio, 1L, 1L, &event, NULL));
}

/* ------------------------------------------------------------------ the world */

static void
fill(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	static char data[4096];

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	for (size_t n = sizeof(data); n > 0; n /= 2)
		while (write(fd, data, n) > 0)
			;
	fcntl(fd, F_SETFL, flags);
}

/* Pairs with all these timeouts: one that is empty, one that is full. */
static void
make_pair(int *ret_empty, int *ret_full, time_t seconds, int milliseconds)
{
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	*ret_empty = fds[0];
	set_timeout(fds[0], SO_RCVTIMEO, seconds, milliseconds);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	*ret_full = fds[0];
	fill(fds[0]);
	set_timeout(fds[0], SO_SNDTIMEO, seconds, milliseconds);
}

static int
make_listener(time_t seconds, int milliseconds)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0);
	CHECK(listen(fd, 0) == 0);
	set_timeout(fd, SO_RCVTIMEO, seconds, milliseconds);
	return fd;
}

/* A listener whose queue is full: whoever connects waits. */
static void
make_busy(void)
{
	socklen_t size = sizeof(busy);
	int fd = make_listener(0, 0);

	CHECK(getsockname(fd, (struct sockaddr *)&busy, &size) == 0);
	for (int i = 0; i < 4; i++)
		connect_busy(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	usleep(10000);
}

static mqd_t
make_queue(char which)
{
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 1 };
	char name[50];
	mqd_t queue;

	snprintf(name, sizeof(name), "/eintr.%d.%c", getpid(), which);
	queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
	CHECK(queue != (mqd_t)-1);
	mq_unlink(name);
	return queue;
}

/* Another process that holds the lock, and lives as long as we do. */
static void
make_child(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 1 };
	int ready[2];

	CHECK(pipe(ready) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK(fcntl(locked[2], F_SETLK, &lock) == 0);
		CHECK(write(ready[1], "x", 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
}

/*
 * A lookup that never ends: the resolver opens the file of aliases for names
 * without a dot, and nobody opens the other end.
 */
static void
make_lookup(void)
{
	struct gaicb *list[] = { &lookup };

	snprintf(fifo, sizeof(fifo), "%s.fifo", lock_name);
	CHECK(mkfifo(fifo, 0600) == 0);
	setenv("HOSTALIASES", fifo, 1);
	CHECK(getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) == 0);
}

void
calls_begin(void)
{
	int fds[2];

	make_pair(&empty, &full, 0, 0);
	make_pair(&empty_timed, &full_timed, 0, WAIT_MS);
	make_pair(&empty_long, &full_long, FOR_EVER_S, 0);
	listener = make_listener(0, 0);
	listener_timed = make_listener(0, WAIT_MS);
	listener_long = make_listener(FOR_EVER_S, 0);
	make_busy();
	CHECK(pipe(fds) == 0);
	pipe_empty = fds[0];
	CHECK(pipe(fds) == 0);
	fill(fds[1]);
	pipe_full = fds[1];
	terminal = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(terminal >= 0 && grantpt(terminal) == 0 &&
	      unlockpt(terminal) == 0 && open(ptsname(terminal),
					      O_RDWR | O_NOCTTY) >= 0);
	notify = inotify_init();
	CHECK(notify >= 0 && inotify_add_watch(notify, "/proc", IN_CREATE) >=
	      0);
	snprintf(lock_name, sizeof(lock_name), "%s.%d", program_invocation_name,
		 getpid());
	for (int i = 0; i < 3; i++)
		locked[i] = open(lock_name, O_RDWR | O_CREAT, 0600);
	CHECK(flock(locked[0], LOCK_EX) == 0);
	queue_empty = make_queue('e');
	queue_full = make_queue('f');
	CHECK(mq_send(queue_full, &byte, 1, 0) == 0);
	messages_full = msgget(IPC_PRIVATE, 0600);
	CHECK(messages_full >= 0);
	while (msgsnd(messages_full, &(struct { long type; char text[1024]; }){
		      1, "" }, 1024, IPC_NOWAIT) == 0)
		;
	CHECK(sem_init(&semaphore, 0, 0) == 0);
	sets = epoll_create1(0);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	CHECK(sets >= 0 && semaphores >= 0);
	CHECK(syscall(SYS_io_setup, 4L, &aio) == 0);
	make_child();
	make_lookup();
}

void
calls_end(void)
{
	msgctl(messages_full, IPC_RMID, NULL);
	semctl(semaphores, 0, IPC_RMID);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	unlink(lock_name);
	/* The lookup goes on, and finds nothing. */
	close(open(fifo, O_RDWR | O_NONBLOCK));
	unlink(fifo);
}
