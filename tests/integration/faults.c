/*
 * faults.c - a program whose pages are protected while a collector runs.
 *
 *	faults CASE
 *
 * A thread allocates and loses all the time, so that cycles follow each other;
 * meanwhile the program does what a protected page must not disturb.
 */
#include "victim.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#define SECONDS	1.5
#define COUNT	24

struct node {
	struct node *next;
	long data[5];
};

static _Atomic bool is_over, is_gentle;
static struct node *_Atomic lists[1000];

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *
churn(void *unused)
{
	unsigned x = 1;

	while (!is_over) {
		struct node *n = calloc(1, sizeof(*n));

		x = x * 1103515245 + 12345;
		n->next = lists[x / 65536 % 1000];
		if (n->next != NULL && x % 8 == 0)
			n->next->next = NULL;
		lists[x / 65536 % 1000] = n;
		if (is_gentle)
			usleep(100);
	}
	return unused;
}

static pthread_t churner;

static void
begin(void)
{
	CHECK(pthread_create(&churner, NULL, churn, NULL) == 0);
}

static void
end(void)
{
	is_over = true;
	pthread_join(churner, NULL);
}

/* ------------------------------------------------------------------- kernel */

/* One of each size, so that they lie in many spans. */
static void *
small(size_t size)
{
	void *p = use(malloc(size));

	CHECK(p != NULL);
	return p;
}

#define BUFFER	600

static void
ask_files(char *buffer, struct stat *st, struct iovec *parts, int fds[2])
{
	int fd = open("/etc/passwd", O_RDONLY);
	FILE *f;

	CHECK(fd >= 0);
	CHECK(read(fd, buffer, BUFFER) > 0);
	CHECK(pread(fd, buffer, 100, 3) == 100);
	parts[0].iov_base = buffer;
	parts[0].iov_len = 10;
	parts[1].iov_base = st;
	parts[1].iov_len = 10;
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(readv(fd, parts, 2) == 20);
	CHECK(syscall(SYS_pread64, fd, buffer, (size_t)20, (off_t)0) == 20);
	CHECK(fstat(fd, st) == 0 && st->st_size > 0);
	CHECK(stat("/etc", st) == 0 && lstat("/etc/passwd", st) == 0);
	CHECK(close(fd) == 0);
	CHECK(getcwd(buffer, BUFFER) != NULL);
	CHECK(readlink("/proc/self/exe", buffer, BUFFER) > 0);
	CHECK(pipe(fds) == 0);
	CHECK(write(fds[1], "12345678", 8) == 8);
	CHECK(read(fds[0], buffer, BUFFER) == 8);
	CHECK(memcmp(buffer, "12345678", 8) == 0);
	close(fds[0]);
	close(fds[1]);
	f = fopen("/proc/self/stat", "r");
	CHECK(f != NULL);
	/* libc's buffer of 1024 bytes: /proc has blocks of that size. */
	CHECK(fread(buffer, 1, 20, f) == 20 && fgetc(f) != EOF);
	CHECK(fclose(f) == 0);
}

static void
ask_sockets(char *buffer, int fds[2], struct pollfd *polled,
	    struct epoll_event *event, socklen_t *size)
{
	struct iovec part = { buffer, BUFFER };
	struct msghdr *message = small(sizeof(*message));
	int set = epoll_create1(0);

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	*event = (struct epoll_event){ .events = EPOLLIN };
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fds[0], event) == 0);
	CHECK(send(fds[1], "datagram", 8, 0) == 8);
	polled->fd = fds[0];
	polled->events = POLLIN;
	CHECK(poll(polled, 1, 1000) == 1);
	CHECK(epoll_wait(set, event, 1, 1000) == 1);
	CHECK(recv(fds[0], buffer, BUFFER, 0) == 8);
	/* A datagram that cannot be copied is gone. */
	CHECK(send(fds[1], "another", 7, 0) == 7);
	memset(message, 0, sizeof(*message));
	message->msg_iov = &part;
	message->msg_iovlen = 1;
	CHECK(recvmsg(fds[0], message, 0) == 7);
	*size = 4;
	CHECK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, buffer, size) == 0);
	close(fds[0]);
	close(fds[1]);
	close(set);
	free(message);
}

static void
ask_processes(struct rusage *usage, struct timespec *time, int *status,
	      sigset_t *set)
{
	pid_t child;

	CHECK(getrusage(RUSAGE_SELF, usage) == 0);
	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, time) == 0);
	CHECK(sigpending(set) == 0);
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, set) == 0);
	child = vfork();
	if (child == 0)
		_exit(3);
	CHECK(child > 0 && waitpid(child, status, 0) == child);
	CHECK(WEXITSTATUS(*status) == 3);
}

static void
ask(void)
{
	char *buffer = small(BUFFER);
	int *fds = small(2 * sizeof(*fds)), *status = small(sizeof(*status));
	struct stat *st = small(sizeof(*st));
	struct iovec *parts = small(2 * sizeof(*parts));

	ask_files(buffer, st, parts, fds);
	ask_sockets(buffer, fds, (struct pollfd *)parts,
		    (struct epoll_event *)st, (socklen_t *)status);
	ask_processes((struct rusage *)buffer, (struct timespec *)parts,
		      status, (sigset_t *)st);
	free(buffer);
	free(fds);
	free(status);
	free(st);
	free(parts);
}

static void
case_kernel(void)
{
	double until = now() + SECONDS;

	begin();
	while (now() < until)
		ask();
	end();
}

/* A buffer that waits in the kernel while cycles come and go. */
static void
case_waiting(void)
{
	int fds[2];
	char *buffer = small(100);
	pid_t child;

	CHECK(pipe(fds) == 0);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 20; i++) {
			usleep(50000);
			CHECK(write(fds[1], &i, sizeof(i)) == sizeof(i));
		}
		_exit(0);
	}
	begin();
	for (int i = 0; i < 20; i++) {
		/* No more: two may have come by now. */
		CHECK(read(fds[0], buffer, sizeof(i)) == sizeof(i));
		CHECK(memcmp(buffer, &i, sizeof(i)) == 0);
	}
	end();
	CHECK(waitpid(child, NULL, 0) == child);
}

/* -------------------------------------------------------------- own handlers */

static sigjmp_buf back;
static void *volatile fault_address;
static volatile sig_atomic_t faults, was_blocked, on_stack, wrong;
static char *alternate;

#define ALTERNATE	((size_t)64 * 1024)

static void
handler(int sig, siginfo_t *info, void *context)
{
	sigset_t mask;
	char here;

	if (sig != SIGSEGV || info->si_addr != fault_address ||
	    context == NULL)
		wrong = 1;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	was_blocked = sigismember(&mask, SIGUSR1);
	on_stack = &here >= alternate && &here < alternate + ALTERNATE;
	faults++;
	siglongjmp(back, 1);
}

static void
fault(void *at)
{
	fault_address = at;
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)at = 1;
}

static void
case_own(void)
{
	stack_t stack = { .ss_size = ALTERNATE };
	struct sigaction action = {
		.sa_sigaction = handler,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	}, old;
	double until = now() + SECONDS;
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	char *own = NULL;
	int n = 0;

	/* Part of the heap that the program itself protects. */
	CHECK(posix_memalign((void **)&own, 4096, 8192) == 0);
	CHECK(mprotect(own, 4096, PROT_READ) == 0);
	alternate = stack.ss_sp = malloc(ALTERNATE);
	CHECK(sigaltstack(&stack, NULL) == 0);
	sigaddset(&action.sa_mask, SIGUSR1);
	CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
	begin();
	while (now() < until) {
		struct node *node = small(sizeof(*node));

		memset(node, 1, sizeof(*node));
		fault(page);
		CHECK(was_blocked && on_stack && !wrong);
		fault(own + 8);
		CHECK(!wrong);
		fault(NULL);
		CHECK(!wrong);
		n += 3;
		CHECK(faults == n);
		free(node);
		CHECK(sigaction(SIGSEGV, NULL, &old) == 0);
		CHECK(old.sa_sigaction == handler);
		/* libc adds one of the kernel's own. */
		CHECK((old.sa_flags & ~0x04000000) == action.sa_flags);
		CHECK(sigismember(&old.sa_mask, SIGUSR1));
	}
	/* Once, and then the default. */
	action.sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER);
	CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
	fault(page);
	CHECK(faults == n + 1 && !on_stack);
	CHECK(sigaction(SIGSEGV, NULL, &old) == 0);
	CHECK(old.sa_handler == SIG_DFL);
	/* A signal that somebody sends is ignored, a fault is not. */
	CHECK(signal(SIGSEGV, SIG_IGN) == SIG_DFL);
	CHECK(raise(SIGSEGV) == 0);
	CHECK(signal(SIGSEGV, SIG_DFL) == SIG_IGN);
	mprotect(own, 4096, PROT_READ | PROT_WRITE);
	end();
}

/* die - of a fault, as a program without a handler does. */
static void
die(bool is_ignored, bool is_sent)
{
	begin();
	usleep(300000);
	if (is_ignored)
		signal(SIGSEGV, SIG_IGN);
	if (is_sent)
		raise(SIGSEGV);
	else
		*(volatile char *)use(NULL) = 1;
	end();
}

/* ------------------------------------------------- blocked signals and stacks */

static void
on_alarm(int sig)
{
	(void)sig;
	for (unsigned i = 0; i < 1000; i++)
		if (lists[i] != NULL)
			lists[i]->data[4]++;
}

/* All signals are blocked, also in a handler, and the heap is written. */
static void
case_blocked(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	double until = now() + SECONDS;
	sigset_t all, old;

	sigfillset(&all);
	action.sa_mask = all;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	setitimer(ITIMER_REAL, &often, NULL);
	begin();
	while (now() < until) {
		CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
		for (int k = 0; k < 100; k++)
			on_alarm(0);
		CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	}
	end();
}

static ucontext_t main_context, other_context;

static void
coroutine(void)
{
	for (;;) {
		volatile char room[3000];

		memset((char *)room, 1, sizeof(room));
		swapcontext(&other_context, &main_context);
	}
}

/* Stacks in the heap: a coroutine's, without an alternate one for signals. */
static void
case_stacks(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	double until = now() + SECONDS;

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	setitimer(ITIMER_REAL, &often, NULL);
	getcontext(&other_context);
	other_context.uc_stack.ss_sp = malloc(32 * 1024);
	other_context.uc_stack.ss_size = 32 * 1024;
	makecontext(&other_context, coroutine, 0);
	begin();
	while (now() < until)
		swapcontext(&main_context, &other_context);
	end();
}

/* --------------------------------------------------------------------- forks */

static void
case_forks(void)
{
	double until = now() + SECONDS;

	begin();
	while (now() < until) {
		int status;
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			for (int k = 0; k < 10; k++)
				on_alarm(0);
			ask();
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	end();
}

/* ------------------------------------------------------------ condemned blocks */

#define LARGE	((size_t)1 << 20)

static uintptr_t hidden[COUNT];

/* Each with a call stack of its own: a site whose block came back is exempt. */
static NOINLINE void
lose_at(int i, int depth)
{
	if (depth > 0) {
		lose_at(i, depth - 1);
	} else {
		char *p = use(malloc(LARGE));

		memset(p, i, LARGE);
		hidden[i] = hide(p);
	}
	use(NULL);
}

static NOINLINE void
lose_large(void)
{
	for (int i = 0; i < COUNT; i++)
		lose_at(i, i);
}

static NOINLINE char *
unhide(int i)
{
	return use((void *)~hidden[i]);
}

/* touch - one of the hidden blocks is used again, in different ways. */
static NOINLINE void
touch(int i, int fds[2])
{
	char *p = unhide(i);

	switch (i % 6) {
	case 0:
		CHECK(p[LARGE / 2] == i);
		break;
	case 1:
		p[LARGE - 1] = (char)i;
		break;
	case 2:
		CHECK(write(fds[1], p + 70000, 100) == 100);
		CHECK(read(fds[0], p, 100) == 100);
		break;
	case 3:
		memset(p, i, LARGE);
		break;
	case 4:
		p = realloc(p, 4 * LARGE);
		hidden[i] = ~(uintptr_t)p;
		break;
	case 5:
		free(p);
		hidden[i] = 0;
		return;
	}
	for (size_t at = 0; at < LARGE; at++)
		CHECK(p[at] == i);
}

/* Grace is long, and they are condemned when they are touched. */
static void
touch_some(int first, int last)
{
	int fds[2];

	CHECK(pipe(fds) == 0);
	/* While a cycle is under way they can be touched. */
	is_gentle = true;
	lose_large();
	begin();
	usleep(700000);
	for (int i = 0; i < COUNT; i++)
		if (i % 6 >= first && i % 6 <= last) {
			touch(i, fds);
			/* Not all of them in one cycle. */
			usleep(4000);
		}
	end();
	for (int i = 0; i < COUNT; i++)
		if (hidden[i] != 0)
			CHECK(unhide(i)[5000] == i);
}

static void
case_touched(void)
{
	touch_some(0, 3);
}

static void
case_freed(void)
{
	touch_some(4, 5);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "kernel", case_kernel },
	{ "waiting", case_waiting },
	{ "own", case_own },
	{ "blocked", case_blocked },
	{ "stacks", case_stacks },
	{ "forks", case_forks },
	{ "touched", case_touched },
	{ "freed", case_freed },
};

int
main(int argc, char **argv)
{
	CHECK(argc == 2);
	if (strncmp(argv[1], "die", 3) == 0) {
		die(strstr(argv[1], "ignored") != NULL,
		    strstr(argv[1], "sent") != NULL);
		return 0;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			puts("done");
			return 0;
		}
	return 2;
}
