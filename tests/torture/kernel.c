/*
 * kernel.c - addresses that the kernel holds for the program.
 */
#include "torture.h"

#include "integration/given.h"

#include <aio.h>
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

/* A pipe that nothing is ever written to. */
static void
make_pipe(int ends[2])
{
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
}

/* -------------------------------------------------------------------- epoll */

static NOINLINE void
watch(int set, int call, int fd, uintptr_t hidden)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.ptr = reveal(hidden);
	CHECK(epoll_ctl(set, call, fd, &event) == 0);
	event.data.ptr = NULL;
	use(&event);
	scrub();
}

WAY(epoll, ANYWHERE)
{
	int set = epoll_create1(0), ends[2];

	make_pipe(ends);
	watch(set, EPOLL_CTL_ADD, ends[0], seat->lost);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL) == 0);
	watch(set, EPOLL_CTL_ADD, ends[0], seat->kept);
}

WAY(epoll_modified, ANYWHERE)
{
	int set = epoll_create1(0), ends[2];

	make_pipe(ends);
	watch(set, EPOLL_CTL_ADD, ends[0], seat->lost);
	watch(set, EPOLL_CTL_MOD, ends[0], seat->kept);
}

/* Closing the last descriptor takes it out of the set. */
WAY(epoll_closed, ANYWHERE)
{
	int set = epoll_create1(0), ends[2];

	make_pipe(ends);
	watch(set, EPOLL_CTL_ADD, ends[0], seat->lost);
	close(ends[0]);
	close(ends[1]);
	make_pipe(ends);
	watch(set, EPOLL_CTL_ADD, ends[0], seat->kept);
}

/* ------------------------------------------------------- timers and signals */

WAY(timer, ANYWHERE)
{
	CHECK(timer_delete(make_timer(seat->lost, SIGEV_SIGNAL, NULL)) == 0);
	make_timer(seat->kept, SIGEV_SIGNAL, NULL);
}

WAY(timer_silent, ANYWHERE)
{
	CHECK(timer_delete(make_timer(seat->lost, SIGEV_NONE, NULL)) == 0);
	make_timer(seat->kept, SIGEV_NONE, NULL);
}

static void
tick(union sigval value UNUSED)
{
}

WAY(timer_thread, ANYWHERE)
{
	CHECK(timer_delete(make_timer(seat->lost, SIGEV_THREAD, tick)) == 0);
	make_timer(seat->kept, SIGEV_THREAD, tick);
}

static void
block_signal(int sig, sigset_t *ret_set)
{
	sigemptyset(ret_set);
	sigaddset(ret_set, sig);
	CHECK(pthread_sigmask(SIG_BLOCK, ret_set, NULL) == 0);
}

/* Of two that wait with one number, nobody can tell which was taken. */
WAY(signal_pending, ANYWHERE)
{
	sigset_t set;

	block_signal(SIGRTMIN + 5, &set);
	queue_signal(SIGRTMIN + 5, true, seat->lost);
	take_signal(&set);
	block_signal(SIGRTMIN + 6, &set);
	queue_signal(SIGRTMIN + 6, true, seat->kept);
}

/* These signals are blocked by every thread (torture.c). */
WAY(signal_pending_for_all, MAIN_ONLY)
{
	sigset_t set;

	block_signal(TORTURE_SIGNAL, &set);
	queue_signal(TORTURE_SIGNAL, false, seat->lost);
	take_signal(&set);
	queue_signal(TORTURE_SIGNAL + 1, false, seat->kept);
}

static mqd_t
open_queue(unsigned index)
{
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof name, "/torture-%d-%u", (int)getpid(), index);
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	CHECK(queue != (mqd_t)-1);
	mq_unlink(name);
	return queue;
}

WAY(queue_notification, ANYWHERE)
{
	mqd_t queue = open_queue(seat->index);

	ask_notice(queue, seat->lost);
	CHECK(mq_notify(queue, NULL) == 0);
	ask_notice(queue, seat->kept);
}

/* ---------------------------------------------------- asynchronous transfer */

/*
 * The control block is the kept one itself.  None is lost this way: libc's
 * helpers keep the address of the last one they dealt with.
 */
static NOINLINE void
begin_read(int fd, uintptr_t hidden)
{
	struct aiocb *request = (struct aiocb *)reveal(hidden);
	static char buffer[1];

	if (request != NULL) {
		request->aio_fildes = fd;
		request->aio_buf = buffer;
		request->aio_nbytes = 1;
		CHECK(aio_read(request) == 0);
	}
	scrub();
}

WAY(aio_request, ANYWHERE)
{
	int ends[2];

	_Static_assert(sizeof(struct aiocb) <= HEAD_SIZE - sizeof(void *),
	    "the tail is held behind it");
	make_pipe(ends);
	begin_read(ends[0], seat->kept);
}

static NOINLINE void
submit_poll(aio_context_t context, int fd, uintptr_t hidden)
{
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_POLL,
		.aio_fildes = fd,
		.aio_buf = POLLIN,
	};
	struct iocb *requests[1] = { &request };

	request.aio_data = (uintptr_t)reveal(hidden);
	CHECK(syscall(SYS_io_submit, context, 1L, requests) == 1);
	request.aio_data = 0;
	use(&request);
	scrub();
}

WAY(aio_kernel, ANYWHERE)
{
	aio_context_t context = 0;
	int ends[2];
	char c;

	CHECK(syscall(SYS_io_setup, 1L, &context) == 0);
	make_pipe(ends);
	CHECK(write(ends[1], "x", 1) == 1);
	submit_poll(context, ends[0], seat->lost);
	take_event(context);
	CHECK(read(ends[0], &c, 1) == 1);
	/* Its ring still shows the event. */
	CHECK(syscall(SYS_io_destroy, context) == 0);
	context = 0;
	CHECK(syscall(SYS_io_setup, 1L, &context) == 0);
	submit_poll(context, ends[0], seat->kept);
}

struct ring {
	int fd;
	unsigned *tail;
	unsigned *array;
	unsigned mask;
	struct io_uring_sqe *entries;
};

static void
open_ring(struct ring *ring)
{
	struct io_uring_params p = { 0 };
	char *map;

	ring->fd = syscall(SYS_io_uring_setup, 1, &p);
	CHECK(ring->fd >= 0);
	map = (char *)mmap(NULL, p.sq_off.array +
	    p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
	CHECK(map != MAP_FAILED);
	ring->tail = (unsigned *)(map + p.sq_off.tail);
	ring->array = (unsigned *)(map + p.sq_off.array);
	ring->mask = *(unsigned *)(map + p.sq_off.ring_mask);
	ring->entries = (struct io_uring_sqe *)mmap(NULL,
	    p.sq_entries * sizeof(struct io_uring_sqe),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
	    IORING_OFF_SQES);
	CHECK((void *)ring->entries != MAP_FAILED);
}

static NOINLINE void
submit(struct ring *ring, int call, int fd, uintptr_t hidden)
{
	struct io_uring_sqe *e = &ring->entries[*ring->tail & ring->mask];

	memset(e, 0, sizeof *e);
	e->opcode = call;
	e->fd = fd;
	e->poll_events = call == IORING_OP_POLL_ADD ? POLLIN : 0;
	e->user_data = (uintptr_t)reveal(hidden);
	ring->array[*ring->tail & ring->mask] = *ring->tail & ring->mask;
	__atomic_add_fetch(ring->tail, 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1);
	scrub();
}

/* The entry in the ring still shows it. */
WAY(ring_entry, ANYWHERE)
{
	struct ring ring;
	int ends[2];

	open_ring(&ring);
	make_pipe(ends);
	submit(&ring, IORING_OP_POLL_ADD, ends[0], seat->kept);
}

/* --------------------------------------------------------------- on the way */

static NOINLINE void
send_pointer(int fd, uintptr_t hidden)
{
	void *message = reveal(hidden);

	CHECK(write(fd, &message, sizeof message) == sizeof message);
	message = NULL;
	use(&message);
	scrub();
}

static NOINLINE void
take_pointer(int fd)
{
	void *message;

	CHECK(read(fd, &message, sizeof message) == sizeof message);
	message = NULL;
	use(&message);
	scrub();
}

WAY(pipe_message, ANYWHERE)
{
	int ends[2];

	make_pipe(ends);
	send_pointer(ends[1], seat->lost);
	take_pointer(ends[0]);
	send_pointer(ends[1], seat->kept);
}

WAY(socket_message, ANYWHERE)
{
	int ends[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	send_pointer(ends[1], seat->lost);
	take_pointer(ends[0]);
	send_pointer(ends[1], seat->kept);
}

/* ------------------------------------------------------ of a thread's state */

static NOINLINE void
give_signal_stack(struct seat *seat)
{
	stack_t stack = { .ss_size = 256 * 1024 };
	void **block = (void **)calloc(1, stack.ss_size);

	CHECK(block != NULL);
	hold_in(&block[7], seat);
	stack.ss_sp = block;
	CHECK(sigaltstack(&stack, NULL) == 0);
	stack.ss_sp = NULL;
	use(&stack);
}

/* The usual way to get one: no pointer to the block is kept. */
WAY(signal_stack, ANYWHERE)
{
	give_signal_stack(seat);
	scrub();
}

static NOINLINE void
set_gs(uintptr_t hidden)
{
	CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, reveal(hidden)) == 0);
	scrub();
}

WAY(segment_register, ANYWHERE)
{
	set_gs(seat->lost);
	set_gs(seat->kept);
}
