/*
 * verify.c - a second mark, simple and slow.
 *
 * Owns a bitmap of its own, one bit for each 16 bytes of the heap's range, and
 * a queue of blocks to be scanned.  It shares with the first mark what a root
 * is and what a block is, and nothing else: no mark bit, no list, no barrier,
 * no order.  What both get wrong is found by other tests.
 *
 * Always true:
 *   V1  a block whose bit is set has been told to reach(), and is in the
 *       queue, or was scanned, or verify.overflowed is set;
 *   V2  a run writes to no memory but that of verify_prepare() (M4).
 */
#include "collect/verify.h"

#include "base/maps.h"
#include "base/panic.h"
#include "heap/blind.h"
#include "heap/heap.h"
#include "heap/meta.h"
#include "report/depot.h"
#include "report/modules.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/pages.h"
#include "world/roots.h"

#include <errno.h>

/* While the world still runs after verify_prepare(), the heap may grow. */
#define ROOM	(256 * MIB)

/* As in the marker: a block this large is asked for its touched pages. */
#define SPARSE_MIN	(256 * KIB)

#define QUEUE_MIN	4096u

/* A block that was reached and is white. */
struct difference {
	uintptr_t block;
	size_t size;
	uint32_t site;
	uintptr_t word;
	uintptr_t holder;	/* the block the word is in, 0: a root */
};

/* Guarded by RANK_CYCLE. */
static struct {
	uint64_t *bitmap;
	size_t bitmap_size;

	struct block *queue;	/* a ring */
	size_t queue_size;
	size_t head;
	size_t count;
	bool overflowed;	/* some block did not fit into it */

	bool (*reach)(struct block, uintptr_t);
	bool is_checking;	/* BILGE_VERIFY */
	bool is_done;		/* nobody wants to know more */
	uintptr_t holder;	/* the block that is being scanned */
	struct difference difference;
	struct maps maps;
} verify;

void
verify_release(void)
{
	/* In the reverse order of taking: the range shrinks again. */
	if (verify.queue != NULL)
		meta_unmap(verify.queue,
			   verify.queue_size * sizeof(*verify.queue));
	if (verify.bitmap != NULL)
		meta_unmap(verify.bitmap, verify.bitmap_size);
	verify.queue = NULL;
	verify.bitmap = NULL;
}

bool
verify_prepare(size_t blocks)
{
	size_t bytes = MIN(load_relaxed(&arena_view.frontier) * 2 + ROOM,
			   arena_view.size);

	verify.bitmap_size = ALIGN_UP(bytes / SLOT_ALIGN / 8, sizeof(uint64_t));
	verify.bitmap = meta_map(verify.bitmap_size);
	if (verify.bitmap == NULL)
		return false;
	for (verify.queue_size = MAX(blocks, QUEUE_MIN);
	     verify.queue_size >= QUEUE_MIN; verify.queue_size /= 2) {
		verify.queue = meta_map(verify.queue_size *
					sizeof(*verify.queue));
		if (verify.queue != NULL)
			return true;
	}
	verify_release();
	return false;
}

/* ------------------------------------------------------------- one block */

static uintptr_t
address_of(const struct block *b)
{
	return span_slot_addr(b->span, b->slot);
}

static uint64_t *
bit_of(const struct block *b, uint64_t *ret_bit)
{
	size_t index = (address_of(b) - arena_view.base) / SLOT_ALIGN;

	*ret_bit = UINT64_C(1) << (index % WORD_BITS);
	return &verify.bitmap[index / WORD_BITS];
}

/*
 * is_shared - may others than this process have written the word since it was
 * read for the first mark?
 */
static bool
is_shared(uintptr_t word)
{
	struct mapping m;
	bool result = false;

	if (arena_contains(word) || maps_open(&verify.maps) != 0)
		return false;
	while (maps_next(&verify.maps, &m))
		if (word >= m.start && word < m.end)
			result = m.shared;
	maps_close(&verify.maps);
	return result;
}

static void
visit(struct block b, uintptr_t word)
{
	uint64_t bit, *bits = bit_of(&b, &bit);

	if (*bits & bit)
		return;
	if (verify.is_checking && !candidate_is_marked(&b)) {
		if (is_shared(word))
			return;
		if (verify.difference.block == 0)
			verify.difference = (struct difference){
				.block = address_of(&b),
				.size = span_requested(b.span, b.slot),
				.site = span_site(b.span, b.slot),
				.word = word,
				.holder = verify.holder,
			};
	}
	*bits |= bit;						/* V1 */
	if (verify.reach != NULL && !verify.reach(b, word)) {
		verify.reach = NULL;
		verify.is_done = !verify.is_checking;
	}
	if (span_guards && span_is_quarantined(b.span, b.slot))
		return;							/* G1 */
	if (verify.count == verify.queue_size) {
		verify.overflowed = true;
		return;
	}
	verify.queue[(verify.head + verify.count++) % verify.queue_size] = b;
}

static void
visit_word(uintptr_t word, uintptr_t at)
{
	struct block b;

	if (candidate_find(word, &b))
		visit(b, at);
}

/* ---------------------------------------------------------------- scanning */

__attribute__((no_sanitize("address")))
static void
scan_range(uintptr_t start, uintptr_t end)
{
	uintptr_t at = ALIGN_UP(start, sizeof(uintptr_t));

	end = ALIGN_DOWN(end, sizeof(uintptr_t));
	for (; at < end && !verify.is_done; at += sizeof(uintptr_t)) {
		uintptr_t word = *(const uintptr_t *)at;

		visit_word(word, at);
		if (options->tag_mask != 0)
			visit_word(word & ~options->tag_mask, at);
	}
}

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	uintptr_t next;

	(void)argument;
	for (; blind_next(&start, end, &next); start = next)
		scan_range(start, next);
}

static void
scan_block(struct block b)
{
	uintptr_t start, end;

	/*
	 * Nobody has been given it yet: it may still hold what an earlier
	 * block has left, and is about to be cleared.
	 */
	if (verify.is_checking && b.span->site != NULL &&
	    span_site(b.span, b.slot) == SITE_NONE)
		return;
	verify.holder = address_of(&b);
	candidate_extent(&b, &start, &end);
	if (end - start >= SPARSE_MIN)
		pages_for_each_touched(start, end, PAGES_ANONYMOUS, scan_part,
				       NULL);
	else
		scan_part(start, end, NULL);
	verify.holder = 0;
}

static void
for_each_block(struct span *span, void (*each)(struct block))
{
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t bits = candidate_taken(span, w);

		for (; bits != 0; bits &= bits - 1)
			each((struct block){ span, w * WORD_BITS +
						   bits_ctz(bits), 0 });
	}
}

static void
visit_if_ignored(struct block b)
{
	if (span_site(b.span, b.slot) == SITE_IGNORED &&
	    !span_is_quarantined(b.span, b.slot))
		visit(b, 0);
}

static void
visit_ignored(struct span *span, void *argument)
{
	(void)argument;
	if (span->site != NULL)
		for_each_block(span, visit_if_ignored);
}

static void
scan_if_reached(struct block b)
{
	uint64_t bit;

	if ((*bit_of(&b, &bit) & bit) != 0 &&
	    !(span_guards && span_is_quarantined(b.span, b.slot)))
		scan_block(b);
}

static void
scan_reached(struct span *span, void *argument)
{
	(void)argument;
	for_each_block(span, scan_if_reached);
}

static void
drain(void)
{
	for (;;) {
		while (verify.count > 0 && !verify.is_done) {
			struct block b = verify.queue[verify.head];

			verify.head = (verify.head + 1) % verify.queue_size;
			verify.count--;
			scan_block(b);
		}
		if (!verify.overflowed || verify.is_done)
			return;
		/* Who did not fit is not known: scan all again. */
		verify.overflowed = false;
		arena_for_each_span(scan_reached, NULL);
	}
}

int
verify_run_stopped(bool (*reach)(struct block, uintptr_t))
{
	int error;

	verify.head = verify.count = 0;
	verify.overflowed = verify.is_done = false;
	verify.holder = 0;
	verify.reach = reach;
	verify.is_checking = options->verify != 0;
	if (load_relaxed(&arena_view.frontier) / SLOT_ALIGN / 8 >
	    verify.bitmap_size)
		return -ENOMEM;
	error = roots_scan(options->roots == ROOTS_ALL, scan_range);
	if (error != 0)
		return error;
	drain();
	/* Last: a better reason to be reached comes first. */
	arena_for_each_span(visit_ignored, NULL);
	drain();
	if (verify.is_checking && verify.difference.block == 0)
		stats.cycle.verified++;
	return 0;
}

/* ------------------------------------------------------------ a difference */

void
verify_settle(void)
{
	const struct difference *d = &verify.difference;
	const struct stack *stack = depot_stack(d->site);
	uintptr_t caller = stack != NULL && stack->count > 0
		? stack->frames[0] : 0;
	uint32_t module;

	if (d->block == 0)
		return;
	module = modules_lookup(caller);
	say("the mark missed the block %p of %zu bytes, from a call before %p "
	    "in %s", (void *)d->block, d->size, (void *)caller,
	    module == MODULE_NONE ? "no module" : modules_get(module)->path);
	module = modules_lookup(d->word);
	if (d->holder != 0)
		panic("verification failed: the word at %p in the block %p "
		      "points at it", (void *)d->word, (void *)d->holder);
	panic("verification failed: the word at %p in %s points at it",
	      (void *)d->word, module == MODULE_NONE
	      ? "a stack, thread-local storage or a mapping"
	      : modules_get(module)->path);
}
