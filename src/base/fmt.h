/*
 * fmt.h - text into a caller's buffer, without locale, allocation or errno.
 * Defaults: any context.
 */
#ifndef BILGE_FMT_H
#define BILGE_FMT_H

#include "base/base.h"

#include <stdarg.h>

/*
 * A buffer being filled.  When it is full, flush writes it out and makes
 * length 0; without flush, text that does not fit is dropped and only counted
 * in length.
 */
struct fmt {
	char  *text;
	size_t size;
	size_t length;
	void (*flush)(struct fmt *);
};

void fmt_init(struct fmt *f, char *text, size_t size);
void fmt_char(struct fmt *f, char c);
void fmt_text(struct fmt *f, const char *s);
void fmt_bytes(struct fmt *f, const char *s, size_t n);
void fmt_number(struct fmt *f, uint64_t n);
void fmt_hex(struct fmt *f, uint64_t n);

/*
 * fmt_print - a small printf: %s %c %d %u %ld %lu %zu %x %lx %p %%.
 * No flags, widths or precisions except a zero-padded width, as in %02u.
 */
void fmt_print(struct fmt *f, const char *format, ...) PRINTF(2, 3);
void fmt_vprint(struct fmt *f, const char *format, va_list ap);

/*
 * fmt_json - a JSON string with its quotes.  A byte that is not UTF-8 becomes
 * \udc80 to \udcff, so that any path survives.
 */
void fmt_json(struct fmt *f, const char *s);

/* fmt_utc - nanoseconds since 1970 as "2026-01-31T12:00:00.123Z". */
void fmt_utc(struct fmt *f, uint64_t ns);

/* fmt_end - the text, terminated; cut where the buffer ends. */
const char *fmt_end(struct fmt *f);

#endif
