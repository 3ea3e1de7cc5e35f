/*
 * report.c - bilge report: render a record.
 *
 * The library starts it at the end of a process as well, with the record on
 * standard input and the report's place as standard output.
 */
#include "cmd.h"
#include "output.h"
#include "record_reader.h"
#include "render.h"
#include "why.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
"Usage: bilge report [OPTION ...] RECORD\n"
"Render a record; \"-\" is standard input.\n"
"\n"
"  --format=FORMAT     text (the default) or json\n"
"  -o FILE             write there instead of to standard output\n"
"  --top=N             only the N heaviest leaks; the summary is of all\n"
"  --why=ADDRESS       what held the block at this address, instead\n"
"  --help              this text\n"
"  --version           the version\n"
"\n"
"Status: 0 rendered, 125 the record cannot be read, 2 wrong usage.\n";

enum { FORMAT = 256, TOP, SUPPRESSIONS, GENERATE, BASELINE, WHY };

static const struct option options[] = {
	{ "format", required_argument, NULL, FORMAT },
	{ "top", required_argument, NULL, TOP },
	{ "suppressions", required_argument, NULL, SUPPRESSIONS },
	{ "generate-suppressions", no_argument, NULL, GENERATE },
	{ "baseline", required_argument, NULL, BASELINE },
	{ "why", required_argument, NULL, WHY },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* An address as it is printed, 0x and hexadecimal; the 0x may be missing. */
static uint64_t
address(const char *text)
{
	uint64_t number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 16);
	if (!isxdigit((unsigned char)text[0]) || *end != '\0' || errno != 0)
		cmd_die(STATUS_USAGE, "--why takes an address, not '%s'",
		    text);
	return number;
}

static struct record *
read_record(const char *path)
{
	struct record *record;
	FILE *in = stdin;
	const char *why;

	if (strcmp(path, "-") != 0)
		in = fopen(path, "re");
	else
		path = "standard input";
	if (in == NULL)
		cmd_die(STATUS_FAILED, "%s: %s", path, strerror(errno));
	record = record_read(in, &why);
	if (in != stdin)
		fclose(in);
	if (record == NULL)
		cmd_die(STATUS_FAILED, "%s: cannot be read as a record: %s",
		    path, why);
	if (record->damaged_lines != 0)
		cmd_warn("%s: left out %zu damaged line(s)", path,
		    record->damaged_lines);
	return record;
}

int
report_main(int argc, char **argv)
{
	enum format format = FORMAT_TEXT;
	const char *path = NULL, *why = NULL;
	uint64_t where = 0;
	size_t top = RENDER_ALL;
	struct record *record;
	FILE *out;
	int option;

	while ((option = getopt_long(argc, argv, "ho:", options, NULL)) !=
	    -1) {
		switch (option) {
		case 'o':
			path = optarg;
			break;
		case FORMAT:
			format = render_format(optarg);
			break;
		case TOP:
			top = (size_t)cmd_number("--top", optarg, 0,
			    INT_MAX);
			break;
		case WHY:
			why = optarg;
			where = address(why);
			break;
		case SUPPRESSIONS:
			cmd_warn("--suppressions has no effect yet");
			break;
		case BASELINE:
			cmd_warn("--baseline has no effect yet");
			break;
		case GENERATE:
			cmd_die(STATUS_USAGE,
			    "--generate-suppressions is not built yet");
		default:
			cmd_common_option(option, help);
		}
	}
	if (argc - optind != 1)
		cmd_die(STATUS_USAGE, "report takes one record; "
		    "see bilge report --help");

	record = read_record(argv[optind]);
	out = output_open(path, stdout);
	if (why != NULL)
		why_render(record, where, format, out);
	else
		render(record, format, top, out);
	output_close(out, path);
	record_destroy(record);
	return STATUS_OK;
}
