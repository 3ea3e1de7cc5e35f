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
 *   W2  the second pass clears the bit of what it reaches: at its end all
 *       scratch bits are 0 again.
 */
#include "report/leaks.h"

#include "collect/candidate.h"
#include "collect/grey.h"
#include "heap/meta.h"

#include <errno.h>
#include <string.h>

/* Guarded by RANK_CYCLE. */
static struct {
	struct block *heads;
	size_t head_count;
	size_t white_count;

	struct leak_group *table;	/* open addressing; blocks 0: empty */
	size_t table_size;		/* a power of two */
	size_t group_count;
	bool is_second_pass;
	bool has_overflowed;	/* the mark stack did: kinds are not known */
} leaks;

static bool
is_white(const struct span *span, uint32_t slot)
{
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);

	/*
	 * The site first: a thread that claims the slot meanwhile marks it
	 * before it notes the site.  acquire, with release in span_note().
	 */
	if (span->is_inherited || span_site(span, slot) == SITE_NONE)
		return false;
	atomic_thread_fence(memory_order_acquire);
	return (load_relaxed(&span->mark[slot / WORD_BITS]) & bit) == 0 &&
	       candidate_is_block(span, slot);
}

/* reach - visit a block for the first time in this pass.  False: it was. */
static bool
reach(const struct block *b)
{
	uint64_t *word = &b->span->scratch[b->slot / WORD_BITS];
	uint64_t bit = UINT64_C(1) << (b->slot % WORD_BITS);
	bool reached = (*word & bit) != 0;

	if (reached != leaks.is_second_pass)
		return false;
	*word ^= bit;						/* W1, W2 */
	return true;
}

static void
count_block(const struct block *b, bool is_direct)
{
	uint32_t site = span_site(b->span, b->slot);
	uint64_t key = bits_mix((uint64_t)site << 1 | is_direct);
	size_t i = key & (leaks.table_size - 1);
	struct leak_group *g;

	for (;; i = (i + 1) & (leaks.table_size - 1)) {
		g = &leaks.table[i];
		if (g->blocks == 0)
			break;
		if (g->site == site && g->is_direct == is_direct)
			break;
	}
	if (g->blocks == 0) {
		g->site = site;
		g->is_direct = is_direct;
		leaks.group_count++;
	}
	g->blocks++;
	g->bytes += span_requested(b->span, b->slot);
}

/* search - all white blocks that a block leads to and that are new. */
static void
search(struct block b)
{
	do {
		uintptr_t at, end;

		candidate_extent(&b, &at, &end);
		for (; at < end; at += sizeof(uintptr_t)) {
			struct block next;

			if (!candidate_find(*(const uintptr_t *)at, &next) ||
			    !is_white(next.span, next.slot) || !reach(&next))
				continue;
			if (leaks.is_second_pass)
				count_block(&next, false);
			leaks.has_overflowed |= !grey_push(next);
		}
	} while (grey_pop(&b));
}

static void
for_each_white(struct span *span, void (*visit)(struct block))
{
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits = candidate_taken(span, w) &
				~load_relaxed(&span->mark[w]);

		for (; bits != 0; bits &= bits - 1) {
			struct block b = { span, w * WORD_BITS +
						 bits_ctz(bits) };

			if (is_white(b.span, b.slot))
				visit(b);
		}
	}
}

static void
count_one(struct block b)
{
	(void)b;
	leaks.white_count++;
}

static void
begin_search(struct block b)
{
	if (leaks.head_count == leaks.white_count || !reach(&b))
		return;
	leaks.heads[leaks.head_count++] = b;
	search(b);
}

static void
visit_span(struct span *span, void *visit)
{
	for_each_white(span, (void (*)(struct block))visit);
}

static void
clear_scratch(struct span *span, void *unused)
{
	(void)unused;
	memset(span->scratch, 0, span->words * sizeof(*span->scratch));
}

static int
compare_groups(const void *left, const void *right)
{
	const struct leak_group *a = left, *b = right;

	if (a->is_direct != b->is_direct)
		return a->is_direct ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->site < b->site ? -1 : a->site > b->site;
}

/* sift_down - part of heapsort; libc's qsort allocates. */
static void
sift_down(struct leak_group *groups, size_t root, size_t count)
{
	for (;;) {
		size_t child = 2 * root + 1;
		struct leak_group swap;

		if (child >= count)
			return;
		if (child + 1 < count &&
		    compare_groups(&groups[child], &groups[child + 1]) < 0)
			child++;
		if (compare_groups(&groups[root], &groups[child]) >= 0)
			return;
		swap = groups[root];
		groups[root] = groups[child];
		groups[child] = swap;
		root = child;
	}
}

static void
sort_groups(struct leak_group *groups, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sift_down(groups, i, count);
	for (size_t end = count; end-- > 1;) {
		struct leak_group swap = groups[0];

		groups[0] = groups[end];
		groups[end] = swap;
		sift_down(groups, 0, end);
	}
}

static bool
take_memory(void)
{
	leaks.table_size = 64;
	while (leaks.table_size < 4 * leaks.white_count)
		leaks.table_size *= 2;
	leaks.table = meta_map(leaks.table_size * sizeof(*leaks.table));
	if (leaks.table == NULL)
		return false;
	leaks.heads = meta_map((leaks.white_count + 1) * sizeof(*leaks.heads));
	return leaks.heads != NULL;
}

int
leaks_collect(void)
{
	size_t packed = 0;

	memset(&leaks, 0, sizeof(leaks));
	arena_for_each_span(visit_span, (void *)count_one);
	if (!take_memory()) {
		leaks_release();
		return -ENOMEM;
	}
	arena_for_each_span(visit_span, (void *)begin_search);
	leaks.is_second_pass = true;
	for (size_t i = leaks.head_count; i-- > 0;) {
		struct block head = leaks.heads[i];

		if (!reach(&head))
			continue;
		count_block(&head, true);
		search(head);
	}
	if (leaks.has_overflowed) {
		arena_for_each_span(clear_scratch, NULL);	/* W2 */
		leaks_release();
		return -ENOMEM;
	}
	for (size_t i = 0; i < leaks.table_size; i++)
		if (leaks.table[i].blocks != 0)
			leaks.table[packed++] = leaks.table[i];
	sort_groups(leaks.table, packed);
	return 0;
}

const struct leak_group *
leaks_groups(size_t *ret_count)
{
	*ret_count = leaks.group_count;
	return leaks.table;
}

void
leaks_release(void)
{
	/* In the reverse order of taking: the range shrinks again. */
	if (leaks.heads != NULL)
		meta_unmap(leaks.heads,
			   (leaks.white_count + 1) * sizeof(*leaks.heads));
	if (leaks.table != NULL)
		meta_unmap(leaks.table,
			   leaks.table_size * sizeof(*leaks.table));
	memset(&leaks, 0, sizeof(leaks));
}
