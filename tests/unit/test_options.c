/*
 * test_options.c - what the user chose.
 *
 * Settings are parsed once in a process and then sealed: each row of a table
 * below is a test of its own.
 */
#include "unit.h"

#include "settings/options.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define S	NSEC_PER_SEC
#define FIELD(name)	offsetof(struct options, name)

/* What a bad value and an unknown name are answered with. */
#define BAD		"; using "
#define UNKNOWN	" is not a setting"

static const struct number_row {
	const char *variable;
	size_t field;
	uint64_t value;
	bool is_bad;		/* value is the default then */
} numbers[] = {
	/* CHOICE */
	{ "BILGE_LEAKS=report", FIELD(leaks), LEAKS_REPORT, false },
	{ "BILGE_LEAKS=ignore", FIELD(leaks), LEAKS_IGNORE, false },
	{ "BILGE_LEAKS=Report", FIELD(leaks), LEAKS_REPORT, true },
	{ "BILGE_LEAKS=repor", FIELD(leaks), LEAKS_REPORT, true },
	{ "BILGE_LEAKS=reports", FIELD(leaks), LEAKS_REPORT, true },
	{ "BILGE_LEAKS=report|ignore", FIELD(leaks), LEAKS_REPORT, true },
	{ "BILGE_LEAKS=", FIELD(leaks), LEAKS_REPORT, true },
	{ "BILGE_FREE=now", FIELD(free), FREE_NOW, false },
	{ "BILGE_FREE=guard", FIELD(free), FREE_GUARD, false },
	{ "BILGE_QUARANTINE=1", FIELD(quarantine), 1, false },
	{ "BILGE_QUARANTINE=0", FIELD(quarantine), 25, true },
	{ "BILGE_FREE=later", FIELD(free), FREE_NOW, true },
	{ "BILGE_ROOTS=segments", FIELD(roots), ROOTS_SEGMENTS, false },
	{ "BILGE_BARRIER=stop", FIELD(barrier), 3, false },
	{ "BILGE_BARRIER=none", FIELD(barrier), 0, true },
	/* BOOL */
	{ "BILGE_PAST_END=0", FIELD(past_end), 0, false },
	{ "BILGE_PAST_END=1", FIELD(past_end), 1, false },
	{ "BILGE_PAST_END=2", FIELD(past_end), 1, true },
	{ "BILGE_PAST_END=yes", FIELD(past_end), 1, true },
	{ "BILGE_CHILDREN=0", FIELD(children), 0, false },
	/* NUMBER */
	{ "BILGE_DEPTH=0", FIELD(depth), 0, false },
	{ "BILGE_DEPTH=128", FIELD(depth), 128, false },
	{ "BILGE_DEPTH=129", FIELD(depth), 32, true },
	{ "BILGE_DEPTH=-1", FIELD(depth), 32, true },
	{ "BILGE_DEPTH=3 ", FIELD(depth), 32, true },
	{ "BILGE_DEPTH= 3", FIELD(depth), 32, true },
	{ "BILGE_DEPTH=0x10", FIELD(depth), 32, true },
	{ "BILGE_DEPTH=18446744073709551617", FIELD(depth), 32, true },
	{ "BILGE_CPU=1", FIELD(cpu), 1, false },
	{ "BILGE_CPU=0", FIELD(cpu), 25, true },
	{ "BILGE_CPU=101", FIELD(cpu), 25, true },
	{ "BILGE_CPU=off", FIELD(cpu), 25, true },
	{ "BILGE_PERCENT=200", FIELD(percent), 200, false },
	{ "BILGE_PERCENT=off", FIELD(percent), OPTION_OFF, false },
	{ "BILGE_EXITCODE=255", FIELD(exitcode), 255, false },
	{ "BILGE_EXITCODE=256", FIELD(exitcode), 0, true },
	/* SIZE */
	{ "BILGE_SAMPLE=512K", FIELD(sample), 512 * KIB, false },
	{ "BILGE_SAMPLE=3m", FIELD(sample), 3 * MIB, false },
	{ "BILGE_SAMPLE=17", FIELD(sample), 17, false },
	{ "BILGE_SAMPLE=off", FIELD(sample), 1, true },
	{ "BILGE_LIMIT=2G", FIELD(limit), 2 * GIB, false },
	{ "BILGE_LIMIT=off", FIELD(limit), OPTION_OFF, false },
	{ "BILGE_LIMIT=2GB", FIELD(limit), OPTION_OFF, true },
	{ "BILGE_LIMIT=2T", FIELD(limit), OPTION_OFF, true },
	{ "BILGE_LIMIT=G", FIELD(limit), OPTION_OFF, true },
	{ "BILGE_LIMIT=1.5G", FIELD(limit), OPTION_OFF, true },
	{ "BILGE_LIMIT=18446744073709551615", FIELD(limit), OPTION_OFF, true },
	{ "BILGE_LIMIT=17179869184G", FIELD(limit), OPTION_OFF, true },
	/* TIME */
	{ "BILGE_INTERVAL=250ms", FIELD(interval), S / 4, false },
	{ "BILGE_INTERVAL=5", FIELD(interval), 5 * S, false },
	{ "BILGE_INTERVAL=5s", FIELD(interval), 5 * S, false },
	{ "BILGE_INTERVAL=2m", FIELD(interval), 120 * S, false },
	{ "BILGE_INTERVAL=3h", FIELD(interval), 10800 * S, false },
	{ "BILGE_INTERVAL=5M", FIELD(interval), 0, true },
	{ "BILGE_INTERVAL=1d", FIELD(interval), 0, true },
	{ "BILGE_INTERVAL=soon", FIELD(interval), 0, true },
	{ "BILGE_INTERVAL=9999999999999h", FIELD(interval), 0, true },
	/* HEX */
	{ "BILGE_TAG_MASK=ff00000000000000", FIELD(tag_mask),
	  UINT64_C(0xff) << 56, false },
	{ "BILGE_TAG_MASK=0xFf", FIELD(tag_mask), 255, false },
	{ "BILGE_TAG_MASK=0x", FIELD(tag_mask), 0, true },
	{ "BILGE_TAG_MASK=g", FIELD(tag_mask), 0, true },
	{ "BILGE_TAG_MASK=10000000000000000", FIELD(tag_mask), 0, true },
	/* SIGNAL */
	{ "BILGE_SIGNAL=SIGUSR1", FIELD(signal), SIGUSR1, false },
	{ "BILGE_SIGNAL=PWR", FIELD(signal), SIGPWR, false },
	{ "BILGE_SIGNAL=40", FIELD(signal), 40, false },
	{ "BILGE_SIGNAL=SIGRTMIN+0", FIELD(signal), 34, false },
	{ "BILGE_SIGNAL=SIGRTMIN+30", FIELD(signal), 64, false },
	{ "BILGE_SIGNAL=SIGRTMIN+31", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=SIGRTMIN+", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=SIGKILL", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=9", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=19", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=SIGSEGV", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=32", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=0", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=65", FIELD(signal), SIGSTKFLT, true },
	{ "BILGE_SIGNAL=usr1", FIELD(signal), SIGSTKFLT, true },
};

static const struct text_row {
	const char *variable;
	size_t field;
	const char *value;
	bool is_bad;
} texts[] = {
	{ "BILGE_REPORT=none", FIELD(report), "none", false },
	{ "BILGE_REPORT=/tmp/a b=%p", FIELD(report), "/tmp/a b=%p", false },
	{ "BILGE_REPORT=", FIELD(report), "stderr", true },
	{ "BILGE_RECORD=x", FIELD(record), "x", false },
	{ "BILGE_SUPPRESSIONS=a:b", FIELD(suppressions), "a:b", false },
};

static const char *variables[4096];

static void
parse(void)
{
	options_parse((char *const *)variables);
}

START_TEST(test_number)
{
	const struct number_row *row = &numbers[_i];
	const char *said;

	variables[0] = row->variable;
	said = unit_capture(parse);
	ck_assert_msg(unit_count(said, BAD) == row->is_bad, "%s: \"%s\"",
		      row->variable, said);
	ck_assert_uint_eq(*(const uint64_t *)((const char *)options +
					      row->field), row->value);
	/* The line names the variable, its value and the default. */
	if (row->is_bad)
		ck_assert_ptr_nonnull(strstr(said, row->variable));
}
END_TEST

START_TEST(test_text)
{
	const struct text_row *row = &texts[_i];
	char copy[64];

	strcpy(copy, row->variable);
	variables[0] = copy;
	ck_assert_uint_eq(unit_count(unit_capture(parse), BAD), row->is_bad);
	/* The program may change its environment. */
	memset(copy, '#', sizeof(copy));
	ck_assert_str_eq(*(const char *const *)((const char *)options +
						row->field), row->value);
}
END_TEST

/* Each wrong variable is one line, and those that follow still count. */
START_TEST(test_several)
{
	const char *said;

	variables[0] = "PATH=/bin";
	variables[1] = "BILGE_NONSENSE=1";
	variables[2] = "BILGE_DEPTH=many";
	variables[3] = "BILGE_=1";
	variables[4] = "BILGE_DEPT=5";
	variables[5] = "BILGE_DEPTHS=5";
	variables[6] = "BILGE_leaks=ignore";
	variables[7] = "MYBILGE_LEAKS=ignore";
	variables[8] = "BILGE_CPUX";
	variables[9] = "BILGE_CPU=0";
	variables[10] = "BILGE_EXITCODE=7";
	said = unit_capture(parse);
	ck_assert_uint_eq(unit_count(said, UNKNOWN), 5);
	ck_assert_uint_eq(unit_count(said, BAD), 2);
	ck_assert_uint_eq(unit_count(said, "\n"), 7);
	ck_assert_uint_eq(unit_count(said, "bilge: BILGE_"), 7);
	ck_assert_ptr_nonnull(strstr(said, "BILGE_NONSENSE"));
	ck_assert_uint_eq(options->exitcode, 7);
	ck_assert_uint_eq(options->depth, 32);
	ck_assert_uint_eq(options->leaks, LEAKS_REPORT);
}
END_TEST

START_TEST(test_nothing)
{
	ck_assert_str_eq(unit_capture(parse), "");
	ck_assert_uint_eq(options->leaks, LEAKS_REPORT);
	ck_assert_uint_eq(options->sample, 1);
	ck_assert_uint_eq(options->percent, OPTION_OFF);
	ck_assert_uint_eq(options->signal, SIGSTKFLT);
	ck_assert_str_eq(options->report, "stderr");
	ck_assert_str_eq(options->record, "none");
}
END_TEST

/* Longer than there is room for: the default, and no harm done. */
START_TEST(test_long)
{
	static char first[6 * PATH_MAX] = "BILGE_REPORT=";
	static char second[3 * PATH_MAX] = "BILGE_RECORD=";

	memset(first + 13, 'x', sizeof(first) - 14);
	memset(second + 13, 'y', sizeof(second) - 14);
	variables[0] = first;
	variables[1] = second;
	ck_assert_uint_eq(unit_count(unit_capture(parse), "bilge: "), 1);
	ck_assert_str_eq(options->report, "stderr");
	ck_assert_str_eq(options->record, second + 13);
}
END_TEST

static void
parse_and_print(void)
{
	options_parse((char *const *)variables);
	options_print_help();
}

START_TEST(test_help)
{
	const char *text;

	variables[0] = "BILGE_TAG_MASK=ff";
	variables[1] = "BILGE_DEPTH=17";
	variables[2] = "BILGE_RECORD=/x/y";
	text = unit_capture(parse_and_print);
	ck_assert_ptr_nonnull(strstr(text, "BILGE_TAG_MASK=0xff\t"));
	ck_assert_ptr_nonnull(strstr(text, "BILGE_DEPTH=17\t"));
	ck_assert_ptr_nonnull(strstr(text, "BILGE_RECORD=/x/y\t"));
	ck_assert_ptr_nonnull(strstr(text, "BILGE_LEAKS=report\t"));
	ck_assert_ptr_nonnull(strstr(text, "BILGE_PERCENT=off\t"));
#define OPTION(name, field, kind, value, values, meaning) \
	ck_assert_uint_eq(unit_count(text, "BILGE_" #name "="), 1);
#define LATER OPTION
#include "settings/options.def"
}
END_TEST

START_TEST(test_json)
{
	char text[8192];
	struct fmt f;

	variables[0] = "BILGE_REPORT=a\"b\\c";
	unit_capture(parse);
	fmt_init(&f, text, sizeof(text));
	options_print_json(&f);
	fmt_end(&f);
	ck_assert_uint_lt(f.length, sizeof(text));
	ck_assert_ptr_eq(strstr(text, "{\"LEAKS\":\"report\",\"FREE\":"), text);
	ck_assert_ptr_nonnull(strstr(text, ",\"REPORT\":\"a\\\"b\\\\c\","));
	ck_assert_ptr_nonnull(strstr(text, ",\"HELP\":\"0\"}"));
}
END_TEST

/* A program that overruns its buffers cannot turn a rule off. */
START_TEST(test_sealed_numbers)
{
	parse();
	((struct options *)(uintptr_t)options)->leaks = LEAKS_IGNORE;
}
END_TEST

START_TEST(test_sealed_texts)
{
	variables[0] = "BILGE_REPORT=/tmp/x";
	parse();
	*(char *)(uintptr_t)options->report = 'y';
}
END_TEST

static int unsealed = 5;

START_TEST(test_others_are_not_sealed)
{
	parse();
	unsealed++;
	ck_assert_int_eq(unsealed, 6);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("options");
	TCase *sealed;

	tcase_add_loop_test(unit_case(suite, "number", NULL), test_number, 0,
			    (int)ARRAY_LEN(numbers));
	tcase_add_loop_test(unit_case(suite, "text", NULL), test_text, 0,
			    (int)ARRAY_LEN(texts));
	unit_case(suite, "several", test_several);
	unit_case(suite, "nothing", test_nothing);
	unit_case(suite, "long", test_long);
	unit_case(suite, "help", test_help);
	unit_case(suite, "json", test_json);
	sealed = unit_case(suite, "sealed", test_others_are_not_sealed);
	tcase_add_test_raise_signal(sealed, test_sealed_numbers, SIGSEGV);
	tcase_add_test_raise_signal(sealed, test_sealed_texts, SIGSEGV);
	return unit_run(suite);
}
