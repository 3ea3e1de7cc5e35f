/*
 * escape.h - bytes that are not UTF-8, inside of JSON strings.
 *
 * The system's strings are bytes, JSON's are characters.  A byte b >= 0x80
 * that is no part of valid UTF-8 is written as the lone surrogate
 * U+DC00 + b, as Python's surrogateescape does.  jansson takes no lone
 * surrogates, so on its side of the fence such a byte is the private
 * character U+10DC00 + b.
 */
#ifndef BILGE_ESCAPE_H
#define BILGE_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/*
 * escape_before_parse - make a line of JSON fit for jansson.
 * Returns:  the line itself, or a longer copy in *ret_copy, which the caller
 *           frees; NULL there when there is none.
 */
const char *escape_before_parse(const char *line, size_t *length,
    char **ret_copy);

/* escape_to_bytes - in place: a string of jansson's becomes the system's. */
void escape_to_bytes(char *text);

/* escape_from_bytes - the reverse; the caller frees. */
char *escape_from_bytes(const char *bytes);

/* escape_after_dump - write JSON text that jansson made. */
void escape_after_dump(const char *json, FILE *out);

#endif
