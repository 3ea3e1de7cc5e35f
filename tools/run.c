/*
 * run.c - bilge run and bilge check: a program under bilge.
 *
 * All that is done here is the environment the library reads.  The library
 * itself prints the text report.  For another format it writes a record, and
 * this process, which outlives the program, renders it.  So it does for check,
 * whatever the format: only the record says that the check at exit was made,
 * and not that the library stood down, or gave it up.
 */
#include "child.h"
#include "cmd.h"
#include "library.h"
#include "output.h"
#include "program.h"
#include "record_find.h"
#include "render.h"
#include "settings.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPTIONS_HELP \
"\n" \
"  --reclaim             give the memory of leaks back: BILGE_LEAKS=reclaim\n" \
"  --guard               reuse freed blocks only when no pointer to them is\n" \
"                        left: BILGE_FREE=guard\n" \
"  -s NAME=VALUE         any setting; see bilge settings\n" \
"  -o FILE               the report goes there, not to standard error; %p\n" \
"                        is the process, %e its program, %t the time\n" \
"  --format=FORMAT       text (the default) or json\n" \
"  --record=FILE         keep the record, for bilge report\n" \
"  --exit-code=N         status when there are leaks and the program's is 0\n" \
"  --suppressions=FILE   without effect yet\n" \
"  --baseline=FILE       without effect yet\n" \
"  --help                this text\n" \
"  --version             the version\n" \
"\n" \
"Status: the program's, 128 + n when signal n ended it; 125 bilge could not\n" \
"do its work, 126 the program cannot be executed, 127 it was not found, 2\n" \
"wrong usage.\n"

static const char run_help[] =
"Usage: bilge run [OPTION ...] [--] PROGRAM [ARG ...]\n"
"Run the program and report the blocks it lost when it ends.\n"
OPTIONS_HELP;

static const char check_help[] =
"Usage: bilge check [OPTION ...] [--] PROGRAM [ARG ...]\n"
"As bilge run, for tests: the status is 23 when there are leaks and 125 when\n"
"the program could not be checked, unless it failed by itself.\n"
OPTIONS_HELP;

enum {
	RECLAIM = 256, GUARD, FORMAT, RECORD, EXIT_CODE, SUPPRESSIONS,
	BASELINE
};

static const struct option options[] = {
	{ "reclaim", no_argument, NULL, RECLAIM },
	{ "guard", no_argument, NULL, GUARD },
	{ "format", required_argument, NULL, FORMAT },
	{ "record", required_argument, NULL, RECORD },
	{ "exit-code", required_argument, NULL, EXIT_CODE },
	{ "suppressions", required_argument, NULL, SUPPRESSIONS },
	{ "baseline", required_argument, NULL, BASELINE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

struct run {
	enum format format;
	char *output;			/* absolute, NULL: standard error */
	char *record;			/* absolute, NULL: none asked for */
	bool has_report;		/* -s REPORT= was given */
	bool is_check;

	FILE *out;			/* open before the program starts */
	char *directory;		/* of our own records, or NULL */
	time_t start;
};

static void
set_exit_code(const char *text)
{
	char *value = cmd_printf("%ld", cmd_number("--exit-code", text, 0,
	    255));

	settings_put("EXITCODE", value);
	free(value);
}

static void
replace(char **text, char *with)
{
	free(*text);
	*text = with;
}

/* Everything before the program; later options win. */
static void
read_options(struct run *run, int argc, char **argv)
{
	const char *help = run->is_check ? check_help : run_help;
	int option;

	/* +: the program's own options are not ours. */
	while ((option = getopt_long(argc, argv, "+ho:s:", options, NULL)) !=
	    -1) {
		switch (option) {
		case RECLAIM:
			settings_put("LEAKS", "reclaim");
			break;
		case GUARD:
			settings_put("FREE", "guard");
			break;
		case 's':
			if (strcmp(settings_set(optarg)->name, "REPORT") == 0)
				run->has_report = true;
			break;
		case 'o':
			replace(&run->output, output_absolute(optarg));
			break;
		case RECORD:
			replace(&run->record, output_absolute(optarg));
			break;
		case FORMAT:
			run->format = render_format(optarg);
			break;
		case EXIT_CODE:
			set_exit_code(optarg);
			break;
		case SUPPRESSIONS:
			cmd_warn("--suppressions has no effect yet");
			break;
		case BASELINE:
			cmd_warn("--baseline has no effect yet");
			break;
		default:
			cmd_common_option(option, help);
		}
	}
	if (optind == argc)
		cmd_die(STATUS_USAGE, "a program is missing; see %s --help",
		    argv[0]);
}

/* Where the report goes: text the library prints by itself. */
static void
prepare_report(struct run *run)
{
	if (run->format == FORMAT_TEXT) {
		if (run->output != NULL)
			settings_put("REPORT", run->output);
		return;
	}
	if (!run->has_report)
		settings_put("REPORT", "none");
	/* Better no run than a long one whose report cannot be written. */
	if (run->output == NULL || strchr(run->output, '%') == NULL)
		run->out = output_open(run->output, stderr);
}

/* The record: the user's, or one of ours if we need it and there is none. */
static void
prepare_record(struct run *run)
{
	const char *temporary = getenv("TMPDIR");
	const char *set = getenv("BILGE_RECORD");
	char *pattern;

	if (run->record == NULL && set != NULL && *set != '\0' &&
	    strcmp(set, "none") != 0)
		run->record = output_absolute(set);
	if (run->record != NULL) {
		settings_put("RECORD", run->record);
		return;
	}
	if (run->format == FORMAT_TEXT && !run->is_check)
		return;
	if (temporary == NULL || temporary[0] != '/' ||
	    strchr(temporary, '%') != NULL)
		temporary = "/tmp";
	run->directory = cmd_printf("%s/bilge-XXXXXX", temporary);
	if (mkdtemp(run->directory) == NULL)
		cmd_die(STATUS_FAILED, "%s: cannot be made: %m",
		    run->directory);
	pattern = cmd_printf("%s/%%p", run->directory);
	settings_put("RECORD", pattern);
	/* It is rendered once and gone: nobody can ask it. */
	settings_put("WHY", "0");
	free(pattern);
}

/* One record to its place. */
static void
render_record(struct run *run, struct record *record)
{
	FILE *out = run->out;
	char *path = NULL;

	if (out == NULL) {
		path = output_expand(run->output, (pid_t)record->pid,
		    record->exe);
		out = output_open(path, NULL);
	}
	render(record, run->format, RENDER_ALL, out);
	output_close(out, path != NULL ? path : run->output);
	free(path);
}

/*
 * The record of the program itself.  One that was killed has told what it
 * could, but not how it ended; we know.
 *
 * Returns:  was the program checked when it ended?
 */
static bool
take_record(struct run *run, pid_t pid, int status)
{
	struct record *record;
	const char *why;
	bool has_record, is_checked = false;
	char *pattern = run->record != NULL ? cmd_printf("%s", run->record) :
	    cmd_printf("%s/%%p", run->directory);

	record = record_find(pattern, pid, run->start, &why);
	has_record = record != NULL;
	if (has_record) {
		is_checked = record->is_checked;
		if (!record->has_exit_status) {
			record->has_exit_status = true;
			record->exit_status = status;
		}
		if (run->format != FORMAT_TEXT)
			render_record(run, record);
		record_destroy(record);
	} else if (run->format != FORMAT_TEXT) {
		cmd_warn("the program left no record: %s", why);
	}
	if (run->is_check && status == STATUS_OK && !is_checked &&
	    (has_record || run->format == FORMAT_TEXT))
		cmd_warn("the program was not checked when it ended");
	free(pattern);
	return is_checked;
}

/*
 * The records of processes that the program started.  One file takes one
 * object; so they are shown only if every process has a file of its own.
 */
static void
render_others(struct run *run, pid_t pid)
{
	DIR *directory = opendir(run->directory);
	struct dirent *entry;
	struct record *record;
	const char *why;
	size_t hidden = 0;
	char *path;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.' ||
		    atol(entry->d_name) == (long)pid)
			continue;
		path = cmd_printf("%s/%s", run->directory, entry->d_name);
		record = record_load(path, &why);
		free(path);
		if (record == NULL)
			continue;
		if (run->output != NULL && strstr(run->output, "%p") != NULL)
			render_record(run, record);
		else if (record->leak_count != 0)
			hidden++;
		record_destroy(record);
	}
	closedir(directory);
	if (hidden != 0)
		cmd_warn("%zu process(es) started by the program leaked too; "
		    "-o with %%p in the name writes a file for each", hidden);
}

static void
remove_directory(const struct run *run)
{
	DIR *directory = run->directory != NULL ?
	    opendir(run->directory) : NULL;
	struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
	rmdir(run->directory);
}

/*
 * Put the library in front of the program, and say what the library, when it
 * is not loaded, cannot say.
 */
static bool
prepare_library(const char *name)
{
	char *library = library_find();
	char *path = program_find(name);
	struct program program = { 0 };
	bool is_reached;

	if (library == NULL)
		cmd_die(STATUS_FAILED, "libbilge.so is neither beside this "
		    "command nor installed");
	if (path != NULL)
		program_examine(path, &program);
	is_reached = program.obstacle == NULL;
	if (!is_reached)
		cmd_warn("%s: %s; it runs without bilge", program.path,
		    program.obstacle);
	/* Otherwise also out of its reach: what it starts may be within. */
	if (!program.breaks)
		library_preload(library);
	program_fini(&program);
	free(path);
	free(library);
	return is_reached;
}

static int
start(struct run *run, int argc, char **argv)
{
	bool is_reached, is_checked = false;
	int status, error;
	pid_t pid;

	read_options(run, argc, argv);
	argv += optind;
	is_reached = prepare_library(argv[0]);
	prepare_report(run);
	prepare_record(run);
	run->start = time(NULL) - 1;	/* files are dated by coarser clocks */

	error = child_start(argv, &pid);
	if (error != 0) {
		remove_directory(run);
		cmd_die(error < 0 ? STATUS_FAILED : error == ENOENT ?
		    STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
		    "%s: %s", argv[0], strerror(abs(error)));
	}
	status = child_wait(pid);
	if (is_reached && (run->format != FORMAT_TEXT || run->is_check))
		is_checked = take_record(run, pid, status);
	if (run->format != FORMAT_TEXT && run->directory != NULL)
		render_others(run, pid);
	remove_directory(run);
	free(run->output);
	free(run->record);
	free(run->directory);
	if (!is_checked && run->is_check && status == STATUS_OK)
		return STATUS_FAILED;
	return status;
}

int
run_main(int argc, char **argv)
{
	struct run run = { .format = FORMAT_TEXT };

	return start(&run, argc, argv);
}

int
check_main(int argc, char **argv)
{
	struct run run = { .format = FORMAT_TEXT, .is_check = true };

	settings_put("EXITCODE", "23");
	return start(&run, argc, argv);
}
