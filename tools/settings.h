/*
 * settings.h - the library's settings as the command sees them.
 *
 * The list is settings/options.def, the same that the library is built from.
 */
#ifndef BILGE_SETTINGS_H
#define BILGE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

struct setting {
	const char *name;		/* without BILGE_ */
	int kind;			/* enum value_kind */
	const char *values;		/* "off|1-100": words, ranges, kinds */
	const char *standard;		/* the default */
	const char *meaning;
	bool is_later;			/* accepted, without effect yet */
};

/* settings_find - the setting of this name, NULL when there is none. */
const struct setting *settings_find(const char *name, size_t length);

/* setting_accepts - would the library take this value? */
bool setting_accepts(const struct setting *setting, const char *value);

/*
 * setting_default - what it is when nobody sets it: a choice that is in the
 * environment may change that.
 */
const char *setting_default(const struct setting *setting);

/*
 * settings_set - put "NAME=VALUE" into the environment for the program.
 * Anything else, an unknown name or a bad value ends the command as wrong
 * usage.
 */
const struct setting *settings_set(const char *assignment);

/* settings_put - set BILGE_NAME to a value that is known to be good. */
void settings_put(const char *name, const char *value);

#endif
