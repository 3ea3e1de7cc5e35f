/*
 * test_candidate.c - is this word a block?
 */
#include "unit.h"

#include "collect/candidate.h"

#include <pthread.h>
#include <string.h>

static const struct way {
	unsigned pad;
	bool with_sites;
} ways[] = { { 0, false }, { 1, true } };

/* is_found - does a word lead to the block that begins at an address? */
static bool
is_found(uintptr_t word, uintptr_t block)
{
	struct block b;

	if (!candidate_find(word, &b))
		return false;
	return (span_is_large(b.span) ? span_base(b.span)
				      : span_slot_addr(b.span, b.slot)) ==
	       block;
}

static bool
is_any(uintptr_t word)
{
	struct block b;

	return candidate_find(word, &b);
}

static void
check_block(uintptr_t p, size_t size)
{
	size_t slot = span_slot_bytes(arena_span_of(p));

	expect(is_found(p, p));
	expect(is_found(p + slot - 1, p));
	for (size_t at = 1; at < size; at += 1 + at / 16)
		expect(is_found(p + at, p));
	/* Not before its start, and not in what comes behind it. */
	expect(!is_found(p - 1, p));
	expect(!is_found(p + slot, p));
}

START_TEST(test_inside)
{
	unit_heap(ways[_i].pad, ways[_i].with_sites);
	for (size_t size = 1; size < 5 * MIB; size = size * 2 + 1) {
		uintptr_t p = (uintptr_t)heap_alloc(size, false);

		check_block(p, size);
		/* Just past its end: legal C, and perhaps the only pointer. */
		if (ways[_i].pad == 1)
			expect(is_found(p + size, p));
		heap_free((void *)p);
		expect(!is_any(p));
		expect(!is_any(p + size - 1));
	}
}
END_TEST

START_TEST(test_aligned)
{
	unit_heap(ways[_i].pad, ways[_i].with_sites);
	for (size_t alignment = 32; alignment <= 4 * MIB; alignment *= 4) {
		uintptr_t p = (uintptr_t)heap_alloc_aligned(70000, alignment);
		struct span *span = arena_span_of(p);

		check_block(p, 70000);
		/* Before a large block there may be units of its run. */
		if (span_is_large(span) && span->run < span_base(span))
			expect(!is_any(span->run) && !is_any(span_base(span) - 1));
	}
}
END_TEST

/* Slots that are free, claimed, or returned by another are none. */
START_TEST(test_free_slots)
{
	uintptr_t p, slot;
	struct span *span;

	unit_heap(ways[_i].pad, ways[_i].with_sites);
	p = (uintptr_t)heap_alloc(48, false);
	span = arena_span_of(p);
	for (uint32_t s = 0; s < span->slot_count; s++) {
		slot = span_slot_addr(span, s);
		expect(is_any(slot) == (slot == p));
		expect(candidate_is_taken(span, s) == (slot == p));
	}
	/* What is left over behind the last slot. */
	for (slot = span_slot_addr(span, span->slot_count);
	     slot < span->run + (span->run_units << UNIT_SHIFT); slot += 8)
		expect(!is_any(slot));
	cache_return(span, span_slot_of(span, p) / WORD_BITS,
		     UINT64_C(1) << span_slot_of(span, p) % WORD_BITS);
	expect(!is_any(p));
}
END_TEST

START_TEST(test_taken)
{
	uintptr_t blocks[300];
	size_t taken = 0;

	unit_heap(ways[_i].pad, ways[_i].with_sites);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		blocks[i] = (uintptr_t)heap_alloc(100, false);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i += 3)
		heap_free((void *)blocks[i]);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		struct span *span = arena_span_of(blocks[i]);
		uint32_t slot = span_slot_of(span, blocks[i]);
		uint64_t bits = candidate_taken(span, slot / WORD_BITS);

		expect(((bits >> slot % WORD_BITS) & 1) == (i % 3 != 0));
		expect((bits & ~span_word_mask(span, slot / WORD_BITS)) == 0);
		taken += i % 3 != 0;
	}
	ck_assert_uint_eq(unit_check_heap(), taken);
}
END_TEST

/* ------------------------------------------------- while the program runs */

static uintptr_t kept[200];
static _Atomic bool is_over;

/* Spans come and go, words are claimed, slots freed by others all around. */
static void *
churn(void *argument)
{
	uint64_t state = unit_seed((unsigned)(uintptr_t)argument);
	void *blocks[64] = { NULL };

	heap_thread_begin(true);
	while (!load_relaxed(&is_over)) {
		size_t i = unit_random(&state, 64);

		if (blocks[i] != NULL)
			expect(heap_free(blocks[i]) == HEAP_DONE);
		blocks[i] = heap_alloc(unit_random_size(&state, 200000),
				       false);
		if (unit_random(&state, 1000) == 0)
			heap_trim();
	}
	for (size_t i = 0; i < 64; i++)
		if (blocks[i] != NULL)
			expect(heap_free(blocks[i]) == HEAP_DONE);
	heap_thread_end(false);
	return NULL;
}

/* Of a block that is held all the time it is never said that it is none. */
START_TEST(test_running)
{
	uint64_t state = unit_seed(9), answers = 0;
	pthread_t threads[2];

	unit_heap(ways[_i].pad, ways[_i].with_sites);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		kept[i] = (uintptr_t)heap_alloc(
			1 + unit_random_size(&state, 200000), false);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, churn,
				      (void *)(i + 10)) == 0);
	span_defer(true);
	for (unsigned n = 0; n < 1000000; n++) {
		size_t i = unit_random(&state, ARRAY_LEN(kept));
		struct block b;

		expect(candidate_locate(kept[i], &b));
		expect(candidate_is_taken(b.span, b.slot));
		expect((span_is_large(b.span) ? span_base(b.span)
			: span_slot_addr(b.span, b.slot)) == kept[i]);
		/* And of any other word something can be said. */
		if (candidate_locate(arena_view.base +
			unit_random(&state, 64 * MIB), &b))
			answers += candidate_is_taken(b.span, b.slot);
		if (n % 10000 == 0) {
			span_defer(false);
			span_defer(true);
		}
	}
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	span_defer(false);
	ck_assert_uint_gt(answers, 0);
	unit_check_heap();
}
END_TEST

START_TEST(test_outside)
{
	static int data;
	int local;

	unit_heap(ways[_i].pad, ways[_i].with_sites);
	expect(heap_alloc(10, false) != NULL);
	expect(!is_any(0) && !is_any(UINTPTR_MAX) && !is_any(1));
	expect(!is_any((uintptr_t)&data) && !is_any((uintptr_t)&local));
	expect(!is_any((uintptr_t)is_any));
	expect(!is_any(arena_view.base - 1));
	expect(!is_any(arena_view.base + arena_view.size));
	/* A million words that mean nothing. */
	for (uint64_t state = unit_seed(1), i = 0; i < 1000000; i++) {
		uintptr_t word = arena_view.base +
			unit_random(&state, 1024 * MIB);
		struct block b;

		if (candidate_find(word, &b))
			expect(candidate_is_taken(b.span, b.slot));
	}
}
END_TEST

static void
extent_of(void *p, size_t *ret_size)
{
	uintptr_t start, end;
	struct block b;

	expect(candidate_find((uintptr_t)p, &b));
	candidate_extent(&b, &start, &end);
	expect(start == (uintptr_t)p && end >= start);
	expect(end % sizeof(uintptr_t) == 0);
	*ret_size = end - start;
}

/*
 * What lies behind the requested bytes is not scanned, unless the program may
 * use it.
 */
START_TEST(test_extent)
{
	size_t got;
	void *p;

	unit_heap(1, true);
	for (size_t size = 0; size < 300 * KIB; size = size * 2 + 3) {
		p = heap_alloc(size, false);
		/* Not noted yet: all of the slot. */
		extent_of(p, &got);
		expect(got >= ALIGN_DOWN(size, 8));
		heap_note(p, size, SITE_UNKNOWN);
		extent_of(p, &got);
		expect(got == ALIGN_DOWN(size, 8));
	}
	p = heap_alloc(70, false);
	heap_note(p, 70, SITE_UNKNOWN);
	heap_usable_size(p);
	extent_of(p, &got);
	ck_assert_uint_gt(got, 70);
}
END_TEST

/* Without sites nothing is known of sizes: all is scanned. */
START_TEST(test_extent_unknown)
{
	size_t got;
	void *p;

	unit_heap(0, false);
	p = heap_alloc(70, false);
	heap_note(p, 70, SITE_UNKNOWN);
	extent_of(p, &got);
	ck_assert_uint_eq(got, 80);
	p = heap_alloc(MIB - 100, false);
	extent_of(p, &got);
	ck_assert_uint_eq(got, MIB);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("candidate");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "inside", test_inside }, { "aligned", test_aligned },
		{ "free_slots", test_free_slots }, { "taken", test_taken },
		{ "running", test_running }, { "outside", test_outside },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_loop_test(unit_case(suite, cases[i].name, NULL),
				    cases[i].test, 0, (int)ARRAY_LEN(ways));
	unit_case(suite, "extent", test_extent);
	unit_case(suite, "extent_unknown", test_extent_unknown);
	return unit_run(suite);
}
