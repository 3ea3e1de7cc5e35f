/*
 * cache.h - a mutator's claimed words: where blocks come from fastest.
 *
 * A cache owns spans, and of each size class one claimed word: up to 64 slots'
 * free bits taken out of a span, with the address of the first.
 *
 * What is freed goes back to its span, never into the claim, so that neither
 * path waits for what the other has just stored.
 *
 * While a cache is in use, it is busy.  Who finds that is a signal handler
 * that interrupted the use: it allocates from a nested cache and frees as
 * another thread would.
 */
#ifndef BILGE_CACHE_H
#define BILGE_CACHE_H

#include "base/arch.h"
#include "heap/span.h"

struct claim {
	/* Owner thread. */
	uint64_t *bits;		/* slots that are ours to give: a word of */
	struct span *span;	/* this one's `claimed`; NULL: of none */
	uintptr_t minus_base;	/* of the word's first slot, as in a span */
	uint64_t slot_size;
	uint32_t word;		/* in the span's bitmaps */
	bool is_fresh;		/* the slots were never used: they are zero */
	_Atomic uint32_t *site;	/* the span's from this word on, where it */
	_Atomic uint16_t *slack; /* has them */
} CACHE_ALIGNED;

static_assert(sizeof(struct claim) == CLASS_STRIDE, "sizeclass_table");

/* No cache, and no span's fast_owner. */
#define CACHE_BUSY	((struct cache *)1)

/*
 * As fast_owner of a span with sites: its frees are fast, but do more.  Caches
 * are aligned, and CACHE_BUSY makes none.
 */
#define CACHE_NOTING(owner)	((struct cache *)((uintptr_t)(owner) + 1))

struct cache {
	/* Owner thread. */
	struct cache *self;		/* CACHE_BUSY while it is in use */
	struct claim claims[CLASS_COUNT] CACHE_ALIGNED;
	struct span *spans[CLASS_COUNT];	/* rings: with free bits */
	size_t spare_units;			/* of empty spans kept */
	struct cache *nested;		/* for handlers; made on demand */

	/* Atomic: spans with returned bits, by next_listed. */
	_Atomic(struct span *) returned;

	/* Guarded by RANK_HEAP. */
	struct cache *next_orphan;
	struct cache *next_known;	/* every cache there is */
};

/* The caller's cache; cache_nobody, which is always busy, while it has none. */
extern __thread struct cache *cache_self
	__attribute__((tls_model("initial-exec")));

/*
 * While set, a claim blackens its slots (H3): from the first stop of a cycle
 * until its leaks are known.
 * Atomic: relaxed; changes only while the world is stopped.
 */
extern _Atomic bool cache_blackens;

extern struct cache cache_nobody;

/* cache_claim - the claim of a class.  Units: stride, CLASS_STRIDE times it. */
ALWAYS_INLINE struct claim *
cache_claim(struct cache *cache, size_t stride)
{
	return (struct claim *)((char *)cache->claims + stride);
}

ALWAYS_INLINE bool
cache_is_busy(const struct cache *cache)
{
	return cache->self == CACHE_BUSY;
}

ALWAYS_INLINE void
cache_enter(struct cache *cache)
{
	cache->self = CACHE_BUSY;
	atomic_signal_fence(memory_order_seq_cst);
}

ALWAYS_INLINE void
cache_leave(struct cache *cache)
{
	atomic_signal_fence(memory_order_seq_cst);
	cache->self = cache;
}

/*
 * cache_take - the lowest claimed slot.
 * Returns: false when none is claimed.  *ret_fresh: it reads as zero.
 */
ALWAYS_INLINE bool
cache_take(struct claim *claim, void **ret_block, bool *ret_fresh)
{
	uint64_t *claimed = claim->bits;
	uint64_t bits = *claimed;
	uintptr_t block;
	uint64_t i;

	if (unlikely(bits == 0))
		return false;
	i = arch_lowest_bit(bits);
	block = i * claim->slot_size - claim->minus_base;
	*ret_fresh = claim->is_fresh;
	/* H1: the address is in a register before the bit is cleared. */
	arch_pin(block);
	bits &= bits - 1;
	*claimed = bits;
	arch_pin(block);
	/*
	 * Slots are cold when they come to be given, and stores that miss wait
	 * for each other: the next one is fetched now.  (Measured on Zen 3: 5
	 * to 8 % of batches of 10000 blocks, 4 % of random-small.)
	 */
	arch_expect_write(arch_lowest_bit(bits) * claim->slot_size -
			  claim->minus_base);
	*ret_block = (void *)block;
	return true;
}

/*
 * cache_take_noted - the same with a site, of spans that have them: all that
 * span_note() does.
 * *ret_dirty: so many bytes are not known to be zero.
 */
ALWAYS_INLINE bool
cache_take_noted(struct claim *claim, size_t requested, uint32_t site,
		 void **ret_block, size_t *ret_dirty)
{
	uint64_t slot_size = claim->slot_size;
	uint64_t bits = *claim->bits;
	uintptr_t block;
	uint64_t i;

	if (unlikely(bits == 0))
		return false;
	i = arch_lowest_bit(bits);
	/* relaxed: read only of blocks. */
	store_relaxed(&claim->slack[i], (uint16_t)(slot_size - requested));
	block = i * slot_size - claim->minus_base;
	/* H1: the address is in a register before the bit is cleared. */
	arch_pin(block);
	*claim->bits = bits & (bits - 1);
	arch_pin(block);
	/* release: the slot was claimed, and so marked, before. */
	store_release(&claim->site[i], site);
	*ret_dirty = claim->is_fresh ? 0 : slot_size;
	*ret_block = (void *)block;
	return true;
}

/*
 * cache_put_last - a put has filled this slot's word: see what follows.
 * Context: cache entered; it is left.
 */
void cache_put_last(struct cache *cache, struct span *span, size_t slot);

/*
 * cache_put - set the bit of a slot of our own.
 * Units:   slot, also the one behind the last, which is never ours to put.
 * Returns: false, with nothing changed, when the slot is free already.
 * Context: not a span with returned bits, for the slot's could be one of
 *          them, nor one that is not linked.
 */
ALWAYS_INLINE bool
cache_put(struct cache *cache, struct span *span, size_t slot, uintptr_t block)
{
	struct span_word *own = &span->own[slot / WORD_BITS];
	uint64_t bits;

	cache_enter(cache);
	bits = own->free;
	if (unlikely(arch_set_bit(&bits, slot)) ||
	    unlikely(arch_has_bit(own->claimed, slot))) {
		cache_leave(cache);
		return false;
	}
	own->free = bits;
	/* H1: the address is in a register until its bit is set. */
	arch_pin(block);
	if (unlikely(bits == ~UINT64_C(0)))
		cache_put_last(cache, span, slot);
	else
		cache_leave(cache);
	return true;
}

/*
 * cache_put_slow - set bits of a span of ours, with all that follows.
 * Context:  mutator, inside mutator_hold(), cache entered.
 */
void cache_put_slow(struct cache *cache, struct span *span, uint32_t word,
		    uint64_t bits);

/*
 * cache_return - set returned bits of a word: the free of other threads.
 * Units:    bits, of slots that are the caller's.
 * Returns:  false when one of them was free already.
 * Context:  any, also a signal handler; needs no cache.
 */
bool cache_return(struct span *span, uint32_t word, uint64_t bits);

/*
 * cache_return_large - free a large block: its span is gone.
 * Returns:  false when it was free already.
 * Context:  mutator, collector.
 */
bool cache_return_large(struct span *span);

/* cache_set_stack - no free in this span is fast any more: see has_stack. */
void cache_set_stack(struct span *span);

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

/*
 * cache_begin - enter a cache of this thread: its own one, or, in a handler
 * that interrupted its use, a nested one.
 * Units:   own, the thread's own cache.
 * Returns: NULL when there is no memory for a nested one.
 * Context: mutator inside mutator_hold().
 */
struct cache *cache_begin(struct cache *own);

/* cache_flush - give back what a cache holds without need. */
void cache_flush(struct cache *cache);

/*
 * cache_reap - destroy the spans of which others have returned all.  An owner
 * that has gone to sleep would not come for them.
 * Context: mutator inside mutator_hold() with signals masked, collector.
 * Locks: takes RANK_HEAP, RANK_ARENA, RANK_SPAN.
 */
void cache_reap(void);

/*
 * cache_link - put a span at the end of its class's ring.
 * cache_unlink - take it out: nothing in it is free.
 * Context:  mutator, inside mutator_hold(), cache entered.
 */
void cache_link(struct cache *cache, struct span *span);
void cache_unlink(struct cache *cache, struct span *span);

/* cache_use_spare - a span is no spare any more, if it was one. */
ALWAYS_INLINE void
cache_use_spare(struct cache *cache, struct span *span)
{
	if (!span->is_spare)
		return;
	span->is_spare = false;
	cache->spare_units -= span->run_units;
}

/* cache_drain - take in what others have freed of our spans.  Context: same. */
void cache_drain_list(struct cache *cache);

ALWAYS_INLINE void
cache_drain(struct cache *cache)
{
	if (unlikely(load_relaxed(&cache->returned) != NULL))
		cache_drain_list(cache);
}

/*
 * cache_adopt - link a span of this class from a thread that ended.
 * Returns:  false when none of a few has one.
 * Context:  same, signals masked.  Locks: takes RANK_HEAP.
 */
bool cache_adopt(struct cache *cache, unsigned class);

/*
 * cache_for_each - every cache, living and orphaned.
 * Context: stopped, or forked.
 */
void cache_for_each(void (*visit)(struct cache *, void *), void *argument);

/*
 * cache_blacken - mark a cache's claimed slots (H3).
 * Context: stopped, cache_blackens is set.
 */
void cache_blacken(struct cache *cache);

void cache_fork_lock(void);
void cache_fork_unlock(bool in_child);

#endif
