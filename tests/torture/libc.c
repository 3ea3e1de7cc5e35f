/*
 * libc.c - what the C library keeps for the program.
 */
#include "torture.h"

#include <obstack.h>
#include <pthread.h>
#include <search.h>

#define obstack_chunk_alloc	malloc
#define obstack_chunk_free	free

static void *held[SEATS_MAX];

/* Until it is called, only libc's list has it. */
static void
hold_argument(void *block)
{
	for (int i = 0; i < SEATS_MAX; i++)
		if (held[i] == NULL) {
			held[i] = block;
			break;
		}
}

static void
hold_argument_on_exit(int status UNUSED, void *block)
{
	hold_argument(block);
}

extern int __cxa_atexit(void (*)(void *), void *, void *);

static NOINLINE void
call_on_exit(uintptr_t hidden)
{
	CHECK(on_exit(hold_argument_on_exit, reveal(hidden)) == 0);
	scrub();
}

static NOINLINE void
call_at_exit(uintptr_t hidden)
{
	CHECK(__cxa_atexit(hold_argument, reveal(hidden), NULL) == 0);
	scrub();
}

WAY(on_exit_argument, ANYWHERE)
{
	call_on_exit(seat->kept);
}

WAY(at_exit_argument, ANYWHERE)
{
	call_at_exit(seat->kept);
}

static NOINLINE void
put_in_environment(uintptr_t hidden, unsigned index)
{
	char *string = (char *)reveal(hidden);

	if (string != NULL) {
		snprintf(string, 32, "TORTURE_%u=here", index);
		CHECK(putenv(string) == 0);
	}
	scrub();
}

WAY(environment_string, ANYWHERE)
{
	char name[32];

	snprintf(name, sizeof name, "TORTURE_%u", seat->index);
	put_in_environment(seat->lost, seat->index);
	CHECK(unsetenv(name) == 0);
	put_in_environment(seat->kept, seat->index);
}

extern char **environ;

/* The whole environment is a block of the program's. */
WAY(environment_array, MAIN_ONLY)
{
	size_t count = 0;
	char **copy;

	while (environ[count] != NULL)
		count++;
	copy = (char **)calloc(count + 3, sizeof *copy);
	memcpy(copy, environ, count * sizeof *copy);
	copy[count] = (char *)"HELD=";
	environ = copy;
	/* Behind its end. */
	hold_in(&copy[count + 2], seat);
}

/* What main was given lies above all frames. */
WAY(argument_vector, MAIN_ONLY)
{
	hold_in(&torture_argv[1], seat);
}

static NOINLINE void
set_buffer(FILE *file, uintptr_t hidden)
{
	setvbuf(file, (char *)reveal(hidden), _IOFBF, 64);
	scrub();
}

/* The file itself is known to libc's list only. */
WAY(stream_buffer, ANYWHERE)
{
	FILE *file = fopen("/dev/null", "w");

	CHECK(file != NULL);
	set_buffer(file, seat->lost);
	set_buffer(file, seat->kept);
	if (reveal(seat->kept) == NULL)
		setvbuf(file, NULL, _IONBF, 0);
}

static int
close_nothing(void *cookie UNUSED)
{
	return 0;
}

static NOINLINE FILE *
open_cookie(uintptr_t hidden)
{
	cookie_io_functions_t functions = { .close = close_nothing };
	FILE *file = fopencookie(reveal(hidden), "w", functions);

	CHECK(file != NULL);
	scrub();
	return file;
}

WAY(stream_cookie, ANYWHERE)
{
	fclose(open_cookie(seat->lost));
	open_cookie(seat->kept);
}

static int
compare(const void *left, const void *right)
{
	return (uintptr_t)left < (uintptr_t)right ? -1
	    : (uintptr_t)left > (uintptr_t)right;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *tree;

static NOINLINE void
insert(uintptr_t hidden)
{
	CHECK(tsearch(reveal(hidden), &tree, compare) != NULL);
	scrub();
}

static NOINLINE void
delete(uintptr_t hidden)
{
	CHECK(tdelete(reveal(hidden), &tree, compare) != NULL);
	scrub();
}

WAY(search_tree, ANYWHERE)
{
	pthread_mutex_lock(&mutex);
	insert(seat->lost);
	delete(seat->lost);
	insert(seat->kept);
	pthread_mutex_unlock(&mutex);
}

static NOINLINE void
enter(uintptr_t hidden)
{
	ENTRY entry = { (char *)"key", reveal(hidden) }, *found;

	found = hsearch(entry, ENTER);
	CHECK(found != NULL);
	found->data = entry.data;
	found = NULL;
	entry.data = NULL;
	scrub();
}

WAY(search_table, MAIN_ONLY)
{
	CHECK(hcreate(100) != 0);
	enter(seat->lost);
	enter(seat->kept);
}

WAY(object_stack, ANYWHERE)
{
	static struct obstack stacks[SEATS_MAX];
	void **place;

	obstack_init(&stacks[seat->index]);
	place = (void **)obstack_alloc(&stacks[seat->index], 5000);
	memset(place, 0, 5000);
	for (int i = 0; i < 100; i++)
		memset(obstack_alloc(&stacks[seat->index], 500), 0, 500);
	hold_in(&place[600], seat);
}

/* A thread that ends with the mutex locked must be known to the kernel. */
static NOINLINE void
lock(uintptr_t hidden)
{
	pthread_mutex_t *m = (pthread_mutex_t *)reveal(hidden);
	pthread_mutexattr_t attributes;

	if (m != NULL) {
		CHECK(pthread_mutexattr_init(&attributes) == 0);
		CHECK(pthread_mutexattr_setrobust(&attributes,
		    PTHREAD_MUTEX_ROBUST) == 0);
		CHECK(pthread_mutex_init(m, &attributes) == 0);
		CHECK(pthread_mutex_lock(m) == 0);
	}
	scrub();
}

static NOINLINE void
unlock(uintptr_t hidden)
{
	CHECK(pthread_mutex_unlock((pthread_mutex_t *)reveal(hidden)) == 0);
	scrub();
}

WAY(robust_mutex, ANYWHERE)
{
	lock(seat->lost);
	unlock(seat->lost);
	lock(seat->kept);
}
