/*
 * values.h - what the value of a setting may be, and what it means.
 *
 * The core and the command read it, so that both take the same texts.  It has
 * no state and calls nothing but what compares strings.
 * Any context.
 */
#ifndef BILGE_VALUES_H
#define BILGE_VALUES_H

#include "base/base.h"

#include <string.h>

#define OPTION_OFF	UINT64_MAX

/* The kinds of options.def, which says what each is. */
enum value_kind {
	VALUE_CHOICE, VALUE_BOOL, VALUE_NUMBER, VALUE_SIZE, VALUE_TIME,
	VALUE_HEX, VALUE_SIGNAL, VALUE_TEXT
};

/*
 * value_choice - which of "a|b|c" is the text; -1 when none is.
 */
static inline int
value_choice(const char *values, const char *text)
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

/* value_digits - a number and the rest of the text; false without one. */
static inline bool
value_digits(const char **text, unsigned base, uint64_t *ret)
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
struct value_unit {
	char name[4];
	uint64_t factor;
};

static inline bool
value_with_unit(const char *text, const struct value_unit *units, size_t count,
		uint64_t *ret)
{
	uint64_t n;

	if (!value_digits(&text, 10, &n))
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

static inline bool
value_size(const char *text, uint64_t *ret)
{
	static const struct value_unit units[] = {
		{ "", 1 }, { "K", KIB }, { "M", MIB }, { "G", GIB },
		{ "k", KIB }, { "m", MIB }, { "g", GIB },
	};

	return value_with_unit(text, units, ARRAY_LEN(units), ret);
}

static inline bool
value_time(const char *text, uint64_t *ret)
{
	static const struct value_unit units[] = {
		{ "", NSEC_PER_SEC }, { "ms", NSEC_PER_MSEC },
		{ "s", NSEC_PER_SEC }, { "m", 60 * NSEC_PER_SEC },
		{ "h", 3600 * NSEC_PER_SEC },
	};

	return value_with_unit(text, units, ARRAY_LEN(units), ret);
}

/* value_number - "low-high" stands at the end of values. */
static inline bool
value_number(const char *text, const char *values, uint64_t *ret)
{
	const char *range = strrchr(values, '|');
	uint64_t n, low = 0, high = 0;

	range = range != NULL ? range + 1 : values;
	value_digits(&range, 10, &low);
	range++;
	value_digits(&range, 10, &high);
	if (!value_digits(&text, 10, &n) || *text != '\0' || n < low ||
	    n > high)
		return false;
	*ret = n;
	return true;
}

/* ------------------------------------------------------------------ signals */

/* Those between the others and SIGRTMIN are the C library's. */
#define VALUE_RTMIN	34u
#define VALUE_RTMAX	64u

/* value_signal - the signal of a name or number; 0: there is none. */
static inline unsigned
value_signal(const char *text)
{
	/* As kill -l counts them. */
	static const char names[][8] = {
		"", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE",
		"KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
		"STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
		"URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR",
		"SYS",
	};
	uint64_t n = 0;

	if (value_digits(&text, 10, &n))
		return *text == '\0' && n <= VALUE_RTMAX ? (unsigned)n : 0;
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (unsigned i = 1; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	if (strcmp(text, "RTMIN") == 0)
		return VALUE_RTMIN;
	if (strncmp(text, "RTMIN+", 6) != 0)
		return 0;
	text += 6;
	return value_digits(&text, 10, &n) && *text == '\0' &&
	       n <= VALUE_RTMAX - VALUE_RTMIN ? VALUE_RTMIN + (unsigned)n : 0;
}

/* value_can_stop - may threads be stopped with it? */
static inline bool
value_can_stop(unsigned sig)
{
	/* KILL and STOP cannot be caught. */
	if (sig == 0 || sig == 9 || sig == 19)
		return false;
	/* ILL, TRAP, BUS, FPE, SEGV, SYS report what a thread has done. */
	if (sig == 4 || sig == 5 || sig == 7 || sig == 8 || sig == 11 ||
	    sig == 31)
		return false;
	return sig < 32 || sig >= VALUE_RTMIN;
}

/* ---------------------------------------------------------------------- all */

/*
 * value_parse - Units: values, of options.def.
 * Returns: false, the text is none of them; *ret is untouched then, and always
 *          for VALUE_TEXT.
 */
static inline bool
value_parse(enum value_kind kind, const char *values, const char *text,
	    uint64_t *ret)
{
	uint64_t n;
	int index;

	if (strcmp(text, "off") == 0 && strncmp(values, "off|", 4) == 0) {
		*ret = OPTION_OFF;
		return true;
	}
	switch (kind) {
	case VALUE_CHOICE:
	case VALUE_BOOL:
		index = value_choice(values, text);
		if (index >= 0)
			*ret = (uint64_t)index;
		return index >= 0;
	case VALUE_NUMBER:
		return value_number(text, values, ret);
	case VALUE_SIZE:
		return value_size(text, ret);
	case VALUE_TIME:
		return value_time(text, ret);
	case VALUE_HEX:
		if (text[0] == '0' && (text[1] | 32) == 'x')
			text += 2;
		if (!value_digits(&text, 16, &n) || *text != '\0')
			return false;
		*ret = n;
		return true;
	case VALUE_SIGNAL:
		if (!value_can_stop(value_signal(text)))
			return false;
		*ret = value_signal(text);
		return true;
	case VALUE_TEXT:
		return *text != '\0';
	}
	return false;
}

#endif
