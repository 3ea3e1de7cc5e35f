/*
 * test_fmt.c - text into a caller's buffer.
 */
#include "unit.h"

#include "base/fmt.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <time.h>

static char buffer[1024];
static struct fmt f;

static void
begin(void)
{
	memset(buffer, '#', sizeof(buffer));
	fmt_init(&f, buffer, sizeof(buffer));
}

#define check_print(wanted, ...) do {					\
	begin();							\
	fmt_print(&f, __VA_ARGS__);					\
	ck_assert_str_eq(fmt_end(&f), wanted);				\
	ck_assert_uint_eq(f.length, strlen(wanted));			\
} while (0)

START_TEST(test_print)
{
	check_print("", "%s", "");
	check_print("a%b c", "a%%b %c", 'c');
	check_print("x-1y", "x%dy", -1);
	check_print("-2147483648 2147483647", "%d %d", INT_MIN, INT_MAX);
	check_print("-9223372036854775808", "%ld", LONG_MIN);
	check_print("0 4294967295", "%u %u", 0u, UINT_MAX);
	check_print("18446744073709551615", "%lu", ULONG_MAX);
	check_print("18446744073709551615", "%zu", SIZE_MAX);
	check_print("deadbeef ffffffffffffffff", "%x %lx", 0xdeadbeefu,
		    ULONG_MAX);
	check_print("0x7f0012", "%p", (void *)0x7f0012);
	check_print("007 123456 000f -05", "%03u %03u %04x %02d", 7u, 123456u,
		    15u, -5);
	begin();
	fmt_number(&f, UINT64_MAX);
	fmt_hex(&f, 0);
	fmt_hex(&f, UINT64_MAX);
	fmt_bytes(&f, "a\0b", 3);
	fmt_char(&f, 'z');
	ck_assert(memcmp(fmt_end(&f), "184467440737095516150x0"
			 "0xffffffffffffffffa\0bz", 46) == 0);
}
END_TEST

/* What does not fit is cut, terminated and counted; nothing lies outside. */
START_TEST(test_cut)
{
	for (size_t size = 0; size <= 12; size++) {
		memset(buffer, '#', sizeof(buffer));
		fmt_init(&f, buffer, size);
		fmt_text(&f, "0123456789");
		expect(f.length == 10);
		if (size == 0)
			expect(strcmp(fmt_end(&f), "") == 0);
		else
			expect(strncmp(fmt_end(&f), "0123456789",
				       size - 1) == 0 &&
			       strlen(fmt_end(&f)) == MIN(size - 1, 10u));
		for (size_t i = MAX(size, 11u); i < 20; i++)
			expect(buffer[i] == '#');
	}
}
END_TEST

static char flushed[4096];
static size_t flushed_length;

static void
flush(struct fmt *full)
{
	expect(full->length < full->size);
	memcpy(flushed + flushed_length, full->text, full->length);
	flushed_length += full->length;
	full->length = 0;
}

START_TEST(test_flush)
{
	char wanted[1001];

	for (size_t size = 2; size < 40; size++) {
		flushed_length = 0;
		fmt_init(&f, buffer, size);
		f.flush = flush;
		for (unsigned i = 0; i < 100; i++) {
			snprintf(wanted + 10 * i, 11, "%010u", i * 7919);
			fmt_print(&f, "%010u", i * 7919);
		}
		flush(&f);
		expect(flushed_length == 1000);
		expect(memcmp(flushed, wanted, 1000) == 0);
	}
}
END_TEST

/* Text and what fmt_json() makes of it. */
static const struct {
	const char *text;
	const char *json;
} json[] = {
	{ "", "\"\"" },
	{ "plain /path-1", "\"plain /path-1\"" },
	{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "\b\f\n\r\t\x01\x1f", "\"\\u0008\\u000c\\u000a\\u000d\\u0009"
				"\\u0001\\u001f\"" },
	{ "\x7f", "\"\\u007f\"" },
	{ "\xc3\xa9", "\"\xc3\xa9\"" },			/* U+00E9 */
	{ "\xe2\x82\xac", "\"\xe2\x82\xac\"" },		/* U+20AC */
	{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },	/* U+1F600 */
	{ "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" },	/* U+10FFFF */
	{ "\xed\x9f\xbf", "\"\xed\x9f\xbf\"" },		/* U+D7FF */
	/* Not UTF-8: each byte by itself. */
	{ "\x80", "\"\\udc80\"" },			/* no first byte */
	{ "\xff\xfe", "\"\\udcff\\udcfe\"" },
	{ "\xc3", "\"\\udcc3\"" },			/* cut short */
	{ "\xe2\x82", "\"\\udce2\\udc82\"" },
	{ "\xf0\x9f\x98", "\"\\udcf0\\udc9f\\udc98\"" },
	{ "\xc3z", "\"\\udcc3z\"" },
	{ "\xe2\x82z", "\"\\udce2\\udc82z\"" },
	{ "\xc0\xaf", "\"\\udcc0\\udcaf\"" },		/* overlong */
	{ "\xe0\x80\xaf", "\"\\udce0\\udc80\\udcaf\"" },
	{ "\xf0\x80\x80\xaf", "\"\\udcf0\\udc80\\udc80\\udcaf\"" },
	{ "\xed\xa0\x80", "\"\\udced\\udca0\\udc80\"" },	/* surrogate */
	{ "\xf4\x90\x80\x80", "\"\\udcf4\\udc90\\udc80\\udc80\"" },
	{ "\xc3\xa9\xc3", "\"\xc3\xa9\\udcc3\"" },
};

START_TEST(test_json)
{
	for (size_t i = 0; i < ARRAY_LEN(json); i++) {
		begin();
		fmt_json(&f, json[i].text);
		ck_assert_str_eq(fmt_end(&f), json[i].json);
	}
}
END_TEST

static void
check_utc(uint64_t seconds, unsigned ms)
{
	time_t time = (time_t)seconds;
	char wanted[64];
	struct tm tm;

	expect(gmtime_r(&time, &tm) != NULL);
	strftime(wanted, sizeof(wanted), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(wanted + strlen(wanted), 8, ".%03uZ", ms);
	begin();
	fmt_utc(&f, seconds * NSEC_PER_SEC + ms * NSEC_PER_MSEC + 999999);
	expect(strcmp(fmt_end(&f), wanted) == 0);
}

START_TEST(test_utc)
{
	uint64_t state = unit_seed(1);

	check_utc(0, 0);
	check_utc(951782399, 7);	/* 2000-02-28T23:59:59 */
	check_utc(951782400, 999);	/* 2000-02-29 */
	check_utc(951868800, 0);	/* 2000-03-01 */
	check_utc(4107542400, 0);	/* 2100-03-01: not a leap year */
	/* Every day for 250 years, and moments in between. */
	for (uint64_t day = 0; day < 91311; day++)
		check_utc(day * 86400, 0);
	for (unsigned i = 0; i < 10000; i++)
		check_utc(unit_random(&state, UINT32_MAX),
			  (unsigned)unit_random(&state, 1000));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fmt");

	unit_case(suite, "print", test_print);
	unit_case(suite, "cut", test_cut);
	unit_case(suite, "flush", test_flush);
	unit_case(suite, "json", test_json);
	unit_case(suite, "utc", test_utc);
	return unit_run(suite);
}
