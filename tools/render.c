/*
 * render.c - the formats by name, and whether there is colour.
 */
#include "render.h"
#include "cmd.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const later[] = {
	"html", "folded", "pprof", "speedscope", "sarif", "junit", "xml",
};

enum format
render_format(const char *name)
{
	if (strcmp(name, "text") == 0)
		return FORMAT_TEXT;
	if (strcmp(name, "json") == 0)
		return FORMAT_JSON;
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
		if (strcmp(name, later[i]) == 0)
			cmd_die(STATUS_USAGE, "format %s is not built yet",
			    name);
	cmd_die(STATUS_USAGE, "unknown format '%s'", name);
}

/* As no-color.org has it: any value but the empty one says no. */
static bool
has_colour(FILE *out)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	if (no_colour != NULL && *no_colour != '\0')
		return false;
	if (terminal == NULL || strcmp(terminal, "dumb") == 0)
		return false;
	return isatty(fileno(out)) != 0;
}

void
render(struct record *record, enum format format, size_t top, FILE *out)
{
	switch (format) {
	case FORMAT_TEXT:
		text_render(record, top, has_colour(out), out);
		break;
	case FORMAT_JSON:
		json_render(record, top, out);
		break;
	}
}
