/*
 * test_span.c - slots and their bitmaps.
 */
#include "unit.h"

#include "heap/meta.h"
#include "world/mutator.h"

#include <string.h>

/* The heap's own set-up; nothing is allocated through it. */
static void
setup(void)
{
	unit_heap(0, false);
}

static bool
is_zero(const void *memory, size_t size)
{
	const char *p = memory;

	return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

/* The reciprocal is exact for every address of every class. */
START_TEST(test_slot_of)
{
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		struct span *span = span_create(class, cache_self, false);
		size_t size = sizeclass_slot_size[class];
		size_t bytes = span->run_units << UNIT_SHIFT;
		size_t slot = 0, left = size;

		expect(span->slot_size == size && span->class == class);
		expect(span_base(span) == span->run);
		for (size_t at = 0; at < bytes; at++, left--) {
			if (left == 0) {
				slot++;
				left = size;
			}
			expect(span_slot_of(span, span_base(span) + at) == slot);
		}
		/* Slots end where the run ends, or before. */
		expect(span->slot_count == bytes / size);
		for (uint32_t s = 0; s < span->slot_count; s++)
			expect(span_slot_addr(span, s) ==
			       span_base(span) + s * size);
		span_destroy(span);
	}
}
END_TEST

START_TEST(test_create)
{
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		bool with_sites = class % 2 == 0;
		struct span *span = span_create(class, cache_self, with_sites);
		size_t free_slots = 0;

		expect(arena_span_of(span_base(span)) == span);	/* S4 */
		expect(arena_span_of(span_base(span) +
			(span->run_units << UNIT_SHIFT) - 1) == span);
		expect(load_relaxed(&span->owner) == cache_self);
		expect(span_is_empty(span));			/* S2 */
		for (uint32_t w = 0; w < span->words; w++) {
			expect(span->own[w].free == UINT64_MAX);	/* S3 */
			free_slots += bits_count(span->own[w].free &
						 span_word_mask(span, w));
			expect(load_relaxed(&span->returned[w]) == 0);
			expect(load_relaxed(&span->mark[w]) == 0);
			expect(load_relaxed(&span->quarantined[w]) == 0);
			expect(span->condemned[w] == 0);
			expect(span->scratch[w] == 0);
		}
		expect(free_slots == span->slot_count);
		expect(span->own[span->words].free == UINT64_MAX);
		expect(span->virgin == 0);
		expect((span->site != NULL) == with_sites);
		expect((span->slack != NULL) == with_sites);
		expect(span->is_zero);
		expect(is_zero((void *)span_base(span), 1000));
		/* The metadata is not where blocks are. */
		expect(!arena_contains((uintptr_t)span));
		expect(!arena_contains((uintptr_t)span->own));
	}
}
END_TEST

/* Whatever was left in it, a struct is as new when it is used again. */
START_TEST(test_reuse)
{
	struct span *span = span_create(20, cache_self, true);
	struct span *again;

	for (uint32_t s = 0; s < span->slot_count; s++)
		span_note(span, s, 1, SITE_UNKNOWN);
	for (uint32_t w = 0; w < span->words; w++) {
		store_relaxed(&span->mark[w], UINT64_MAX);
		store_relaxed(&span->returned[w], UINT64_MAX);
		span->scratch[w] = UINT64_MAX;
	}
	memset((void *)span_base(span), 1, UNIT_SIZE);
	span_destroy(span);
	again = span_create(20, cache_self, true);
	ck_assert_ptr_eq(again, span);
	for (uint32_t s = 0; s < again->slot_count; s++)
		expect(span_site(again, s) == SITE_NONE);
	for (uint32_t w = 0; w < again->words; w++)
		expect(load_relaxed(&again->mark[w]) == 0 &&
		       load_relaxed(&again->returned[w]) == 0 &&
		       again->scratch[w] == 0);
	ck_assert(!again->is_zero || is_zero((void *)span_base(again), UNIT_SIZE));
}
END_TEST

static struct span *
create(bool is_large, unsigned class)
{
	bool zero;

	return is_large ? span_create_large(300000, SLOT_ALIGN, true, &zero)
			: span_create(class, cache_self, true);
}

/* A collector's span stays what it was, whoever destroys it meanwhile (S5). */
START_TEST(test_defer)
{
	struct span *old[20], copy[20], *span;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 20; i++) {
			old[i] = create(i % 4 == 0, i);
			copy[i] = *old[i];
		}
		span_defer(true);
		for (unsigned i = 0; i < 20; i++)
			span_destroy(old[i]);
		/* No struct is used again, and none is changed. */
		for (unsigned i = 0; i < 20; i++)
			for (unsigned n = 0; n < 3; n++) {
				span = create(i % 4 == 0, i);
				for (unsigned k = 0; k < 20; k++)
					expect(span != old[k]);
				span_destroy(span);
			}
		for (unsigned i = 0; i < 20; i++) {
			expect(span_base(old[i]) == span_base(&copy[i]));
			expect(old[i]->mark == copy[i].mark);
			expect(old[i]->class == copy[i].class);
			expect(old[i]->slot_count == copy[i].slot_count);
			store_relaxed(&old[i]->mark[0], 1);
		}
		/* Then they are, and clean. */
		span_defer(false);
		for (unsigned i = 0; i < 20; i++) {
			span = create(i % 4 == 0, i);
			expect(load_relaxed(&span->mark[0]) == 0);
			span_destroy(span);
		}
	}
}
END_TEST

/* What waits is not lost: destroying and deferring for ever takes no memory. */
START_TEST(test_defer_again)
{
	size_t room = 0;

	for (unsigned n = 0; n < 2000; n++) {
		span_defer(n % 2 == 0);
		span_destroy(create(n % 3 == 0, 5));
		if (n == 100)
			room = meta_room();
	}
	ck_assert_uint_eq(meta_room(), room);
}
END_TEST

/* Two spans' metadata never overlap: each keeps its own. */
START_TEST(test_apart)
{
	enum { COUNT = 3 * CLASS_COUNT };
	static struct span *spans[COUNT];

	for (unsigned i = 0; i < COUNT; i++) {
		spans[i] = span_create(i % CLASS_COUNT, cache_self, true);
		for (uint32_t w = 0; w < spans[i]->words; w++) {
			spans[i]->own[w].free = i;
			spans[i]->condemned[w] = i;
			spans[i]->scratch[w] = i;
			store_relaxed(&spans[i]->returned[w], i);
			store_relaxed(&spans[i]->mark[w], i);
			store_relaxed(&spans[i]->quarantined[w], i);
		}
		for (uint32_t s = 0; s < spans[i]->slot_count; s++)
			span_note(spans[i], s, spans[i]->slot_size - i % 16,
				  i + SITE_FIRST);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		struct span *p = spans[i];

		expect(p->class == i % CLASS_COUNT);
		for (uint32_t w = 0; w < p->words; w++)
			expect(p->own[w].free == i && p->condemned[w] == i &&
			       p->scratch[w] == i &&
			       load_relaxed(&p->returned[w]) == i &&
			       load_relaxed(&p->mark[w]) == i &&
			       load_relaxed(&p->quarantined[w]) == i);
		for (uint32_t s = 0; s < p->slot_count; s++)
			expect(span_site(p, s) == i + SITE_FIRST &&
			       span_requested(p, s) == p->slot_size - i % 16);
	}
}
END_TEST

START_TEST(test_large)
{
	for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 2)
		for (size_t size = 1; size <= 2 * MIB; size = size * 3 + 7) {
			bool zero;
			struct span *span = span_create_large(size, alignment,
							      true, &zero);
			uintptr_t end = span->run +
					(span->run_units << UNIT_SHIFT);

			expect(span_is_large(span) && span->words == 1);
			expect(span_base(span) % alignment == 0);
			expect(span_base(span) >= span->run);
			expect(span_base(span) + size <= end);
			expect(span_slot_bytes(span) == end - span_base(span));
			expect(span_requested(span, 0) == size);
			expect(arena_span_of(span_base(span)) == span);
			expect(arena_span_of(end - 1) == span);
			expect(load_relaxed(&span->returned[0]) == 0);
			if (zero)
				expect(is_zero((void *)span_base(span), size));
			memset((void *)span_base(span), 1, size);
			span_destroy(span);
			expect(arena_span_of(end - 1) == NULL);
		}
	ck_assert_uint_eq(arena_used_bytes(), 0);
}
END_TEST

START_TEST(test_no_memory)
{
	size_t used = arena_used_bytes();
	bool zero;

	ck_assert_ptr_null(span_create_large(PTRDIFF_MAX, 16, false, &zero));
	ck_assert_ptr_null(span_create_large(16, (size_t)PTRDIFF_MAX / 2 + 1,
					     false, &zero));
	ck_assert_uint_eq(arena_used_bytes(), used);
}
END_TEST

START_TEST(test_notes)
{
	struct span *with = span_create(30, cache_self, true);
	struct span *without = span_create(30, cache_self, false);

	span_note(with, 3, 5, 77);
	ck_assert_uint_eq(span_site(with, 3), 77);
	ck_assert_uint_eq(span_requested(with, 3), 5);
	ck_assert_uint_eq(span_site(with, 4), SITE_NONE);
	span_note(with, 4, 0, 78);
	ck_assert_uint_eq(span_requested(with, 4), 0);
	span_note(without, 3, 5, 77);
	ck_assert_uint_eq(span_site(without, 3), SITE_NONE);
	ck_assert_uint_eq(span_requested(without, 3), without->slot_size);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("span");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "slot_of", test_slot_of }, { "create", test_create },
		{ "reuse", test_reuse }, { "apart", test_apart },
		{ "large", test_large }, { "no_memory", test_no_memory },
		{ "notes", test_notes }, { "defer", test_defer },
		{ "defer_again", test_defer_again },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
