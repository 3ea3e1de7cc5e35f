/*
 * fmt.c - text into a caller's buffer.
 *
 * Owns nothing.  libc's printf is not used: it may allocate, lock and read
 * the locale, and we write from under malloc and from signal handlers.
 */
#include "base/fmt.h"

void
fmt_init(struct fmt *f, char *text, size_t size)
{
	f->text = text;
	f->size = size;
	f->length = 0;
	f->flush = NULL;
}

void
fmt_char(struct fmt *f, char c)
{
	if (f->length + 1 >= f->size && f->flush != NULL)
		f->flush(f);
	if (f->length + 1 < f->size)
		f->text[f->length] = c;
	f->length++;
}

void
fmt_bytes(struct fmt *f, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fmt_char(f, s[i]);
}

void
fmt_text(struct fmt *f, const char *s)
{
	while (*s != '\0')
		fmt_char(f, *s++);
}

static void
number_in_base(struct fmt *f, uint64_t n, unsigned base, unsigned width)
{
	char digits[20];
	unsigned count = 0;

	do {
		digits[count++] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n != 0);
	while (width > count) {
		fmt_char(f, '0');
		width--;
	}
	while (count > 0)
		fmt_char(f, digits[--count]);
}

void
fmt_number(struct fmt *f, uint64_t n)
{
	number_in_base(f, n, 10, 0);
}

void
fmt_hex(struct fmt *f, uint64_t n)
{
	fmt_text(f, "0x");
	number_in_base(f, n, 16, 0);
}

static void
print_signed(struct fmt *f, int64_t n, unsigned width)
{
	if (n < 0)
		fmt_char(f, '-');
	number_in_base(f, n < 0 ? -(uint64_t)n : (uint64_t)n, 10, width);
}

void
fmt_vprint(struct fmt *f, const char *p, va_list ap)
{
	for (; *p != '\0'; p++) {
		unsigned width = 0;
		bool is_long = false;

		if (*p != '%') {
			fmt_char(f, *p);
			continue;
		}
		for (p++; *p >= '0' && *p <= '9'; p++)
			width = width * 10 + (unsigned)(*p - '0');
		for (; *p == 'l' || *p == 'z'; p++)
			is_long = true;
		switch (*p) {
		case 's':
			fmt_text(f, va_arg(ap, const char *));
			break;
		case 'c':
			fmt_char(f, (char)va_arg(ap, int));
			break;
		case 'd':
			print_signed(f, is_long ? va_arg(ap, long)
						: va_arg(ap, int), width);
			break;
		case 'u':
		case 'x':
			number_in_base(f, is_long
				? va_arg(ap, unsigned long)
				: va_arg(ap, unsigned), *p == 'u' ? 10 : 16,
				width);
			break;
		case 'p':
			fmt_hex(f, (uintptr_t)va_arg(ap, void *));
			break;
		default:
			fmt_char(f, *p);
			break;
		}
	}
}

void
fmt_print(struct fmt *f, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fmt_vprint(f, format, ap);
	va_end(ap);
}

/*
 * utf8_length - bytes of the well-formed UTF-8 sequence at s, 0 if there is
 * none (table 3-7 of the Unicode standard).
 */
static unsigned
utf8_length(const unsigned char *s)
{
	unsigned length, low = 0x80, high = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	if (s[0] == 0xed)
		high = 0x9f;
	if (s[0] == 0xf0)
		low = 0x90;
	if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (unsigned i = 2; i < length; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return length;
}

void
fmt_json(struct fmt *f, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	fmt_char(f, '"');
	while (*s != '\0') {
		unsigned length = utf8_length(s);

		if (*s == '"' || *s == '\\') {
			fmt_char(f, '\\');
			fmt_char(f, (char)*s++);
		} else if (*s < 0x20 || *s == 0x7f) {
			fmt_print(f, "\\u%04x", (unsigned)*s++);
		} else if (length == 0) {
			fmt_print(f, "\\udc%02x", (unsigned)*s++);
		} else {
			fmt_bytes(f, (const char *)s, length);
			s += length;
		}
	}
	fmt_char(f, '"');
}

/* Days to a civil date: Howard Hinnant, "chrono-compatible date algorithms". */
void
fmt_utc(struct fmt *f, uint64_t ns)
{
	uint64_t ms = ns / 1000000, s = ms / 1000;
	unsigned day_s = (unsigned)(s % 86400);
	uint64_t z = s / 86400 + 719468;
	uint64_t era = z / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	unsigned month = mp < 10 ? mp + 3 : mp - 9;
	unsigned year = (unsigned)(yoe + era * 400) + (month <= 2);

	fmt_print(f, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month,
		  doy - (153 * mp + 2) / 5 + 1, day_s / 3600,
		  day_s / 60 % 60, day_s % 60, (unsigned)(ms % 1000));
}

const char *
fmt_end(struct fmt *f)
{
	if (f->size == 0)
		return "";
	f->text[MIN(f->length, f->size - 1)] = '\0';
	return f->text;
}
