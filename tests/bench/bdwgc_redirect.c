/*
 * bdwgc_redirect.c - Debian's libgc in the place of malloc, by LD_PRELOAD.
 *
 * What the program allocates is collected by bdwgc, as GC_malloc'ed memory;
 * free frees.  Threads are registered, because pthread_create and its kin go
 * through bdwgc's own.  What libc and the loader allocate for themselves is
 * uncollectable: bdwgc does not see the thread descriptors that point to it.
 *
 * A line for each collection goes to standard error:
 *
 *	bdwgc: gc N: stop MS pause MS heap MIB
 *
 * stop is the time until all threads stood, pause the time the world stood with
 * the stop included, both in milliseconds.
 *
 * Calls from bdwgc itself, and those it brings about, are served by glibc: some
 * come while it holds its lock.
 *
 * bdwgc scans no mappings that the program makes: what keeps pointers in such,
 * as python3 does, breaks.  The benchmarks do not.
 */
/* bdwgc's threads, but not its macros that rename ours. */
#define GC_THREADS
#define GC_NO_THREAD_REDIRECTS

#include <dlfcn.h>
#include <errno.h>
#include <gc/gc.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../clock.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { SYSTEM_RANGES = 4 };

/* The code of libc and of the loader.  Fixed when we are initialised. */
static struct range { uintptr_t base, end; } system_ranges[SYSTEM_RANGES];
static int system_range_count;
static bool is_ready;

/* This thread is inside bdwgc. */
static __thread bool is_inside __attribute__((tls_model("initial-exec")));

/* ---------------------------------------------------------------- the stops */

/* World stopped: bdwgc's lock is held whenever they change. */
static uint64_t stop_begin_ns, stopped_ns;
static unsigned collections;

/* The lock is held: nothing here may allocate. */
static void
on_event(GC_EventType event)
{
	char line[128];
	uint64_t now = now_ns();
	int length;

	if (event == GC_EVENT_PRE_STOP_WORLD)
		stop_begin_ns = now;
	if (event == GC_EVENT_POST_STOP_WORLD)
		stopped_ns = now;
	if (event != GC_EVENT_POST_START_WORLD)
		return;
	length = snprintf(line, sizeof(line),
	    "bdwgc: gc %u: stop %.3f pause %.3f heap %lu\n", ++collections,
	    (double)(stopped_ns - stop_begin_ns) / 1e6,
	    (double)(now - stop_begin_ns) / 1e6,
	    (unsigned long)(GC_get_heap_size() >> 20));
	if (write(STDERR_FILENO, line, (size_t)length) < 0)
		return;
}

/* --------------------------------------------------------------- beginning */

static int
note_system_range(struct dl_phdr_info *info, size_t size, void *unused)
{
	const char *name = strrchr(info->dlpi_name, '/');

	(void)size;
	(void)unused;
	if (name == NULL || (strncmp(name, "/libc.so", 8) != 0 &&
			     strncmp(name, "/ld-", 4) != 0))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || (p->p_flags & PF_X) == 0 ||
		    system_range_count == SYSTEM_RANGES)
			continue;
		system_ranges[system_range_count++] = (struct range){
			info->dlpi_addr + p->p_vaddr,
			info->dlpi_addr + p->p_vaddr + p->p_memsz,
		};
	}
	return 0;
}

/* The first call may come before any constructor has run. */
static void
begin(void)
{
	is_inside = true;
	dl_iterate_phdr(note_system_range, NULL);
	GC_INIT();
	GC_allow_register_threads();
	GC_set_on_collection_event(on_event);
	GC_set_warn_proc(GC_ignore_warn_proc);
	is_ready = true;
	is_inside = false;
}

static bool
is_system(const void *caller)
{
	for (int i = 0; i < system_range_count; i++)
		if ((uintptr_t)caller - system_ranges[i].base <
		    system_ranges[i].end - system_ranges[i].base)
			return true;
	return false;
}

/*
 * base_of - where bdwgc's object begins, which is before p where GC_memalign
 * made it; NULL where it is glibc's.
 */
static char *
base_of(void *p)
{
	return is_ready ? GC_base(p) : NULL;
}

/* -------------------------------------------------------------- allocation */

static void *
allocate(size_t size, const void *caller)
{
	void *p;

	if (!is_ready && !is_inside)
		begin();
	if (is_inside)
		return __libc_calloc(1, size);
	is_inside = true;
	p = is_system(caller) ? GC_malloc_uncollectable(size) : GC_malloc(size);
	is_inside = false;
	if (p == NULL)
		errno = ENOMEM;
	return p;
}

static void *
allocate_aligned(size_t alignment, size_t size)
{
	void *p;

	if (!is_ready && !is_inside)
		begin();
	if (is_inside)
		return __libc_memalign(alignment, size);
	is_inside = true;
	p = GC_memalign(alignment, size);
	is_inside = false;
	if (p == NULL)
		errno = ENOMEM;
	return p;
}

void *
malloc(size_t size)
{
	return allocate(size, __builtin_return_address(0));
}

void *
calloc(size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	/* GC_malloc clears. */
	return allocate(bytes, __builtin_return_address(0));
}

void
free(void *p)
{
	bool was_inside = is_inside;
	void *base;

	if (p == NULL)
		return;
	base = base_of(p);
	if (base == NULL) {
		__libc_free(p);
		return;
	}
	is_inside = true;
	GC_free(base);
	is_inside = was_inside;
}

size_t
malloc_usable_size(void *p)
{
	char *base = base_of(p);

	return base == NULL ? 0 : GC_size(base) - (size_t)((char *)p - base);
}

void *
realloc(void *p, size_t size)
{
	size_t old = malloc_usable_size(p);
	void *q;

	if (p == NULL)
		return allocate(size, __builtin_return_address(0));
	if (base_of(p) == NULL)
		return __libc_realloc(p, size);
	if (size == 0) {
		free(p);
		return NULL;
	}
	if (base_of(p) != p) {
		q = allocate(size, __builtin_return_address(0));
		if (q != NULL) {
			memcpy(q, p, old < size ? old : size);
			free(p);
		}
		return q;
	}
	is_inside = true;
	q = GC_realloc(p, size);
	is_inside = false;
	return q;
}

void *
reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

void *
memalign(size_t alignment, size_t size)
{
	return allocate_aligned(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return allocate_aligned(alignment, size);
}

int
posix_memalign(void **ret_p, size_t alignment, size_t size)
{
	void *p = allocate_aligned(alignment, size);

	if (p == NULL)
		return ENOMEM;
	*ret_p = p;
	return 0;
}

/* ----------------------------------------------------------------- threads */

/*
 * bdwgc calls these very functions to do the work; the inner call goes to
 * libc.
 */
static __thread bool is_passing __attribute__((tls_model("initial-exec")));

#define PASS(result, name, ...) do {					\
	if (is_passing) {						\
		__typeof__(&name) next =				\
		    (__typeof__(&name))dlsym(RTLD_NEXT, #name);		\
		result next(__VA_ARGS__);				\
	} else {							\
		if (!is_ready && !is_inside)				\
			begin();					\
		is_passing = true;					\
		result GC_##name(__VA_ARGS__);				\
		is_passing = false;					\
	}								\
} while (0)

int
pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
	       void *(*run)(void *), void *argument)
{
	int error;

	PASS(error =, pthread_create, ret_thread, attributes, run, argument);
	return error;
}

int
pthread_join(pthread_t thread, void **ret_value)
{
	int error;

	PASS(error =, pthread_join, thread, ret_value);
	return error;
}

int
pthread_detach(pthread_t thread)
{
	int error;

	PASS(error =, pthread_detach, thread);
	return error;
}

int
pthread_cancel(pthread_t thread)
{
	int error;

	PASS(error =, pthread_cancel, thread);
	return error;
}

int
pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
	int error;

	PASS(error =, pthread_sigmask, how, set, ret_old);
	return error;
}

void
pthread_exit(void *value)
{
	PASS(, pthread_exit, value);
	__builtin_unreachable();
}
