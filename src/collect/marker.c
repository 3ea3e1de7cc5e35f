/*
 * marker.c - from roots to everything that can be reached.
 *
 * What takes the time is waiting for cache lines: so many are waited for at
 * once.  Words that may be addresses are gathered and looked up together.  A
 * block is asked for when it is taken from the grey ones, and scanned when
 * others have been (Cher, Hosking and Vitek, "Software prefetching for
 * mark-sweep garbage collection").
 *
 * Always true:
 *   K1  a marked block is black, or it is in a list of grey blocks or in a
 *       marker's `ready`, or marker.overflowed is set;
 *   K2  marking never writes to the program's memory;
 *   K3  a slot that was free when the mark began is black: it is no block, and
 *       what is born there is black (H3);
 *   K4  a block in quarantine is marked when something points at it, and is
 *       never scanned (G1).
 *
 * The program runs meanwhile.  Whatever else is read here may be old or half
 * new, and at worst keeps a block that is garbage.
 */
#include "collect/marker.h"

#include "base/arch.h"
#include "base/sys.h"
#include "collect/grey.h"
#include "heap/blind.h"
#include "heap/heap.h"
#include "settings/options.h"
#include "world/pages.h"

#include <string.h>

/* A block this large is scanned in parts, which others may take. */
#define PART_SIZE	(128 * KIB)

/* A part is asked for its touched pages first when the block has several. */
#define SPARSE_MIN	(2 * PART_SIZE)

/* Words that are looked up together: their cache lines come together too. */
#define FOUND_MAX	32u

/*
 * Blocks asked for and not scanned yet.  With 16 the lines have mostly arrived
 * in time; with 32 some are gone again.
 */
#define READY_MAX	16u

/*
 * So many are asked for one right after the other, and then as many scanned:
 * what one waits for longest is where a page is, and processors look up several
 * at a time, but not far ahead.
 */
#define GROUP		8u

/* So much of a block is asked for; the processor itself goes on from there. */
#define FETCH_SIZE	((size_t)256)
#define LINE		((size_t)64)

struct marker {
	/* Atomic: odd while blocks are read; see marker_settle(). */
	_Atomic uint32_t turn;

	/* Owner thread: the marking one. */
	struct grey grey;
	uint64_t bytes;
	uint64_t scanned;
	unsigned word_count;
	unsigned ready_count;
	unsigned ready_first;		/* the oldest */
	/* As of the last refresh(). */
	bool is_exact;
	struct block block;		/* that is scanned, if it is */
	struct arch_filter filter;
	struct block ready[READY_MAX];	/* asked for, soon to be scanned */
	uintptr_t words[FOUND_MAX];	/* found, and not looked up yet */
} CACHE_ALIGNED;

static struct marker markers[MARKERS_MAX];

static struct {
	/* Fixed while a cycle is under way. */
	uintptr_t tag_mask;
	uintptr_t guard;	/* of glibc's mangled pointers */
	void (*scan)(struct marker *, uintptr_t start, uintptr_t limit,
		     uintptr_t end);
	bool is_exact;		/* what is behind the requested bytes is none */
	/* Atomic: relaxed, only ever set while marking. */
	_Atomic bool overflowed;
} marker;

struct marker *
marker_of(unsigned index)
{
	return &markers[index];
}

/* ---------------------------------------------------------------- one block */

ALWAYS_INLINE void
make_grey(struct marker *m, struct block b)
{
	if (!grey_push(&m->grey, b))
		store_relaxed(&marker.overflowed, true);	/* K1 */
}

/* mark - make a candidate grey if it is white. */
ALWAYS_INLINE void
mark(struct marker *m, const struct block *b)
{
	const struct span *span = b->span;
	size_t word = b->slot / WORD_BITS;
	uint64_t bit = candidate_bit(b);

	if (candidate_is_marked(b))
		return;
	/*
	 * relaxed: winning the bit only makes the block ours to scan.  What it
	 * holds was written before the stop that began the cycle, or is on a
	 * dirty page.
	 */
	if (atomic_fetch_or_explicit(&span->mark[word], bit,
				     memory_order_relaxed) & bit)
		return;
	if (unlikely(span_guards) && span_is_quarantined(span, b->slot))
		return;							/* K4 */
	m->bytes += span_slot_bytes(span);
	make_grey(m, *b);
}

/* mark_found - look up the words that were found, in two rounds. */
static NOINLINE void
mark_found(struct marker *m)
{
	struct block blocks[FOUND_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < m->word_count; i++) {
		struct block *b = &blocks[count];

		b->part = 0;
		if (!candidate_locate(m->words[i], b))
			continue;
		__builtin_prefetch((const void *)
				   &b->span->mark[b->slot / WORD_BITS]);
		count++;
	}
	m->word_count = 0;
	for (unsigned i = 0; i < count; i++)
		mark(m, &blocks[i]);
}

/* consider - a word in the heap's range. */
ALWAYS_INLINE void
consider(struct marker *m, uintptr_t word)
{
	m->words[m->word_count++] = word;
	if (unlikely(m->word_count == FOUND_MAX))
		mark_found(m);
}

/* --------------------------------------------------------- a range of words */

/*
 * The conservative scan reads memory that is not ours, red zones of others'
 * stacks among it: checkers of such reads are kept out.
 */
#define SCANS	__attribute__((no_sanitize("address", "thread")))

/*
 * consider_word - as it is, or as glibc hides it: a coroutine's jmp_buf may be
 * all that leads to its stack.
 */
ALWAYS_INLINE void
consider_word(struct marker *m, uintptr_t word)
{
	uintptr_t hidden = arch_demangle(word, marker.guard);

	if (arena_contains(word))
		consider(m, word);
	else if (unlikely(arena_contains(hidden)))
		consider(m, hidden);
}

/*
 * is_left_over - does a word of a block lie behind the bytes that were asked
 * for, which begins at the limit?  Then it is of an earlier block; but of one
 * that nobody has been given yet the limit is an earlier block's, too.
 */
ALWAYS_INLINE bool
is_left_over(const struct marker *m, uintptr_t at, uintptr_t limit)
{
	return unlikely(at >= limit) &&
	       span_site(m->block.span, m->block.slot) != SITE_NONE;
}

SCANS static void
scan_words(struct marker *m, uintptr_t start, uintptr_t limit, uintptr_t end)
{
	for (uintptr_t at = start; at < end; at += sizeof(uintptr_t)) {
		if (is_left_over(m, at, limit))
			return;
		consider_word(m, *(const volatile uintptr_t *)at);
	}
}

/* scan_tagged - each word as it is and without the bits of BILGE_TAG_MASK. */
SCANS static void
scan_tagged(struct marker *m, uintptr_t start, uintptr_t limit, uintptr_t end)
{
	for (uintptr_t at = start; at < end; at += sizeof(uintptr_t)) {
		uintptr_t word = *(const volatile uintptr_t *)at;

		if (is_left_over(m, at, limit))
			return;
		consider_word(m, word);
		if (!arena_contains(word) &&
		    arena_contains(word & ~marker.tag_mask))
			consider(m, word & ~marker.tag_mask);
	}
}

#ifdef ARCH_HAS_RANGE_FILTER
/* scan_wide - most words are no addresses: leave out eight at a time. */
SCANS ARCH_FILTER_TARGET static void
scan_wide(struct marker *m, uintptr_t start, uintptr_t limit, uintptr_t end)
{
	const size_t step = ARCH_FILTER_WORDS * sizeof(uintptr_t);
	uintptr_t at = start;
	unsigned hits;

	for (;;) {
		if (end - at >= step)
			hits = arch_filter(&m->filter, (const void *)at);
		else
			hits = arch_filter_some(&m->filter, (const void *)at,
				(end - at) / sizeof(uintptr_t));
		for (; hits != 0; hits &= hits - 1) {
			const volatile uintptr_t *word =
				(const volatile uintptr_t *)at + bits_ctz(hits);

			if (is_left_over(m, (uintptr_t)word, limit))
				return;
			/* It may have changed since: look again. */
			consider_word(m, *word);
		}
		if (end - at <= step)
			return;
		at += step;
	}
}
#endif

static void
choose_scan(void)
{
	marker.tag_mask = options->tag_mask;
	marker.guard = arch_pointer_guard();
	marker.scan = scan_words;
#ifdef ARCH_HAS_RANGE_FILTER
	if (arch_can_filter_range())
		marker.scan = scan_wide;
#endif
	if (marker.tag_mask != 0)
		marker.scan = scan_tagged;
}

/* refresh - what changes while a cycle is under way, but rarely. */
static void
refresh(struct marker *m)
{
	/*
	 * What is behind the frontier of now was not there at the first stop,
	 * and is black.  Who has learned just now that there is more of a block
	 * writes to a page that will be dirty.
	 */
	m->is_exact = marker.is_exact && !heap_size_was_asked();
#ifdef ARCH_HAS_RANGE_FILTER
	arch_filter_init(&m->filter, arena_view.base, arena_end(),
			 arena_view.base + arena_view.size, marker.guard);
#endif
}

/*
 * scan - grey every block that a word of [start, end) points to.
 * Units: limit, from here on it may be left over from an earlier block.
 */
ALWAYS_INLINE void
scan(struct marker *m, uintptr_t start, uintptr_t limit, uintptr_t end)
{
	if (start >= end)
		return;
	m->scanned += end - start;
	marker.scan(m, start, limit, end);
}

void
marker_scan_range(uintptr_t start, uintptr_t end)
{
	start = ALIGN_UP(start, sizeof(uintptr_t));
	end = ALIGN_DOWN(end, sizeof(uintptr_t));
	refresh(&markers[0]);
	scan(&markers[0], start, end, end);
}

/* ------------------------------------------------------------ grey to black */

/*
 * scan_readable - what the program has closed is left out.
 * Units: multiples of the word's size; limit as for scan().
 */
ALWAYS_INLINE void
scan_readable(struct marker *m, uintptr_t at, uintptr_t limit, uintptr_t end)
{
	uintptr_t next;

	for (; blind_next(&at, end, &next); at = next)
		scan(m, at, limit, next);
}

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	scan_readable(argument, start, end, end);
}

static NOINLINE void
scan_large(struct marker *m, struct block b)
{
	uintptr_t start, end;

	candidate_extent(&b, &start, &end);
	if (end - start < SPARSE_MIN) {
		scan_readable(m, start, end, end);
		return;
	}
	start += (uintptr_t)b.part * PART_SIZE;
	if (start >= end)
		return;
	if (end - start > PART_SIZE) {
		b.part++;
		make_grey(m, b);
		end = start + PART_SIZE;
	}
	pages_for_each_touched(start, end, PAGES_ANONYMOUS, scan_part, m);
}

/* scan_small - what lies in [start, end) of a block of a span of several. */
ALWAYS_INLINE void
scan_small(struct marker *m, const struct block *b, uintptr_t start,
	   uintptr_t end)
{
	const struct span *span = b->span;
	uintptr_t block = span_slot_addr(span, b->slot), limit = UINTPTR_MAX;

	if (m->is_exact) {
		limit = block + ALIGN_DOWN(span_requested(span, b->slot),
					   sizeof(uintptr_t));
		m->block = *b;
	}
	scan_readable(m, MAX(block, start), limit,
		      MIN(block + span->slot_size, end));
}

/*
 * fetch - ask for what is read of a block: the first lines, from where on the
 * processor goes on by itself, and how much of it was asked for.
 */
ALWAYS_INLINE void
fetch(const struct marker *m, const struct block *b)
{
	const struct span *span = b->span;
	uintptr_t start = span_slot_addr(span, b->slot);

	__builtin_prefetch((const void *)start);
	for (size_t at = LINE; at < FETCH_SIZE; at += LINE)
		__builtin_prefetch((const void *)(start +
				   MIN(at, span->slot_size)));
	if (m->is_exact && span->slack != NULL)
		__builtin_prefetch((const void *)&span->slack[b->slot]);
}

ALWAYS_INLINE void
scan_block(struct marker *m, const struct block *b)
{
	if (unlikely(span_is_large(b->span)))
		scan_large(m, *b);
	else
		scan_small(m, b, 0, UINTPTR_MAX);
}

ALWAYS_INLINE struct block
take_ready(struct marker *m)
{
	struct block b = m->ready[m->ready_first];

	m->ready_first = (m->ready_first + 1) % READY_MAX;
	m->ready_count--;
	return b;
}

/*
 * scan_grey - scan what is grey, as long as there is any or for the budget's
 * sake.
 */
static bool
scan_grey(struct marker *m, uint64_t end)
{
	while (m->scanned < end) {
		struct block b;

		while (m->ready_count < READY_MAX && grey_pop(&m->grey, &b)) {
			fetch(m, &b);
			m->ready[(m->ready_first + m->ready_count++) %
				 READY_MAX] = b;
		}
		if (m->ready_count == 0)
			return true;
		for (unsigned n = MIN(m->ready_count, GROUP); n > 0; n--) {
			b = take_ready(m);
			scan_block(m, &b);
		}
	}
	return false;
}

static void rescan(struct marker *m, uintptr_t start, uintptr_t end);

static void
rescan_span(struct span *span, void *argument)
{
	rescan(argument, span->run, span_end(span));
}

static void
take_turn(struct marker *m)
{
	/* seq_cst: the turn is seen before blind_is_any is looked at. */
	atomic_fetch_add_explicit(&m->turn, 1, memory_order_seq_cst);
}

void
marker_settle(void)
{
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < MARKERS_MAX; i++) {
		uint32_t turn = load_acquire(&markers[i].turn);

		while (turn % 2 != 0 && load_acquire(&markers[i].turn) == turn)
			sys_sched_yield();
	}
}

static bool
drain(struct marker *m, size_t budget)
{
	uint64_t end = m->scanned + budget;

	for (;;) {
		if (!scan_grey(m, end))
			return false;
		if (m->word_count > 0)
			mark_found(m);
		else if (!atomic_exchange_explicit(&marker.overflowed, false,
						   memory_order_relaxed))
			return true;
		else	/* Some marked blocks were never scanned. */
			arena_for_each_span(rescan_span, m);
		if (m->scanned >= end)
			return false;
	}
}

bool
marker_drain(struct marker *m, size_t budget)
{
	bool is_done;

	take_turn(m);
	refresh(m);
	is_done = drain(m, budget);
	take_turn(m);
	return is_done;
}

void
marker_give_back(struct marker *m)
{
	if (m->word_count > 0)
		mark_found(m);
	while (m->ready_count > 0)
		make_grey(m, take_ready(m));
	grey_give_back(&m->grey);
}

/* rescan_large - what lies in [start, end) of a large block. */
static void
rescan_large(struct marker *m, struct span *span, uintptr_t start,
	     uintptr_t end)
{
	struct block b = { .span = span };
	uintptr_t from, to;

	if (!candidate_is_taken(span, 0) || !candidate_is_marked(&b) ||
	    span_is_quarantined(span, 0))			/* K4 */
		return;
	candidate_extent(&b, &from, &to);
	to = MIN(to, end);
	scan_readable(m, MAX(from, start), to, to);
}

/*
 * scan_slots - what of [start, end) lies in these slots of a span, all of each;
 * neighbours are read as one range.
 * Units: bits, of the word-th word of its bitmaps.
 */
static void
scan_slots(struct marker *m, const struct span *span, uint32_t word,
	   uint64_t bits, uintptr_t start, uintptr_t end)
{
	while (bits != 0) {
		unsigned low = bits_ctz(bits), count = WORD_BITS - low;
		uint32_t slot = word * WORD_BITS + low;
		uintptr_t to;

		if (~(bits >> low) != 0)
			count = MIN(count, bits_ctz(~(bits >> low)));
		to = MIN(end, span_slot_addr(span, slot + count));
		scan_readable(m, MAX(start, span_slot_addr(span, slot)), to,
			      to);
		bits &= ~(bits_below(count) << low);
	}
}

void
marker_scan_slots(struct marker *m, const struct span *span, uint32_t word,
		  uint64_t bits)
{
	take_turn(m);
	refresh(m);
	scan_slots(m, span, word, bits, 0, UINTPTR_MAX);
	take_turn(m);
}

void
marker_grey(struct marker *m, const struct block *b)
{
	make_grey(m, *b);
}

/* rescan_small - what lies in [start, end), a part of the span, of blocks. */
static void
rescan_small(struct marker *m, struct span *span, uintptr_t start,
	     uintptr_t end)
{
	uint32_t first = span_slot_of(span, start);
	uint32_t last = MIN(span_slot_of(span, end - 1), span->slot_count - 1);

	/* Beyond the last slot no bit of a word is taken. */
	for (uint32_t w = first / WORD_BITS; w <= last / WORD_BITS; w++) {
		uint64_t bits = load_relaxed(&span->mark[w]) &
				candidate_taken(span, w) &
				~load_relaxed(&span->quarantined[w]); /* K4 */

		if (w == first / WORD_BITS)
			bits &= ~bits_below(first % WORD_BITS);
		if (w == last / WORD_BITS)
			bits &= bits_below(last % WORD_BITS + 1);
		if (!m->is_exact) {
			scan_slots(m, span, w, bits, start, end);
			continue;
		}
		for (; bits != 0; bits &= bits - 1) {
			struct block b = { .span = span,
				.slot = w * WORD_BITS + bits_ctz(bits) };

			scan_small(m, &b, start, end);
		}
	}
}

static void
rescan(struct marker *m, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		uintptr_t next = ALIGN_DOWN(start, UNIT_SIZE) + UNIT_SIZE;
		struct span *span = arena_span_of(start);

		/* It may have been given to the table just now: S4. */
		atomic_thread_fence(memory_order_acquire);
		if (span != NULL && span_is_large(span)) {
			next = MAX(next, span_end(span));
			rescan_large(m, span, start, end);
		} else if (span != NULL) {
			rescan_small(m, span, start, MIN(next, end));
		}
		start = next;
	}
}

void
marker_rescan(struct marker *m, uintptr_t start, uintptr_t end)
{
	take_turn(m);
	refresh(m);
	rescan(m, start, end);
	take_turn(m);
}

/* ------------------------------------------------------------ begin and end */

static void
reset(struct marker *m)
{
	uint32_t turn = load_relaxed(&m->turn);

	memset(m, 0, sizeof(*m));
	store_relaxed(&m->turn, turn);
}

bool
marker_begin(bool is_exact)
{
	for (unsigned i = 0; i < MARKERS_MAX; i++)
		reset(&markers[i]);
	store_relaxed(&marker.overflowed, false);
	marker.is_exact = is_exact;
	choose_scan();
	return grey_open();
}

/*
 * whiten_span - K3.  Its slots may be claimed and freed meanwhile: one that
 * is claimed since is written to since, on a page that the barrier tracks.
 */
static void
whiten_span(struct span *span, void *unused)
{
	(void)unused;
	for (uint32_t w = 0; w < span->words; w++)
		store_relaxed(&span->mark[w], span_word_mask(span, w) &
			      ~candidate_taken(span, w));
}

void
marker_whiten(void)
{
	arena_for_each_span(whiten_span, NULL);
}

void
marker_end(void)
{
	grey_close();
}

static void
blacken_cache(struct cache *cache, void *unused)
{
	(void)unused;
	cache_blacken(cache);
}

void
marker_blacken_claims(void)
{
	store_relaxed(&cache_blackens, true);
	cache_for_each(blacken_cache, NULL);
}

static void
grey_ignored_of_span(struct span *span, void *unused)
{
	(void)unused;
	if (span->site == NULL)
		return;
	for (uint32_t slot = 0; slot < span->slot_count; slot++) {
		struct block b = { span, slot, 0 };

		if (span_site(span, slot) == SITE_IGNORED &&
		    !span_is_quarantined(span, slot))
			mark(&markers[0], &b);
	}
}

void
marker_grey_ignored(void)
{
	if (heap_has_ignored())
		arena_for_each_span(grey_ignored_of_span, NULL);
}

uint64_t
marker_bytes(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < MARKERS_MAX; i++)
		bytes += markers[i].bytes;
	return bytes;
}

uint64_t
marker_scanned_bytes(void)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < MARKERS_MAX; i++)
		bytes += markers[i].scanned;
	return bytes;
}
