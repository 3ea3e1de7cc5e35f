/*
 * cache.c - a mutator's claimed words and the spans behind them.
 *
 * Owns struct cache, which spans a cache allocates from, and the caches of
 * threads that ended (orphans).
 *
 * Always true:
 *   C1  a cache's span lists hold all its spans that have free bits;
 *   C2  a span has at most one word with claimed slots, its class's claim;
 *   C3  a span is in at most one list of returned spans, because only who
 *       set SPAN_LISTED puts it there;
 *   C4  a span in a cache's list of returned spans may belong to another cache
 *       by now: who drains the list passes it on;
 *   C5  a span is destroyed only when it is empty, without visitors (one holds
 *       a slot when it comes, so none can come any more), and in no list but
 *       that of who destroys it;
 *   C6  a span that is not linked and not its class's claim is known to its
 *       owner only by the slots that the program holds.
 *
 * A cache is its thread's alone; orphans are guarded by orphans.lock
 * (RANK_HEAP).
 *
 * Atomics: [R] a returned bit is set before SPAN_LISTED is looked at, and
 * SPAN_LISTED is cleared before the bits are read; both are full barriers, so
 * that a bit is either seen or the span is listed again.  [Q] release at the
 * push of a list pairs with acquire at its drain.  [V] release when a visitor
 * leaves pairs with acquire in is_untouched() and is_forgotten().  [U] release
 * when a span is unlinked pairs with acquire in is_forgotten().  [K] has_stack
 * is set before fast_owner is cleared, and read after that was set.
 *
 * Not here: which free slots are claimed next (claim.c).
 */
#include "heap/cache.h"

#include "base/lock.h"
#include "base/panic.h"
#include "heap/meta.h"
#include "world/mutator.h"

#include <string.h>

/* Memory of empty spans that a cache keeps: 2 MiB. */
#define SPARE_UNITS_MAX	(2 * MIB >> UNIT_SHIFT)

/* How many orphans one thread looks at before it takes fresh memory. */
#define ADOPT_TRIES	8

/* What a claim without a span points at. */
static uint64_t no_slots;

struct cache cache_nobody = { .self = CACHE_BUSY };

__thread struct cache *cache_self
	__attribute__((tls_model("initial-exec"))) = &cache_nobody;

/* Atomic: relaxed; changes only while the world is stopped. */
_Atomic bool cache_blackens;

static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct cache *orphans;
	struct cache *known;
	/* Atomic: relaxed, a hint whether looking is worth the lock. */
	_Atomic size_t count;
} heap = { .lock = LOCK_INIT(RANK_HEAP) };

/* --------------------------------------------------------------- span lists */

/*
 * allow_fast - let the owner's frees be fast, unless they have more to do.
 * Another thread that lists the span takes it back, or we see that it did.
 */
static void
allow_fast(struct cache *cache, struct span *span)
{
	if (span_guards)
		return;
	if (span->site != NULL)
		cache = CACHE_NOTING(cache);
	/* [R] [K] */
	atomic_store_explicit(&span->fast_owner, cache, memory_order_seq_cst);
	if ((atomic_load_explicit(&span->remote, memory_order_seq_cst) &
	     SPAN_LISTED) != 0 ||
	    atomic_load_explicit(&span->has_stack, memory_order_seq_cst))
		store_relaxed(&span->fast_owner, NULL);
}

void
cache_set_stack(struct span *span)
{
	/* [K] */
	atomic_store_explicit(&span->has_stack, true, memory_order_seq_cst);
	atomic_store_explicit(&span->fast_owner, NULL, memory_order_seq_cst);
}

void
cache_link(struct cache *cache, struct span *span)
{
	struct span **head = &cache->spans[span->class];

	if (*head == NULL) {
		span->next = span->prev = span;
		*head = span;
	} else {
		span->next = *head;
		span->prev = (*head)->prev;
		span->prev->next = span;
		span->next->prev = span;
	}
	span->is_linked = true;
	allow_fast(cache, span);
}

void
cache_unlink(struct cache *cache, struct span *span)
{
	struct span **head = &cache->spans[span->class];

	span->prev->next = span->next;
	span->next->prev = span->prev;
	if (*head == span)
		*head = span->next == span ? NULL : span->next;
	store_relaxed(&span->fast_owner, NULL);
	/* release [U]: the last an owner does to a span it forgets (C6). */
	__atomic_store_n(&span->is_linked, false, __ATOMIC_RELEASE);
}

/* is_untouched - no visitor, and in no list of returned spans. */
static bool
is_untouched(const struct span *span)
{
	/* acquire [V] */
	return load_acquire(&span->remote) == 0;
}

static void
reset_claim(struct claim *claim)
{
	*claim = (struct claim){ .bits = &no_slots };
}

static void
destroy_span(struct cache *cache, struct span *span)
{
	struct claim *claim = &cache->claims[span->class];

	ASSERT(span_is_empty(span));
	if (claim->span == span)
		reset_claim(claim);
	if (span->is_linked)
		cache_unlink(cache, span);
	cache_use_spare(cache, span);
	span_destroy(span);
}

/*
 * Some empty spans are kept: a program that frees everything allocates it
 * again soon, and would only have them cut anew.  That of the claim always is:
 * it is the one that a program empties which needs a block at a time.
 */
static void
settle_empty_span(struct cache *cache, struct span *span)
{
	uint64_t mask;

	if (span->is_spare)
		return;
	if (cache->spare_units + span->run_units <= SPARE_UNITS_MAX ||
	    cache->claims[span->class].span == span) {
		span->is_spare = true;
		cache->spare_units += span->run_units;
		return;
	}
	if (!is_untouched(span))				/* C5 */
		return;
	/* The arena's lock must be free when a handler of ours wants it. */
	mutator_mask_signals(&mask);
	destroy_span(cache, span);
	mutator_unmask_signals(mask);
}

void
cache_put_slow(struct cache *cache, struct span *span, uint32_t word,
	       uint64_t bits)
{
	bool is_full = span_set_free(span, word, bits);

	if (!span->is_linked)
		cache_link(cache, span);
	if (is_full && span_is_empty(span))
		settle_empty_span(cache, span);
}

void
cache_put_last(struct cache *cache, struct span *span, size_t slot)
{
	span->full |= UINT64_C(1) << slot / WORD_BITS;		/* S2 */
	if (unlikely(span_is_empty(span))) {
		mutator_hold();
		settle_empty_span(cache, span);
		mutator_release();
	}
	cache_leave(cache);
}

/* ------------------------------------------------------- frees from outside */

static void
push_returned(struct cache *cache, struct span *span)
{
	struct span *head = load_relaxed(&cache->returned);

	do
		span->next_listed = head;
	/* release [Q] */
	while (!atomic_compare_exchange_weak_explicit(&cache->returned, &head,
	       span, memory_order_release, memory_order_relaxed));
}

bool
cache_is_free(const struct span *span, uint32_t slot)
{
	uint32_t word = slot / WORD_BITS;
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);

	return ((span_unused(span, word) |
		 load_relaxed(&span->returned[word])) & bit) != 0;
}

bool
cache_return(struct span *span, uint32_t word, uint64_t bits)
{
	bool done;

	if (((span_unused(span, word) |
	      load_relaxed(&span->returned[word])) & bits) != 0)
		return false;
	/* relaxed: ordered by [R]. */
	atomic_fetch_add_explicit(&span->remote, SPAN_VISITOR,
				  memory_order_relaxed);
	/* [R] */
	done = (atomic_fetch_or_explicit(&span->returned[word], bits,
					 memory_order_seq_cst) & bits) == 0;
	if ((atomic_load_explicit(&span->remote, memory_order_seq_cst) &
	     SPAN_LISTED) == 0 &&
	    (atomic_fetch_or_explicit(&span->remote, SPAN_LISTED,
				      memory_order_seq_cst) &
	     SPAN_LISTED) == 0) {
		/* relaxed: set again only after the span was drained. */
		store_relaxed(&span->fast_owner, NULL);
		push_returned(load_acquire(&span->owner), span);
	}
	/* release [V] */
	atomic_fetch_sub_explicit(&span->remote, SPAN_VISITOR,
				  memory_order_release);
	return done;
}

bool
cache_return_large(struct span *span)
{
	uint64_t mask;
	bool done;

	mutator_enter(&mask);
	/* Whoever sets the bit first destroys the span. */
	done = (atomic_fetch_or_explicit(&span->returned[0], 1,
					 memory_order_acq_rel) & 1) == 0;
	if (done)
		span_destroy(span);
	mutator_leave(mask);
	return done;
}

/* merge_returned - take a listed span's returned bits into `free` (C1). */
static void
merge_returned(struct cache *cache, struct span *span)
{
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits, twice;

		if (load_relaxed(&span->returned[w]) == 0)
			continue;
		bits = atomic_exchange_explicit(&span->returned[w], 0,
						memory_order_acquire);
		twice = bits & span_unused(span, w);
		/* What was reclaimed and freed as well is free once. */
		if ((twice & ~load_relaxed(&span->reclaimed[w])) != 0)
			panic("double free of a block in the 64 slots at %p",
			      (void *)span_slot_addr(span, w * WORD_BITS));
		bits &= ~twice;
		span_set_free(span, w, bits);
		if (!span->is_linked)
			cache_link(cache, span);
	}
	if (span_is_empty(span))
		settle_empty_span(cache, span);
}

void
cache_drain_list(struct cache *cache)
{
	struct span *span, *next;

	/* acquire [Q] */
	span = atomic_exchange_explicit(&cache->returned, NULL,
					memory_order_acquire);
	for (; span != NULL; span = next) {
		struct cache *owner = load_acquire(&span->owner);

		next = span->next_listed;
		if (owner != cache) {				/* C4 */
			push_returned(owner, span);
			continue;
		}
		/* [R] */
		atomic_fetch_and_explicit(&span->remote, ~SPAN_LISTED,
					  memory_order_seq_cst);
		if (span->is_linked)
			allow_fast(cache, span);
		merge_returned(cache, span);
	}
}

/*
 * is_forgotten - was every slot of a listed span returned, and does its owner
 * not know of it (C6)?  Then it never will: it links and claims only what has
 * slots in `free`, and nobody holds one that could get there.
 */
static bool
is_forgotten(const struct span *span)
{
	const struct cache *owner = load_relaxed(&span->owner);

	for (uint32_t w = 0; w < span->words; w++)
		if (load_acquire(&span->returned[w]) !=
		    span_word_mask(span, w))
			return false;
	/* acquire [V], [U] */
	return load_acquire(&span->remote) == SPAN_LISTED &&	/* C5 */
	       !__atomic_load_n(&span->is_linked, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&owner->claims[span->class].span,
			       __ATOMIC_RELAXED) != span;
}

static void
reap(struct cache *cache)
{
	struct span *span, *next;

	if (load_relaxed(&cache->returned) == NULL)
		return;
	/* acquire [Q] */
	span = atomic_exchange_explicit(&cache->returned, NULL,
					memory_order_acquire);
	for (; span != NULL; span = next) {
		next = span->next_listed;
		if (is_forgotten(span))
			span_destroy(span);
		else
			push_returned(load_acquire(&span->owner), span);
	}
}

void
cache_reap(void)
{
	struct cache *cache;

	lock_acquire(&heap.lock);
	cache = heap.known;
	lock_release(&heap.lock);
	/* None ever goes, and new ones come before the first. */
	for (; cache != NULL; cache = cache->next_known)
		reap(cache);
}

/* ------------------------------------------------------ threads come and go */

bool
cache_adopt(struct cache *cache, unsigned class)
{
	bool found = false;
	unsigned tries = 0;

	if (likely(load_relaxed(&heap.count) == 0))
		return false;
	lock_acquire(&heap.lock);
	for (struct cache *o = heap.orphans; o != NULL && tries < ADOPT_TRIES;
	     o = o->next_orphan, tries++) {
		struct span *span;

		cache_drain(o);
		span = o->spans[class];
		if (span == NULL)
			continue;
		cache_use_spare(o, span);
		cache_unlink(o, span);
		/* release: its lists and bitmaps are ours from here on. */
		store_release(&span->owner, cache);
		cache_link(cache, span);
		found = true;
		break;
	}
	lock_release(&heap.lock);
	return found;
}

struct cache *
cache_attach(void)
{
	struct cache *cache;

	lock_acquire(&heap.lock);
	cache = heap.orphans;
	if (cache != NULL) {
		heap.orphans = cache->next_orphan;
		atomic_fetch_sub_explicit(&heap.count, 1,
					  memory_order_relaxed);
	} else {
		cache = meta_alloc(sizeof(*cache));
		if (cache != NULL) {
			for (unsigned c = 0; c < CLASS_COUNT; c++)
				reset_claim(&cache->claims[c]);
			cache->next_known = heap.known;
			heap.known = cache;
		}
	}
	if (cache != NULL)
		cache->self = cache;	/* A handler may have ended us. */
	lock_release(&heap.lock);
	return cache;
}

static void
unclaim(struct cache *cache, struct claim *claim)
{
	struct span *span = claim->span;
	uint32_t word = claim->word;
	uint64_t bits = *claim->bits;

	*claim->bits = 0;
	reset_claim(claim);
	if (bits != 0)
		cache_put_slow(cache, span, word, bits);
}

static void
destroy_spares(struct cache *cache, unsigned class)
{
	struct span *span = cache->spans[class], *next;
	size_t count = 0;

	if (span == NULL)
		return;
	for (struct span *s = span->next; s != span; s = s->next)
		count++;
	for (count++; count > 0; count--, span = next) {
		next = span->next;
		if (span->is_spare && is_untouched(span))	/* C5 */
			destroy_span(cache, span);
	}
}

void
cache_flush(struct cache *cache)
{
	for (unsigned class = 0; class < CLASS_COUNT; class++)
		unclaim(cache, &cache->claims[class]);
	cache_drain(cache);
	for (unsigned class = 0; class < CLASS_COUNT; class++)
		destroy_spares(cache, class);
}

static void
make_orphan_locked(struct cache *cache)
{
	cache->next_orphan = heap.orphans;
	heap.orphans = cache;
	atomic_fetch_add_explicit(&heap.count, 1, memory_order_relaxed);
}

void
cache_detach(struct cache *cache)
{
	while (cache != NULL) {
		struct cache *nested = cache->nested;

		cache->nested = NULL;
		cache_flush(cache);
		lock_acquire(&heap.lock);
		make_orphan_locked(cache);
		lock_release(&heap.lock);
		cache = nested;
	}
}

/* find_nested - a nested cache that is not in use, made if need be. */
static struct cache *
find_nested(struct cache *cache)
{
	uint64_t mask;

	do {
		if (cache->nested == NULL) {
			mutator_mask_signals(&mask);
			/* A handler may have been here in between. */
			if (cache->nested == NULL)
				cache->nested = cache_attach();
			mutator_unmask_signals(mask);
			if (cache->nested == NULL)
				return NULL;
		}
		cache = cache->nested;
	} while (cache_is_busy(cache));
	return cache;
}

struct cache *
cache_begin(struct cache *own)
{
	struct cache *cache = own;

	if (unlikely(cache_is_busy(own)))
		cache = find_nested(own);
	if (cache != NULL)
		cache_enter(cache);
	return cache;
}

void
cache_for_each(void (*visit)(struct cache *, void *), void *argument)
{
	for (struct cache *c = heap.known; c != NULL; c = c->next_known)
		visit(c, argument);
}

void
cache_blacken(struct cache *cache)
{
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		struct claim *claim = &cache->claims[class];

		if (claim->span == NULL)
			continue;
		atomic_fetch_or_explicit(&claim->span->mark[claim->word],
					 *claim->bits, memory_order_relaxed);
	}
}

/* --------------------------------------------------------------------- fork */

void
cache_fork_lock(void)
{
	lock_acquire(&heap.lock);
}

static bool
is_own(const struct cache *cache)
{
	const struct cache *c = mutator_self != NULL ? mutator_self->cache
						     : NULL;

	for (; c != NULL; c = c->nested)
		if (c == cache)
			return true;
	return false;
}

/*
 * rebuild_span - the owner of this span does not exist in the child, and may
 * have been at work on it: believe the bitmaps only.
 */
static void
rebuild_span(struct span *span, void *argument)
{
	struct cache *owner = load_relaxed(&span->owner);
	bool any_returned = false, any_free = false;

	if (owner == NULL) {				/* a large block */
		span->is_inherited |= *(bool *)argument;
		return;
	}
	store_relaxed(&span->remote, 0);
	store_relaxed(&span->fast_owner, NULL);
	for (uint32_t w = 0; w < span->words; w++)
		any_returned |= load_relaxed(&span->returned[w]) != 0;
	if (is_own(owner)) {
		if (any_returned) {
			store_relaxed(&span->remote, SPAN_LISTED);
			push_returned(owner, span);
		} else if (span->is_linked) {
			allow_fast(owner, span);
		}
		return;
	}
	span->full = 0;
	span->last = 0;
	span->rich = 0;
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits = span_unused(span, w) |
			atomic_exchange_explicit(&span->returned[w], 0,
						 memory_order_relaxed);

		span->own[w].claimed = 0;
		if ((bits & span_word_mask(span, w)) == 0)
			continue;
		span_set_free(span, w, bits);
		any_free = true;
	}
	span->is_linked = false;
	span->is_spare = false;
	span->is_inherited = true;
	/* Unknown what the owner was about to claim: nothing is virgin. */
	span->virgin = span->slot_count;
	if (any_free)
		cache_link(owner, span);
}

static void
reset_cache(struct cache *cache, void *argument)
{
	(void)argument;
	store_relaxed(&cache->returned, NULL);
	if (is_own(cache))
		return;
	memset(cache->spans, 0, sizeof(cache->spans));
	cache->spare_units = 0;
	cache->nested = NULL;
	cache->self = cache;
}

static void
orphan_cache(struct cache *cache, void *argument)
{
	(void)argument;
	if (is_own(cache))
		return;
	for (unsigned class = 0; class < CLASS_COUNT; class++)
		reset_claim(&cache->claims[class]);
	make_orphan_locked(cache);
}

void
cache_fork_unlock(bool in_child)
{
	size_t others = 0;
	bool had_threads;

	if (!in_child) {
		lock_release(&heap.lock);
		return;
	}
	for (struct cache *c = heap.known; c != NULL; c = c->next_known)
		others += !is_own(c);
	had_threads = others > load_relaxed(&heap.count);
	heap.orphans = NULL;
	store_relaxed(&heap.count, 0);
	cache_for_each(reset_cache, NULL);
	arena_for_each_span(rebuild_span, &had_threads);
	cache_for_each(orphan_cache, NULL);
	lock_reset(&heap.lock);
}
