/*
 * cache.h - a mutator's claimed words: where blocks come from fastest.
 *
 * A cache owns spans, and of each size class one claimed word: up to 64 slots'
 * free bits taken out of a span, with the address of the first.
 *
 * The fast paths hold `busy` while they run.  Who finds it set is a signal
 * handler that interrupted them: it allocates from a nested cache and frees as
 * another thread would.
 */
#ifndef BILGE_CACHE_H
#define BILGE_CACHE_H

#include "base/arch.h"
#include "heap/span.h"

struct claim {
	uint64_t bits;		/* slots that are ours to give */
	uintptr_t base;		/* address of the word's first slot */
	uint64_t fresh;		/* slots never used, which read as zero */
	struct span *span;	/* NULL: nothing was claimed yet */
	uint32_t word;		/* in the span's bitmaps */
	uint32_t slot_size;
	/* Atomic: odd while the fields above change; see cache.c, [S]. */
	_Atomic uint32_t sequence;
};

struct cache {
	/* Owner thread. */
	uint32_t busy;
	struct claim claims[CLASS_COUNT];
	struct span *spans[CLASS_COUNT];	/* those with free bits */
	struct span *spare[CLASS_COUNT];	/* an empty one of these */
	struct cache *nested;

	/* Atomic: spans with returned bits, by next_listed. */
	_Atomic(struct span *) returned;

	/* Guarded by RANK_HEAP. */
	struct cache *next_orphan;
	struct cache *next_known;	/* every cache there is */
};

extern __thread struct cache *cache_self
	__attribute__((tls_model("initial-exec")));

/*
 * While set, a claim blackens its slots (H3): from the first stop of a cycle
 * until its leaks are known.
 * Atomic: relaxed; changes only while the world is stopped.
 */
extern _Atomic bool cache_blackens;

/* cache_is_usable - may the caller use this cache's fast paths now? */
ALWAYS_INLINE bool
cache_is_usable(const struct cache *cache)
{
	return likely(cache != NULL) && likely(cache->busy == 0);
}

ALWAYS_INLINE void
cache_enter(struct cache *cache)
{
	cache->busy = 1;
	atomic_signal_fence(memory_order_seq_cst);
}

ALWAYS_INLINE void
cache_leave(struct cache *cache)
{
	atomic_signal_fence(memory_order_seq_cst);
	cache->busy = 0;
}

/*
 * cache_take - the lowest claimed slot, or NULL when none is claimed.
 * Returns: the block; *ret_fresh: it reads as zero.
 */
ALWAYS_INLINE void *
cache_take(struct claim *claim, bool *ret_fresh)
{
	uint64_t bits = claim->bits;
	uintptr_t block;
	unsigned i;

	if (unlikely(bits == 0))
		return NULL;
	i = bits_ctz(bits);
	block = claim->base + (uintptr_t)i * claim->slot_size;
	*ret_fresh = (claim->fresh >> i) & 1;
	/* H1: the address is in a register before the bit is cleared. */
	arch_pin(block);
	claim->bits = bits & (bits - 1);
	arch_pin(block);
	return (void *)block;
}

/*
 * cache_refill - claim a word of a class, from the cache's own spans, from
 * spans of ended threads, or from a new span.
 * Returns:  false when there is no memory.
 * Context:  mutator, inside mutator_hold(), cache entered.
 */
bool cache_refill(struct cache *cache, unsigned class, bool with_sites);

/*
 * cache_put_slow - a slot's bit was set in a span of ours and something
 * follows from it: its word is full, or the span was in no list.
 * Context:  mutator, inside mutator_hold(), cache entered.
 */
void cache_put_slow(struct cache *cache, struct span *span, uint32_t word);

/*
 * cache_return - set a slot's returned bit: the free of other threads.
 * Returns:  false when the slot was free already.
 * Context:  any, also a signal handler; needs no cache.
 */
bool cache_return(struct span *span, uint32_t slot);

/*
 * cache_is_free - is a slot that somebody uses as a block free?  May be asked
 * by any thread of any span; when it says so, it is.
 */
bool cache_is_free(const struct span *span, uint32_t slot);

/*
 * cache_attach - the calling thread's cache, an orphan or a new one.
 * Locks:    takes RANK_HEAP.
 */
struct cache *cache_attach(void);

/* cache_detach - the cache's thread has ended: make it an orphan. */
void cache_detach(struct cache *cache);

/* cache_nested - the next deeper cache, for handlers.  NULL: no memory. */
struct cache *cache_nested(struct cache *cache);

/* cache_flush - give back what a cache holds without need. */
void cache_flush(struct cache *cache);

/*
 * cache_for_each - every cache, living and orphaned.
 * Context: stopped, or forked.
 */
void cache_for_each(void (*visit)(struct cache *, void *), void *argument);

/* cache_claimed - bits of a span's word that its owner has claimed. */
uint64_t cache_claimed(const struct span *span, uint32_t word);

void cache_fork_lock(void);
void cache_fork_unlock(bool in_child);

#endif
