/*
 * mutator.c - the registry of the program's threads.
 *
 * Owns struct mutator.  A thread registers when it starts, or at its first
 * allocation if libc made it behind our back; it leaves at the end of its
 * thread-specific destructors.  A thread that never says goodbye is found
 * gone by its tid.
 *
 * Always true:
 *   R1  mutator_self is NULL or names an element of the list whose tid is the
 *       calling thread's;
 *   R2  no two living mutators have one tid;
 *   R3  every element of the list is in the chain of its tp, and, while it is
 *       alive, in the chain of its tid.
 *
 * The list is guarded by registry.lock (RANK_MUTATORS), which the stopper
 * holds for as long as the world stands.  It is taken outside
 * mutator_hold(): a thread that waits for it can be stopped.
 */
#include "world/mutator.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/panic.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <errno.h>
#include <string.h>

__thread struct mutator *mutator_self
	__attribute__((tls_model("initial-exec")));

/* With 10000 threads, ten to a chain. */
#define CHAINS		1024u

static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct mutator *first;
	struct mutator *spare;
	size_t count;
	size_t reap_at;			/* look for the gone at this count */
	uintptr_t dead_stacks[DEAD_STACKS_MAX];
	size_t dead_next;		/* a ring: the oldest is forgotten */
	struct mutator *by_tid[CHAINS];	/* R3 */
	struct mutator *by_tp[CHAINS];

	/* Fixed by mutator_set_hook(). */
	void (*ended)(struct mutator *);
} registry = { .lock = LOCK_INIT(RANK_MUTATORS), .reap_at = 64 };

void
mutator_set_hook(void (*ended)(struct mutator *))
{
	registry.ended = ended;
}

/* Fixed by mutator_set_stop_signal(). */
static uint64_t stop_signal_bit;

void
mutator_set_stop_signal(int sig)
{
	stop_signal_bit = UINT64_C(1) << (sig - 1);
}

void
mutator_mask_signals(uint64_t *ret_old)
{
	/* Faults stay: blocked, they would kill the process unexplained. */
	uint64_t set = ~(stop_signal_bit |
			 UINT64_C(1) << (SIGSEGV - 1) |
			 UINT64_C(1) << (SIGBUS - 1) |
			 UINT64_C(1) << (SIGILL - 1) |
			 UINT64_C(1) << (SIGFPE - 1) |
			 UINT64_C(1) << (SIGTRAP - 1));

	sys_sigprocmask(SIG_BLOCK, &set, ret_old);
}

NOINLINE void
mutator_scrub_stack(void)
{
	/* Two words at once: it is done at each allocation of a kept stack. */
	typedef uint64_t pair __attribute__((vector_size(16)));
	/* From bilge_free() to free_large(), where addresses are saved. */
	volatile pair below[16];

	for (size_t i = 0; i < ARRAY_LEN(below); i++)
		below[i] = (pair){ 0, 0 };
}

void
mutator_unmask_signals(uint64_t old)
{
	mutator_scrub_stack();
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
}

void
mutator_lock(void)
{
	lock_acquire(&registry.lock);
}

bool
mutator_try_lock(void)
{
	return lock_try(&registry.lock);
}

void
mutator_unlock(void)
{
	lock_release(&registry.lock);
}

struct mutator *
mutator_first_locked(void)
{
	return registry.first;
}

static struct mutator **
tid_chain(int tid)
{
	return &registry.by_tid[(unsigned)tid % CHAINS];
}

static struct mutator **
tp_chain(uintptr_t tp)
{
	return &registry.by_tp[bits_mix(tp) % CHAINS];
}

struct mutator *
mutator_find_locked(int tid)
{
	struct mutator *m = *tid_chain(tid);

	while (m != NULL && m->tid != tid)
		m = m->next_tid;
	return m;
}

/* find_tp_locked - the latest with this thread pointer, or NULL. */
static struct mutator *
find_tp_locked(uintptr_t tp)
{
	struct mutator *m = *tp_chain(tp);

	while (m != NULL && m->tp != tp)
		m = m->next_tp;
	return m;
}

static struct mutator *
find_ended_locked(uintptr_t tp)
{
	struct mutator *m = *tp_chain(tp);

	while (m != NULL && (m->tp != tp || m->state != MUTATOR_ENDED))
		m = m->next_tp;
	return m;
}

static void
link_locked(struct mutator *m)
{
	struct mutator **by_tid = tid_chain(m->tid), **by_tp = tp_chain(m->tp);

	m->prev = NULL;
	m->next = registry.first;
	if (registry.first != NULL)
		registry.first->prev = m;
	registry.first = m;
	m->next_tid = *by_tid;
	*by_tid = m;
	m->next_tp = *by_tp;
	*by_tp = m;
	registry.count++;
}

/* unlink_tid_locked - it ends, or its tid changes. */
static void
unlink_tid_locked(struct mutator *m)
{
	struct mutator **place = tid_chain(m->tid);

	while (*place != m)
		place = &(*place)->next_tid;
	*place = m->next_tid;
}

static void
unlink_locked(struct mutator *m)
{
	struct mutator **place = tp_chain(m->tp);

	if (m->state == MUTATOR_ALIVE)
		unlink_tid_locked(m);
	while (*place != m)
		place = &(*place)->next_tp;
	*place = m->next_tp;
	if (m->prev != NULL)
		m->prev->next = m->next;
	else
		registry.first = m->next;
	if (m->next != NULL)
		m->next->prev = m->prev;
	registry.count--;
	m->next = registry.spare;
	registry.spare = m;
}

static void
forget_dead_stack_locked(uintptr_t tp)
{
	for (size_t i = 0; i < DEAD_STACKS_MAX; i++)
		if (registry.dead_stacks[i] == tp)
			registry.dead_stacks[i] = 0;
}

/* end_locked - a mutator's thread is at its end, or was found to be gone. */
static void
end_locked(struct mutator *m, bool keep_result)
{
	ASSERT(lock_is_mine(&registry.lock));
	if (registry.ended != NULL)
		registry.ended(m);
	m->cache = NULL;
	if (m->has_own_stack) {
		registry.dead_stacks[registry.dead_next] = m->tp;
		registry.dead_next = (registry.dead_next + 1) %
				     DEAD_STACKS_MAX;
	}
	unlink_tid_locked(m);
	m->state = MUTATOR_ENDED;
	if (!keep_result || m->is_detached)
		unlink_locked(m);
}

void
mutator_reap_locked(void)
{
	int pid = sys_getpid();
	struct mutator *next;

	ASSERT(lock_is_mine(&registry.lock));
	for (struct mutator *m = registry.first; m != NULL; m = next) {
		next = m->next;
		if (m->state == MUTATOR_ALIVE && m != mutator_self &&
		    sys_tgkill(pid, m->tid, 0) == -ESRCH)
			end_locked(m, false);
	}
	registry.reap_at = MAX(2 * registry.count, 64u);
}

static struct mutator *
create_locked(void)
{
	struct mutator *m = registry.spare;

	if (m != NULL) {
		uint32_t epoch = load_relaxed(&m->park.epoch);

		registry.spare = m->next;
		memset(m, 0, sizeof(*m));
		store_relaxed(&m->park.epoch, epoch);
		return m;
	}
	return meta_alloc(sizeof(*m));
}

struct mutator *
mutator_register(bool has_own_stack)
{
	uintptr_t tp = arch_thread_pointer();
	int tid = sys_gettid();
	struct mutator *m, *old;
	uint64_t mask;

	mutator_mask_signals(&mask);
	mutator_lock();
	if (mutator_self != NULL) {	/* R1: by a handler, just before */
		mutator_self->has_own_stack |= has_own_stack;
		mutator_unlock();
		mutator_unmask_signals(mask);
		return mutator_self;
	}
	old = mutator_find_locked(tid);
	if (old != NULL)		/* R2: the kernel has reused the tid */
		end_locked(old, false);
	if (registry.count >= registry.reap_at)
		mutator_reap_locked();
	/* The descriptor is in use again: its old result is gone. */
	while ((old = find_ended_locked(tp)) != NULL)
		unlink_locked(old);
	forget_dead_stack_locked(tp);
	m = create_locked();
	if (m != NULL) {
		m->tid = tid;
		m->tp = tp;
		m->has_own_stack = has_own_stack;
		m->state = MUTATOR_ALIVE;
		link_locked(m);
		mutator_self = m;
	}
	mutator_unlock();
	mutator_unmask_signals(mask);
	return m;
}

void
mutator_end(bool keep_result)
{
	struct mutator *m = mutator_self;
	uint64_t mask;

	if (m == NULL)
		return;
	mutator_mask_signals(&mask);
	mutator_lock();
	mutator_self = NULL;
	end_locked(m, keep_result);
	mutator_unlock();
	mutator_unmask_signals(mask);
}

int
mutator_tid_of(uintptr_t tp)
{
	struct mutator *m;
	uint64_t mask;
	int tid;

	mutator_mask_signals(&mask);
	mutator_lock();
	m = find_tp_locked(tp);
	tid = m != NULL ? m->tid : 0;
	mutator_unlock();
	mutator_unmask_signals(mask);
	return tid;
}

void
mutator_joined(uintptr_t tp, int tid)
{
	struct mutator *m;
	uint64_t mask;

	mutator_mask_signals(&mask);
	mutator_lock();
	m = find_ended_locked(tp);
	if (m != NULL && m->tid == tid)
		unlink_locked(m);
	mutator_unlock();
	mutator_unmask_signals(mask);
}

void
mutator_detached(uintptr_t tp)
{
	struct mutator *m;
	uint64_t mask;

	mutator_mask_signals(&mask);
	mutator_lock();
	m = find_tp_locked(tp);
	if (m != NULL && m->state == MUTATOR_ENDED)
		unlink_locked(m);
	else if (m != NULL)
		m->is_detached = true;
	mutator_unlock();
	mutator_unmask_signals(mask);
}

size_t
mutator_dead_stacks_locked(const uintptr_t **ret_tps)
{
	ASSERT(lock_is_mine(&registry.lock));
	*ret_tps = registry.dead_stacks;
	return DEAD_STACKS_MAX;
}

void
mutator_fork_lock(void)
{
	lock_acquire(&registry.lock);
}

void
mutator_fork_unlock(bool in_child)
{
	struct mutator *self = mutator_self, *next;

	if (!in_child) {
		lock_release(&registry.lock);
		return;
	}
	/*
	 * Only the caller lives on.  What the others held on their stacks
	 * stays a root: their stacks are mappings like others now.  Their
	 * caches are rebuilt by the heap, which found them through the spans.
	 */
	for (struct mutator *m = registry.first; m != NULL; m = next) {
		next = m->next;
		if (m == self)
			continue;
		m->cache = NULL;
		if (registry.ended != NULL)
			registry.ended(m);
		unlink_locked(m);
	}
	memset(registry.dead_stacks, 0, sizeof(registry.dead_stacks));
	if (self != NULL) {
		unlink_tid_locked(self);
		self->tid = sys_gettid();
		self->next_tid = *tid_chain(self->tid);
		*tid_chain(self->tid) = self;
	}
	lock_reset(&registry.lock);
}
