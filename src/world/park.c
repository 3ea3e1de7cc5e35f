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
 *   P2  while the epoch is odd, the chains of entries only grow;
 *   P3  only who parks for the present stop is counted: one that comes late,
 *       for a stop that was given up, is not.
 *
 * Atomics: release [P] at world.parked publishes sp and tp to park_wait();
 * release [E] at world.chains publishes entries to park_find(); [W]: either a
 * thread sees world.want, or the stopper sees that it has parked.
 */
#include "world/park.h"

#include "base/arch.h"
#include "base/sys.h"

#include <errno.h>

/* How long a thread stands still in a process that should have ended. */
#define LINGER_NS	(200 * NSEC_PER_MSEC)

/*
 * How long a thread waits for the stop that it was told of.  Only a stopper
 * that is kept from running for so long would not come.
 */
#define HELD_NS		(100 * NSEC_PER_MSEC)

/* Tids are mostly numbered through: the chains are of one length. */
#define CHAINS		1024u

static struct {
	/* Atomic. */
	_Atomic uint32_t epoch;
	_Atomic uint64_t parked;	/* P3: the epoch above, the count */
	_Atomic uint32_t want;		/* who reaches this wakes the stopper */
	_Atomic bool is_last;
	_Atomic bool is_leaving;
	_Atomic uint64_t due_ns;	/* see park_set_due(); 0: never */
	_Atomic(struct park_entry *) chains[CHAINS];	/* P2 */
} world;

/* parked_word - the count alone, to sleep on: little-endian. */
static _Atomic uint32_t *
parked_word(void)
{
	return (_Atomic uint32_t *)(void *)&world.parked;
}

static _Atomic(struct park_entry *) *
chain_of(int tid)
{
	return &world.chains[(unsigned)tid % CHAINS];
}

struct park_entry *
park_find(int tid)
{
	/* acquire [E] */
	struct park_entry *e = load_acquire(chain_of(tid));

	while (e != NULL && e->tid != tid)
		e = e->next;
	return e;
}

/* count_parked - one more stands, unless its stop is over (P3). */
static void
count_parked(uint32_t epoch)
{
	uint64_t seen = load_relaxed(&world.parked);

	do
		if (seen >> 32 != epoch)
			return;
	/* release [P]; seq_cst [W] */
	while (!atomic_compare_exchange_weak_explicit(&world.parked, &seen,
	       seen + 1, memory_order_seq_cst, memory_order_relaxed));
	if ((uint32_t)(seen + 1) >=
	    atomic_load_explicit(&world.want, memory_order_seq_cst))
		sys_futex_wake(parked_word(), 1);
}

static void
park_until(struct park *park, uintptr_t sp, uintptr_t frame, uint32_t epoch)
{
	park->spawn_sp = 0;	/* it is back, if it was away */
	park->sp = sp;
	park->frame = frame;
	park->tp = arch_thread_pointer();
	park->held[0] = sys_alternate_stack();
	park->held[1] = arch_gs_base();
	/* relaxed: ordered by [P]. */
	store_relaxed(&park->epoch, epoch);
	count_parked(epoch);
	while (load_acquire(&world.epoch) == epoch)
		if (sys_futex_wait(&world.epoch, epoch,
				   load_relaxed(&world.is_last)
				   ? LINGER_NS : 0) == -ETIMEDOUT &&
		    load_acquire(&world.is_leaving))
			return;
}

/*
 * park_interrupted - the kernel has put the interrupted registers, the vector
 * registers with them, into the signal frame, on the interrupted stack or on an
 * alternate one.  What our own frames below it have of them is theirs too.
 */
static void
park_interrupted(struct park *park, const void *ucontext, uint32_t epoch)
{
	park->context = ucontext;
	park_until(park, arch_context_sp(ucontext), (uintptr_t)ucontext,
		   epoch);
}

/* is_due - is the next stop so near that a thread should wait for it? */
static bool
is_due(void)
{
	uint64_t due_ns = load_relaxed(&world.due_ns);

	return due_ns != 0 && sys_monotonic_ns() >= due_ns;
}

/* await_stop - Returns: the epoch of the stop; the old one: there is none. */
static uint32_t
await_stop(uint32_t epoch)
{
	uint64_t end_ns = sys_monotonic_ns() + HELD_NS;
	uint32_t now;

	while ((now = load_acquire(&world.epoch)) == epoch && is_due() &&
	       sys_monotonic_ns() < end_ns)
		sys_futex_wait(&world.epoch, epoch, HELD_NS);
	return now;
}

/* own_park - as listed for this stop or, without one, for the last. */
static struct park *
own_park(void)
{
	struct park_entry *entry = park_find(sys_gettid());

	return entry != NULL ? entry->park : NULL;
}

void
park_enter_signal(void *ucontext)
{
	uint32_t epoch = load_acquire(&world.epoch);
	struct park *park = own_park();

	if (park != NULL && park->hold == 0 && epoch % 2 == 0 && is_due()) {
		epoch = await_stop(epoch);
		/* Not listed yet: the signal of that stop is to come. */
		park = own_park();
	}
	if (park == NULL)
		return;
	if (epoch % 2 != 0 && park->hold > 0)
		park->is_noted = 1;
	else if (epoch % 2 != 0 && load_relaxed(&park->epoch) != epoch)
		park_interrupted(park, ucontext, epoch);
	/* Also one that came for nothing has ended a call. */
	ended_note(&park->ended, ucontext);
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
	/*
	 * Callee-saved registers go to the stack; the others are dead.  Those
	 * that the next signal would show are cleared: what they still hold
	 * would seem to come back.
	 */
	arch_clear_vectors();
	__builtin_unwind_init();
	sys_sigprocmask(SIG_SETMASK, &all, &old);
	park->context = NULL;
	park_until(park, arch_stack_pointer(), arch_stack_pointer(), epoch);
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
}

uint32_t
park_stop_begin(bool is_last)
{
	uint32_t epoch = load_relaxed(&world.epoch) + 1;

	store_relaxed(&world.is_last, is_last);
	for (size_t i = 0; i < CHAINS; i++)
		store_relaxed(&world.chains[i], NULL);
	store_relaxed(&world.want, UINT32_MAX);
	store_relaxed(&world.parked, (uint64_t)epoch << 32);
	store_release(&world.epoch, epoch);
	return epoch;
}

void
park_add(struct park_entry *entry)
{
	_Atomic(struct park_entry *) *chain = chain_of(entry->tid);

	entry->next = load_relaxed(chain);
	/* release [E] */
	store_release(chain, entry);
}

uint32_t
park_wait(uint32_t want, uint64_t limit_ns)
{
	uint64_t end = 0, time;
	uint32_t now;

	/* seq_cst [W] */
	atomic_store_explicit(&world.want, want, memory_order_seq_cst);
	for (;;) {
		/* acquire [P]; seq_cst [W] */
		now = (uint32_t)atomic_load_explicit(&world.parked,
						     memory_order_seq_cst);
		if (now >= want)
			return now;
		time = sys_monotonic_ns();
		if (end == 0)
			end = time + limit_ns;
		if (time >= end)
			return now;
		sys_futex_wait(parked_word(), now, end - time);
	}
}

unsigned
park_parts(const struct park *park, uintptr_t ret[ARCH_CONTEXT_PARTS][2])
{
	if (park->context != NULL)
		return arch_context_parts(park->context, ret);
	if (park->frame == park->sp)
		return 0;
	ret[0][0] = (uintptr_t)park->registers;
	ret[0][1] = (uintptr_t)(park->registers + ARCH_CALLEE_SAVED);
	return 1;
}

void
park_stop_leave(void)
{
	store_release(&world.is_leaving, true);
}

void
park_set_due(uint64_t due_ns)
{
	store_relaxed(&world.due_ns, due_ns);
	if (due_ns == 0)
		park_call_held();
}

bool
park_has_due(void)
{
	return load_relaxed(&world.due_ns) != 0;
}

void
park_call_held(void)
{
	sys_futex_wake(&world.epoch, UINT32_MAX >> 1);
}

void
park_stop_end(void)
{
	/* release: all we wrote before is seen by those who go on. */
	atomic_fetch_add_explicit(&world.epoch, 1, memory_order_release);
	sys_futex_wake(&world.epoch, UINT32_MAX >> 1);
}
