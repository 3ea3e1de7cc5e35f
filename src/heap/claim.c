/*
 * claim.c - which free slots a cache claims next.
 *
 * Owns the choice among the words of a span, and among the spans of a class:
 * it costs time when it claims little at once, and memory when it leaves much
 * free.
 *
 * Always true:
 *   L1  slots are marked before their bits are claimed, while claims are black:
 *       a sweep that finds a slot taken finds it marked (H3);
 *   L2  a span without any free slot leaves its ring when it is looked at;
 *   L3  no memory is refused while the class has a free slot in this cache.
 */
#include "heap/claim.h"

#include "base/panic.h"
#include "world/mutator.h"

/*
 * Claiming one slot costs as much as claiming 64, and a claim about as much as
 * six blocks from one.  A word is claimed when a fifth of its used slots is
 * free; where the words of a few spans have less, a new span is taken, so that
 * at most about a fifth of a class's memory is slack.  Programs ask for small
 * slots most often and have little memory in them: of those half has to be
 * free (measured: a tenth off random-small, 1 % on random-mixed's peak).
 */
#define SLACK_PART	5
#define SLACK_PART_SMALL 2
#define SMALL_MAX	256u
#define SPAN_TRIES	3

/*
 * A slot this large costs more to write to than to claim, and few of them are
 * much memory: any that is free is claimed, in the span that has the fewest of
 * so many.  The others become empty, and then are anybody's.  (Measured with
 * leaky.sh: a tenth less of resident memory.)
 */
#define DENSE_MIN	(2 * KIB)
#define DENSE_TRIES	8u

/* After so many new spans we look whether idle threads have empty ones. */
#define REAP_SPANS	64u

/* Slots larger than this are claimed one by one. */
#define SINGLE_MIN	(16 * KIB)

/* Atomic: relaxed; spans created, ever. */
static _Atomic size_t created;

/* find_rich - which of the first words have enough free slots for a claim? */
static NOINLINE uint64_t
find_rich(const struct span *span, uint32_t words)
{
	unsigned enough = WORD_BITS / (span->slot_size <= SMALL_MAX
				       ? SLACK_PART_SMALL : SLACK_PART);
	uint64_t rich = 0;

	for (uint32_t w = 0; w < words; w++) {
		uint64_t bits = span->own[w].free;
		bool has;

		/* Most words, where nothing is freed; few, where much is. */
		if (bits == 0)
			continue;
		has = bits_count(bits) >= enough;
		/* Not branched on: it cannot be predicted. */
		rich |= (uint64_t)has << w;
	}
	return rich;
}

/*
 * find_used - a word with enough free slots that were used before, to make it
 * worth a claim; span->words when there is none.
 *
 * The word claimed last, if all of it is back: it is warm.  Then words in turn,
 * so that frees gather in each between two visits; all that are good enough
 * are looked up at once.  A word of which only a part was used, or is slots,
 * comes after those.
 */
ALWAYS_INLINE uint32_t
find_used(struct span *span, uint64_t *ret_bits)
{
	uint32_t w = span->virgin / WORD_BITS, used = span->virgin % WORD_BITS;

	if (unlikely(bits_has(span->full & bits_below(w), span->last))) {
		*ret_bits = ~UINT64_C(0);
		return span->last;
	}
	if (unlikely(span->rich == 0))
		span->rich = find_rich(span, w);
	if (likely(span->rich != 0)) {
		w = bits_ctz(span->rich);
		*ret_bits = span->own[w].free;
		return w;
	}
	*ret_bits = span->own[w].free & bits_below(used);
	return bits_count(*ret_bits) * SLACK_PART >= MAX(used, 1u)
	       ? w : span->words;
}

/* open_window - the next slots that were never used, all of one word. */
static uint32_t
open_window(struct span *span, uint64_t *ret_bits)
{
	uint32_t w = span->virgin / WORD_BITS;
	uint32_t end = MIN((w + 1) * WORD_BITS, span->slot_count);

	end = MIN(span->virgin + span->window, end);
	*ret_bits = bits_below(end - w * WORD_BITS) &
		    ~bits_below(span->virgin % WORD_BITS);
	span->virgin = end;
	return w;
}

ALWAYS_INLINE void
claim_bits(struct cache *cache, struct span *span, uint32_t word,
	   uint64_t bits, bool is_fresh)
{
	struct claim *claim = &cache->claims[span->class];

	span->last = (uint8_t)word;
	cache_use_spare(cache, span);
	claim->bits = &span->own[word].claimed;
	claim->span = span;
	claim->minus_base = span->minus_base -
		(uintptr_t)word * WORD_BITS * span->slot_size;
	claim->slot_size = span->slot_size;
	claim->word = word;
	claim->is_fresh = is_fresh;
	if (span->site != NULL) {
		claim->site = span->site + word * WORD_BITS;
		claim->slack = span->slack + word * WORD_BITS;
	}
	/* L1; release: pairs with the acquire in leaks.c. */
	if (unlikely(load_relaxed(&cache_blackens)))
		atomic_fetch_or_explicit(&span->mark[word], bits,
					 memory_order_release);
	if (unlikely(load_relaxed(&span->reclaimed[word]) != 0))
		atomic_fetch_and_explicit(&span->reclaimed[word], ~bits,
					  memory_order_relaxed);
	span_claim(span, word, bits);
}

/* claim_word - claim a word of a span that is worth it, or a new window. */
ALWAYS_INLINE bool
claim_word(struct cache *cache, struct span *span)
{
	uint64_t bits;
	uint32_t w = find_used(span, &bits);

	if (likely(w != span->words)) {
		claim_bits(cache, span, w, bits, false);
		return true;
	}
	if (span->virgin == span->slot_count)
		return false;
	w = open_window(span, &bits);
	claim_bits(cache, span, w, bits, span->is_zero);
	return true;
}

/* find_free - a word with any free slots; span->words when there is none. */
static uint32_t
find_free(const struct span *span)
{
	uint32_t w = 0;

	while (w < span->words &&
	       (span->own[w].free & span_word_mask(span, w)) == 0)
		w++;
	return w;
}

/* claim_any - claim whatever is free in a word. */
static void
claim_any(struct cache *cache, struct span *span, uint32_t w)
{
	uint64_t bits = span->own[w].free & span_word_mask(span, w);

	span->virgin = MAX(span->virgin,
			   MIN((w + 1) * WORD_BITS, span->slot_count));
	claim_bits(cache, span, w, bits, false);
}

/*
 * claim_listed - claim a word of the spans in the class's ring.
 * Units: tries, spans to look at; 0: until there is anything free.
 */
static bool
claim_listed(struct cache *cache, unsigned class, unsigned tries)
{
	struct span *span;

	for (bool is_modest = tries == 0;
	     (span = cache->spans[class]) != NULL && (is_modest || tries > 0);
	     tries--) {
		uint32_t w;

		if (claim_word(cache, span))
			return true;
		w = find_free(span);
		if (w == span->words) {
			cache_unlink(cache, span);
			continue;
		}
		if (is_modest) {
			claim_any(cache, span, w);
			return true;
		}
		cache->spans[class] = span->next;
	}
	return false;
}

/* used_free - of a word, the free slots that were used before. */
static uint64_t
used_free(const struct span *span, uint32_t w)
{
	uint32_t first = w * WORD_BITS;
	uint64_t bits = span->own[w].free & span_word_mask(span, w);

	if (span->virgin <= first)
		return 0;
	return span->virgin - first < WORD_BITS
	       ? bits & bits_below(span->virgin - first) : bits;
}

static unsigned
count_used_free(const struct span *span)
{
	unsigned count = 0;

	for (uint32_t w = 0; w < span->words; w++)
		count += bits_count(used_free(span, w));
	return count;
}

/*
 * find_dense - of a few spans in the class's ring, the one with the fewest
 * slots that were used and are free, or else one with virgin slots; NULL.  The
 * next search goes on behind them.
 */
static struct span *
find_dense(struct cache *cache, unsigned class)
{
	struct span *span = cache->spans[class], *first = NULL, *best = NULL;
	unsigned least = UINT32_MAX, tries = DENSE_TRIES;

	while (span != NULL && span != first && tries > 0) {
		struct span *next = span->next != span ? span->next : NULL;
		unsigned count = count_used_free(span);

		if (count == 0 && span->virgin == span->slot_count) {
			cache_unlink(cache, span);
			span = next;
			continue;
		}
		if (first == NULL)
			first = span;
		if (count == 0 && best == NULL)
			best = span;
		if (count != 0 && count < least) {
			best = span;
			least = count;
		}
		span = span->next;
		tries--;
	}
	if (span != NULL)
		cache->spans[class] = span;
	return best;
}

static bool
claim_dense(struct cache *cache, unsigned class)
{
	struct span *span = find_dense(cache, class);
	uint64_t bits = 0;
	uint32_t w = 0;

	if (span == NULL)
		return false;
	while (w < span->words && (bits = used_free(span, w)) == 0)
		w++;
	if (w == span->words) {
		w = open_window(span, &bits);
		claim_bits(cache, span, w, bits, span->is_zero);
	} else {
		/* Large slots one by one: what is claimed is held. */
		claim_bits(cache, span, w,
			   span->slot_size > SINGLE_MIN ? bits & -bits : bits,
			   false);
	}
	return true;
}

/* create_span - a new one; idle threads may have one that is empty. */
static struct span *
create_span(struct cache *cache, unsigned class, bool with_sites)
{
	size_t before = atomic_fetch_add_explicit(&created, 1,
						  memory_order_relaxed);

	if (before % REAP_SPANS == REAP_SPANS - 1)
		cache_reap();
	return span_create(class, cache, with_sites);
}

static NOINLINE bool
refill_from_afar(struct cache *cache, unsigned class, bool with_sites)
{
	bool is_dense = sizeclass_slot_size[class] >= DENSE_MIN, more;
	struct span *span;
	uint64_t mask;

	do {
		if (is_dense ? claim_dense(cache, class)
			     : claim_listed(cache, class, SPAN_TRIES))
			return true;
		/* What is adopted may have been used up by its last owner. */
		mutator_mask_signals(&mask);
		more = cache_adopt(cache, class);
		if (!more) {
			span = create_span(cache, class, with_sites);
			if (span != NULL)
				cache_link(cache, span);
		}
		mutator_unmask_signals(mask);
		/* The new span is the last of the ring: begin with it. */
		if (cache->spans[class] != NULL)
			cache->spans[class] = cache->spans[class]->prev;
	} while (more);
	return claim_listed(cache, class, 0);
}

bool
claim_refill(struct cache *cache, unsigned class, bool with_sites)
{
	struct span *span;

	ASSERT(*cache->claims[class].bits == 0);
	cache_drain(cache);
	span = cache->spans[class];
	/* Most often the span that the last claim was of. */
	if (likely(span != NULL) && likely(span->slot_size < DENSE_MIN) &&
	    likely(claim_word(cache, span)))
		return true;
	return refill_from_afar(cache, class, with_sites);
}
