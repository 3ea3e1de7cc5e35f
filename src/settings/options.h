/*
 * options.h - what the user chose.
 * Defaults: any context once options_parse() has run; read-only from then on.
 */
#ifndef BILGE_OPTIONS_H
#define BILGE_OPTIONS_H

#include "base/base.h"
#include "base/fmt.h"
#include "settings/values.h"

enum leaks_choice { LEAKS_REPORT, LEAKS_RECLAIM, LEAKS_IGNORE };
enum free_choice { FREE_NOW, FREE_GUARD };
enum barrier_choice {
	BARRIER_AUTO, BARRIER_UFFD, BARRIER_MPROTECT, BARRIER_STOP
};
enum roots_choice { ROOTS_ALL, ROOTS_SEGMENTS };

#define OPTION_TYPE_CHOICE	uint64_t
#define OPTION_TYPE_BOOL	uint64_t
#define OPTION_TYPE_NUMBER	uint64_t
#define OPTION_TYPE_SIZE	uint64_t
#define OPTION_TYPE_TIME	uint64_t
#define OPTION_TYPE_HEX		uint64_t
#define OPTION_TYPE_SIGNAL	uint64_t
#define OPTION_TYPE_TEXT	const char *

struct options {
#define OPTION(name, field, kind, value, values, meaning) \
	OPTION_TYPE_##kind field;
#define LATER(name, field, kind, value, values, meaning) \
	OPTION_TYPE_##kind field;
#include "settings/options.def"
};

extern const struct options *const options;

/*
 * options_parse - read every BILGE_ variable once and seal the result.
 *
 * A bad value is one line and the default; so is an unknown name.  Texts are
 * copied: the program may change its environment.
 *
 * Context: early, one thread.
 */
void options_parse(char *const *environment);

/* options_is_given - did the user set this one?  Units: its name. */
bool options_is_given(const char *name);

/*
 * options_want_cycles - is the running program to be marked, now and then?
 * options_want_leak_cycles - to find leaks, that is?
 */
bool options_want_cycles(void);
bool options_want_leak_cycles(void);

/* options_print_help - every setting with its value here, on standard error. */
void options_print_help(void);

/* options_print_json - {"LEAKS":"report",...} */
void options_print_json(struct fmt *f);

#endif
