/*
 * threads.c - the birth and death of threads.
 *
 * A thread that pthread_create makes is registered before its start routine
 * runs.  Until then its argument lies in a block that its descriptor points
 * to.  It leaves in the last round of its thread-specific destructors, so
 * that what others free there is still seen.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

NEXT_DEFINE(pthread_create);
NEXT_DEFINE(pthread_join);
NEXT_DEFINE(pthread_tryjoin_np);
NEXT_DEFINE(pthread_timedjoin_np);
NEXT_DEFINE(pthread_clockjoin_np);
NEXT_DEFINE(pthread_detach);

/* What a new thread needs to know. */
struct start {
	void *(*routine)(void *);
	void *argument;
	bool has_own_stack;
	bool is_detached;
};

/*
 * The key's value counts the rounds of destructors that are left, and says
 * whether the thread's result is awaited.
 */
#define ROUNDS		((uintptr_t)PTHREAD_DESTRUCTOR_ITERATIONS)
#define IS_DETACHED	((uintptr_t)1 << 8)

static pthread_key_t end_key;
static bool has_end_key;

static void
end_thread(void *value)
{
	uintptr_t left = (uintptr_t)value;

	if ((left & (IS_DETACHED - 1)) > 1 &&
	    pthread_setspecific(end_key, (void *)(left - 1)) == 0)
		return;
	bilge_thread_end((left & IS_DETACHED) == 0);
}

void
threads_init(void)
{
	has_end_key = pthread_key_create(&end_key, end_thread) == 0;
}

void
threads_found(void)
{
	if (has_end_key)
		pthread_setspecific(end_key, (void *)(ROUNDS | IS_DETACHED));
}

static void *
run_thread(void *argument)
{
	struct start start = *(struct start *)argument;

	bilge_thread_begin(start.has_own_stack);
	free(argument);
	if (has_end_key)
		pthread_setspecific(end_key, (void *)
			(ROUNDS | (start.is_detached ? IS_DETACHED : 0)));
	return start.routine(start.argument);
}

static void
read_attributes(const pthread_attr_t *attr, struct start *start)
{
	size_t guard = 0, size = 0;
	void *stack = NULL;
	int state = PTHREAD_CREATE_JOINABLE;

	start->has_own_stack = true;
	if (attr == NULL)
		return;
	pthread_attr_getguardsize(attr, &guard);
	pthread_attr_getdetachstate(attr, &state);
	/* glibc: without a stack of the program's, the end of it is 0. */
	if (guard == 0 || (pthread_attr_getstack(attr, &stack, &size) == 0 &&
			   (uintptr_t)stack + size != 0))
		start->has_own_stack = false;
	start->is_detached = state == PTHREAD_CREATE_DETACHED;
}

PUBLIC int
pthread_create(pthread_t *thread, const pthread_attr_t *attr,
	       void *(*routine)(void *), void *argument)
{
	struct start *start;
	int error;

	if (bilge_mode != BILGE_ACTIVE)
		return NEXT(pthread_create)(thread, attr, routine, argument);
	bilge_thread_ahead(__builtin_return_address(0));
	/* The block is the library's, not a site of the program. */
	start = heap_alloc(sizeof(*start), true);
	if (start == NULL)
		return EAGAIN;
	heap_note(start, sizeof(*start), SITE_NONE);
	start->routine = routine;
	start->argument = argument;
	read_attributes(attr, start);
	error = NEXT(pthread_create)(thread, attr, run_thread, start);
	if (error != 0)
		free(start);
	return error;
}

/*
 * tid_of - who is to be joined.  Once it is, its descriptor may be another
 * thread's, which may have ended, too, by the time we look.
 */
static int
tid_of(pthread_t thread)
{
	clockid_t clock;

	if (bilge_mode != BILGE_ACTIVE)
		return 0;
	/* A living thread may not be registered yet: ask libc. */
	if (pthread_getcpuclockid(thread, &clock) == 0)
		return ~(clock >> 3);
	return bilge_thread_tid((uintptr_t)thread);
}

/* joined - note that nobody waits for the thread's result any more. */
static int
joined(int error, pthread_t thread, int tid)
{
	if (error == 0 && bilge_mode == BILGE_ACTIVE)
		bilge_thread_joined((uintptr_t)thread, tid);
	return error;
}

PUBLIC int
pthread_join(pthread_t thread, void **result)
{
	int tid = tid_of(thread);

	return joined(NEXT(pthread_join)(thread, result), thread, tid);
}

PUBLIC int
pthread_tryjoin_np(pthread_t thread, void **result)
{
	int tid = tid_of(thread);

	return joined(NEXT(pthread_tryjoin_np)(thread, result), thread, tid);
}

PUBLIC int
pthread_timedjoin_np(pthread_t thread, void **result,
		     const struct timespec *until)
{
	int tid = tid_of(thread);

	return joined(NEXT(pthread_timedjoin_np)(thread, result, until),
		      thread, tid);
}

PUBLIC int
pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock,
		     const struct timespec *until)
{
	int tid = tid_of(thread);

	return joined(NEXT(pthread_clockjoin_np)(thread, result, clock, until),
		      thread, tid);
}

PUBLIC int
pthread_detach(pthread_t thread)
{
	/* Before: afterwards the descriptor may be another thread's. */
	if (bilge_mode == BILGE_ACTIVE)
		bilge_thread_detached((uintptr_t)thread);
	return NEXT(pthread_detach)(thread);
}
