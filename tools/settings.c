/*
 * settings.c - the library's settings: names, values, what holds here.
 *
 * What they are and what values they take is the library's (settings/values.h):
 * nothing is accepted here that is refused there.
 */
#include "settings.h"
#include "cmd.h"
#include "settings/values.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "BILGE_"

#define OPTION(NAME, field, kind, standard, values, meaning) \
	{ #NAME, VALUE_##kind, values, standard, meaning, false },
#define LATER(NAME, field, kind, standard, values, meaning) \
	{ #NAME, VALUE_##kind, values, standard, meaning, true },

static const struct setting settings[] = {
#include "settings/options.def"
};

static const struct {
	const char *chooser, *choice, *name, *value;
} modes[] = {
#define MODE(chooser, choice, name, value) { #chooser, choice, #name, value },
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

bool
setting_accepts(const struct setting *setting, const char *value)
{
	uint64_t unused;

	return value_parse((enum value_kind)setting->kind, setting->values,
	    value, &unused);
}

const char *
setting_default(const struct setting *setting)
{
	const char *standard = setting->standard;

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		const struct setting *chooser = settings_find(modes[i].chooser,
		    strlen(modes[i].chooser));
		char *variable = cmd_printf(PREFIX "%s", chooser->name);
		const char *choice = getenv(variable);

		free(variable);
		if (strcmp(modes[i].name, setting->name) != 0)
			continue;
		if (choice == NULL || !setting_accepts(chooser, choice))
			choice = chooser->standard;
		if (strcmp(choice, modes[i].choice) == 0)
			standard = modes[i].value;
	}
	return standard;
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
	if (setting->kind == VALUE_SIGNAL && value_signal(value) != 0 &&
	    !setting_accepts(setting, value))
		cmd_die(STATUS_USAGE, "-s: the signal %s cannot stop threads",
		    value);
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
	    value != NULL ? value : setting_default(setting));
	printf("\t%s\n", setting->meaning);
	printf("\tvalues: %s; default: %s\n", setting->values,
	    setting_default(setting));
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
