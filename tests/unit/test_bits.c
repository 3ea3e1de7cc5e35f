/*
 * test_bits.c - arithmetic on bits and sizes.
 */
#include "unit.h"

START_TEST(test_rounding)
{
	for (size_t a = 1; a <= 4096; a *= 2)
		for (size_t x = 0; x <= 10000; x++) {
			expect(ALIGN_DOWN(x, a) == x / a * a);
			expect(ALIGN_UP(x, a) == (x + a - 1) / a * a);
		}
	/* The width is that of x: no bits are lost with a narrow `a`. */
	ck_assert_uint_eq(ALIGN_DOWN(UINT64_C(0x123456789abcdef), 16u),
			  UINT64_C(0x123456789abcde0));
}
END_TEST

START_TEST(test_powers)
{
	ck_assert(!bits_is_power_of_two(0));
	for (unsigned i = 0; i < 64; i++) {
		uint64_t power = UINT64_C(1) << i;

		expect(bits_is_power_of_two(power));
		expect(i < 2 || !bits_is_power_of_two(power + 1));
		expect(i < 2 || !bits_is_power_of_two(power - 1));
		expect(bits_log2(power) == i);
		expect(bits_log2(power | (power - 1)) == i);
		expect(bits_ctz(power) == i);
		expect(bits_ctz(~UINT64_C(0) << i) == i);
		expect(bits_count(power - 1) == i);
	}
}
END_TEST

START_TEST(test_below)
{
	ck_assert_uint_eq(bits_below(0), 0);
	for (unsigned n = 1; n <= 64; n++)
		expect(bits_count(bits_below(n)) == n &&
		       bits_log2(bits_below(n)) == n - 1);
	ck_assert_uint_eq(bits_below(65), ~UINT64_C(0));
}
END_TEST

/* Its use is to tell nearby words apart in a few low bits. */
START_TEST(test_mix)
{
	unsigned hits[256] = { 0 };

	for (uint64_t x = 0; x < 65536; x++)
		hits[bits_mix(x * 16) & 255]++;
	for (unsigned i = 0; i < 256; i++)
		expect(hits[i] > 128 && hits[i] < 512);
	/* It loses nothing: it is a bijection. */
	ck_assert_uint_ne(bits_mix(1), bits_mix(2));
	ck_assert_uint_eq(bits_mix(0), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("bits");

	unit_case(suite, "rounding", test_rounding);
	unit_case(suite, "powers", test_powers);
	unit_case(suite, "below", test_below);
	unit_case(suite, "mix", test_mix);
	return unit_run(suite);
}
