/*
 * test_blind.c - what may be read is what a map of single pages says.
 */
#include "unit.h"

#include "heap/blind.h"
#include "world/mutator.h"

#define PAGES	64u
#define BASE	UINT64_C(0x100000)

static uintptr_t
page(size_t i)
{
	return BASE + i * ARCH_PAGE_SIZE;
}

static void
setup(void)
{
	unit_heap(0, false);
}

static void
note(uintptr_t start, uintptr_t end, bool is_blind)
{
	uint64_t mask;

	mutator_enter(&mask);
	blind_note(start, end, is_blind);
	mutator_leave(mask);
}

/* expect_as - the parts that can be read are those of the map. */
static void
expect_as(const bool *is_blind)
{
	uintptr_t at = page(0), end;
	size_t i = 0;

	for (; blind_next(&at, page(PAGES), &end); at = end) {
		for (; page(i) < at; i++)
			expect(is_blind[i]);
		for (; page(i) < end; i++)
			expect(!is_blind[i]);
		expect(i == PAGES || is_blind[i]);
	}
	for (; i < PAGES; i++)
		expect(is_blind[i]);
}

START_TEST(test_parts)
{
	uint64_t state = unit_seed(1);
	bool is_blind[PAGES] = { false };

	for (unsigned round = 0; round < 20000; round++) {
		size_t first = unit_random(&state, PAGES);
		size_t last = first + 1 + unit_random(&state, PAGES - first);
		bool value = unit_random(&state, 2) == 0;

		note(page(first), page(last), value);
		for (size_t i = first; i < last; i++)
			is_blind[i] = value;
		expect_as(is_blind);
	}
	expect(!blind_is_total());
}
END_TEST

/* What cannot be noted must not be read, nor anything else from then on. */
START_TEST(test_too_many)
{
	uintptr_t at = BASE, end;
	size_t i = 0;

	for (; !blind_is_total() && i < 1u << 20; i++)
		note(page(2 * i), page(2 * i + 1), true);
	expect(blind_is_total());
	expect(!blind_next(&at, page(2 * i), &end));
	at = page(4 * i);
	expect(!blind_next(&at, page(4 * i + 1), &end));
	/* Not either when what there is no room for is readable again. */
	note(BASE, page(2 * i), false);
	expect(!blind_next(&at, page(4 * i + 1), &end));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("blind");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "parts", test_parts }, { "too_many", test_too_many },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
