/*
 * symbols.h - which function, file and line an address in a file belongs to.
 */
#ifndef BILGE_SYMBOLS_H
#define BILGE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct Dwfl;
struct frame;
struct module;
struct symbols;

/* One function at a place; several where calls were inlined. */
struct location {
	char *function;			/* demangled, NULL when not known */
	char *file;			/* NULL when not known */
	int line;			/* 0 when not known */
	bool is_inlined;		/* into the next location */
};

struct place {
	struct location *locations;	/* the inlined callee first */
	size_t count;			/* at least 1 */
};

/*
 * symbols_find - name the place of a frame.
 *
 * Opens the frame's module at its first use, and the debug information that
 * belongs to it: in the file, beside it, or below /usr/lib/debug; never from
 * the network.  A file that is not the one the process had (its build-id is
 * another) counts as missing.
 *
 * Returns:  a place that lives as long as the frame's record.  Without any
 *           knowledge it is one location without a function.
 */
const struct place *symbols_find(struct frame *frame);

/*
 * symbols_object - name the variable that an offset in a module lies in.
 * Returns:  its name, which the caller frees, with *ret_into the bytes from
 *           its beginning; NULL when it is not known.
 */
char *symbols_object(struct module *module, uint64_t offset,
    uint64_t *ret_into);

/* symbols_begin - a libdwfl session that looks for files here; or NULL. */
struct Dwfl *symbols_begin(void);

/* symbols_is_same_file - is the file at the module's path the one it was? */
bool symbols_is_same_file(const struct module *module);

/* symbols_destroy - forget what is known of a module; NULL is fine. */
void symbols_destroy(struct symbols *symbols);

#endif
