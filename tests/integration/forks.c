/*
 * forks.c - children of every kind, and what they may do.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "victim.h"

extern char **environ;

static void
expect_exit(pid_t child, int status)
{
	int got;

	CHECK(child > 0);
	CHECK(waitpid(child, &got, 0) == child);
	CHECK(WIFEXITED(got) && WEXITSTATUS(got) == status);
}

static void *
churn(void *arg)
{
	void *slots[64] = { NULL };
	unsigned random = (unsigned)(uintptr_t)arg;
	int i;

	for (;;) {
		i = rand_r(&random) % 64;
		free(slots[i]);
		/* Or it would keep what another thread gets there and loses. */
		slots[i] = NULL;
		use(slots);
		slots[i] = malloc(rand_r(&random) % 40 == 0 ?
		    rand_r(&random) % 200000 : rand_r(&random) % 1000);
		use(slots[i]);
	}
	return NULL;
}

static void
start_churn(int threads)
{
	pthread_t thread;
	uintptr_t i;

	for (i = 0; i < (uintptr_t)threads; i++)
		CHECK(pthread_create(&thread, NULL, churn, (void *)i) == 0);
}

static NOINLINE void
allocate_and_free(void)
{
	void *blocks[200];
	int i;

	for (i = 0; i < 200; i++) {
		blocks[i] = malloc(1 + i * 31);
		CHECK(blocks[i] != NULL);
		memset(blocks[i], i, 1 + i * 31);
	}
	for (i = 0; i < 200; i++)
		free(blocks[i]);
	free(memset(malloc(300000), 1, 300000));
}

/* The argument is how often. */
static int
beside_threads(const char *arg)
{
	int i, count = atoi(arg);
	pid_t child;

	start_churn(4);
	for (i = 0; i < count; i++) {
		child = fork();
		if (child == 0) {
			allocate_and_free();
			_exit(7);
		}
		expect_exit(child, 7);
	}
	return 0;
}

/* Blocks of threads that the child does not have are not its leaks. */
static int
threads_vanish(const char *arg)
{
	pid_t child;

	start_churn(4);
	usleep(20000);
	child = fork();
	if (child == 0) {
		allocate_and_free();
		exit(7);
	}
	expect_exit(child, 7);
	return 0;
}

/* What the child loses is reported by the child alone. */
static int
child_loses(const char *arg)
{
	pid_t child = fork();

	if (child == 0) {
		lose_block(100);
		exit(7);
	}
	expect_exit(child, 7);
	return 0;
}

static int
parent_loses(const char *arg)
{
	static void *held;
	pid_t child;

	held = malloc(5000);
	use(&held);
	child = fork();
	if (child == 0)
		exit(7);
	lose_block(100);
	expect_exit(child, 7);
	return 0;
}

static int
grandchildren(const char *arg)
{
	pid_t child = fork(), grandchild;

	if (child == 0) {
		allocate_and_free();
		grandchild = fork();
		if (grandchild == 0) {
			allocate_and_free();
			exit(8);
		}
		expect_exit(grandchild, 8);
		exit(7);
	}
	expect_exit(child, 7);
	return 0;
}

static void *
fork_once(void *arg)
{
	pid_t child = fork();

	if (child == 0) {
		allocate_and_free();
		exit(9);
	}
	expect_exit(child, 9);
	return arg;
}

/* A thread forks: in the child it is the only one. */
static int
by_thread(const char *arg)
{
	pthread_t thread[8];
	int i;

	start_churn(2);
	for (i = 0; i < 8; i++)
		CHECK(pthread_create(&thread[i], NULL, fork_once, NULL) == 0);
	for (i = 0; i < 8; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	return 0;
}

/* The child of fork makes threads of its own. */
static int
child_threads(const char *arg)
{
	pid_t child = fork();

	if (child == 0) {
		start_churn(3);
		usleep(20000);
		exit(7);
	}
	expect_exit(child, 7);
	return 0;
}

static int
vforked(const char *arg)
{
	static void *volatile kept;
	int i;
	pid_t child;

	/* What is lost comes from memory that the others never had. */
	kept = malloc(100);
	use(kept);
	start_churn(2);
	for (i = 0; i < 50; i++) {
		child = vfork();
		if (child == 0) {
			execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
			_exit(97);
		}
		expect_exit(child, 5);
	}
	child = vfork();
	if (child == 0)
		_exit(6);
	expect_exit(child, 6);
	lose_block(100);
	return 0;
}

static int
spawned(const char *arg)
{
	char sh[] = "sh", option[] = "-c", command[] = "exit 5";
	char *const argv[] = { sh, option, command, NULL };
	pid_t child;
	int i;

	start_churn(2);
	for (i = 0; i < 50; i++) {
		CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, argv,
		    environ) == 0);
		expect_exit(child, 5);
	}
	CHECK(posix_spawnp(&child, "no such program", NULL, NULL, argv,
	    environ) == ENOENT);
	return 0;
}

static int
piped(const char *arg)
{
	char line[100];
	FILE *pipe;
	int status;

	start_churn(2);
	status = system("echo by system; exit 3");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	pipe = popen("echo by popen; exit 4", "r");
	CHECK(pipe != NULL);
	CHECK(fgets(line, sizeof line, pipe) != NULL);
	CHECK(strcmp(line, "by popen\n") == 0);
	status = pclose(pipe);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	return 0;
}

/* A clone that shares our memory and leaves at once. */
static int
clone_main(void *arg)
{
	_exit(11);
}

static int
cloned(const char *arg)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t child;

	child = clone(clone_main, stack + sizeof stack,
	    CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	expect_exit(child, 11);
	lose_block(100);
	return 0;
}

/* How a program becomes a daemon. */
static int
daemon_of_old(const char *arg)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		setsid();
		child = fork();
		if (child != 0)
			_exit(0);
		CHECK(chdir("/") == 0);
		allocate_and_free();
		lose_block(100);
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	usleep(500000);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "beside_threads", beside_threads },
		{ "threads_vanish", threads_vanish },
		{ "child_loses", child_loses },
		{ "parent_loses", parent_loses },
		{ "grandchildren", grandchildren },
		{ "by_thread", by_thread },
		{ "child_threads", child_threads },
		{ "vforked", vforked },
		{ "spawned", spawned },
		{ "piped", piped },
		{ "cloned", cloned },
		{ "daemon_of_old", daemon_of_old },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
