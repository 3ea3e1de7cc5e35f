/*
 * limits.c - programs for which the system's limits are narrow.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "victim.h"

static void
set_limit(int which, rlim_t value)
{
	struct rlimit limit = { value, value };

	CHECK(setrlimit(which, &limit) == 0);
}

/* Take all there is; get NULL and ENOMEM; give it back; go on. */
static int
exhaust(const char *arg)
{
	size_t size = strtoul(arg, NULL, 10), count = 0, again = 0;
	void **list = NULL, **block;

	for (;;) {
		errno = 0;
		block = malloc(size);
		if (block == NULL)
			break;
		memset(block, 1, size);
		*block = list;
		list = block;
		count++;
	}
	CHECK(errno == ENOMEM);
	CHECK(count * size > 32 << 20);
	errno = 0;
	CHECK(calloc(2, size) == NULL && errno == ENOMEM);
	errno = 0;
	CHECK(realloc(list, 100 * size) == NULL && errno == ENOMEM);
	while (list != NULL) {
		block = list;
		list = *list;
		free(block);
	}
	while (again < count / 2) {
		block = malloc(size);
		CHECK(block != NULL);
		*block = list;
		list = block;
		again++;
	}
	while (list != NULL) {
		block = list;
		list = *list;
		free(block);
	}
	return 0;
}

/* The limit came later than the heap. */
static int
exhaust_late(const char *arg)
{
	free(malloc(1 << 20));
	set_limit(RLIMIT_AS, 0);
	errno = 0;
	CHECK(malloc(64 << 20) == NULL && errno == ENOMEM);
	CHECK(strlen(strcpy(use(malloc(10)), "still on")) == 8);
	return 0;
}

static void *
thread_main(void *arg)
{
	free(malloc(1000));
	return arg;
}

/* Our heap leaves address space for what else a program does. */
static int
room(const char *arg)
{
	pthread_t thread;
	void *block = malloc(100 << 20), *map;
	int i;

	CHECK(block != NULL);
	memset(block, 1, 100 << 20);
	map = mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(map != MAP_FAILED);
	for (i = 0; i < 4; i++) {
		CHECK(pthread_create(&thread, NULL, thread_main, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	}
	free(block);
	return 0;
}

/* Not one descriptor is left when the program ends. */
static int
no_descriptors(const char *arg)
{
	static void *held;

	held = malloc(100);
	use(&held);
	lose_block(200);
	set_limit(RLIMIT_NOFILE, 0);
	puts("no descriptors");
	return 7;
}

/* All of them are in use: it leaks those too. */
static int
all_descriptors(const char *arg)
{
	struct rlimit limit;

	lose_block(200);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 64;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (dup(0) >= 0)
		;
	puts("all descriptors");
	return 7;
}

/* And the limit cannot be raised. */
static int
all_descriptors_for_good(const char *arg)
{
	set_limit(RLIMIT_NOFILE, 64);
	return all_descriptors(arg);
}

/* No further process may be started, not even ours. */
static int
no_processes(const char *arg)
{
	lose_block(200);
	set_limit(RLIMIT_NPROC, 0);
	puts("no processes");
	return 7;
}

static int
no_file_size(const char *arg)
{
	lose_block(200);
	puts("no file size");
	fflush(stdout);
	set_limit(RLIMIT_FSIZE, 0);
	return 7;
}

static int
small_stack(const char *arg)
{
	set_limit(RLIMIT_STACK, 128 << 10);
	lose_block(200);
	return 7;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "exhaust", exhaust },
		{ "exhaust_late", exhaust_late },
		{ "room", room },
		{ "no_descriptors", no_descriptors },
		{ "all_descriptors", all_descriptors },
		{ "all_descriptors_for_good", all_descriptors_for_good },
		{ "no_processes", no_processes },
		{ "no_file_size", no_file_size },
		{ "small_stack", small_stack },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
