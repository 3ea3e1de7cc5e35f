/*
 * escape.c - bytes that are not UTF-8, inside of JSON strings.
 *
 * The private characters U+10DC80..U+10DCFF are F4 8D B2 80..BF and
 * F4 8D B3 80..BF in UTF-8, and \udbf7\udc80..\udbf7\udcff in JSON: a lone
 * surrogate becomes one of them when the high half is put before it.
 */
#include "escape.h"
#include "cmd.h"

#include <stdlib.h>
#include <string.h>

#define HIGH_HALF "\\udbf7"
#define ESCAPE_LENGTH 6			/* \uXXXX */

/* The code unit of the escape \uXXXX at text, or -1. */
static long
escaped_unit(const char *text, const char *end)
{
	char digits[5] = "";

	if (end - text < ESCAPE_LENGTH || text[0] != '\\' || text[1] != 'u')
		return -1;
	memcpy(digits, text + 2, 4);
	if (strspn(digits, "0123456789abcdefABCDEF") != 4)
		return -1;
	return strtol(digits, NULL, 16);
}

const char *
escape_before_parse(const char *line, size_t *length, char **ret_copy)
{
	const char *end = line + *length;
	const char *from;
	char *to;
	long unit;

	*ret_copy = NULL;
	if (memmem(line, *length, "\\udc", 4) == NULL &&
	    memmem(line, *length, "\\uDC", 4) == NULL)
		return line;

	to = *ret_copy = cmd_alloc(2 * *length);
	for (from = line; from < end;) {
		unit = escaped_unit(from, end);
		if (unit >= 0xd800 && unit < 0xdc00) {
			/* A high half: what follows is not alone. */
			memcpy(to, from, ESCAPE_LENGTH);
			from += ESCAPE_LENGTH;
			to += ESCAPE_LENGTH;
			unit = escaped_unit(from, end);
		} else if (unit >= 0xdc80 && unit <= 0xdcff) {
			memcpy(to, HIGH_HALF, ESCAPE_LENGTH);
			to += ESCAPE_LENGTH;
		}
		if (unit >= 0) {
			memcpy(to, from, ESCAPE_LENGTH);
			from += ESCAPE_LENGTH;
			to += ESCAPE_LENGTH;
		} else if (from < end) {
			/* Two at once, lest "\\" be taken for a beginning. */
			if (*from == '\\' && end - from > 1)
				*to++ = *from++;
			*to++ = *from++;
		}
	}
	*length = (size_t)(to - *ret_copy);
	return *ret_copy;
}

/* The byte that the private character at text stands for, or 0. */
static unsigned char
private_byte(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	if (at[0] != 0xf4 || at[1] != 0x8d || (at[2] & 0xfe) != 0xb2 ||
	    (at[3] & 0xc0) != 0x80)
		return 0;
	return (unsigned char)(0x80 | (at[2] & 1) << 6 | (at[3] & 0x3f));
}

void
escape_to_bytes(char *text)
{
	char *to = text;
	unsigned char byte;

	for (; *text != '\0'; to++) {
		byte = private_byte(text);
		if (byte != 0) {
			*to = (char)byte;
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

/* The length of the valid UTF-8 character at text, 0 when it is not one. */
static size_t
character_length(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	unsigned int code;
	size_t length;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] < 0xe0)
		length = 2;
	else if (at[0] >= 0xe0 && at[0] < 0xf0)
		length = 3;
	else if (at[0] >= 0xf0 && at[0] < 0xf5)
		length = 4;
	else
		return 0;

	code = at[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (length == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000)))
		return 0;
	if (length == 4 && (code < 0x10000 || code > 0x10ffff))
		return 0;
	return length;
}

char *
escape_from_bytes(const char *bytes)
{
	char *text = cmd_alloc(4 * strlen(bytes) + 1);
	char *to = text;
	unsigned char byte;
	size_t length;

	while (*bytes != '\0') {
		length = character_length(bytes);
		if (length != 0) {
			memcpy(to, bytes, length);
			bytes += length;
			to += length;
			continue;
		}
		byte = (unsigned char)*bytes++;
		*to++ = (char)0xf4;
		*to++ = (char)0x8d;
		*to++ = (char)(0xb2 | (byte >> 6 & 1));
		*to++ = (char)(0x80 | (byte & 0x3f));
	}
	return text;
}

void
escape_after_dump(const char *json, FILE *out)
{
	const char *plain = json;
	unsigned char byte;

	for (;;) {
		json = strchr(json, '\xf4');
		if (json == NULL)
			break;
		byte = private_byte(json);
		if (byte == 0) {
			json++;
			continue;
		}
		fwrite(plain, 1, (size_t)(json - plain), out);
		fprintf(out, "\\udc%02x", byte);
		plain = json += 4;
	}
	fputs(plain, out);
}
