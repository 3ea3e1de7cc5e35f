/*
 * test_stats.c - quantiles of many durations in little memory.
 */
#include "unit.h"

#include "settings/stats.h"

#include <stdlib.h>
#include <string.h>

static struct histogram histogram;

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

START_TEST(test_empty)
{
	ck_assert_uint_eq(histogram_quantile(&histogram, 500), 0);
	ck_assert_uint_eq(histogram_quantile(&histogram, 1000), 0);
}
END_TEST

/* One value is every quantile, exactly. */
START_TEST(test_one)
{
	for (unsigned log = 0; log < 64; log++)
		for (unsigned n = 0; n < 3; n++) {
			uint64_t value = (UINT64_C(1) << log) + n - 1;

			memset(&histogram, 0, sizeof(histogram));
			histogram_add(&histogram, value);
			expect(histogram.count == 1);
			expect(histogram.max == value);
			for (unsigned q = 0; q <= 1000; q += 100)
				expect(histogram_quantile(&histogram, q) ==
				       value);
		}
}
END_TEST

/* Never below the true quantile, nor an eighth above it. */
START_TEST(test_quantiles)
{
	enum { MANY = 5000 };
	static uint64_t values[MANY];
	uint64_t state = unit_seed(1);

	for (unsigned round = 0; round < 20; round++) {
		size_t limit = (size_t)1 << (round * 3);

		memset(&histogram, 0, sizeof(histogram));
		for (size_t i = 0; i < MANY; i++) {
			values[i] = unit_random(&state, limit + 10);
			histogram_add(&histogram, values[i]);
		}
		qsort(values, MANY, sizeof(values[0]), compare);
		expect(histogram.max == values[MANY - 1]);
		for (unsigned q = 1; q <= 1000; q++) {
			uint64_t exact = values[(MANY * q + 999) / 1000 - 1];
			uint64_t told = histogram_quantile(&histogram, q);

			expect(told >= exact);
			expect(told <= exact + exact / 8);
		}
		expect(histogram_quantile(&histogram, 1000) ==
		       values[MANY - 1]);
	}
}
END_TEST

/* More than half of all values the same: the median is exact to the bucket. */
START_TEST(test_skewed)
{
	for (unsigned i = 0; i < 990; i++)
		histogram_add(&histogram, 100);
	for (unsigned i = 0; i < 10; i++)
		histogram_add(&histogram, 1000000);
	ck_assert_uint_le(histogram_quantile(&histogram, 990), 112);
	ck_assert_uint_eq(histogram_quantile(&histogram, 991), 1000000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stats");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "empty", test_empty }, { "one", test_one },
		{ "quantiles", test_quantiles }, { "skewed", test_skewed },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		unit_case(suite, cases[i].name, cases[i].test);
	return unit_run(suite);
}
