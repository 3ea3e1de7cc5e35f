/*
 * park.c - how one thread stands still.
 *
 * Owns the world's epoch: odd while a stop is under way.  Everything here may
 * run in the stop signal's handler, on a thread that is not ours: it reads no
 * thread-local storage, takes no lock, and calls only the kernel.
 *
 * Always true:
 *   P1  a thread that has counted itself changes no memory until the epoch
 *       has changed;
 *   P2  while the epoch is odd, the list of entries only grows at its end.
 *
 * Atomics: release [P] at world.parked publishes sp and tp to park_wait();
 * release [E] at world.count publishes entries to find_park().
 */
#include "world/park.h"

#include "base/arch.h"
#include "base/sys.h"

#include <errno.h>

/* How long a thread stands still in a process that should have ended. */
#define LINGER_NS	(200 * NSEC_PER_MSEC)

static struct {
	/* Atomic. */
	_Atomic uint32_t epoch;
	_Atomic uint32_t parked;
	_Atomic size_t count;			/* P2 */
	_Atomic(struct park_entry *) entries;
	_Atomic bool is_last;
	_Atomic bool is_leaving;
} world;

static struct park *
find_park(int tid)
{
	/* acquire [E] */
	size_t count = load_acquire(&world.count);
	struct park_entry *entries = load_relaxed(&world.entries);

	/* Threads are listed in the order of their tids, nearly always. */
	for (size_t i = 0; i < count; i++)
		if (entries[i].tid == tid)
			return entries[i].park;
	return NULL;
}

static void
park_until(struct park *park, uintptr_t sp, uintptr_t frame, uint32_t epoch)
{
	park->sp = sp;
	park->frame = frame;
	park->tp = arch_thread_pointer();
	/* relaxed: ordered by [P]. */
	store_relaxed(&park->epoch, epoch);
	/* release [P] */
	atomic_fetch_add_explicit(&world.parked, 1, memory_order_release);
	sys_futex_wake(&world.parked, 1);
	while (load_acquire(&world.epoch) == epoch)
		if (sys_futex_wait(&world.epoch, epoch,
				   load_relaxed(&world.is_last)
				   ? LINGER_NS : 0) == -ETIMEDOUT &&
		    load_acquire(&world.is_leaving))
			return;
}

void
park_enter_signal(const void *ucontext)
{
	uint32_t epoch = load_acquire(&world.epoch);
	struct park *park;

	if (epoch % 2 == 0)
		return;
	park = find_park(sys_gettid());
	if (park == NULL || load_relaxed(&park->epoch) == epoch)
		return;
	if (park->hold > 0) {
		park->is_noted = 1;
		return;
	}
	/*
	 * The kernel has put the interrupted registers, the vector registers
	 * with them, into the signal frame above this function's frame, on
	 * the interrupted stack or on an alternate one.
	 */
	park_until(park, arch_context_sp(ucontext), arch_stack_pointer(),
		   epoch);
}

NOINLINE void
park_enter_noted(struct park *park)
{
	/* As in the handler: no other one runs while the thread stands (P1). */
	const uint64_t all = ~UINT64_C(0);
	uint32_t epoch = load_acquire(&world.epoch);
	uint64_t old;

	park->is_noted = 0;
	if (epoch % 2 == 0 || load_relaxed(&park->epoch) == epoch)
		return;
	/* Callee-saved registers go to the stack; the others are dead. */
	__builtin_unwind_init();
	sys_sigprocmask(SIG_SETMASK, &all, &old);
	park_until(park, arch_stack_pointer(), arch_stack_pointer(), epoch);
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
}

uint32_t
park_stop_begin(bool is_last)
{
	uint32_t epoch = load_relaxed(&world.epoch) + 1;

	store_relaxed(&world.is_last, is_last);
	store_relaxed(&world.count, 0);
	store_relaxed(&world.parked, 0);
	store_release(&world.epoch, epoch);
	return epoch;
}

void
park_list(struct park_entry *entries, size_t count)
{
	store_relaxed(&world.entries, entries);
	/* release [E] */
	store_release(&world.count, count);
}

bool
park_wait(uint32_t want, uint64_t limit_ns)
{
	uint64_t end = sys_monotonic_ns() + limit_ns;

	for (;;) {
		/* acquire [P] */
		uint32_t now = load_acquire(&world.parked);
		uint64_t time;

		if (now >= want)
			return true;
		time = sys_monotonic_ns();
		if (time >= end)
			return false;
		sys_futex_wait(&world.parked, now, end - time);
	}
}

void
park_stop_leave(void)
{
	store_release(&world.is_leaving, true);
}

void
park_stop_end(void)
{
	/* release: all we wrote before is seen by those who go on. */
	atomic_fetch_add_explicit(&world.epoch, 1, memory_order_release);
	sys_futex_wake(&world.epoch, UINT32_MAX >> 1);
}
