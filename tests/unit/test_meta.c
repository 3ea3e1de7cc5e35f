/*
 * test_meta.c - memory for the collector's own data.
 */
#include "unit.h"

#include "base/sys.h"
#include "heap/meta.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define RANGE	(256 * MIB)

static void
setup(void)
{
	ck_assert_int_eq(meta_init(RANGE), 0);
}

static bool
is_zero(const void *memory, size_t size)
{
	const char *p = memory;

	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

static bool
is_in_range(const void *memory, size_t size)
{
	uintptr_t start, end;

	for (unsigned i = 0; meta_piece(i, &start, &end); i++)
		if ((uintptr_t)memory >= start &&
		    (uintptr_t)memory + size <= end)
			return true;
	return false;
}

/* M2, and no two pieces overlap: each keeps its own pattern. */
START_TEST(test_alloc)
{
	enum { COUNT = 2000 };
	static struct { unsigned char *memory; size_t size; } pieces[COUNT];
	uint64_t state = unit_seed(1);

	for (size_t i = 0; i < COUNT; i++) {
		size_t size = unit_random_size(&state, 64 * KIB);
		unsigned char *memory = meta_alloc(size);

		expect(memory != NULL && (uintptr_t)memory % 64 == 0);
		expect(is_in_range(memory, size));
		expect(is_zero(memory, size));
		memset(memory, (int)(i % 255 + 1), size);
		pieces[i].memory = memory;
		pieces[i].size = size;
	}
	for (size_t i = 0; i < COUNT; i++)
		for (size_t at = 0; at < pieces[i].size; at++)
			expect(pieces[i].memory[at] == i % 255 + 1);
}
END_TEST

/* A table costs nothing until it is committed, then what it needs. */
START_TEST(test_table)
{
	size_t limit = 10 * MIB, committed = 0, room = meta_room();
	char *table = meta_reserve(limit);

	ck_assert_ptr_nonnull(table);
	ck_assert_uint_eq(meta_room(), room - limit);
	ck_assert(!sys_is_readable((uintptr_t)table));		/* M1 */
	ck_assert(!sys_is_readable((uintptr_t)table + limit - 8));
	for (size_t size = 1; size <= limit; size += 300 * KIB) {
		committed = meta_commit(table, committed, size, limit);
		expect(committed >= size && committed <= limit);
		expect(table[size - 1] == 0);
		table[size - 1] = 1;
	}
	committed = meta_commit(table, committed, limit, limit);
	ck_assert_uint_eq(committed, limit);
	ck_assert_uint_eq(meta_commit(table, committed, limit + 1, limit), 0);
	ck_assert_uint_eq(meta_commit(table, committed, 5, limit), committed);
	/* One that ends between two steps. */
	table = meta_reserve(3 * 4096);
	ck_assert_uint_eq(meta_commit(table, 0, 1, 3 * 4096), 3 * 4096);
	table[3 * 4096 - 1] = 1;
}
END_TEST

START_TEST(test_map)
{
	size_t room = meta_room();
	char *first = meta_map(100000), *second = meta_map(4096);

	ck_assert(first != NULL && second != NULL);
	ck_assert(is_in_range(first, 100000) && is_in_range(second, 4096));
	ck_assert(is_zero(first, 100000));
	memset(first, 1, 100000);
	memset(second, 2, 4096);
	/* In the reverse order of taking, all of it comes back. */
	meta_unmap(second, 4096);
	meta_unmap(first, 100000);
	ck_assert_uint_eq(meta_room(), room);
	ck_assert(!sys_is_readable((uintptr_t)first));
	/* In any order too, once the last is given back. */
	for (unsigned n = 0; n < 6; n++) {
		static const unsigned char orders[6][3] = {
			{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
			{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
		};
		void *tables[3];

		for (unsigned i = 0; i < 3; i++)
			tables[i] = meta_map((i + 1) * 5000);
		for (unsigned i = 0; i < 3; i++)
			meta_unmap(tables[orders[n][i]],
				   (orders[n][i] + 1u) * 5000);
		ck_assert_uint_eq(meta_room(), room);
	}
	/* And reads as zero when it is taken again. */
	first = meta_map(100000);
	ck_assert_ptr_nonnull(first);
	ck_assert(is_zero(first, 100000));
	/* Whatever is taken at both ends, it never meets in the middle. */
	ck_assert_ptr_null(meta_map(RANGE));
	ck_assert_ptr_null(meta_alloc(RANGE));
}
END_TEST

/* Pieces taken and given back in any order: apart, clean, and none is lost. */
START_TEST(test_holes)
{
	enum { PIECES = 40 };
	static struct { unsigned char *memory; size_t size; } pieces[PIECES];
	uint64_t state = unit_seed(5);
	size_t room = meta_room();

	for (unsigned n = 0; n < 20000; n++) {
		size_t i = unit_random(&state, PIECES);

		if (pieces[i].memory == NULL) {
			pieces[i].size = unit_random_size(&state, 50000) + 1;
			pieces[i].memory = meta_map(pieces[i].size);
			expect(pieces[i].memory != NULL);
			expect(is_in_range(pieces[i].memory, pieces[i].size));
			/* At both ends: it is clean, and stays ours. */
			expect(pieces[i].memory[0] == 0);
			expect(pieces[i].memory[pieces[i].size - 1] == 0);
			pieces[i].memory[0] = (unsigned char)(i + 1);
			pieces[i].memory[pieces[i].size - 1] =
				(unsigned char)(i + 1);
			continue;
		}
		expect(pieces[i].memory[0] == i + 1);
		expect(pieces[i].memory[pieces[i].size - 1] == i + 1);
		meta_unmap(pieces[i].memory, pieces[i].size);
		pieces[i].memory = NULL;
	}
	for (size_t i = 0; i < PIECES; i++)
		if (pieces[i].memory != NULL)
			meta_unmap(pieces[i].memory, pieces[i].size);
	ck_assert_uint_eq(meta_room(), room);
}
END_TEST

/* A hole is used before new address space is; a part of it stays a hole. */
START_TEST(test_hole_first)
{
	char *lowest, *hole = meta_map(10 * 4096), *a, *b;
	size_t room;

	lowest = meta_map(4096);
	meta_unmap(hole, 10 * 4096);
	room = meta_room();
	a = meta_map(4 * 4096);
	b = meta_map(6 * 4096);
	ck_assert(a >= hole && a < hole + 10 * 4096);
	ck_assert(b >= hole && b < hole + 10 * 4096 && b != a);
	ck_assert_uint_eq(meta_room(), room);
	/* Full, it is one no more. */
	ck_assert((char *)meta_map(4096) < lowest);
	/* More than a hole has room for does not go there. */
	meta_unmap(a, 4 * 4096);
	ck_assert((char *)meta_map(5 * 4096) < lowest);
	/* Neighbours become one. */
	meta_unmap(b, 6 * 4096);
	ck_assert_ptr_eq(meta_map(10 * 4096), hole);
}
END_TEST

/* A cycle needs tables when everything else is used up. */
START_TEST(test_spare)
{
	size_t got = 0;
	char *table;

	while (meta_alloc(MIB) != NULL)
		got += MIB;
	ck_assert_uint_gt(got, RANGE / 2);
	ck_assert_uint_lt(got, RANGE);
	table = meta_map(RANGE / 8);
	ck_assert_ptr_nonnull(table);
	memset(table, 1, RANGE / 8);
}
END_TEST

START_TEST(test_shrink)
{
	void *table = meta_reserve(8 * MIB);
	char *small = meta_alloc(100);
	uintptr_t start, end, last = 0;
	unsigned pieces = 0;
	long other, again;

	*small = 1;
	other = sys_mmap(0, 16 * MIB, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_int_gt(other, 0);
	meta_shrink(MIB);
	ck_assert_uint_le(meta_room(), MIB + 4096);
	meta_release((char *)table + 4 * MIB, 4 * MIB);
	for (; meta_piece(pieces, &start, &end); pieces++) {
		expect(start <= end && start >= last);
		last = end;
	}
	/* Below what shrinking released, above it, above the table's rest. */
	ck_assert_uint_eq(pieces, 3);
	ck_assert(is_in_range(small, 100) && is_in_range(table, 4 * MIB));
	ck_assert(!is_in_range((char *)table + 4 * MIB, 1));
	ck_assert_int_eq(*small, 1);
	ck_assert_ptr_nonnull(meta_alloc(100));
	ck_assert_ptr_null(meta_alloc(2 * MIB));
	/* What was released is the program's to map. */
	again = sys_mmap((uintptr_t)table + 4 * MIB, 4 * MIB, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS |
				MAP_FIXED_NOREPLACE, -1, 0);
	ck_assert_int_eq(again, (long)((uintptr_t)table + 4 * MIB));
}
END_TEST

START_TEST(test_no_room)
{
	struct rlimit limit = { 128 * MIB, 128 * MIB };

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	/* Halved until the system grants it. */
	ck_assert_int_eq(meta_init(TIB), 0);
	ck_assert_uint_lt(meta_room(), 128 * MIB);
	ck_assert_uint_ge(meta_room(), 4 * MIB);
	ck_assert_ptr_nonnull(meta_alloc(1000));
	limit.rlim_cur = MIB;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_int_lt(meta_init(TIB), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("meta");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "alloc", test_alloc }, { "table", test_table },
		{ "holes", test_holes },
		{ "hole_first", test_hole_first },
		{ "map", test_map }, { "spare", test_spare },
		{ "shrink", test_shrink },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	if (!UNIT_HAS_ASAN)
		unit_case(suite, "no_room", test_no_room);
	return unit_run(suite);
}
