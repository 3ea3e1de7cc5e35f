/*
 * cache.c - a mutator's claimed words and the spans behind them.
 *
 * Owns struct cache, which spans a cache allocates from, and the caches of
 * threads that ended (orphans).
 *
 * Always true:
 *   C1  a cache's span lists hold all its spans that have free bits;
 *   C2  a slot of a claimed word that is free is in the claim or in `free`,
 *       never in both;
 *   C3  a span is in at most one list of returned spans, because only who
 *       set SPAN_LISTED puts it there;
 *   C4  a span in a cache's list of returned spans may belong to another cache
 *       by now: who drains the list passes it on;
 *   C5  a span is destroyed only when it is empty, unlisted and without
 *       visitors: one holds a slot when it comes, so none can come any more.
 *
 * A cache is its thread's alone; orphans are guarded by orphans.lock
 * (RANK_HEAP).
 *
 * Atomics: [R] a returned bit is set before SPAN_LISTED is looked at, and
 * SPAN_LISTED is cleared before the bits are read; both are full barriers, so
 * that a bit is either seen or the span is listed again.  [Q] release at the
 * push of a list pairs with acquire at its drain.  [V] release when a visitor
 * leaves pairs with acquire in is_untouched().  [S] a claim's sequence is odd
 * while its fields change.
 */
#include "heap/cache.h"

#include "base/lock.h"
#include "base/panic.h"
#include "heap/meta.h"
#include "world/mutator.h"

#include <limits.h>
#include <string.h>

/*
 * Claiming one slot costs as much as claiming 64.  A word is claimed when an
 * eighth of it is free; where a few words of a few spans have less, a new span
 * is taken, so that at most about an eighth of a class's memory is slack.
 */
#define SLACK_PART	8
#define WORD_TRIES	3
#define SPAN_TRIES	3

/* Memory of empty spans that a cache keeps: 2 MiB. */
#define SPARE_UNITS_MAX	(2 * MIB >> UNIT_SHIFT)

/* How many orphans one thread looks at before it takes fresh memory. */
#define ADOPT_TRIES	8

struct cache cache_nobody = { .is_busy = true };

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

/* link_span - put a span at the end of its class's ring. */
static void
link_span(struct cache *cache, struct span *span)
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
}

static void
unlink_span(struct cache *cache, struct span *span)
{
	struct span **head = &cache->spans[span->class];

	span->prev->next = span->next;
	span->next->prev = span->prev;
	if (*head == span)
		*head = span->next == span ? NULL : span->next;
	span->is_linked = false;
}

/* is_untouched - no visitor, and in no list of returned spans. */
static bool
is_untouched(const struct span *span)
{
	/* acquire [V] */
	return load_acquire(&span->remote) == 0;
}

/* use_spare - a span is no spare any more, if it was one. */
static void
use_spare(struct cache *cache, struct span *span)
{
	if (!span->is_spare)
		return;
	span->is_spare = false;
	cache->spare_units -= span->run_units;
}

static void
destroy_span(struct cache *cache, struct span *span)
{
	struct claim *claim = &cache->claims[span->class];

	ASSERT(span_is_empty(span));
	if (claim->span == span) {
		ASSERT(claim->bits == 0);			/* C2 */
		claim->span = NULL;
		claim->place = NULL;
	}
	if (span->is_linked)
		unlink_span(cache, span);
	use_spare(cache, span);
	span_destroy(span);
}

/*
 * Some empty spans are kept: a program that frees everything allocates it
 * again soon, and would only have them cut anew.
 */
static void
settle_empty_span(struct cache *cache, struct span *span)
{
	uint64_t mask;

	if (span->is_spare)
		return;
	if (cache->spare_units + span->run_units <= SPARE_UNITS_MAX) {
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
		link_span(cache, span);
	if (is_full && span_is_empty(span))
		settle_empty_span(cache, span);
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

/*
 * is_claimed_free - does the owner hold this slot as a free one?  Asked by
 * other threads, of a slot they believe to be theirs: were they right, its bit
 * left the claim before they got the address.
 */
static bool
is_claimed_free(const struct span *span, uint32_t word, uint64_t bit)
{
	const struct cache *owner = load_acquire(&span->owner);
	const struct claim *claim = &owner->claims[span->class];
	uint32_t before = load_acquire(&claim->sequence);	/* [S] */
	bool found = claim->span == span && claim->word == word &&
		(__atomic_load_n(&claim->bits, __ATOMIC_RELAXED) & bit) != 0;

	if (likely(!found))
		return false;
	atomic_thread_fence(memory_order_acquire);		/* [S] */
	/* It moved meanwhile: the bit may stand for another slot. */
	return before % 2 == 0 && load_relaxed(&claim->sequence) == before;
}

bool
cache_is_free(const struct span *span, uint32_t slot)
{
	uint32_t word = slot / WORD_BITS;
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);

	/*
	 * relaxed: a slot that the program rightly holds left `free` before
	 * its address was given away.
	 */
	return ((__atomic_load_n(&span->free[word], __ATOMIC_RELAXED) |
		 load_relaxed(&span->returned[word])) & bit) != 0 ||
	       is_claimed_free(span, word, bit);
}

bool
cache_return(struct span *span, uint32_t slot)
{
	uint32_t word = slot / WORD_BITS;
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);
	bool done;

	if (cache_is_free(span, slot))
		return false;
	/* relaxed: ordered by [R]. */
	atomic_fetch_add_explicit(&span->remote, SPAN_VISITOR,
				  memory_order_relaxed);
	/* [R] */
	done = (atomic_fetch_or_explicit(&span->returned[word], bit,
					 memory_order_seq_cst) & bit) == 0;
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
		twice = bits & (span->free[w] | cache_claimed(span, w));
		/* What was reclaimed and freed as well is free once. */
		if ((twice & ~load_relaxed(&span->reclaimed[w])) != 0)
			panic("double free of a block in the 64 slots at %p",
			      (void *)span_slot_addr(span, w * WORD_BITS));
		bits &= ~twice;
		span_set_free(span, w, bits);
		if (!span->is_linked)
			link_span(cache, span);
	}
	if (span_is_empty(span))
		settle_empty_span(cache, span);
}

static void
drain_returned(struct cache *cache)
{
	struct span *span, *next;

	if (likely(load_relaxed(&cache->returned) == NULL))
		return;
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
		span_set_owner(span, cache);
		atomic_fetch_and_explicit(&span->remote, ~SPAN_LISTED,
					  memory_order_seq_cst);
		merge_returned(cache, span);
	}
}

/* ----------------------------------------------------------------- claiming */

/* move_claim - before and after a claim gets another word. */
static void
move_claim(struct claim *claim)
{
	/* acq_rel [S]: the fields change while the sequence is odd. */
	store_release(&claim->sequence, load_relaxed(&claim->sequence) + 1);
	atomic_thread_fence(memory_order_release);
}

/* enough - free bits that make a word worth claiming. */
static unsigned
enough(const struct span *span)
{
	return span->words > 1 ? WORD_BITS / SLACK_PART
	       : MAX(span->slot_count / SLACK_PART, 1u);
}

/*
 * find_word - the word of a span to claim next, span->words when there is none.
 *
 * Words are taken in turn, so that frees gather in each between two visits.
 * The first with enough of them wins, then one that was never used, then, only
 * if is_modest, any with a free bit.
 */
static uint32_t
find_word(struct span *span, bool is_modest)
{
	uint64_t used = span->avail & bits_below(span->virgin_word);
	/* First those from the cursor on, then those before it. */
	uint64_t ahead = used & ~bits_below(span->cursor);
	uint32_t found = span->words;

	for (unsigned tries = WORD_TRIES; used != 0 && tries > 0;) {
		uint32_t w = bits_ctz(ahead != 0 ? ahead : used);
		uint64_t bits = span->free[w] & span_word_mask(span, w);

		used &= ~(UINT64_C(1) << w);
		ahead &= used;
		if (bits == 0) {
			span->avail &= ~(UINT64_C(1) << w);	/* S2 */
			continue;
		}
		if (bits_count(bits) >= enough(span))
			return w;
		if (is_modest && found == span->words)
			found = w;
		tries--;
	}
	return span->virgin_word < span->words ? span->virgin_word : found;
}

/*
 * blacken_word - a word is about to be claimed.  First its marks, then its
 * bits: a sweep that finds a slot taken finds it marked (H3).
 */
static void
blacken_word(struct span *span, uint32_t w)
{
	/* release: pairs with the acquire in sweep_white(). */
	atomic_fetch_or_explicit(&span->mark[w], span->free[w] &
				 span_word_mask(span, w),
				 memory_order_release);
}

static bool
claim_word(struct cache *cache, struct span *span, bool is_modest)
{
	struct claim *claim = &cache->claims[span->class];
	uint32_t w = find_word(span, is_modest);
	uint64_t bits;
	bool is_fresh;

	if (w == span->words)
		return false;
	span->cursor = (uint16_t)(w + 1);
	use_spare(cache, span);
	is_fresh = w >= span->virgin_word && span->is_zero;
	span->virgin_word = (uint16_t)MAX(span->virgin_word, w + 1);
	move_claim(claim);
	claim->span = span;
	claim->word = w;
	claim->slot_size = span->slot_size;
	claim->base = span_slot_addr(span, w * WORD_BITS);
	claim->place = &span->free[w];
	claim->is_fresh = is_fresh;
	/*
	 * The order matters to fork: a child that finds this half done loses
	 * these slots at worst.
	 */
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(load_relaxed(&cache_blackens)))		/* H3 */
		blacken_word(span, w);
	bits = span_take_free(span, w);
	if (unlikely(load_relaxed(&span->reclaimed[w]) != 0))
		atomic_fetch_and_explicit(&span->reclaimed[w], ~bits,
					  memory_order_relaxed);
	claim->bits = bits;
	move_claim(claim);
	return true;
}

/* adopt_span - take a span of this class from a thread that ended. */
static bool
adopt_span(struct cache *cache, unsigned class)
{
	bool found = false;
	unsigned tries = 0;

	if (likely(load_relaxed(&heap.count) == 0))
		return false;
	lock_acquire(&heap.lock);
	for (struct cache *o = heap.orphans; o != NULL && tries < ADOPT_TRIES;
	     o = o->next_orphan, tries++) {
		struct span *span;

		drain_returned(o);
		span = o->spans[class];
		if (span == NULL)
			continue;
		use_spare(o, span);
		unlink_span(o, span);
		span_set_owner(span, cache);
		link_span(cache, span);
		found = true;
		break;
	}
	lock_release(&heap.lock);
	return found;
}

/* claim_listed - claim a word of the spans in the class's ring. */
static bool
claim_listed(struct cache *cache, unsigned class, bool is_modest)
{
	struct span *span;

	for (unsigned tries = is_modest ? UINT_MAX : SPAN_TRIES;
	     (span = cache->spans[class]) != NULL && tries > 0; tries--) {
		if (span->avail == 0)
			unlink_span(cache, span);
		else if (claim_word(cache, span, is_modest))
			return true;
		else
			cache->spans[class] = span->next;
	}
	return false;
}

bool
cache_refill(struct cache *cache, unsigned class, bool with_sites)
{
	struct span *span;
	uint64_t mask;
	bool more;

	ASSERT(cache->claims[class].bits == 0);
	drain_returned(cache);
	if (cache->claims[class].bits != 0)
		return true;
	do {
		if (claim_listed(cache, class, false))
			return true;
		/* What is adopted may have been used up by its last owner. */
		mutator_mask_signals(&mask);
		more = adopt_span(cache, class);
		if (!more) {
			span = span_create(class, cache, with_sites);
			if (span != NULL)
				link_span(cache, span);
		}
		mutator_unmask_signals(mask);
		/* The new span is the last of the ring: begin with it. */
		if (cache->spans[class] != NULL)
			cache->spans[class] = cache->spans[class]->prev;
	} while (more);
	return claim_listed(cache, class, true);
}

void
cache_blacken(struct cache *cache)
{
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		struct claim *claim = &cache->claims[class];

		if (claim->span == NULL)
			continue;
		atomic_fetch_or_explicit(&claim->span->mark[claim->word],
					 claim->bits, memory_order_relaxed);
	}
}

uint64_t
cache_claimed(const struct span *span, uint32_t word)
{
	const struct cache *owner = load_acquire(&span->owner);
	const struct claim *claim = &owner->claims[span->class];

	return claim->span == span && claim->word == word ? claim->bits : 0;
}

/* ------------------------------------------------------ threads come and go */

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
		cache->is_busy = false;
	} else {
		cache = meta_alloc(sizeof(*cache));
		if (cache != NULL) {
			cache->next_known = heap.known;
			heap.known = cache;
		}
	}
	lock_release(&heap.lock);
	return cache;
}

static void
unclaim(struct cache *cache, struct claim *claim)
{
	struct span *span = claim->span;
	uint64_t bits = claim->bits;

	claim->span = NULL;
	claim->place = NULL;
	claim->bits = 0;
	if (span == NULL || bits == 0)
		return;
	cache_put_slow(cache, span, claim->word, bits);
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
	drain_returned(cache);
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
	} while (cache->is_busy);
	return cache;
}

struct cache *
cache_begin(struct cache *own)
{
	struct cache *cache = likely(!own->is_busy) ? own : find_nested(own);

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
	bool any_returned = false;

	if (owner == NULL) {				/* a large block */
		span->is_inherited |= *(bool *)argument;
		return;
	}
	store_relaxed(&span->remote, 0);
	for (uint32_t w = 0; w < span->words; w++)
		any_returned |= load_relaxed(&span->returned[w]) != 0;
	if (is_own(owner)) {
		if (any_returned) {
			store_relaxed(&span->remote, SPAN_LISTED);
			push_returned(owner, span);
		}
		return;
	}
	span->avail = 0;
	span->full = 0;
	span->cursor = 0;
	for (uint32_t w = 0; w < span->words; w++) {
		struct claim *claim = &owner->claims[span->class];
		uint64_t bits = span->free[w] |
			atomic_exchange_explicit(&span->returned[w], 0,
						 memory_order_relaxed);

		if (claim->span == span && claim->word == w)
			bits |= claim->bits;
		if ((bits & span_word_mask(span, w)) != 0)
			span_set_free(span, w, bits);
	}
	span->is_linked = false;
	span->is_spare = false;
	span->is_inherited = true;
	/* Unknown what the owner was about to claim: nothing is virgin. */
	span->virgin_word = span->words;
	if (span->avail != 0)
		link_span(owner, span);
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
	cache->is_busy = false;
}

static void
orphan_cache(struct cache *cache, void *argument)
{
	(void)argument;
	if (is_own(cache))
		return;
	memset(cache->claims, 0, sizeof(cache->claims));
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
