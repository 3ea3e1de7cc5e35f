/*
 * main.c - the command bilge: finds the subcommand and hands over.
 *
 * Each subcommand is a file of its own: run.c (run and check), report.c,
 * doctor.c, settings.c.  None of them links the collector; they know it
 * through settings/options.def and the record (report/record.h).
 */
#include "cmd.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
"Usage: bilge COMMAND [OPTION ...] [ARGUMENT ...]\n"
"Keep leaky programs afloat: find what they lose, report it, give it back.\n"
"\n"
"  run PROGRAM [ARG ...]     run it and report its leaks when it ends\n"
"  check PROGRAM [ARG ...]   the same for tests: status 23 when it leaks\n"
"  report RECORD             render a record\n"
"  doctor PROGRAM            can it run under bilge, and if not, why\n"
"  settings                  every setting, its meaning and its value here\n"
"\n"
"  --help                    this text; after COMMAND, about that command\n"
"  --version                 the version\n";

struct command {
	const char *name;
	const char *called;		/* as messages name it */
	int (*main)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "run", "bilge run", run_main },
	{ "check", "bilge check", check_main },
	{ "report", "bilge report", report_main },
	{ "doctor", "bilge doctor", doctor_main },
	{ "settings", "bilge settings", settings_main },
};

static const char *const later[] = { "ps", "top", "leaks", "collect" };

int
main(int argc, char **argv)
{
	const char *name;

	if (argc < 2)
		cmd_die(STATUS_USAGE, "a command is missing; see bilge --help");
	name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		cmd_common_option('h', help);
	if (strcmp(name, "--version") == 0)
		cmd_common_option('V', help);

	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		argv[1] = (char *)commands[i].called;
		return commands[i].main(argc - 1, argv + 1);
	}
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
		if (strcmp(name, later[i]) == 0)
			cmd_die(STATUS_USAGE, "%s is not built yet", name);
	cmd_die(STATUS_USAGE, "unknown command '%s'; see bilge --help", name);
}
