/*
 * torture.h - one way of holding a pointer, one victim.
 *
 * A way is given two blocks that only it knows, and holds them where its
 * name says: first the lost one, which it lets go in the manner of the place
 * (overwritten, taken out, deregistered), then the kept one.  Each block is a
 * head that holds a tail: of a lost pair the head is a direct leak and the
 * tail an indirect one.
 *
 * It runs on the main thread, or on many threads at once, each with a pair of
 * its own.  Asked to drop it is given nothing in place of the kept block,
 * which is then lost as well: the proof that only the way kept it.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include "integration/victim.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SEATS_MAX	256
/* Of a lost pair; a word more each of a kept one, to tell them apart. */
#define HEAD_SIZE	200
#define TAIL_SIZE	72
#define KEPT_MORE	sizeof(void *)

/* A thread that holds.  Addresses are hidden; that of nothing reveals NULL. */
struct seat {
	unsigned index;
	uintptr_t kept;
	uintptr_t lost;
};

/* Where a way can be tried. */
enum where {
	ANYWHERE,
	MAIN_ONLY,
	THREADS_ONLY,
	ALONE		/* on one thread that is not the main one */
};

struct way {
	const char *name;
	void (*hold)(struct seat *seat);
	enum where where;
	struct way *next;
};

void torture_register(struct way *way);

/* WAY - a function that holds, and returns or comes to rest. */
#define WAY(name_, where_)						\
	static void hold_##name_(struct seat *seat);			\
	static __attribute__((constructor)) void			\
	register_##name_(void)						\
	{								\
		static struct way way = {				\
			#name_, hold_##name_, where_, NULL		\
		};							\
									\
		torture_register(&way);					\
	}								\
	static void hold_##name_(struct seat *seat UNUSED)

/* hold_in - the place of a pointer: lost, and overwritten by kept. */
void hold_in(void *place, struct seat *seat);

/* put - reveal into a place, with no copy anywhere else. */
void put(void *place, uintptr_t hidden);

/*
 * rest - holding until the end.  On the main thread, the end: the check runs
 * in here, with all frames of the way still on the stack.  It never returns;
 * the compiler is not told, lest it drop what callers have for later.
 */
void rest(struct seat *seat);

/* finish - for a way that ends the program itself. */
__attribute__((noreturn)) void finish(void);

/* What main was given. */
extern char **torture_argv;

/* A signal that every thread blocks, and so it does the next one. */
#define TORTURE_SIGNAL	(SIGRTMIN + 7)

/* holding - counted up by a way that comes to rest without a call. */
extern int holding;

/* will_be_lost - what a way loses besides its seat's pair. */
void will_be_lost(bool is_direct, unsigned blocks, size_t bytes);

/* map_pages - zeroed memory of the kernel's. */
void *map_pages(size_t size);

#ifdef __cplusplus
}
#endif

#endif
