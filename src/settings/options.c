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

static const struct option {
	const char *name;
	enum value_kind kind;
	bool later;
	unsigned short offset;		/* of the field in struct options */
	const char *value;		/* the default */
	const char *values;
	const char *meaning;
} table[] = {
#define ROW(name, field, kind, later, value, values, meaning) \
	{ #name, VALUE_##kind, later, offsetof(struct options, field), value, \
	  values, meaning },
#define OPTION(name, field, kind, value, values, meaning) \
	ROW(name, field, kind, false, value, values, meaning)
#define LATER(name, field, kind, value, values, meaning) \
	ROW(name, field, kind, true, value, values, meaning)
#include "settings/options.def"
};

static const struct mode {
	const char *chooser;
	const char *choice;
	const char *name;
	const char *value;
} modes[] = {
#define MODE(chooser, choice, name, value) { #chooser, choice, #name, value },
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
	if (o->kind == VALUE_TEXT)
		return parse_text(text, text_field(o));
	return value_parse(o->kind, o->values, text, number_field(o));
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

static bool
is_chosen(const struct mode *m)
{
	const struct option *o = find_option(m->chooser, strlen(m->chooser));

	return *number_field(o) ==
	       (uint64_t)value_choice(o->values, m->choice);
}

/* default_of - in the mode that is chosen. */
static const char *
default_of(const struct option *o)
{
	const char *value = o->value;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (strcmp(modes[i].name, o->name) == 0 &&
		    is_chosen(&modes[i]))
			value = modes[i].value;
	return value;
}

/* choose_mode - what other settings' defaults depend on. */
static void
choose_mode(const char *variable)
{
	const char *name = variable + strlen("BILGE_");
	size_t length = strcspn(name, "=");

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (strncmp(modes[i].chooser, name, length) == 0 &&
		    modes[i].chooser[length] == '\0' && name[length] == '=')
			parse_value(find_option(name, length),
				    name + length + 1);
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
		if (o->kind == VALUE_SIGNAL && value_signal(equals + 1) != 0)
			say("BILGE_SIGNAL=%s cannot stop threads; using %s",
			    equals + 1, default_of(o));
		else
			say("BILGE_%s=%s is not one of %s; using %s", o->name,
			    equals + 1, o->values, default_of(o));
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

static bool
is_ours(const char *variable)
{
	return strncmp(variable, "BILGE_", 6) == 0;
}

void
options_parse(char *const *environment)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		REQUIRE(parse_value(&table[i], table[i].value));
	/* The mode first: what is said of a bad value names the default. */
	for (char *const *e = environment; e != NULL && *e != NULL; e++)
		if (is_ours(*e))
			choose_mode(*e);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (is_chosen(&modes[i]))
			REQUIRE(parse_value(find_option(modes[i].name,
				strlen(modes[i].name)), modes[i].value));
	for (char *const *e = environment; e != NULL && *e != NULL; e++)
		if (is_ours(*e))
			parse_variable(*e);
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
	uint64_t n = o->kind == VALUE_TEXT ? 0 : *number_field(o);

	if (o->kind == VALUE_TEXT)
		fmt_text(f, *text_field(o));
	else if (n == OPTION_OFF)
		fmt_text(f, "off");
	else if (o->kind == VALUE_CHOICE || o->kind == VALUE_BOOL)
		print_choice(f, o->values, n);
	else if (o->kind == VALUE_HEX)
		fmt_hex(f, n);
	else if (o->kind == VALUE_TIME)
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
