/*
 * kernel.c - one block of 4242 bytes, whose address only the kernel holds.
 *
 * With "drop" the kernel gives it back, or is told to forget it, and the block
 * is lost: the proof that nothing else held it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "given.h"
#include "victim.h"

#define SIZE	4242

static uintptr_t hidden;
static bool drop;
static int ends[2];

static NOINLINE void
watch(int set, int call, int fd, bool raw)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.ptr = reveal(hidden);
	CHECK((raw ? syscall(SYS_epoll_ctl, set, call, fd, &event)
	    : epoll_ctl(set, call, fd, &event)) == 0);
	event.data.ptr = NULL;
	use(&event);
	scrub();
}

static void
watch_other(int set, int call, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	CHECK(epoll_ctl(set, call, fd, &event) == 0);
}

static int
epoll(const char *arg)
{
	int set = epoll_create1(0);

	watch(set, EPOLL_CTL_ADD, ends[0], strcmp(arg, "raw") == 0);
	if (drop)
		CHECK(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL) == 0);
	return 0;
}

static int
epoll_raw(const char *arg UNUSED)
{
	return epoll("raw");
}

static int
epoll_modified(const char *arg UNUSED)
{
	int set = epoll_create1(0);

	watch_other(set, EPOLL_CTL_ADD, ends[0]);
	watch(set, EPOLL_CTL_MOD, ends[0], false);
	if (drop)
		watch_other(set, EPOLL_CTL_MOD, ends[0]);
	return 0;
}

/* What is watched stays so until its last descriptor is closed. */
static int
epoll_copied(const char *arg UNUSED)
{
	int set = epoll_create1(0), copy = dup(ends[0]);

	watch(set, EPOLL_CTL_ADD, ends[0], false);
	close(ends[0]);
	if (drop)
		close(copy);
	return 0;
}

/* And so does the set. */
static int
epoll_set_copied(const char *arg UNUSED)
{
	int set = epoll_create1(0), copy = dup(set);

	watch(set, EPOLL_CTL_ADD, ends[0], false);
	close(set);
	if (drop)
		close(copy);
	return 0;
}

/* A child has the same sets; what it does to them it does to all. */
static int
epoll_child(const char *arg UNUSED)
{
	int set = epoll_create1(0), status;

	watch(set, EPOLL_CTL_ADD, ends[0], false);
	if (fork() == 0) {
		if (drop)
			CHECK(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL) ==
			    0);
		return 0;
	}
	CHECK(wait(&status) > 0 && status == 0);
	_exit(0);
}

static int
timer(const char *arg UNUSED)
{
	timer_t timer = make_timer(hidden, SIGEV_SIGNAL, NULL);

	if (drop)
		CHECK(timer_delete(timer) == 0);
	return 0;
}

static int
pending(bool for_thread)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	queue_signal(SIGRTMIN + 4, for_thread, hidden);
	if (drop)
		take_signal(&set);
	return 0;
}

static int
signal_pending(const char *arg UNUSED)
{
	return pending(false);
}

static int
thread_signal_pending(const char *arg UNUSED)
{
	return pending(true);
}

static mqd_t
open_queue(void)
{
	struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 8 };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof name, "/bilge-test-%d", (int)getpid());
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	CHECK(queue != (mqd_t)-1);
	mq_unlink(name);
	return queue;
}

static int
notice(const char *arg UNUSED)
{
	mqd_t queue = open_queue();

	ask_notice(queue, hidden);
	if (drop)
		CHECK(mq_notify(queue, NULL) == 0);
	return 0;
}

static int
notice_closed(const char *arg UNUSED)
{
	mqd_t queue = open_queue();

	ask_notice(queue, hidden);
	if (drop)
		CHECK(mq_close(queue) == 0);
	return 0;
}

static NOINLINE void
submit(aio_context_t context, int fd, uintptr_t data)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd,
		.aio_buf = POLLIN,
	};
	struct iocb *requests[2] = { &request, (struct iocb *)1 };

	request.aio_data = (uintptr_t)reveal(data);
	/* Of the second one there is nothing. */
	CHECK(syscall(SYS_io_submit, context, 2L, requests) == 1);
	request.aio_data = 0;
	use(&request);
	scrub();
}

static int
request(const char *arg UNUSED)
{
	aio_context_t context = 0;

	CHECK(syscall(SYS_io_setup, 4L, &context) == 0);
	submit(context, ends[0], hidden);
	CHECK(!drop || write(ends[1], "x", 1) == 1);
	/* It stays in the ring of events until others take its place. */
	for (int i = 0; drop && i < 1000; i++) {
		take_event(context);
		submit(context, ends[0], hide(NULL));
	}
	return 0;
}

static int
request_destroyed(const char *arg UNUSED)
{
	aio_context_t context = 0;

	CHECK(syscall(SYS_io_setup, 4L, &context) == 0);
	submit(context, ends[0], hidden);
	if (drop)
		CHECK(syscall(SYS_io_destroy, context) == 0);
	return 0;
}

/* --------------------------------------------------------------- on the way */

struct message {
	long type;
	void *words[4];
};

static NOINLINE void
transfer(ssize_t (*pass)(int fd, struct message *, size_t), int fd, bool fill)
{
	struct message message = { .type = 1 };

	if (fill)
		message.words[2] = reveal(hidden);
	CHECK(pass(fd, &message, sizeof message.words) >= 0);
	memset(&message, 0, sizeof message);
	use(&message);
	scrub();
}

static int
exchange(int from, ssize_t (*put)(int, struct message *, size_t), int to,
    ssize_t (*get)(int, struct message *, size_t))
{
	transfer(put, to, true);
	if (drop)
		transfer(get, from, false);
	return 0;
}

static ssize_t
by_write(int fd, struct message *m, size_t size)
{
	return write(fd, m->words, size);
}

static ssize_t
by_read(int fd, struct message *m, size_t size)
{
	return read(fd, m->words, size);
}

static ssize_t
by_send(int fd, struct message *m, size_t size)
{
	return send(fd, m->words, size, 0);
}

static ssize_t
by_recv(int fd, struct message *m, size_t size)
{
	/* Looking at it takes nothing out. */
	CHECK(recv(fd, m->words, size, MSG_PEEK) == (ssize_t)size);
	return recv(fd, m->words, size, 0);
}

static ssize_t
by_msgsnd(int queue, struct message *m, size_t size)
{
	return msgsnd(queue, m, size, 0);
}

static ssize_t
by_msgrcv(int queue, struct message *m, size_t size)
{
	return msgrcv(queue, m, size, 0, 0);
}

static ssize_t
by_mq_send(int queue, struct message *m, size_t size UNUSED)
{
	return mq_send(queue, (char *)&m->words[2], 8, 0);
}

static ssize_t
by_mq_receive(int queue, struct message *m, size_t size UNUSED)
{
	return mq_receive(queue, (char *)m->words, 8, NULL);
}

static int
in_pipe(const char *arg UNUSED)
{
	return exchange(ends[0], by_write, ends[1], by_read);
}

static int
in_socket(const char *arg UNUSED)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	return exchange(pair[0], by_send, pair[1], by_recv);
}

/* Sent in one way, received in the other. */
static int
in_socket_too(const char *arg UNUSED)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	return exchange(pair[0], by_write, pair[1], by_recv);
}

static int
in_message_queue(const char *arg UNUSED)
{
	int queue = msgget(IPC_PRIVATE, 0600), status;

	CHECK(queue >= 0);
	status = exchange(queue, by_msgsnd, queue, by_msgrcv);
	/* Removed, the queue's contents are gone; nobody said so to us. */
	CHECK(msgctl(queue, IPC_RMID, NULL) == 0);
	return status;
}

static int
in_posix_queue(const char *arg UNUSED)
{
	mqd_t queue = open_queue();

	return exchange(queue, by_mq_send, queue, by_mq_receive);
}

/* A pipe that is full takes nothing. */
static int
refused(const char *arg UNUSED)
{
	static char page[4096];

	CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
	while (write(ends[1], page, sizeof page) > 0)
		;
	if (drop) {
		void *word = reveal(hidden);

		CHECK(write(ends[1], &word, sizeof word) == -1);
		word = NULL;
		use(&word);
		scrub();
	} else
		transfer(by_read, ends[0], false);
	return 0;
}

/* ------------------------------------------------------- of a thread's state */

static NOINLINE void
give_stack(void)
{
	stack_t stack = { .ss_size = SIGSTKSZ };

	stack.ss_sp = malloc(SIGSTKSZ);
	hidden = hide(stack.ss_sp);
	CHECK(sigaltstack(&stack, NULL) == 0);
	stack.ss_sp = NULL;
	use(&stack);
	scrub();
}

static int
signal_stack(const char *arg UNUSED)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	give_stack();
	if (drop)
		CHECK(sigaltstack(&none, NULL) == 0);
	return 0;
}

static void *
wait_with_stack(void *is_ready)
{
	give_stack();
	*(volatile bool *)is_ready = true;
	while (pause() != 0)
		;
	return NULL;
}

static int
thread_signal_stack(const char *arg UNUSED)
{
	static volatile bool is_ready;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, wait_with_stack,
	    (void *)&is_ready) == 0);
	while (!is_ready)
		usleep(1000);
	return 0;
}

/* ---------------------------------------------------------- calls as before */

/* Bad addresses are the kernel's to find. */
static int
faults(const char *arg UNUSED)
{
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1, 0);
	int set = epoll_create1(0), pair[2];

	CHECK(page != MAP_FAILED);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	errno = 0;
	CHECK(write(ends[1], page, 64) == -1 && errno == EFAULT);
	errno = 0;
	CHECK(write(ends[1], page + 4096 - 4, 8) == -1 && errno == EFAULT);
	errno = 0;
	CHECK(send(pair[0], page, 8, 0) == -1 && errno == EFAULT);
	errno = 0;
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], (void *)page) == -1 &&
	    errno == EFAULT);
	errno = 0;
	CHECK(syscall(SYS_io_submit, 0L, 4L, page) == -1 && errno == EINVAL);
	errno = 0;
	CHECK(syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, ends[0], page) == -1
	    && errno == EFAULT);
	CHECK(write(ends[1], "12345678", 8) == 8);
	CHECK(read(ends[0], page, 8) == -1 && errno == EFAULT);
	errno = 77;
	CHECK(write(ends[1], "12345678", 8) == 8 && errno == 77);
	CHECK(syscall(SYS_getpid) == getpid() && errno == 77);
	puts("as without");
	return 0;
}

static int
run_child(void *argument)
{
	*(volatile int *)argument = 1;
	syscall(SYS_exit, 7);
	return 0;
}

/* Calls that come back twice, or on another stack. */
static int
comes_back_twice(const char *arg UNUSED)
{
	static char stack[65536] __attribute__((aligned(16)));
	volatile int mark = 0;
	int status, pid;

	pid = (int)syscall(SYS_fork);
	if (pid == 0)
		syscall(SYS_exit_group, 5);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
	pid = clone(run_child, stack + sizeof stack, CLONE_VM | SIGCHLD,
	    (void *)&mark);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	CHECK(mark == 1);
	puts("as without");
	return 0;
}

static const struct victim victims[] = {
	{ "epoll", epoll },
	{ "epoll_raw", epoll_raw },
	{ "epoll_modified", epoll_modified },
	{ "epoll_copied", epoll_copied },
	{ "epoll_set_copied", epoll_set_copied },
	{ "epoll_child", epoll_child },
	{ "timer", timer },
	{ "signal_pending", signal_pending },
	{ "thread_signal_pending", thread_signal_pending },
	{ "notice", notice },
	{ "notice_closed", notice_closed },
	{ "request", request },
	{ "request_destroyed", request_destroyed },
	{ "in_pipe", in_pipe },
	{ "in_socket", in_socket },
	{ "in_socket_too", in_socket_too },
	{ "in_message_queue", in_message_queue },
	{ "in_posix_queue", in_posix_queue },
	{ "refused", refused },
	{ "signal_stack", signal_stack },
	{ "thread_signal_stack", thread_signal_stack },
	{ "faults", faults },
	{ "comes_back_twice", comes_back_twice },
	{ NULL, NULL }
};

int
main(int argc, char **argv)
{
	const char *arg = argc > 2 ? argv[2] : "";

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	drop = strcmp(arg, "drop") == 0;
	if (strcmp(arg, "keep") == 0 || drop)
		hidden = hidden_block(SIZE);
	return victim_main(argc, argv, victims);
}
