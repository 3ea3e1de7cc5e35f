/*
 * settings.c - the library's settings: names, values, what holds here.
 *
 * A value is checked by the text in "values" alone: alternatives divided by
 * "|", each one a word that stands for itself, a range of decimal numbers, or
 * the name of a kind (see kinds[]).
 */
#include "settings.h"
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "BILGE_"

#define OPTION(NAME, field, kind, standard, values, meaning) \
	{ #NAME, values, standard, meaning, false },
#define LATER(NAME, field, kind, standard, values, meaning) \
	{ #NAME, values, standard, meaning, true },

static const struct setting settings[] = {
#include "settings/options.def"
};

#define SETTINGS (sizeof(settings) / sizeof(*settings))

const struct setting *
settings_find(const char *name, size_t length)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (strlen(settings[i].name) == length &&
		    memcmp(settings[i].name, name, length) == 0)
			return &settings[i];
	return NULL;
}

/* A decimal number at *text, which moves behind it. */
static bool
number(const char **text, unsigned long long *ret_number)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	*ret_number = strtoull(*text, &end, 10);
	*text = end;
	return errno == 0;
}

static bool
is_size(const char *value)
{
	static const char units[] = "KMG";
	unsigned long long size;
	const char *unit;

	if (!number(&value, &size))
		return false;
	if (*value == '\0')
		return true;
	unit = strchr(units, toupper((unsigned char)*value));
	return unit != NULL && value[1] == '\0' &&
	    size <= (~0ULL >> (10 * (unit - units + 1)));
}

static bool
is_time(const char *value)
{
	unsigned long long time;

	if (!number(&value, &time))
		return false;
	return *value == '\0' || strcmp(value, "ms") == 0 ||
	    strcmp(value, "s") == 0 || strcmp(value, "m") == 0 ||
	    strcmp(value, "h") == 0;
}

static bool
is_hex(const char *value)
{
	if (value[0] == '0' && (value[1] == 'x' || value[1] == 'X'))
		value += 2;
	return *value != '\0' && strlen(value) <= 16 &&
	    value[strspn(value, "0123456789abcdefABCDEF")] == '\0';
}

/* Those that a thread may be stopped with: no fault, nothing uncatchable. */
static bool
is_signal(const char *value)
{
	static const char *const names[] = {
		"HUP", "USR1", "USR2", "ALRM", "STKFLT", "URG", "XCPU", "XFSZ",
		"VTALRM", "PROF", "WINCH", "IO", "PWR",
	};
	unsigned long long signal;

	if (strncmp(value, "SIG", 3) == 0)
		value += 3;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(value, names[i]) == 0)
			return true;
	if (strncmp(value, "RTMIN+", 6) == 0) {
		value += 6;
		return number(&value, &signal) && *value == '\0' &&
		    signal <= (unsigned)(SIGRTMAX - SIGRTMIN);
	}
	if (!number(&value, &signal) || *value != '\0' || signal < 1 ||
	    signal > (unsigned)SIGRTMAX)
		return false;
	switch (signal) {
	case SIGKILL:
	case SIGSTOP:
	case SIGILL:
	case SIGBUS:
	case SIGFPE:
	case SIGSEGV:
		return false;
	}
	/* The C library keeps those between for itself. */
	return signal < 32 || signal >= (unsigned)SIGRTMIN;
}

static bool
is_path(const char *value)
{
	return *value != '\0';
}

static const struct {
	const char *name;
	bool (*accepts)(const char *value);
} kinds[] = {
	{ "size", is_size },
	{ "time", is_time },
	{ "hex", is_hex },
	{ "signal", is_signal },
	{ "path", is_path },
	{ "path[:path]", is_path },
};

/* One alternative of "values". */
static bool
alternative_accepts(const char *alternative, const char *value)
{
	unsigned long long min, max, given;
	const char *at = alternative;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(alternative, kinds[i].name) == 0)
			return kinds[i].accepts(value);
	if (number(&at, &min) && *at++ == '-' && number(&at, &max) &&
	    *at == '\0')
		return number(&value, &given) && *value == '\0' &&
		    given >= min && given <= max;
	return strcmp(alternative, value) == 0;
}

bool
setting_accepts(const struct setting *setting, const char *value)
{
	char *values = cmd_printf("%s", setting->values);
	bool accepted = false;
	char *next = values;
	char *alternative;

	while (!accepted && (alternative = strsep(&next, "|")) != NULL)
		accepted = alternative_accepts(alternative, value);
	free(values);
	return accepted;
}

void
settings_put(const char *name, const char *value)
{
	char *variable = cmd_printf(PREFIX "%s", name);

	if (setenv(variable, value, 1) != 0)
		cmd_die(STATUS_FAILED, "out of memory");
	free(variable);
}

const struct setting *
settings_set(const char *assignment)
{
	const char *value = strchr(assignment, '=');
	const struct setting *setting;
	size_t length;

	if (value == NULL)
		cmd_die(STATUS_USAGE, "-s: '%s' is not NAME=VALUE", assignment);
	length = (size_t)(value++ - assignment);
	setting = settings_find(assignment, length);
	if (setting == NULL)
		cmd_die(STATUS_USAGE, "-s: unknown setting '%.*s'; "
		    "see bilge settings", (int)length, assignment);
	if (!setting_accepts(setting, value))
		cmd_die(STATUS_USAGE, "-s: %s cannot be '%s', but %s",
		    setting->name, value, setting->values);
	settings_put(setting->name, value);
	return setting;
}

static void
print_setting(const struct setting *setting)
{
	char *variable = cmd_printf(PREFIX "%s", setting->name);
	const char *value = getenv(variable);

	printf("%s=%s\n", variable,
	    value != NULL ? value : setting->standard);
	printf("\t%s\n", setting->meaning);
	printf("\tvalues: %s; default: %s\n", setting->values,
	    setting->standard);
	if (setting->is_later)
		printf("\taccepted, but without effect yet\n");
	if (value != NULL && !setting_accepts(setting, value))
		printf("\tbad value '%s': the default is used\n", value);
	free(variable);
}

static const char help[] =
"Usage: bilge settings\n"
"Print every setting, its meaning and its value here: the environment's, or\n"
"the default.  Bad values and unknown names are pointed out.\n"
"\n"
"  --help      this text\n"
"  --version   the version\n";

int
settings_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *name;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		cmd_common_option(option, help);
	if (optind < argc)
		cmd_die(STATUS_USAGE, "settings takes no argument");

	for (size_t i = 0; i < SETTINGS; i++)
		print_setting(&settings[i]);
	for (char **entry = environ; *entry != NULL; entry++) {
		if (strncmp(*entry, PREFIX, strlen(PREFIX)) != 0)
			continue;
		name = *entry + strlen(PREFIX);
		if (settings_find(name, strcspn(name, "=")) == NULL)
			printf(PREFIX "%s\n\tunknown: ignored\n", name);
	}
	if (fflush(stdout) != 0)
		cmd_die(STATUS_FAILED, "cannot write: %m");
	return STATUS_OK;
}
