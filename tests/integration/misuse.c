/*
 * misuse.c - what a program must not do with its blocks.
 *
 * Each prints the address it misuses, then does it.
 */
#include <malloc.h>
#include <pthread.h>

#include "victim.h"

static void *
announce(void *address)
{
	printf("%p\n", address);
	fflush(stdout);
	return use(address);
}

static int
freed_twice(const char *arg)
{
	void *block = malloc(strtoul(arg, NULL, 10));

	free(announce(block));
	free(use(block));
	return 0;
}

/* Others were allocated and freed in between. */
static int
freed_twice_later(const char *arg)
{
	void *block[100];
	int i;

	for (i = 0; i < 100; i++)
		block[i] = malloc(40);
	for (i = 0; i < 100; i++)
		free(block[i]);
	free(announce(block[50]));
	return 0;
}

static void *
free_it(void *block)
{
	free(use(block));
	return NULL;
}

/* Once here, once in another thread that did not allocate it. */
static int
freed_twice_elsewhere(const char *arg)
{
	pthread_t thread;
	void *block = announce(malloc(100));

	free(use(block));
	CHECK(pthread_create(&thread, NULL, free_it, block) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	return 0;
}

/* First elsewhere, then by the thread that allocated it. */
static int
freed_elsewhere_first(const char *arg)
{
	pthread_t thread;
	void *block = announce(malloc(100));

	CHECK(pthread_create(&thread, NULL, free_it, block) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	free(use(block));
	return 0;
}

static int
inside(const char *arg)
{
	size_t size = strtoul(arg, NULL, 10);
	char *block = malloc(size);

	free(announce(block + (size / 2 & ~(size_t)15)));
	return 0;
}

/* Not even aligned. */
static int
inside_oddly(const char *arg)
{
	char *block = malloc(100);

	free(announce(block + 3));
	return 0;
}

static int
stack(const char *arg)
{
	char array[64] __attribute__((aligned(16)));

	memset(array, 0, sizeof array);
	free(announce(array));
	return 0;
}

static int
global(const char *arg)
{
	static char array[64] __attribute__((aligned(16)));

	free(announce(array));
	return 0;
}

static int
realloc_freed(const char *arg)
{
	void *block = malloc(100);

	free(announce(block));
	use(realloc(use(block), 200));
	return 0;
}

static int
realloc_inside(const char *arg)
{
	char *block = malloc(100);

	use(realloc(announce(block + 32), 200));
	return 0;
}

/* Allowed: nothing happens. */
static int
null(const char *arg)
{
	free(use(NULL));
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "freed_twice", freed_twice },
		{ "freed_twice_later", freed_twice_later },
		{ "freed_twice_elsewhere", freed_twice_elsewhere },
		{ "freed_elsewhere_first", freed_elsewhere_first },
		{ "inside", inside },
		{ "inside_oddly", inside_oddly },
		{ "stack", stack },
		{ "global", global },
		{ "realloc_freed", realloc_freed },
		{ "realloc_inside", realloc_inside },
		{ "null", null },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
