/*
 * marker.c - from roots to everything that can be reached.
 *
 * A word that may be a block's address goes through a pipeline, so that the
 * processor waits for few of the many cache lines it needs: the span's header
 * is asked for when the word is found, the mark's word a little later, and the
 * block itself when it has become grey.
 *
 * Always true:
 *   K1  a marked block is black, or it is in a list of grey blocks or in a
 *       marker's pipeline, or marker.overflowed is set;
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

/*
 * Words under way.  With 16 the lines asked for have arrived when they are
 * looked at (more did not help, measured from 4 to 64).
 */
#define PIPE_SIZE	16u

struct marker {
	/* Atomic: odd while blocks are read; see marker_settle(). */
	_Atomic uint32_t turn;

	/* Owner thread: the marking one. */
	struct grey grey;
	struct block pipe[PIPE_SIZE];	/* candidates, a ring */
	unsigned pipe_next;		/* the oldest of a full ring */
	unsigned pipe_used;
	struct block ready[PIPE_SIZE];	/* grey, on its way to be scanned */
	unsigned ready_next;
	unsigned ready_used;
	uint64_t bytes;
	uint64_t scanned;
} CACHE_ALIGNED;

static struct marker markers[MARKERS_MAX];

static struct {
	/* Fixed while a cycle is under way. */
	uintptr_t tag_mask;
	uintptr_t guard;	/* of glibc's mangled pointers */
	void (*scan)(struct marker *, uintptr_t, uintptr_t);
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

void
marker_grey(struct marker *m, const struct block *b)
{
	if (!grey_push(&m->grey, *b))
		store_relaxed(&marker.overflowed, true);	/* K1 */
}

/* mark - make a candidate grey if it is white. */
static void
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
	__builtin_prefetch((const void *)span_slot_addr(span, b->slot));
	marker_grey(m, b);
}

/* consider - a word in the heap's range. */
ALWAYS_INLINE void
consider(struct marker *m, uintptr_t word)
{
	struct block *place;
	struct block b = { .part = 0 };

	if (!candidate_locate(word, &b))
		return;
	__builtin_prefetch((const void *)&b.span->mark[b.slot / WORD_BITS]);
	if (m->pipe_used < PIPE_SIZE) {
		m->pipe[m->pipe_used++] = b;
		return;
	}
	place = &m->pipe[m->pipe_next];
	m->pipe_next = (m->pipe_next + 1) % PIPE_SIZE;
	mark(m, place);
	*place = b;
}

static void
empty_pipe(struct marker *m)
{
	for (unsigned i = 0; i < m->pipe_used; i++)
		mark(m, &m->pipe[(m->pipe_next + i) % PIPE_SIZE]);
	m->pipe_used = m->pipe_next = 0;
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

SCANS static void
scan_words(struct marker *m, uintptr_t start, uintptr_t end)
{
	for (uintptr_t at = start; at < end; at += sizeof(uintptr_t))
		consider_word(m, *(const volatile uintptr_t *)at);
}

/* scan_tagged - each word as it is and without the bits of BILGE_TAG_MASK. */
SCANS static void
scan_tagged(struct marker *m, uintptr_t start, uintptr_t end)
{
	for (uintptr_t at = start; at < end; at += sizeof(uintptr_t)) {
		uintptr_t word = *(const volatile uintptr_t *)at;

		consider_word(m, word);
		if (!arena_contains(word) &&
		    arena_contains(word & ~marker.tag_mask))
			consider(m, word & ~marker.tag_mask);
	}
}

#ifdef ARCH_HAS_RANGE_FILTER
/* scan_wide - most words are no addresses: leave out eight at a time. */
SCANS ARCH_FILTER_TARGET static void
scan_wide(struct marker *m, uintptr_t start, uintptr_t end)
{
	unsigned shift = bits_log2(arena_view.size);
	uintptr_t at = start;

	for (; at + ARCH_FILTER_BYTES <= end; at += ARCH_FILTER_BYTES) {
		unsigned hits = arch_filter_range((const void *)at,
						  arena_view.base, shift,
						  marker.guard);

		for (; hits != 0; hits &= hits - 1)
			consider_word(m, ((const volatile uintptr_t *)
					  at)[bits_ctz(hits)]);
	}
	scan_words(m, at, end);
}
#endif

static void
choose_scan(void)
{
	marker.tag_mask = options->tag_mask;
	marker.guard = arch_pointer_guard();
	marker.scan = scan_words;
#ifdef ARCH_HAS_RANGE_FILTER
	if (arch_can_filter_range() && bits_is_power_of_two(arena_view.size))
		marker.scan = scan_wide;
#endif
	if (marker.tag_mask != 0)
		marker.scan = scan_tagged;
}

void
marker_scan(struct marker *m, uintptr_t start, uintptr_t end)
{
	start = ALIGN_UP(start, sizeof(uintptr_t));
	end = ALIGN_DOWN(end, sizeof(uintptr_t));
	if (start >= end)
		return;
	m->scanned += end - start;
	marker.scan(m, start, end);
}

void
marker_scan_range(uintptr_t start, uintptr_t end)
{
	marker_scan(&markers[0], start, end);
}

/* ------------------------------------------------------------ grey to black */

/* scan_readable - what the program has closed is left out. */
static void
scan_readable(struct marker *m, uintptr_t at, uintptr_t end)
{
	uintptr_t next;

	for (; blind_next(&at, end, &next); at = next)
		marker_scan(m, at, next);
}

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	scan_readable(argument, start, end);
}

/* extent - the words of a block that are read. */
ALWAYS_INLINE void
extent(const struct block *b, uintptr_t *ret_start, uintptr_t *ret_end)
{
	if (marker.is_exact || span_is_large(b->span)) {
		candidate_extent(b, ret_start, ret_end);
		return;
	}
	*ret_start = span_slot_addr(b->span, b->slot);
	*ret_end = *ret_start + b->span->slot_size;
}

static void
scan_block(struct marker *m, struct block b)
{
	uintptr_t start, end;

	extent(&b, &start, &end);
	if (end - start < SPARSE_MIN) {
		scan_readable(m, start, end);
		return;
	}
	start += (uintptr_t)b.part * PART_SIZE;
	if (start >= end)
		return;
	if (end - start > PART_SIZE) {
		b.part++;
		marker_grey(m, &b);
		end = start + PART_SIZE;
	}
	pages_for_each_touched(start, end, PAGES_ANONYMOUS, scan_part, m);
}

/* scan_next - put a grey block into the pipeline, scan the oldest in it. */
static void
scan_next(struct marker *m, const struct block *b)
{
	struct block *place;
	struct block oldest;

	if (m->ready_used < PIPE_SIZE) {
		m->ready[m->ready_used++] = *b;
		return;
	}
	place = &m->ready[m->ready_next];
	m->ready_next = (m->ready_next + 1) % PIPE_SIZE;
	oldest = *place;
	*place = *b;
	scan_block(m, oldest);
}

static void
empty_ready(struct marker *m)
{
	for (unsigned i = 0; i < m->ready_used; i++)
		scan_block(m, m->ready[(m->ready_next + i) % PIPE_SIZE]);
	m->ready_used = m->ready_next = 0;
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
	struct block b;

	for (;;) {
		while (grey_pop(&m->grey, &b)) {
			scan_next(m, &b);
			if (m->scanned >= end)
				return false;
		}
		if (m->pipe_used > 0)
			empty_pipe(m);
		else if (m->ready_used > 0)
			empty_ready(m);
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
	is_done = drain(m, budget);
	take_turn(m);
	return is_done;
}

/*
 * scan_slots - what of [start, end) lies in these slots of a span; neighbours
 * are read as one range.
 * Units: bits, of the word-th word of its bitmaps.
 */
static void
scan_slots(struct marker *m, const struct span *span, uint32_t word,
	   uint64_t bits, uintptr_t start, uintptr_t end)
{
	while (bits != 0) {
		unsigned low = bits_ctz(bits), count = WORD_BITS - low;
		uint32_t slot = word * WORD_BITS + low;

		if (~(bits >> low) != 0)
			count = MIN(count, bits_ctz(~(bits >> low)));
		scan_readable(m, MAX(start, span_slot_addr(span, slot)),
			      MIN(end, span_slot_addr(span, slot + count)));
		bits &= ~(bits_below(count) << low);
	}
}

/* live_word - marked blocks, and no others, of a word of the bitmaps (K4). */
static uint64_t
live_word(const struct span *span, uint32_t word)
{
	return candidate_taken(span, word) & load_relaxed(&span->mark[word]) &
	       ~load_relaxed(&span->quarantined[word]);
}

/* rescan_slots - Units: [start, end), in a span of small slots. */
static void
rescan_slots(struct marker *m, const struct span *span, uintptr_t start,
	     uintptr_t end)
{
	uint32_t first = span_slot_of(span, MAX(start, span_base(span)));
	uint32_t last = MIN(span_slot_of(span, end - 1), span->slot_count - 1);

	for (uint32_t w = first / WORD_BITS; w <= last / WORD_BITS; w++) {
		uint64_t bits = live_word(span, w);

		if (w == first / WORD_BITS)
			bits &= ~bits_below(first % WORD_BITS);
		if (w == last / WORD_BITS)
			bits &= bits_below(last % WORD_BITS + 1);
		if (!marker.is_exact) {
			scan_slots(m, span, w, bits, start, end);
			continue;
		}
		for (; bits != 0; bits &= bits - 1) {
			struct block b = { (struct span *)(uintptr_t)span,
					   w * WORD_BITS + bits_ctz(bits), 0 };
			uintptr_t from, to;

			extent(&b, &from, &to);
			scan_readable(m, MAX(from, start), MIN(to, end));
		}
	}
}

static void
rescan(struct marker *m, uintptr_t start, uintptr_t end)
{
	while (start < end) {
		struct span *span = arena_span_of(start);
		uintptr_t next = ALIGN_DOWN(start, UNIT_SIZE) + UNIT_SIZE;

		/* It may have been given to the table just now: acquire, S4. */
		atomic_thread_fence(memory_order_acquire);
		if (span != NULL)
			next = MAX(next, span_end(span));
		if (span != NULL && !span_is_large(span))
			rescan_slots(m, span, start, MIN(next, end));
		else if (span != NULL && live_word(span, 0) != 0)
			scan_readable(m, MAX(start, span_base(span)),
				      MIN(next, end));
		start = next;
	}
}

void
marker_scan_slots(struct marker *m, const struct span *span, uint32_t word,
		  uint64_t bits)
{
	take_turn(m);
	scan_slots(m, span, word, bits, 0, UINTPTR_MAX);
	take_turn(m);
}

void
marker_rescan(struct marker *m, uintptr_t start, uintptr_t end)
{
	take_turn(m);
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
