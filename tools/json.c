/*
 * json.c - the report for programs: one object, every member always there.
 *
 * The members and their order are those of bilge(1).  What is not known is
 * 0 or "", so that readers need no second case.
 */
#include "cmd.h"
#include "escape.h"
#include "record_reader.h"
#include "render.h"
#include "symbols.h"

#include <inttypes.h>
#include <stdlib.h>

void
render_put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) != 0)
		cmd_die(STATUS_FAILED, "out of memory");
}

static void
put_number(json_t *object, const char *name, long long number)
{
	render_put(object, name, json_integer(number));
}

void
render_put_text(json_t *object, const char *name, const char *bytes)
{
	char *text = escape_from_bytes(bytes != NULL ? bytes : "");

	render_put(object, name, json_string(text));
	free(text);
}

void
render_put_hex(json_t *object, const char *name, uint64_t number)
{
	render_put(object, name, json_sprintf("0x%" PRIx64, number));
}

void
render_json(json_t *object, FILE *out)
{
	char *text = json_dumps(object, JSON_INDENT(2));

	if (text == NULL)
		cmd_die(STATUS_FAILED, "out of memory");
	escape_after_dump(text, out);
	fputc('\n', out);
	free(text);
	json_decref(object);
}

static json_t *
process(const struct record *record)
{
	json_t *object = json_object();
	json_t *argv = json_array();
	char *text;

	for (size_t i = 0; i < record->argument_count; i++) {
		text = escape_from_bytes(record->argv[i]);
		json_array_append_new(argv, json_string(text));
		free(text);
	}
	put_number(object, "pid", record->pid);
	render_put_text(object, "exe", record->exe);
	render_put(object, "argv", argv);
	render_put(object, "exit_status", record->has_exit_status ?
	    json_integer(record->exit_status) : json_null());
	return object;
}

static json_t *
summary(const struct record *record)
{
	json_t *object = json_object();

	for (size_t i = 0; i < TOTALS; i++)
		put_number(object, total_names[i], record->totals[i]);
	return object;
}

static void
copy_numbers(json_t *object, const json_t *from, const char *const *names)
{
	for (; *names != NULL; names++)
		put_number(object, *names,
		    json_integer_value(json_object_get(from, *names)));
}

static json_t *
numbers(const json_t *from, const char *const *names)
{
	json_t *object = json_object();

	copy_numbers(object, from, names);
	return object;
}

static json_t *
cycles(const struct record *record)
{
	static const char *const sizes[] =
	    { "marked_bytes", "dirty_pages", NULL };
	static const char *const pauses[] =
	    { "count", "p50", "p99", "max", NULL };
	static const char *const stops[] = { "p50", "p99", "max", NULL };
	static const char *const costs[] =
	    { "exit_pause_ns", "cpu_ns", "verified", NULL };
	const json_t *from = record->cycles;
	const json_t *count = json_object_get(from, "count");
	const char *barrier =
	    json_string_value(json_object_get(from, "barrier"));
	json_t *object = json_object();

	put_number(object, "count", json_is_integer(count) ?
	    json_integer_value(count) : record->cycle_count);
	put_number(object, "abandoned",
	    json_integer_value(json_object_get(from, "abandoned")));
	render_put_text(object, "barrier",
	    barrier != NULL ? barrier : record->barrier);
	copy_numbers(object, from, sizes);
	render_put(object, "pause_ns",
	    numbers(json_object_get(from, "pause_ns"), pauses));
	render_put(object, "stop_ns",
	    numbers(json_object_get(from, "stop_ns"), stops));
	copy_numbers(object, from, costs);
	return object;
}

static void
add_frame(json_t *frames, struct frame *frame)
{
	const struct place *place = symbols_find(frame);
	const struct location *location;
	json_t *object;

	for (size_t i = 0; i < place->count; i++) {
		location = &place->locations[i];
		object = json_object();
		render_put_hex(object, "address", frame->address);
		if (frame->module != NULL) {
			render_put_text(object, "module", frame->module->path);
			render_put_hex(object, "offset", frame->offset);
			render_put_text(object, "build_id", frame->module->build_id);
		} else {
			render_put_text(object, "module", "");
			render_put_text(object, "offset", "");
			render_put_text(object, "build_id", "");
		}
		render_put_text(object, "function", location->function);
		render_put_text(object, "file", location->file);
		put_number(object, "line", location->line);
		render_put(object, "inlined", json_boolean(location->is_inlined));
		json_array_append_new(frames, object);
	}
}

static json_t *
frames_of(struct frame *from, size_t count)
{
	json_t *frames = json_array();

	for (size_t i = 0; i < count; i++)
		add_frame(frames, &from[i]);
	return frames;
}

static json_t *
leak(const struct leak *from)
{
	json_t *object = json_object();

	render_put(object, "id", json_sprintf("%016" PRIx64, from->id));
	render_put_text(object, "kind",
	    from->kind == LEAK_DIRECT ? "direct" : "indirect");
	put_number(object, "bytes", from->bytes);
	put_number(object, "blocks", from->blocks);
	render_put_text(object, "first_seen", from->first_seen);
	put_number(object, "reclaimed_bytes", from->reclaimed_bytes);
	render_put(object, "frames",
	    frames_of(from->frames, from->frame_count));
	return object;
}

static json_t *
misuse(const struct misuse *from)
{
	json_t *object = json_object();

	render_put_text(object, "what", from->what);
	render_put_text(object, "function", from->function);
	render_put_hex(object, "address", from->address);
	put_number(object, "size", from->size);
	put_number(object, "at", from->at);
	render_put(object, "frames",
	    frames_of(from->frames, from->frame_count));
	render_put(object, "freed_by",
	    frames_of(from->freed_by, from->freed_count));
	return object;
}

static json_t *
quarantined(const struct quarantined *from)
{
	json_t *object = json_object();

	render_put(object, "id", json_sprintf("%016" PRIx64, from->id));
	put_number(object, "bytes", from->bytes);
	put_number(object, "blocks", from->blocks);
	render_put(object, "frames",
	    frames_of(from->frames, from->frame_count));
	return object;
}

void
json_render(struct record *record, size_t top, FILE *out)
{
	json_t *object = json_object();
	json_t *leaks = json_array();
	json_t *misuses = json_array();
	json_t *kept = json_array();

	for (size_t i = 0; i < record->leak_count && i < top; i++)
		json_array_append_new(leaks, leak(&record->leaks[i]));
	for (size_t i = 0; i < record->misuse_count; i++)
		json_array_append_new(misuses, misuse(&record->misuses[i]));
	for (size_t i = 0; i < record->quarantined_count && i < top; i++)
		json_array_append_new(kept,
		    quarantined(&record->quarantined[i]));
	render_put_text(object, "schema", "bilge-1");
	render_put(object, "process", process(record));
	render_put(object, "summary", summary(record));
	render_put(object, "cycles", cycles(record));
	render_put(object, "leaks", leaks);
	render_put(object, "misuses", misuses);
	render_put(object, "quarantined", kept);
	render_put(object, "suppressions", json_array());
	render_json(object, out);
}
