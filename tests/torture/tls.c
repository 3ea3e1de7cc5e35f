/*
 * tls.c - memory that each thread has of its own.
 */
#include "torture.h"

#include <dlfcn.h>
#include <pthread.h>
#include <threads.h>

static __thread char filler[500];
static __thread void *in_tls;
static _Thread_local struct { int number; void *held; } in_c11 = { 7, NULL };

WAY(tls, ANYWHERE)
{
	use(filler);
	hold_in(&in_tls, seat);
}

WAY(tls_initialised, ANYWHERE)
{
	hold_in(&in_c11.held, seat);
}

typedef void **place_of_tls(void);

/* The library may be there before the thread is, or come when it runs. */
static place_of_tls *
load(void)
{
	void *library = dlopen(getenv("TORTURE_LIB"), RTLD_NOW);
	place_of_tls *place = library == NULL ? NULL
	    : (place_of_tls *)dlsym(library, "torture_tls");

	CHECK(place != NULL);
	return place;
}

WAY(tls_of_later_library, ANYWHERE)
{
	hold_in(load()(), seat);
}

static void *
hold_in_library(void *argument)
{
	struct seat *seat = (struct seat *)argument;

	hold_in(load()(), seat);
	rest(seat);
	return NULL;
}

WAY(tls_of_earlier_library, THREADS_ONLY)
{
	pthread_t thread;

	load();
	CHECK(pthread_create(&thread, NULL, hold_in_library, seat) == 0);
	for (;;)
		pause();
}

static NOINLINE void
set(pthread_key_t key, uintptr_t hidden)
{
	CHECK(pthread_setspecific(key, reveal(hidden)) == 0);
	scrub();
}

static void
hold_specific(pthread_key_t key, struct seat *seat)
{
	set(key, seat->lost);
	set(key, seat->kept);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t keys[100];
static bool has_keys;

/* All threads use the same keys, those past the 31st on the second level. */
static void
make_keys(void)
{
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < 100 && !has_keys; i++)
		CHECK(pthread_key_create(&keys[i], NULL) == 0);
	has_keys = true;
	pthread_mutex_unlock(&mutex);
}

WAY(key_inline, ANYWHERE)
{
	make_keys();
	hold_specific(keys[0], seat);
}

WAY(key_second_level, ANYWHERE)
{
	make_keys();
	CHECK(keys[99] >= 64);
	hold_specific(keys[99], seat);
}

WAY(key_c11, ANYWHERE)
{
	static tss_t key[SEATS_MAX];

	CHECK(tss_create(&key[seat->index], NULL) == thrd_success);
	hold_specific(key[seat->index], seat);
}

/* A destructor that does not come back: the key's value was cleared. */
static struct seat *destroyed[SEATS_MAX];

static void
stay_in_destructor(void *value)
{
	void *volatile here = NULL;
	struct seat *seat = *(struct seat **)value;

	hold_in((void *)&here, seat);
	rest(seat);
}

static void *
end_with_value(void *argument)
{
	struct seat *seat = (struct seat *)argument;
	pthread_key_t key;

	destroyed[seat->index] = seat;
	CHECK(pthread_key_create(&key, stay_in_destructor) == 0);
	CHECK(pthread_setspecific(key, &destroyed[seat->index]) == 0);
	return NULL;
}

WAY(key_destructor, THREADS_ONLY)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, end_with_value, seat) == 0);
	for (;;)
		pause();
}
