/*
 * lock.c - futex locks with ranks.
 *
 * Always true:
 *   L1  word is 0 exactly when nobody holds the lock;
 *   L2  a waiter sleeps only after it has made word 2, and whoever releases a
 *       2 wakes one waiter (Drepper, "Futexes Are Tricky", mutex 2).
 *
 * Atomics: acquire [L] at each exchange that takes the lock pairs with the
 * release [L] in lock_release().
 */
#include "base/lock.h"

#include "base/arch.h"
#include "base/panic.h"
#include "base/sys.h"

/* Spins before sleeping: the longest hold is a few hundred instructions. */
#define SPINS	100

#ifdef BILGE_DEBUG
/* Owner thread: the ranks this thread holds, one bit each. */
static __thread unsigned held_ranks
	__attribute__((tls_model("initial-exec")));
#endif

static void
note_acquired(struct lock *lock)
{
#ifdef BILGE_DEBUG
	REQUIRE((held_ranks >> lock->rank) == 0);
	held_ranks |= 1u << lock->rank;
	lock->holder = sys_gettid();
#else
	(void)lock;
#endif
}

void
lock_acquire(struct lock *lock)
{
	uint32_t seen = 0;

	for (unsigned i = 0; i < SPINS; i++) {
		seen = 0;
		/* acquire [L] */
		if (atomic_compare_exchange_weak_explicit(&lock->word, &seen,
		    1, memory_order_acquire, memory_order_relaxed)) {
			note_acquired(lock);
			return;
		}
		arch_pause();
	}
	/* acquire [L]; L2 */
	while (atomic_exchange_explicit(&lock->word, 2,
	       memory_order_acquire) != 0)
		sys_futex_wait(&lock->word, 2, 0);
	note_acquired(lock);
}

bool
lock_try(struct lock *lock)
{
	uint32_t seen = 0;

	/* acquire [L] */
	if (!atomic_compare_exchange_strong_explicit(&lock->word, &seen, 1,
	    memory_order_acquire, memory_order_relaxed))
		return false;
	note_acquired(lock);
	return true;
}

void
lock_release(struct lock *lock)
{
#ifdef BILGE_DEBUG
	held_ranks &= ~(1u << lock->rank);
	lock->holder = 0;
#endif
	/* release [L]; L2 */
	if (atomic_exchange_explicit(&lock->word, 0,
	    memory_order_release) == 2)
		sys_futex_wake(&lock->word, 1);
}

bool
lock_is_mine(const struct lock *lock)
{
	return lock->holder == sys_gettid();
}

void
lock_reset(struct lock *lock)
{
#ifdef BILGE_DEBUG
	held_ranks &= ~(1u << lock->rank);
#endif
	lock->holder = 0;
	store_relaxed(&lock->word, 0);
}
