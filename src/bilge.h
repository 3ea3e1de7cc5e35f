/*
 * bilge.h - the face of the collector: what preload/ calls.
 *
 * Defaults: Context: mutator, also its signal handlers.  Safety: MT-Safe,
 * AS-Safe (a handler that interrupted an allocation gets its memory from a
 * cache of its own), AC-Safe.  errno is left alone.
 */
#ifndef BILGE_H
#define BILGE_H

#include "heap/fence.h"
#include "heap/heap.h"
#include "report/depot.h"
#include "world/kernelrefs.h"
#include "world/mutator.h"

/* How the library behaves in this process. */
enum bilge_mode {
	BILGE_UNBORN,	/* nothing was allocated yet */
	BILGE_ACTIVE,
	BILGE_PASSIVE,	/* it stands down: calls go to the next allocator */
};

/* What only preload/ can know or do. */
struct bilge_host {
	const char *library;		/* path of the preloaded object */
	const char *command;		/* installed path of the command */
	uintptr_t code_start, code_end;	/* its mapping */
	uintptr_t data_start, data_end;	/* a part of it: no roots there */
	uintptr_t libc_start, libc_end;	/* libc's mapping */
	/* Functions of libc whose blocks only the program writes: code, size */
	uintptr_t harmless[4][2];
	/* libc's clock_gettime(3) and dlopen(3). */
	int (*read_clock)(clockid_t clock, struct timespec *ret);
	void *(*open_library)(const char *path, int mode);
	/* A thread nobody announced has allocated: see that its end is seen. */
	void (*thread_found)(void);
};

/* Atomic: relaxed, changes before the program's first thread starts. */
extern enum bilge_mode bilge_mode;

/* Fixed by bilge_begin(): are sizes and sites kept? */
extern bool bilge_is_tracking;

/* bilge_begin - settings and heap; done by the first allocation.  Early. */
void bilge_begin(void);

/*
 * bilge_start - everything else, from the library's constructor.
 * Units: reason, why the library has to stand down; NULL if it has not.
 */
void bilge_start(const struct bilge_host *host, const char *reason);

/*
 * The site of every allocation, where no stacks are kept; else 0.
 * Atomic: relaxed, set once.
 */
extern _Atomic uint32_t bilge_only_site HIDDEN;

/*
 * bilge_alloc_quick - a tracked block whose stack is not kept, from a place
 * that has asked before.
 *
 * Nothing is left of it on the stack, so that nothing has to be cleared there.
 *
 * Returns: NULL when it takes more than that: bilge_alloc_tracked() then.
 */
ALWAYS_INLINE void *
bilge_alloc_quick(size_t size, bool zero, const void *caller)
{
	struct mutator *m = mutator_self;
	uint32_t site = load_relaxed(&bilge_only_site);
	size_t dirty;
	void *block;

	if (unlikely(size >= heap_noted_end) || unlikely(m == NULL) ||
	    unlikely((m->ignore_depth | m->is_unwinding) != 0))
		return NULL;
	if (unlikely(m->sample_left <= (int64_t)size))
		return NULL;
	/* Once more where it takes more: one in sixty, no harm is done. */
	m->sample_left -= (int64_t)size;
	if (site == 0) {
		site = depot_find_lately((uintptr_t)caller);
		if (unlikely(site == 0))
			return NULL;
	}
	if (unlikely(!heap_alloc_noted(size, site, &block, &dirty)))
		return NULL;
	if ((zero || heap_clears) && dirty != 0)
		return heap_clear(block, dirty);
	return block;
}

/*
 * bilge_alloc_tracked - the way of bilge_alloc() when sites are kept.
 * Units: caller, an address in the code that asked, or 0.
 */
void *bilge_alloc_tracked(size_t size, size_t alignment, bool zero,
			  const void *caller);

/*
 * bilge_alloc - a block; zeroed if asked for.
 * Returns: NULL when there is no memory or size exceeds PTRDIFF_MAX.
 */
ALWAYS_INLINE void *
bilge_alloc(size_t size, bool zero, const void *caller)
{
	if (bilge_is_tracking)
		return bilge_alloc_tracked(size, 0, zero, caller);
	return heap_alloc(size, zero);
}

ALWAYS_INLINE void *
bilge_alloc_aligned(size_t size, size_t alignment, const void *caller)
{
	if (bilge_is_tracking)
		return bilge_alloc_tracked(size, alignment, false, caller);
	return heap_alloc_aligned(size, alignment);
}

/*
 * bilge_free - give a block back.
 *
 * A block freed twice, or an address where no block begins, ends the process
 * with one line that names function and address.
 *
 * Returns: false when the address is not ours: the next allocator's.
 */
bool bilge_free(void *block, const char *function);

/*
 * bilge_resize - size is not 0.
 * Returns: the block, NULL when there is no memory: then the old one stands.
 *          *ret_foreign: it is not ours.
 */
void *bilge_resize(void *block, size_t size, bool *ret_foreign,
		   const char *function, const void *caller);

/* Threads.  See heap_thread_begin(), mutator_end(), mutator_joined(). */
void bilge_thread_begin(bool has_own_stack);
void bilge_thread_end(bool keep_result);
int bilge_thread_tid(uintptr_t thread_pointer);
void bilge_thread_joined(uintptr_t thread_pointer, int tid);
void bilge_thread_detached(uintptr_t thread_pointer);

/*
 * bilge_is_on_stack - do these addresses lie, near, in the caller's frames?
 * Units: main_end, an address behind the frames of the first stack.
 */
bool bilge_is_on_stack(uintptr_t start, uintptr_t end, uintptr_t main_end);

/* bilge_stack_made - see stacks_note(). */
void bilge_stack_made(uintptr_t start, uintptr_t main_end);

/*
 * bilge_thread_ahead - a thread is about to be made: what is easier done while
 * there are fewer is done now.
 */
void bilge_thread_ahead(const void *caller);

/*
 * bilge_protect_begin, bilge_protect_end - around mprotect(2).
 * Units:   protection, PROT_READ and the like; done, it has succeeded.
 * Returns: does the range begin in our heap?  Then bilge_protect_end() follows.
 */
bool bilge_protect_begin(const void *start, size_t size, int protection);
void bilge_protect_end(const void *start, size_t size, int protection,
		       bool done);

/*
 * bilge_alone_begin, bilge_alone_end - no thread of ours exists in between.
 * errno is left alone.
 */
void bilge_alone_begin(void);
void bilge_alone_end(void);

/*
 * bilge_interrupted - where the stop handler leaves the stack pointer of the
 * calling thread's system call, if a stop alone made it fail with EINTR.
 * Returns: NULL when the thread is not known.
 */
uintptr_t *bilge_interrupted(void);

/*
 * bilge_vfork_begin - the thread is about to call vfork(2) at this stack
 * pointer, with these in its callee-saved registers.
 */
void bilge_vfork_begin(const uintptr_t *registers, uintptr_t sp);

/*
 * bilge_spawn_begin, bilge_spawn_end - in between, below this stack pointer
 * and with all registers saved above it, a child is made in our memory.
 * Returns: for the other one.
 */
uintptr_t bilge_spawn_begin(uintptr_t sp);
void bilge_spawn_end(uintptr_t outer);

/* Fork, from the handlers of pthread_atfork(3). */
void bilge_fork_prepare(void);
void bilge_fork_parent(void);
void bilge_fork_child(void);

/* bilge_limit - setrlimit(2) is about to limit the address space. */
void bilge_limit(size_t limit);

/* bilge_library_closed - dlclose(3) has returned. */
void bilge_library_closed(void);

/*
 * bilge_check - look for leaks and report them.
 * Returns: how many blocks were leaked; 0 when the check was abandoned.
 */
size_t bilge_check(void);

/*
 * bilge_exit_check - the check at exit, once in a process.  The program's
 * other threads stand still from then on.
 * Returns: the status to exit with.
 */
int bilge_exit_check(int exit_status);

/*
 * bilge_exit_check_now - the check at exit, now: it is not repeated.
 * Returns: were there leaks?
 */
bool bilge_exit_check_now(void);

/* bilge_is_function - does some module define a function at this address? */
bool bilge_is_function(const void *address);

/*
 * What the kernel touches in a system call, while pages of the heap may be
 * protected (fence.h).
 *
 * bilge_lend - the kernel will read and write memory that begins here.
 * Returns: true: bilge_lend_end() has to follow the call.
 * bilge_show - it will only read it.
 */
bool bilge_lend_slow(uintptr_t data, size_t size);
void bilge_lend_end(uintptr_t data);
void bilge_show_slow(uintptr_t data, size_t size);

ALWAYS_INLINE bool
bilge_lend(const void *data, size_t size)
{
	return unlikely(fence_is_on) && arena_contains((uintptr_t)data) &&
	       bilge_lend_slow((uintptr_t)data, size);
}

ALWAYS_INLINE void
bilge_show(const void *data, size_t size)
{
	/* relaxed: what is shut now nobody should have an address of. */
	if (unlikely(load_relaxed(&fence_count) != 0) &&
	    arena_contains((uintptr_t)data))
		bilge_show_slow((uintptr_t)data, size);
}

/* bilge_give - memory that the kernel may write at any time from now on. */
void bilge_give(const void *data);

/*
 * bilge_fault_exchange - set and get the program's disposition of SIGSEGV.
 * Returns: false: that is libc's business; in any case the call is followed
 *          by bilge_fault_exchange_end().
 */
struct sys_action;
bool bilge_fault_exchange(const struct sys_action *action,
			  struct sys_action *ret_old, uint64_t *ret_mask);
void bilge_fault_exchange_end(uint64_t mask);

/* LeakSanitizer's interface. */
void bilge_ignore_begin(void);
void bilge_ignore_end(void);
void bilge_ignore_block(const void *block);
bool bilge_root_add(const void *start, size_t size);
bool bilge_root_remove(const void *start, size_t size);

#endif
