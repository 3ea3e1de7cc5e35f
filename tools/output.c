/*
 * output.c - the file a report goes to.
 */
#include "output.h"
#include "cmd.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

FILE *
output_open(const char *path, FILE *otherwise)
{
	FILE *out;

	if (path == NULL || strcmp(path, "-") == 0)
		return otherwise;
	/* e: the program that is about to start does not get it. */
	out = fopen(path, "we");
	if (out == NULL)
		cmd_die(STATUS_FAILED, "%s: cannot write: %m", path);
	return out;
}

void
output_close(FILE *out, const char *path)
{
	int failed = fflush(out) != 0 || ferror(out);

	if (out != stdout && out != stderr)
		failed |= fclose(out) != 0;
	if (failed)
		cmd_die(STATUS_FAILED, "%s: cannot write: %m",
		    path != NULL ? path : "report");
}

char *
output_absolute(const char *path)
{
	char *here, *absolute;

	if (path[0] == '/')
		return cmd_printf("%s", path);
	here = getcwd(NULL, 0);
	if (here == NULL)
		cmd_die(STATUS_FAILED, "the working directory has no name: %m");
	absolute = cmd_printf("%s/%s", here, path);
	free(here);
	return absolute;
}

char *
output_expand(const char *pattern, pid_t pid, const char *exe)
{
	const char *slash = strrchr(exe, '/');
	size_t length;
	char *path;
	FILE *out = open_memstream(&path, &length);

	if (out == NULL)
		cmd_die(STATUS_FAILED, "out of memory");
	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '%') {
			fputc(*pattern, out);
			continue;
		}
		switch (*++pattern) {
		case 'p':
			fprintf(out, "%ld", (long)pid);
			break;
		case 'e':
			fputs(slash != NULL ? slash + 1 : exe, out);
			break;
		case 't':
			fprintf(out, "%lld", (long long)time(NULL));
			break;
		case '\0':
			fputc('%', out);
			pattern--;
			break;
		default:
			fputc(*pattern, out);
			break;
		}
	}
	if (fclose(out) != 0)
		cmd_die(STATUS_FAILED, "out of memory");
	return path;
}
