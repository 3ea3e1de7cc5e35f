/*
 * data.c - variables and what the program was given.
 */
#include "torture.h"

#include <dlfcn.h>
#include <pthread.h>

static void *in_data[SEATS_MAX] = { &in_data };
static void *in_bss[SEATS_MAX];

WAY(data, ANYWHERE)
{
	hold_in(&in_data[seat->index], seat);
}

WAY(bss, ANYWHERE)
{
	hold_in(&in_bss[seat->index], seat);
}

WAY(function_static, ANYWHERE)
{
	static struct { char filler[100]; void *held; } here[SEATS_MAX];

	hold_in(&here[seat->index].held, seat);
}

WAY(guarded, ANYWHERE)
{
	static struct { pthread_mutex_t mutex; void *held; } here[SEATS_MAX];

	pthread_mutex_init(&here[seat->index].mutex, NULL);
	pthread_mutex_lock(&here[seat->index].mutex);
	hold_in(&here[seat->index].held, seat);
}

/* Of a library that came later: its data, and what its bss has to offer. */
static void **
place_in_library(const char *name)
{
	void *library = dlopen(getenv("TORTURE_LIB"), RTLD_NOW);
	void **place = library == NULL ? NULL
				       : (void **)dlsym(library, name);

	CHECK(place != NULL);
	return place;
}

WAY(library_data, ANYWHERE)
{
	hold_in(&place_in_library("torture_data")[seat->index], seat);
}

WAY(library_bss, ANYWHERE)
{
	hold_in(&place_in_library("torture_bss")[seat->index], seat);
}
