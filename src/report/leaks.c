/*
 * leaks.c - what is white: counted, told apart, grouped by site.
 *
 * Heads are found by two depth-first passes over the white blocks.  The first
 * begins a search at every block that no earlier search reached; the blocks it
 * begins at are candidates.  The second searches from the candidates again,
 * the last one first: a candidate that was reached by then is indirect.
 *
 * Why that is right: a circle (strongly connected component) that nothing
 * outside points at is first reached at one of its own blocks, so exactly one
 * of them is a candidate, and no later search comes in from outside.  A
 * candidate that something outside points at was begun before that something
 * was reached, else it would have been reached too; so the something belongs
 * to a later candidate, and in the second pass it comes first.
 *
 * Always true:
 *   W1  in the first pass a scratch bit means reached, and is set for white
 *       blocks only;
 *   W2  the second pass clears the bit of what it reaches: each block is
 *       counted once;
 *   W3  where a span has few slots, which are the large ones, the upper half of
 *       its scratch word says which of them led to no white block in the first
 *       pass: the second does not read them.
 */
#include "report/leaks.h"

#include "collect/candidate.h"
#include "collect/grey.h"
#include "heap/blind.h"
#include "report/held.h"

#include <errno.h>
#include <string.h>

/* Guarded by RANK_CYCLE. */
static struct {
	struct groups groups;
	bool is_second_pass;
	enum leaks_choice_of choice;
	void (*visit)(const struct block *, bool);
	struct grey grey;
	bool has_overflowed;	/* memory did: kinds or sums are not known */
} leaks;

static bool
is_white(const struct span *span, uint32_t slot)
{
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);

	if (span_guards && span_is_quarantined(span, slot))
		return false;
	/*
	 * The site first: a thread that claims the slot meanwhile marks it
	 * before it notes the site.  acquire, with release in span_note().
	 */
	if (span->is_inherited || span_site(span, slot) == SITE_NONE)
		return false;
	if (leaks.choice == LEAKS_NEW &&
	    (load_relaxed(&span->condemned[slot / WORD_BITS]) & bit) != 0)
		return false;
	/* Taken first, then unmarked: see claim_bits() in cache.c. */
	if (!candidate_is_taken(span, slot))
		return false;
	atomic_thread_fence(memory_order_acquire);
	return (load_relaxed(&span->mark[slot / WORD_BITS]) & bit) == 0;
}

/* reach - visit a block for the first time in this pass.  False: it was. */
static bool
reach(const struct block *b)
{
	uint64_t *word = &b->span->scratch[b->slot / WORD_BITS];
	uint64_t bit = candidate_bit(b);
	bool reached = (*word & bit) != 0;

	if (reached != leaks.is_second_pass)
		return false;
	*word ^= bit;						/* W1, W2 */
	return true;
}

/* W3 */
#define LEAF_SLOTS	(WORD_BITS / 2)

static void
note_leaf(const struct block *b)
{
	if (b->span->slot_count <= LEAF_SLOTS)
		b->span->scratch[0] |= candidate_bit(b) << LEAF_SLOTS;
}

static bool
is_leaf(const struct block *b)
{
	return b->span->slot_count <= LEAF_SLOTS &&
	       (b->span->scratch[0] & candidate_bit(b) << LEAF_SLOTS) != 0;
}

static void
count_block(const struct block *b, bool is_direct)
{
	if (!groups_add(&leaks.groups, span_site(b->span, b->slot), is_direct,
			span_requested(b->span, b->slot))) {
		leaks.has_overflowed = true;
		return;
	}
	if (leaks.visit != NULL)
		leaks.visit(b, is_direct);
}

/*
 * search_words - what the words of a block lead to.
 * Returns: do they lead to a white block, reached before or not?
 */
static bool
search_words(uintptr_t at, uintptr_t end)
{
	bool leads = false;

	for (; at < end; at += sizeof(uintptr_t)) {
		struct block next;

		if (!candidate_locate(*(const uintptr_t *)at, &next) ||
		    !is_white(next.span, next.slot))
			continue;
		leads = true;
		if (!reach(&next))
			continue;
		if (leaks.is_second_pass) {
			count_block(&next, false);
			held_note_lost(next, at);
		}
		leaks.has_overflowed |= !grey_push(&leaks.grey, next);
	}
	return leads;
}

/* search - all white blocks that a block leads to and that are new. */
static void
search(struct block b)
{
	do {
		uintptr_t at, end, next;
		bool leads = false;

		if (leaks.is_second_pass && is_leaf(&b))
			continue;
		candidate_extent(&b, &at, &end);
		for (; blind_next(&at, end, &next); at = next)
			leads |= search_words(at, next);
		if (!leads && !leaks.is_second_pass)
			note_leaf(&b);
	} while (grey_pop(&leaks.grey, &b));
}

static void
for_each_white(struct span *span, void (*visit)(struct block))
{
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits = candidate_taken(span, w);

		atomic_thread_fence(memory_order_acquire);
		bits &= ~load_relaxed(&span->mark[w]);
		for (; bits != 0; bits &= bits - 1) {
			struct block b = { span, w * WORD_BITS +
						 bits_ctz(bits), 0 };

			if (is_white(b.span, b.slot))
				visit(b);
		}
	}
}

static void
begin_search(struct block b)
{
	if (!reach(&b))
		return;
	b.span->heads[b.slot / WORD_BITS] |= candidate_bit(&b);
	search(b);
}

static void
search_span(struct span *span, void *unused)
{
	(void)unused;
	for_each_white(span, begin_search);
}

/* take_heads - the candidates of a span, the last one first. */
static void
take_heads(struct span *span, void *unused)
{
	(void)unused;
	for (uint32_t w = span->words; w-- > 0;)
		while (span->heads[w] != 0) {
			unsigned i = bits_log2(span->heads[w]);
			struct block b = { span, w * WORD_BITS + i, 0 };

			span->heads[w] ^= UINT64_C(1) << i;
			if (!reach(&b))
				continue;
			count_block(&b, true);
			held_note_lost(b, 0);
			search(b);
		}
}

/* W1: nothing is reached; what a block freed meanwhile has left is gone. */
static void
clear_scratch(struct span *span, void *unused)
{
	(void)unused;
	memset(span->scratch, 0, span->words * sizeof(*span->scratch));
	memset(span->heads, 0, span->words * sizeof(*span->heads));
}

int
leaks_collect(enum leaks_choice_of choice,
	      void (*visit)(const struct block *, bool))
{
	memset(&leaks, 0, sizeof(leaks));
	leaks.choice = choice;
	leaks.visit = visit;
	arena_for_each_span(clear_scratch, NULL);
	arena_for_each_span(search_span, NULL);
	leaks.is_second_pass = true;
	arena_for_each_span_back(take_heads, NULL);
	if (leaks.has_overflowed) {
		leaks_release();
		return -ENOMEM;
	}
	groups_sort(&leaks.groups);
	return 0;
}

const struct leak_group *
leaks_groups(size_t *ret_count)
{
	*ret_count = leaks.groups.count;
	return leaks.groups.table;
}

void
leaks_release(void)
{
	groups_release(&leaks.groups);
}
