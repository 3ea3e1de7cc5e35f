/*
 * maps.c - the mappings of this process.
 *
 * Owns nothing but the descriptor in the reader.  The kernel guarantees that
 * a line is whole and that lines ascend; a mapping that changes between two
 * reads may be seen in its old or its new form.
 */
#include "base/maps.h"

#include "base/sys.h"

#include <fcntl.h>
#include <string.h>

int
maps_open(struct maps *maps)
{
	maps->filled = 0;
	maps->used = 0;
	/* Not self: the main thread may have ended, and its view with it. */
	maps->fd = sys_open("/proc/thread-self/maps", O_RDONLY, 0);
	return maps->fd < 0 ? maps->fd : 0;
}

void
maps_close(struct maps *maps)
{
	sys_close(maps->fd);
}

/* next_line - a line without its newline, or NULL at the end. */
static char *
next_line(struct maps *maps)
{
	for (;;) {
		char *line = maps->buffer + maps->used;
		size_t left = maps->filled - maps->used;
		char *newline = memchr(line, '\n', left);
		long n;

		if (newline != NULL) {
			*newline = '\0';
			maps->used += (size_t)(newline - line) + 1;
			return line;
		}
		memmove(maps->buffer, line, left);
		maps->used = 0;
		maps->filled = left;
		if (left == sizeof(maps->buffer))
			return NULL;
		n = sys_read(maps->fd, maps->buffer + left,
			     sizeof(maps->buffer) - left);
		if (n <= 0)
			return NULL;
		maps->filled += (size_t)n;
	}
}

static uint64_t
take_number(char **text, unsigned base)
{
	uint64_t n = 0;

	for (;; ++*text) {
		unsigned c = (unsigned char)**text, digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			return n;
		if (digit >= base)
			return n;
		n = n * base + digit;
	}
}

bool
maps_next(struct maps *maps, struct mapping *ret)
{
	char *p = next_line(maps);

	if (p == NULL)
		return false;
	/* 7f00-7f01 rw-p 00001000 fe:00 1234      /path */
	ret->start = take_number(&p, 16);
	p++;
	ret->end = take_number(&p, 16);
	p++;
	ret->readable = p[0] == 'r';
	ret->writable = p[1] == 'w';
	ret->executable = p[2] == 'x';
	ret->shared = p[3] == 's';
	p += 5;
	ret->offset = take_number(&p, 16);
	while (*p == ' ')
		p++;
	while (*p != '\0' && *p != ' ')		/* the device */
		p++;
	p++;
	ret->inode = take_number(&p, 10);
	while (*p == ' ')
		p++;
	ret->path = p;
	return true;
}
