/*
 * options.c - what the user chose.
 *
 * Owns the settings.  They are parsed once, then their pages are made
 * read-only: a program that overruns its buffers cannot turn a rule off.
 *
 * Not here: what a setting does; the table of settings (options.def).
 */
#include "settings/options.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/panic.h"
#include "base/sys.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

enum kind { CHOICE, BOOL, NUMBER, SIZE, TIME, HEX, SIGNAL, TEXT };

static const struct option {
	const char *name;
	enum kind kind;
	bool later;
	unsigned short offset;		/* of the field in struct options */
	const char *value;		/* the default */
	const char *values;
	const char *meaning;
} table[] = {
#define ROW(name, field, kind, later, value, values, meaning) \
	{ #name, kind, later, offsetof(struct options, field), value, \
	  values, meaning },
#define OPTION(name, field, kind, value, values, meaning) \
	ROW(name, field, kind, false, value, values, meaning)
#define LATER(name, field, kind, value, values, meaning) \
	ROW(name, field, kind, true, value, values, meaning)
#include "settings/options.def"
};

#define TEXT_SIZE	(4 * (size_t)PATH_MAX)

/*
 * Fixed: read-only once options_parse() has returned.  The alignment makes
 * its size whole pages, so that nothing else is sealed with it.
 */
static struct {
	struct options options;
	char text[TEXT_SIZE];
	size_t text_used;
	bool is_given[ARRAY_LEN(table)];
} __attribute__((aligned(4096))) sealed;

const struct options *const options = &sealed.options;

static const struct {
	const char *name;
	unsigned char number;
} signal_names[] = {
	{ "SIGHUP", 1 },   { "SIGUSR1", 10 }, { "SIGUSR2", 12 },
	{ "SIGALRM", 14 }, { "SIGSTKFLT", 16 }, { "SIGURG", 23 },
	{ "SIGXCPU", 24 }, { "SIGXFSZ", 25 }, { "SIGVTALRM", 26 },
	{ "SIGPROF", 27 }, { "SIGWINCH", 28 }, { "SIGIO", 29 },
	{ "SIGPWR", 30 },
};

static uint64_t *
number_field(const struct option *o)
{
	return (uint64_t *)((char *)&sealed.options + o->offset);
}

static const char **
text_field(const struct option *o)
{
	return (const char **)((char *)&sealed.options + o->offset);
}

/*
 * choice_index - which of "a|b|c" is the text; -1 when none is.
 */
static int
choice_index(const char *values, const char *text)
{
	size_t length = strlen(text);

	for (int i = 0;; i++) {
		const char *bar = strchr(values, '|');
		size_t n = bar ? (size_t)(bar - values) : strlen(values);

		if (n == length && memcmp(values, text, n) == 0)
			return i;
		if (bar == NULL)
			return -1;
		values = bar + 1;
	}
}

/* take_digits - a number and the rest of the text; false without one. */
static bool
take_digits(const char **text, unsigned base, uint64_t *ret)
{
	const char *p = *text;
	uint64_t n = 0;

	for (;; p++) {
		unsigned c = (unsigned char)*p, digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (base == 16 && (c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (c | 32) - 'a' + 10;
		else
			break;
		if (n > (UINT64_MAX - digit) / base)
			return false;
		n = n * base + digit;
	}
	if (p == *text)
		return false;
	*text = p;
	*ret = n;
	return true;
}

/* A number's unit and how many of the smallest unit it is. */
struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{ "", 1 }, { "K", KIB }, { "M", MIB }, { "G", GIB }, { "k", KIB },
	{ "m", MIB }, { "g", GIB },
};

static const struct unit time_units[] = {
	{ "", NSEC_PER_SEC }, { "ms", NSEC_PER_MSEC }, { "s", NSEC_PER_SEC },
	{ "m", 60 * NSEC_PER_SEC }, { "h", 3600 * NSEC_PER_SEC },
};

static bool
parse_with_unit(const char *text, const struct unit *units, size_t count,
		uint64_t *ret)
{
	uint64_t n;

	if (!take_digits(&text, 10, &n))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (n >= OPTION_OFF / units[i].factor)
			return false;
		*ret = n * units[i].factor;
		return true;
	}
	return false;
}

/* parse_ranged - "low-high" stands at the end of values. */
static bool
parse_ranged(const char *text, const char *values, uint64_t *ret)
{
	const char *range = strrchr(values, '|');
	uint64_t n, low = 0, high = 0;

	range = range != NULL ? range + 1 : values;
	take_digits(&range, 10, &low);
	range++;
	take_digits(&range, 10, &high);
	if (!take_digits(&text, 10, &n) || *text != '\0' || n < low ||
	    n > high)
		return false;
	*ret = n;
	return true;
}

static bool
parse_signal(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(signal_names); i++)
		if (strcmp(text, signal_names[i].name) == 0 ||
		    strcmp(text, signal_names[i].name + 3) == 0)
			n = signal_names[i].number;
	if (strncmp(text, "SIGRTMIN+", 9) == 0) {
		/* glibc keeps 32 and 33 for itself: SIGRTMIN is 34. */
		text += 9;
		if (take_digits(&text, 10, &n) && *text == '\0')
			n += 34;
		else
			return false;
	} else if (n == 0 && (!take_digits(&text, 10, &n) || *text != '\0')) {
		return false;
	}
	/* Those that cannot be caught, or that only the fault itself raises. */
	if (n < 1 || n > 64 || n == 9 || n == 19 || n == 32 || n == 33 ||
	    n == 4 || n == 7 || n == 8 || n == 11)
		return false;
	*ret = n;
	return true;
}

static bool
parse_text(const char *text, const char **ret)
{
	size_t size = strlen(text) + 1;

	if (size == 1 || size > TEXT_SIZE - sealed.text_used)
		return false;
	*ret = memcpy(sealed.text + sealed.text_used, text, size);
	sealed.text_used += size;
	return true;
}

static bool
parse_value(const struct option *o, const char *text)
{
	uint64_t *number = number_field(o);
	int index;

	if (strcmp(text, "off") == 0 && strncmp(o->values, "off|", 4) == 0) {
		*number = OPTION_OFF;
		return true;
	}
	switch (o->kind) {
	case CHOICE:
	case BOOL:
		index = choice_index(o->values, text);
		if (index < 0)
			return false;
		*number = (uint64_t)index;
		return true;
	case NUMBER:
		return parse_ranged(text, o->values, number);
	case SIZE:
		return parse_with_unit(text, size_units, ARRAY_LEN(size_units),
				       number);
	case TIME:
		return parse_with_unit(text, time_units, ARRAY_LEN(time_units),
				       number);
	case HEX:
		if (strncmp(text, "0x", 2) == 0)
			text += 2;
		return take_digits(&text, 16, number) && *text == '\0';
	case SIGNAL:
		return parse_signal(text, number);
	case TEXT:
		return parse_text(text, text_field(o));
	}
	return false;
}

static const struct option *
find_option(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strlen(table[i].name) == length &&
		    memcmp(table[i].name, name, length) == 0)
			return &table[i];
	return NULL;
}

static void
parse_variable(const char *variable)
{
	const char *name = variable + strlen("BILGE_");
	const char *equals = strchr(name, '=');
	const struct option *o;

	if (equals == NULL)
		return;
	o = find_option(name, (size_t)(equals - name));
	if (o == NULL) {
		char shown[64];
		struct fmt f;

		fmt_init(&f, shown, sizeof(shown));
		fmt_bytes(&f, variable, (size_t)(equals - variable));
		say("%s is not a setting; BILGE_HELP=1 lists them",
		    fmt_end(&f));
	} else if (!parse_value(o, equals + 1)) {
		say("BILGE_%s=%s is not one of %s; using %s", o->name,
		    equals + 1, o->values, o->value);
	} else if (!o->later) {
		sealed.is_given[o - table] = true;
	} else {
		say("BILGE_%s has no effect in this version", o->name);
	}
}

bool
options_is_given(const char *name)
{
	const struct option *o = find_option(name, strlen(name));

	return o != NULL && sealed.is_given[o - table];
}

/*
 * set_mode_defaults - who wants to stay afloat is not there to look at each
 * stack, and wants cycles without asking for them.
 */
static void
set_mode_defaults(void)
{
	struct options *o = &sealed.options;

	if ((o->leaks == LEAKS_RECLAIM || o->free == FREE_GUARD) &&
	    !options_is_given("SAMPLE"))
		o->sample = 512 * KIB;
	if (o->leaks != LEAKS_RECLAIM)
		return;
	if (!options_is_given("PERCENT"))
		o->percent = 100;
	if (!options_is_given("INTERVAL"))
		o->interval = 120 * NSEC_PER_SEC;
}

void
options_parse(char *const *environment)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		REQUIRE(parse_value(&table[i], table[i].value));
	for (; environment != NULL && *environment != NULL; environment++)
		if (strncmp(*environment, "BILGE_", 6) == 0)
			parse_variable(*environment);
	set_mode_defaults();
	sys_mprotect((uintptr_t)&sealed, sizeof(sealed), PROT_READ);
}

/* print_choice - the index-th word of "a|b|c". */
static void
print_choice(struct fmt *f, const char *values, uint64_t index)
{
	for (; index > 0; index--)
		values = strchr(values, '|') + 1;
	while (*values != '|' && *values != '\0')
		fmt_char(f, *values++);
}

static void
print_value(struct fmt *f, const struct option *o)
{
	uint64_t n = o->kind == TEXT ? 0 : *number_field(o);

	if (o->kind == TEXT)
		fmt_text(f, *text_field(o));
	else if (n == OPTION_OFF)
		fmt_text(f, "off");
	else if (o->kind == CHOICE || o->kind == BOOL)
		print_choice(f, o->values, n);
	else if (o->kind == HEX)
		fmt_hex(f, n);
	else if (o->kind == TIME)
		fmt_print(f, "%lums", (unsigned long)(n / NSEC_PER_MSEC));
	else
		fmt_number(f, n);
}

void
options_print_help(void)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char line[512], value[256];
		struct fmt f, v;

		fmt_init(&v, value, sizeof(value));
		print_value(&v, &table[i]);
		fmt_init(&f, line, sizeof(line));
		fmt_print(&f, "BILGE_%s=%s\t%s (%s)\n", table[i].name,
			  fmt_end(&v), table[i].meaning, table[i].values);
		fmt_end(&f);
		sys_write_all(2, line, MIN(f.length, sizeof(line) - 1));
	}
}

bool
options_want_cycles(void)
{
	return options_want_leak_cycles() || options->free == FREE_GUARD;
}

bool
options_want_leak_cycles(void)
{
	return options->leaks != LEAKS_IGNORE &&
	       (options->percent != OPTION_OFF ||
		options->limit != OPTION_OFF || options->interval != 0);
}

void
options_print_json(struct fmt *f)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char value[PATH_MAX];
		struct fmt v;

		fmt_init(&v, value, sizeof(value));
		print_value(&v, &table[i]);
		fmt_print(f, "%s\"%s\":", i == 0 ? "{" : ",", table[i].name);
		fmt_json(f, fmt_end(&v));
	}
	fmt_char(f, '}');
}
