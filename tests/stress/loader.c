/*
 * loader.c - threads that open and close libraries while checks run.
 *
 * loader SECONDS THREADS LIBRARY ...
 *
 * Each thread opens one of the libraries, has it allocate, keeps a block in its
 * data, in its thread-local storage and in a block of its own, and closes it
 * again.  Nothing is ever lost: no check may find a leak.  At last every
 * library loses a block and is closed.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHECK(x) ((x) ? (void)0 : fail(__LINE__, #x))
#define THREADS_MAX	64

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static atomic_bool is_over;
static char **libraries;
static unsigned library_count;

static _Noreturn void
fail(int line, const char *what)
{
	const char *error = dlerror();

	fprintf(stderr, "loader.c:%d: not true: %s %s\n", line, what,
	    error != NULL ? error : "");
	abort();
}

static void
use_library(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void *(*keep)(size_t);
	void (*drop)(void *);

	CHECK(library != NULL);
	*(void **)&keep = dlsym(library, "plugin_keep");
	*(void **)&drop = dlsym(library, "plugin_drop");
	CHECK(keep != NULL && drop != NULL);
	drop(keep(100));
	CHECK(dlclose(library) == 0);
}

static void *
churn(void *argument)
{
	unsigned seed = (unsigned)(uintptr_t)argument;

	while (!atomic_load(&is_over))
		use_library(libraries[rand_r(&seed) % library_count]);
	return NULL;
}

static void
lose_in(const char *path)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	void (*lose)(size_t);

	CHECK(library != NULL);
	*(void **)&lose = dlsym(library, "plugin_lose");
	CHECK(lose != NULL);
	lose(4242);
	CHECK(dlclose(library) == 0);
}

int
main(int argc, char **argv)
{
	unsigned count = argc > 3 ? (unsigned)atoi(argv[2]) : 0, checks = 0;
	pthread_t threads[THREADS_MAX];
	time_t end = time(NULL) + (argc > 3 ? atoi(argv[1]) : 0);

	CHECK(argc > 3 && count <= THREADS_MAX);
	libraries = argv + 3;
	library_count = (unsigned)argc - 3;
	for (uintptr_t i = 0; i < count; i++)
		CHECK(pthread_create(&threads[i], NULL, churn,
		    (void *)(i + 1)) == 0);
	while (time(NULL) < end) {
		if (__lsan_do_recoverable_leak_check != NULL)
			CHECK(__lsan_do_recoverable_leak_check() == 0);
		checks++;
	}
	atomic_store(&is_over, true);
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < library_count; i++)
		lose_in(libraries[i]);
	printf("%u checks\n", checks);
	return 0;
}
