/*
 * render.h - a record as text or JSON.
 */
#ifndef BILGE_RENDER_H
#define BILGE_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct record;

enum format { FORMAT_TEXT, FORMAT_JSON };

/*
 * render_format - the format of this name.  A name that is unknown, or whose
 * format is not built yet, ends the command as wrong usage.
 */
enum format render_format(const char *name);

/* render - write the record, with the first leaks only (top). */
void render(struct record *record, enum format format, size_t top,
    FILE *out);

/* The formats; the text has colours when has_colour. */
void text_render(struct record *record, size_t top, bool has_colour,
    FILE *out);
void json_render(struct record *record, size_t top, FILE *out);

/* What objects are made of; out of memory ends the command. */
void render_put(json_t *object, const char *name, json_t *value);
void render_put_hex(json_t *object, const char *name, uint64_t number);
void render_put_text(json_t *object, const char *name, const char *bytes);

/* render_json - write an object, and be done with it. */
void render_json(json_t *object, FILE *out);

#define RENDER_ALL SIZE_MAX

#endif
