/*
 * test_grey.c - what was reached and not scanned yet.
 */
#include "unit.h"

#include "collect/grey.h"
#include "heap/meta.h"

static void
setup(void)
{
	ck_assert_int_eq(meta_init(64 * MIB), 0);
}

static struct block
block_of(uint32_t number)
{
	return (struct block){ (struct span *)(uintptr_t)(number * 64),
			       number };
}

static bool
is_block(struct block b, uint32_t number)
{
	return b.slot == number && (uintptr_t)b.span == number * 64;
}

/* Last in, first out, and nothing is lost. */
START_TEST(test_order)
{
	uint64_t state = unit_seed(1);
	uint32_t depth = 0;
	struct block b;

	ck_assert(grey_init(50000));
	ck_assert(!grey_pop(&b));
	for (unsigned i = 0; i < 300000; i++)
		if (depth < 50000 && unit_random(&state, 5) < 3) {
			expect(grey_push(block_of(depth++)));
		} else if (depth > 0) {
			expect(grey_pop(&b));
			expect(is_block(b, --depth));
		}
	while (depth > 0)
		expect(grey_pop(&b) && is_block(b, --depth));
	ck_assert(!grey_pop(&b));
	grey_fini();
}
END_TEST

/* Full, it says so, and goes on with what it has. */
START_TEST(test_overflow)
{
	uint32_t count = 0;
	struct block b;

	ck_assert(grey_init(1));
	while (grey_push(block_of(count)))
		expect(++count < 1000000);
	ck_assert_uint_ge(count, 1);
	ck_assert(!grey_push(block_of(count)));
	ck_assert(grey_pop(&b) && is_block(b, count - 1));
	ck_assert(grey_push(block_of(count - 1)));
	while (count > 0)
		expect(grey_pop(&b) && is_block(b, --count));
	ck_assert(!grey_pop(&b));
	grey_fini();
}
END_TEST

/* A cycle gives back what it took, and the next one begins empty. */
START_TEST(test_again)
{
	size_t room = meta_room();
	struct block b;

	for (unsigned i = 0; i < 100; i++) {
		ck_assert(grey_init(100000));
		ck_assert(!grey_pop(&b));
		for (uint32_t n = 0; n < 1000; n++)
			expect(grey_push(block_of(n)));
		grey_fini();
		ck_assert_uint_eq(meta_room(), room);
	}
}
END_TEST

/* More than there is memory for: less is enough, but not nothing. */
START_TEST(test_no_memory)
{
	struct block b;

	ck_assert(grey_init(100 * MIB));
	ck_assert(grey_push(block_of(1)));
	ck_assert(grey_pop(&b) && is_block(b, 1));
	grey_fini();
	meta_reserve(meta_room());
	ck_assert(!grey_init(1));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("grey");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "order", test_order }, { "overflow", test_overflow },
		{ "again", test_again }, { "no_memory", test_no_memory },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
