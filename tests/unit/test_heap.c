/*
 * test_heap.c - allocate, resize, free, by one thread against a model.
 *
 * Not here: several threads (test_cache.c), signal handlers and what a stop
 * finds at each instruction (test_steps.c), fork (test_fork.c).
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/barrier.h"
#include "heap/meta.h"
#include "world/mutator.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* free_block - as free does it. */
static enum heap_verdict
free_block(void *block)
{
	return heap_free_fast(block) ? HEAP_DONE : heap_free(block);
}

#define BLOCKS		3000

/* Each way the heap is used: a pad of 1 comes with sites, as in bilge.c. */
static const struct way {
	unsigned pad;
	bool with_sites;
} ways[] = { { 0, false }, { 1, true }, { 0, true } };

static const struct way *way;

/* What the model knows of a block. */
static struct model {
	unsigned char *block;
	size_t size;
	size_t alignment;
	unsigned char pattern;
} blocks[BLOCKS];

static size_t count;

/* Of large blocks only some bytes are looked at, and always the last one. */
static size_t
next_byte(size_t at)
{
	return at < 64 ? at + 1 : at + 61;
}

static unsigned char
byte_at(const struct model *m, size_t at)
{
	return (unsigned char)(m->pattern + at * 7);
}

static void
fill(const struct model *m)
{
	for (size_t at = 0; at < m->size; at = next_byte(at))
		m->block[at] = byte_at(m, at);
	if (m->size > 0)
		m->block[m->size - 1] = byte_at(m, m->size - 1);
}

static void
check_part(const struct model *m, size_t size)
{
	for (size_t at = 0; at < size; at = next_byte(at))
		expect(m->block[at] == byte_at(m, at));
}

static void
check(const struct model *m)
{
	check_part(m, m->size);
	expect(m->size == 0 ||
	       m->block[m->size - 1] == byte_at(m, m->size - 1));
}

static bool
is_zero(const unsigned char *p, size_t size)
{
	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

static void
check_new(struct model *m)
{
	uintptr_t address = (uintptr_t)m->block;

	expect(m->block != NULL);
	expect(address % m->alignment == 0);
	expect(arena_contains(address));
	expect(arena_contains(address + MAX(m->size, 1u) - 1));
	if (way->with_sites)
		heap_note(m->block, m->size, SITE_UNKNOWN);
}

static void
add(struct model *m, uint64_t *state)
{
	bool zero = unit_random(state, 2) == 0;

	m->size = unit_random_size(state, 40) == 0
		? unit_random_size(state, 2 * MIB)
		: unit_random_size(state, 8 * KIB);
	m->alignment = SLOT_ALIGN;
	if (unit_random(state, 4) == 0) {
		m->alignment <<= unit_random(state, 10);
		m->block = heap_alloc_aligned(m->size, m->alignment);
		zero = false;
	} else {
		m->block = heap_alloc(m->size, zero);
	}
	check_new(m);
	if (zero)
		expect(is_zero(m->block, m->size));
	m->pattern = (unsigned char)unit_random(state, 256);
	fill(m);
	count++;
}

static void
drop(struct model *m)
{
	check(m);
	/* To the heap everything is as it was given: contents are ours. */
	memset(m->block, 0xdb, m->size);
	expect(free_block(m->block) == HEAP_DONE);
	m->block = NULL;
	count--;
}

static void
change(struct model *m, uint64_t *state)
{
	size_t old = m->size;
	void *block;

	m->size = unit_random(state, 3) == 0
		? old + unit_random_size(state, old / 8 + 8)
		: unit_random_size(state, unit_random(state, 20) == 0
				   ? 3 * MIB : 16 * KIB);
	expect(heap_resize(m->block, m->size, &block) == HEAP_DONE);
	m->block = block;
	m->alignment = SLOT_ALIGN;
	check_new(m);
	/* The old last byte may lie where no other is looked at. */
	check_part(m, MIN(old, m->size));
	expect(old == 0 || old > m->size ||
	       m->block[old - 1] == byte_at(m, old - 1));
	fill(m);
}

static void
check_all(void)
{
	struct heap_statistics s = heap_statistics();
	size_t bytes = 0;

	expect(unit_check_heap() == count);
	expect(s.used_slots == count);
	expect(s.used_bytes <= s.mapped_bytes);
	for (size_t i = 0; i < BLOCKS; i++)
		if (blocks[i].block != NULL) {
			check(&blocks[i]);
			bytes += blocks[i].size;
		}
	expect(s.used_bytes >= bytes);
}

START_TEST(test_model)
{
	uint64_t state = unit_seed(1 + (unsigned)_i);

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (unsigned n = 0; n < 150000; n++) {
		struct model *m = &blocks[unit_random(&state, BLOCKS)];

		if (m->block == NULL)
			add(m, &state);
		else if (unit_random(&state, 3) == 0)
			change(m, &state);
		else
			drop(m);
		if (n % 10000 == 0)
			check_all();
		if (n % 25000 == 0) {
			heap_trim();
			check_all();
		}
	}
	check_all();
	for (size_t i = 0; i < BLOCKS; i++)
		if (blocks[i].block != NULL)
			drop(&blocks[i]);
	heap_trim();
	check_all();
	/* All that is left are the spans with claims, and those are given. */
	ck_assert_uint_eq(arena_used_bytes(), 0);
}
END_TEST

/* Many blocks of one size: slots do not overlap and none is lost. */
START_TEST(test_batches)
{
	uint64_t state = unit_seed(9);

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (unsigned round = 0; round < 100; round++) {
		size_t size = unit_random_size(&state, 4 * KIB);

		for (size_t i = 0; i < BLOCKS; i++) {
			struct model *m = &blocks[i];

			m->size = size;
			m->alignment = SLOT_ALIGN;
			m->pattern = (unsigned char)i;
			m->block = heap_alloc(size, i % 2 == 0);
			check_new(m);
			if (i % 2 == 0)
				expect(is_zero(m->block, size));
			fill(m);
			count++;
		}
		/* In order, in reverse, or every seventh. */
		for (size_t i = 0; i < BLOCKS; i++)
			drop(&blocks[round % 3 == 0 ? i
				     : round % 3 == 1 ? BLOCKS - 1 - i
						      : i * 7 % BLOCKS]);
		expect(unit_check_heap() == 0);
	}
}
END_TEST

/* ------------------------------------------------------------------- limits */

START_TEST(test_sizes)
{
	void *a, *b;

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	/* Nothing is unique, too. */
	a = heap_alloc(0, false);
	b = heap_alloc(0, true);
	ck_assert(a != NULL && b != NULL && a != b);
	ck_assert_ptr_null(heap_alloc((size_t)PTRDIFF_MAX + 1, false));
	ck_assert_ptr_null(heap_alloc(SIZE_MAX, false));
	ck_assert_ptr_null(heap_alloc(PTRDIFF_MAX, false));
	ck_assert_ptr_null(heap_alloc_aligned(SIZE_MAX, 64));
	ck_assert_ptr_null(heap_alloc_aligned(16, (size_t)1 << 63));
	ck_assert_ptr_null(heap_alloc_aligned(PTRDIFF_MAX - 5, 64));
	ck_assert_int_eq(heap_resize(a, SIZE_MAX, &b), HEAP_NO_MEMORY);
	ck_assert_int_eq(heap_resize(a, PTRDIFF_MAX, &b), HEAP_NO_MEMORY);
	ck_assert_int_eq(free_block(a), HEAP_DONE);
}
END_TEST

/* Around each border, what may be used is at least what was asked for. */
START_TEST(test_usable)
{
	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	ck_assert(!heap_size_was_asked());
	for (unsigned class = 0; class < CLASS_COUNT; class++)
		for (int off = -2; off <= 2; off++) {
			size_t size = (size_t)((int)sizeclass_slot_size[class] +
					       off);
			unsigned char *p = heap_alloc(size, false), *q;
			size_t usable = heap_usable_size(p);
			uint32_t slot;
			struct span *span = arena_span_of((uintptr_t)p);

			expect(usable >= size);
			/* A pointer past its end lies in the block (pad). */
			slot = span_is_large(span) ? 0
			     : span_slot_of(span, (uintptr_t)p);
			expect((uintptr_t)p + usable + way->pad <=
			       (span_is_large(span) ? span_base(span)
				: span_slot_addr(span, slot)) +
			       span_slot_bytes(span));
			memset(p, 1, usable);
			q = heap_alloc(size, true);
			expect(is_zero(q, size));
			memset(q, 2, heap_usable_size(q));
			for (size_t i = 0; i < usable; i++)
				expect(p[i] == 1);
			expect(free_block(p) == HEAP_DONE);
			expect(free_block(q) == HEAP_DONE);
		}
	ck_assert(heap_size_was_asked());
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

START_TEST(test_aligned)
{
	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (size_t alignment = 1; alignment <= 16 * MIB; alignment *= 2)
		for (size_t size = 0; size <= 600 * KIB; size = size * 2 + 13) {
			unsigned char *p = heap_alloc_aligned(size, alignment);

			expect(p != NULL && (uintptr_t)p % alignment == 0);
			expect(heap_usable_size(p) >= size);
			if (way->with_sites) {
				heap_note(p, size, 99);
				expect(span_requested(
					arena_span_of((uintptr_t)p),
					span_is_large(arena_span_of(
						(uintptr_t)p)) ? 0
					: span_slot_of(arena_span_of(
						(uintptr_t)p), (uintptr_t)p)) ==
				       size);
			}
			memset(p, 1, size);
			expect(free_block(p) == HEAP_DONE);
		}
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

/* ----------------------------------------------------------- wrong pointers */

static enum heap_verdict elsewhere;

static void *
free_elsewhere(void *block)
{
	heap_thread_begin(true);
	elsewhere = free_block(block);
	heap_thread_end(false);
	return NULL;
}

static enum heap_verdict
verdict_elsewhere(void *block)
{
	pthread_t thread;

	expect(pthread_create(&thread, NULL, free_elsewhere, block) == 0);
	pthread_join(thread, NULL);
	return elsewhere;
}

/* Every way to free twice, for blocks of this size. */
static void
free_twice(size_t size)
{
	char *p = heap_alloc(size, false), *near = heap_alloc(size, false);
	void *moved;

	/* By the same thread. */
	expect(free_block(p) == HEAP_DONE);
	expect(free_block(p) == HEAP_DOUBLE_FREE);
	expect(verdict_elsewhere(p) == HEAP_DOUBLE_FREE);
	expect(heap_resize(p, 10, &moved) == HEAP_DOUBLE_FREE);
	expect(heap_usable_size(p) == 0);
	expect(!heap_set_site(p, SITE_IGNORED));
	/* First by another. */
	p = heap_alloc(size, false);
	expect(verdict_elsewhere(p) == HEAP_DONE);
	expect(verdict_elsewhere(p) == HEAP_DOUBLE_FREE);
	expect(free_block(p) == HEAP_DOUBLE_FREE);
	expect(heap_resize(p, 10, &moved) == HEAP_DOUBLE_FREE);
	expect(free_block(near) == HEAP_DONE);
	/* What was wrong has changed nothing. */
	expect(unit_check_heap() == 0);
}

START_TEST(test_double_free)
{
	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (size_t size = 0; size <= 100 * KIB; size = size * 2 + 5)
		free_twice(size);
	/* The arena keeps what was large: its unit is nobody's now. */
	for (size_t size = 200 * KIB; size <= 40 * MIB; size *= 3)
		free_twice(size);
}
END_TEST

/* A whole word of slots, and one that is claimed again in between. */
START_TEST(test_double_free_of_words)
{
	static void *many[1000];

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = heap_alloc(48, false);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		expect(free_block(many[i]) == HEAP_DONE);
		expect(free_block(many[i]) == HEAP_DOUBLE_FREE);
		expect(free_block(many[i / 2]) == HEAP_DOUBLE_FREE);
	}
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

/* What was freed, is claimed again, and waits there to be given out. */
START_TEST(test_double_free_of_claimed)
{
	static void *many[200];
	void *again;

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = heap_alloc(48, false);
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		expect(free_block(many[i]) == HEAP_DONE);
	for (size_t n = 1; n <= ARRAY_LEN(many); n++) {
		again = heap_alloc(48, false);
		for (size_t i = 0; i < ARRAY_LEN(many); i++)
			if (many[i] == again)
				many[i] = NULL;
		for (size_t i = 0; i < ARRAY_LEN(many); i++)
			expect(many[i] == NULL ||
			       free_block(many[i]) == HEAP_DOUBLE_FREE);
		expect(unit_check_heap() == n);
	}
}
END_TEST

static void
free_wrong(size_t size)
{
	char *p = heap_alloc(size, false);
	size_t slot = span_slot_bytes(arena_span_of((uintptr_t)p));
	void *moved;

	memset(p, 0x5a, size);
	for (size_t at = 1; at < MIN(size + 1, slot); at = at * 2 + 1) {
		expect(free_block(p + at) == HEAP_INVALID);
		expect(verdict_elsewhere(p + at) == HEAP_INVALID);
		expect(heap_resize(p + at, 5, &moved) == HEAP_INVALID);
		expect(heap_usable_size(p + at) == 0);
	}
	for (size_t at = 0; at < size; at++)
		expect(p[at] == 0x5a);
	expect(free_block(p) == HEAP_DONE);
}

START_TEST(test_invalid)
{
	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (size_t size = 1; size <= 900 * KIB; size = size * 3 + 1)
		free_wrong(size);
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

/* The rest of a span behind its last slot holds no block. */
START_TEST(test_invalid_rest)
{
	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (size_t size = 17; size <= 60 * KIB; size = size * 2 + 9) {
		char *p = heap_alloc(size, false);
		struct span *span = arena_span_of((uintptr_t)p);
		uintptr_t end = span_base(span) + (span->run_units << UNIT_SHIFT);

		for (uintptr_t at = span_slot_addr(span, span->slot_count);
		     at < end; at += 16)
			expect(free_block((void *)at) == HEAP_INVALID);
		expect(free_block(p) == HEAP_DONE);
	}
}
END_TEST

START_TEST(test_foreign)
{
	static char data[64];
	char local[64];
	void *moved;
	void *const wrong[] = {
		data, local, (void *)16, (void *)UINTPTR_MAX, cache_self,
		(void *)(uintptr_t)heap_free,
		(void *)(arena_view.base - 16),
	};

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	expect(heap_alloc(10, false) != NULL);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		expect(free_block(wrong[i]) == HEAP_FOREIGN);
		expect(heap_resize(wrong[i], 5, &moved) == HEAP_FOREIGN);
		expect(heap_usable_size(wrong[i]) == 0);
		expect(!heap_set_site(wrong[i], SITE_IGNORED));
	}
	/* In our range, but never used. */
	ck_assert_int_eq(free_block((void *)(arena_view.base +
			 load_relaxed(&arena_view.frontier))), HEAP_FOREIGN);
}
END_TEST

/* ------------------------------------------------------------ out of memory */

/* fill_up - until there is no memory.  Returns: the last of the chain. */
static void **
fill_up(size_t size)
{
	void **last = NULL, **block;

	while ((block = heap_alloc(size, false)) != NULL) {
		*block = last;
		last = block;
	}
	return last;
}

static size_t
free_chain(void **block)
{
	size_t freed = 0;

	for (void **next; block != NULL; block = next, freed++) {
		next = *block;
		expect(free_block(block) == HEAP_DONE);
	}
	return freed;
}

static const size_t filling_sizes[] = { 16, 200, 5000, 100000, 3000000 };

START_TEST(test_out_of_memory)
{
	struct rlimit limit = { 256 * MIB, 256 * MIB };
	size_t size = filling_sizes[(size_t)_i / ARRAY_LEN(ways)], had;
	unsigned char *kept;
	void **chain, *moved;

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	way = &ways[(size_t)_i % ARRAY_LEN(ways)];
	unit_heap(way->pad, way->with_sites);
	kept = heap_alloc(300000, false);
	memset(kept, 0x77, 300000);
	chain = fill_up(size);
	ck_assert_ptr_nonnull(chain);
	/* Smaller blocks may still fit, for a while. */
	free_chain(fill_up(size / 2));
	ck_assert_ptr_null(heap_alloc(400 * MIB, false));
	expect(heap_resize(kept, 400 * MIB, &moved) == HEAP_NO_MEMORY);
	expect(heap_resize(chain, 400 * MIB, &moved) == HEAP_NO_MEMORY);
	expect(heap_resize(kept, 300000, &moved) == HEAP_DONE);
	ck_assert_ptr_eq(moved, kept);
	for (size_t at = 0; at < 300000; at++)
		expect(kept[at] == 0x77);
	had = free_chain(chain);
	ck_assert_uint_gt(had * size, 40 * MIB);
	/* And all of it can be had again. */
	heap_trim();
	ck_assert_uint_ge(free_chain(fill_up(size)), had - had / 8);
	ck_assert_uint_eq(unit_check_heap(), 1);
}
END_TEST

/* A smaller size always fits where the block is. */
START_TEST(test_shrink_without_memory)
{
	struct rlimit limit = { 256 * MIB, 256 * MIB };
	unsigned char *large;
	void *moved;

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	unit_heap(0, false);
	large = heap_alloc(60000, false);
	memset(large, 1, 60000);
	fill_up(100000);
	fill_up(500);
	fill_up(16);
	ck_assert_int_eq(heap_resize(large, 500, &moved), HEAP_DONE);
	ck_assert_ptr_eq(moved, large);
	ck_assert_int_eq(large[499], 1);
}
END_TEST

/* A limit that comes later. */
START_TEST(test_limit)
{
	struct rlimit limit = { 512 * MIB, 512 * MIB };
	void **chain;

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	expect(heap_alloc(5 * MIB, false) != NULL);
	heap_limit(limit.rlim_cur);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	/* There is room left for the program itself. */
	ck_assert_int_gt(sys_mmap(0, 64 * MIB, 0, 0x22, -1, 0), 0);
	chain = fill_up(100000);
	ck_assert_uint_gt(free_chain(chain), 500);
	ck_assert_uint_eq(unit_check_heap(), 1);
}
END_TEST

/* ------------------------------------------------------------- resize, trim */

/* Large blocks grow in place where they can, and move by their pages. */
START_TEST(test_large_resize)
{
	unsigned char *p;
	void *q, *wall;
	size_t size = 300 * KIB;

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	p = heap_alloc(size, false);
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 31 >> 4);
	expect(heap_resize(p, 10 * MIB, &q) == HEAP_DONE);
	ck_assert_ptr_eq(p, q);
	wall = heap_alloc(200 * KIB, false);
	ck_assert(wall > q);
	/* Now something stands in the way. */
	expect(heap_resize(p, 20 * MIB, &q) == HEAP_DONE);
	ck_assert_ptr_ne(p, q);
	p = q;
	for (size_t i = 0; i < size; i++)
		expect(p[i] == (unsigned char)(i * 31 >> 4));
	expect(heap_usable_size(p) >= 20 * MIB);
	/* What it held before can be used by others. */
	q = heap_alloc(9 * MIB, true);
	ck_assert(q < wall);
	ck_assert(is_zero(q, 9 * MIB));
	/* Shorter: in place, and its pages are free. */
	expect(heap_resize(p, size, &q) == HEAP_DONE);
	ck_assert_ptr_eq(p, q);
	ck_assert_uint_lt(heap_usable_size(p), size + UNIT_SIZE);
	for (size_t i = 0; i < size; i++)
		expect(p[i] == (unsigned char)(i * 31 >> 4));
	expect(heap_resize(p, 100, &q) == HEAP_DONE);
	ck_assert_uint_lt(heap_usable_size(q), 200);
	ck_assert_uint_eq(unit_check_heap(), 3);
}
END_TEST

/*
 * Nothing is lost where the kernel keeps parts of a block apart.  What was
 * moved is not registered with userfaultfd any more, unlike what is behind it:
 * the next move ends half way.  Some kernels refuse to move across other
 * borders, too.
 */
START_TEST(test_split_resize)
{
	const size_t size = 4 * MIB;
	unsigned char *p;
	bool has_uffd;
	void *q;

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	has_uffd = barrier_uffd.open() == 0;
	p = heap_alloc(size, false);
	heap_alloc(40 * MIB, false);	/* in its way */
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 31 >> 4);
	if (!has_uffd)
		ck_assert_int_eq(madvise(p + MIB, MIB, MADV_DONTFORK), 0);
	for (size_t more = 1; more < 4; more++) {
		expect(heap_resize(p, more * 8 * MIB, &q) == HEAP_DONE);
		heap_alloc(40 * MIB, false);	/* in its way */
		p = q;
		for (size_t i = 0; i < size; i++)
			expect(p[i] == (unsigned char)(i * 31 >> 4));
		for (size_t i = 0; more > 1 && i < MIB; i++)
			expect(p[size + i] == more - 1);
		memset(p + size, (int)more, MIB);
	}
	ck_assert_uint_eq(unit_check_heap(), 5);
}
END_TEST

START_TEST(test_trim)
{
	size_t before;
	void **chain = NULL;

	way = &ways[_i];
	unit_heap(way->pad, way->with_sites);
	for (unsigned i = 0; i < 100000; i++) {
		void **block = heap_alloc(200, false);

		*block = chain;
		chain = block;
	}
	before = heap_statistics().mapped_bytes;
	ck_assert_uint_gt(before, 100000 * 200);
	free_chain(chain);
	/* Not yet old enough to go by itself. */
	ck_assert_uint_gt(heap_trim(), 15 * MIB);
	ck_assert_uint_eq(heap_statistics().dirty_bytes, 0);
	ck_assert_uint_lt(heap_statistics().mapped_bytes, MIB);
}
END_TEST

START_TEST(test_sites)
{
	struct span *span;
	void *p;

	unit_heap(1, true);
	p = heap_alloc(100, false);
	span = arena_span_of((uintptr_t)p);
	ck_assert_uint_eq(span_site(span, span_slot_of(span, (uintptr_t)p)),
			  SITE_NONE);
	heap_note(p, 100, 1234);
	ck_assert_uint_eq(span_site(span, span_slot_of(span, (uintptr_t)p)),
			  1234);
	ck_assert_uint_eq(span_requested(span, span_slot_of(span,
			  (uintptr_t)p)), 100);
	ck_assert(heap_set_site(p, SITE_IGNORED));
	ck_assert_uint_eq(span_site(span, span_slot_of(span, (uintptr_t)p)),
			  SITE_IGNORED);
	/* A free slot has no site: it is never taken for a leak. */
	free_block(p);
	ck_assert_uint_eq(span_site(span, span_slot_of(span, (uintptr_t)p)),
			  SITE_NONE);
}
END_TEST

static void
add_limited(Suite *suite)
{
	TCase *tcase = unit_case(suite, "out_of_memory",
				 test_shrink_without_memory);

	tcase_add_loop_test(tcase, test_out_of_memory, 0,
			    (int)(ARRAY_LEN(ways) *
				  ARRAY_LEN(filling_sizes)));
	tcase_add_loop_test(unit_case(suite, "limit", NULL), test_limit, 0,
			    (int)ARRAY_LEN(ways));
}

int
main(void)
{
	Suite *suite = suite_create("heap");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "model", test_model }, { "batches", test_batches },
		{ "sizes", test_sizes }, { "usable", test_usable },
		{ "aligned", test_aligned },
		{ "double_free", test_double_free },
		{ "double_free_of_words", test_double_free_of_words },
		{ "double_free_of_claimed", test_double_free_of_claimed },
		{ "invalid", test_invalid },
		{ "invalid_rest", test_invalid_rest },
		{ "foreign", test_foreign },
		{ "large_resize", test_large_resize },
		{ "split_resize", test_split_resize }, { "trim", test_trim },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_loop_test(unit_case(suite, cases[i].name, NULL),
				    cases[i].test, 0, (int)ARRAY_LEN(ways));
	unit_case(suite, "sites", test_sites);
	if (!UNIT_HAS_ASAN)
		add_limited(suite);
	return unit_run(suite);
}
