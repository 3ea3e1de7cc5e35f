/*
 * exits.c - every way to end, and what happens on the way.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "victim.h"

static uintptr_t late;

/* Nothing is lost; files, environment and locale keep what libc allocated. */
static int
clean(const char *arg)
{
	static void *held[1000];
	FILE *stream = fopen("/dev/null", "w");
	char line[64];
	int i;

	CHECK(stream != NULL);
	for (i = 0; i < 1000; i++) {
		held[i] = malloc(i);
		snprintf(line, sizeof line, "VICTIM_%d", i);
		CHECK(setenv(line, "value", 1) == 0);
		fprintf(stream, "%d\n", i);
	}
	for (i = 0; i < 1000; i += 2)
		free(held[i]);
	puts("clean");
	return 0;
}

static int
by_return(const char *arg)
{
	lose_block(100);
	return atoi(arg);
}

static int
by_exit(const char *arg)
{
	lose_block(100);
	exit(atoi(arg));
}

static int
by__exit(const char *arg)
{
	lose_block(100);
	_exit(atoi(arg));
}

static int
by__Exit(const char *arg)
{
	lose_block(100);
	_Exit(atoi(arg));
}

static int
by_quick_exit(const char *arg)
{
	lose_block(100);
	quick_exit(atoi(arg));
}

/* The argument is the signal's number. */
static int
by_signal(const char *arg)
{
	lose_block(100);
	raise(atoi(arg));
	return 97;
}

static int
by_exec(const char *arg)
{
	lose_block(100);
	execl("/bin/sh", "sh", "-c", "echo executed; exit 6", (char *)NULL);
	return 97;
}

static void
free_late(void)
{
	free(reveal(late));
}

/* Hidden until then: a check that runs too early calls it lost. */
static int
freed_at_exit(const char *arg)
{
	CHECK(atexit(free_late) == 0);
	late = hidden_block(100);
	return 0;
}

static int
freed_at_quick_exit(const char *arg)
{
	CHECK(at_quick_exit(free_late) == 0);
	late = hidden_block(100);
	quick_exit(0);
}

static bool free_in_destructor, lose_in_destructor;

static __attribute__((destructor)) void
victim_fini(void)
{
	if (free_in_destructor)
		free_late();
	if (lose_in_destructor)
		lose_block(100);
}

static int
freed_in_destructor(const char *arg)
{
	free_in_destructor = true;
	late = hidden_block(100);
	return 0;
}

static int
lost_in_destructor(const char *arg)
{
	lose_in_destructor = true;
	return 0;
}

static void
lose_late(void)
{
	lose_block(100);
}

static int
lost_at_exit(const char *arg)
{
	CHECK(atexit(lose_late) == 0);
	return 0;
}

static void
set_library(const char *name, size_t value)
{
	void *lib = dlopen(getenv("VICTIM_LIB"), RTLD_NOW);
	size_t *place = lib == NULL ? NULL : dlsym(lib, name);

	CHECK(place != NULL);
	*place = value;
}

static int
freed_by_library(const char *arg)
{
	set_library("lib_late", hidden_block(100));
	return 0;
}

static int
lost_by_library(const char *arg)
{
	set_library("lib_lose_late", 100);
	return 0;
}

/* A library that is gone again by the end: its frames stay nameable. */
static int
lost_by_closed_library(const char *arg)
{
	void *lib = dlopen(getenv("VICTIM_LIB"), RTLD_NOW);
	size_t *place = lib == NULL ? NULL : dlsym(lib, "lib_lose_late");

	CHECK(place != NULL);
	*place = 100;
	CHECK(dlclose(lib) == 0);
	return 0;
}

static void
leave_for_good(void)
{
	_exit(3);
}

/* _exit from an exit handler: one end, one report. */
static int
exit_in_handler(const char *arg)
{
	lose_block(100);
	CHECK(atexit(leave_for_good) == 0);
	return 0;
}

static void
on_signal(int number)
{
	_exit(4);
}

/* The signal arrives inside malloc, sooner or later. */
static int
exit_in_signal(const char *arg)
{
	void *slots[100] = { NULL };
	int i;

	signal(SIGALRM, on_signal);
	ualarm(30000, 0);
	for (i = 0; i < 1000000000; i++) {
		free(slots[i % 100]);
		slots[i % 100] = use(malloc(i % 100 * 50));
	}
	return 97;
}

/* As the GNU programs do, to catch a full disk. */
static void
close_streams(void)
{
	if (fclose(stdout) != 0 || fclose(stderr) != 0)
		_exit(1);
}

static int
streams_closed(const char *arg)
{
	CHECK(atexit(close_streams) == 0);
	puts("before the end");
	return 0;
}

static int
descriptors_closed(const char *arg)
{
	puts("before the end");
	fflush(stdout);
	lose_block(100);
	CHECK(close_range(atoi(arg), ~0U, 0) == 0);
	return 7;
}

/* Daemons of an older time: every number is closed, some are used again. */
static int
descriptors_replaced(const char *arg)
{
	int fd;

	lose_block(100);
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	for (fd = 3; fd < 200; fd++)
		CHECK(open("/dev/null", O_RDWR) == fd);
	return 7;
}

/* No child of ours may be seen by the program that waits for any. */
static int
wait_for_any(const char *arg)
{
	int status;

	signal(SIGCHLD, SIG_IGN);
	lose_block(100);
	CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "clean", clean },
		{ "by_return", by_return },
		{ "by_exit", by_exit },
		{ "by__exit", by__exit },
		{ "by__Exit", by__Exit },
		{ "by_quick_exit", by_quick_exit },
		{ "by_signal", by_signal },
		{ "by_exec", by_exec },
		{ "freed_at_exit", freed_at_exit },
		{ "freed_at_quick_exit", freed_at_quick_exit },
		{ "freed_in_destructor", freed_in_destructor },
		{ "lost_in_destructor", lost_in_destructor },
		{ "lost_at_exit", lost_at_exit },
		{ "freed_by_library", freed_by_library },
		{ "lost_by_library", lost_by_library },
		{ "lost_by_closed_library", lost_by_closed_library },
		{ "exit_in_handler", exit_in_handler },
		{ "exit_in_signal", exit_in_signal },
		{ "streams_closed", streams_closed },
		{ "descriptors_closed", descriptors_closed },
		{ "descriptors_replaced", descriptors_replaced },
		{ "wait_for_any", wait_for_any },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
