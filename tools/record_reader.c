/*
 * record_reader.c - a record in memory, ready to be rendered.
 *
 * A record ends wherever its process ended.  So nothing here relies on an
 * order of events, but that a module comes before its frames.
 */
#include "record_reader.h"
#include "cmd.h"
#include "escape.h"
#include "held.h"
#include "symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "bilge-1"
#define LIBRARY "libbilge.so"

/* FNV-1a, 64 bits: small, and the same everywhere. */
#define FNV_BASIS 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

const char *const total_names[TOTALS] = {
	"leaked_bytes", "leaked_blocks",
	"direct_bytes", "direct_blocks",
	"indirect_bytes", "indirect_blocks",
	"suppressed_bytes", "suppressed_blocks",
	"reclaimed_bytes", "reclaimed_blocks",
	"resurrected_blocks", "misuses",
	"quarantined_bytes", "heap_bytes", "heap_peak_bytes",
};

const char *
module_name(const struct module *module)
{
	const char *slash = strrchr(module->path, '/');

	return slash != NULL ? slash + 1 : module->path;
}

char *
json_text(const json_t *json)
{
	const char *value = json_string_value(json);
	char *text = cmd_printf("%s", value != NULL ? value : "");

	escape_to_bytes(text);
	return text;
}

/* A member as a string of the system's; "" when there is none. */
static char *
get_text(const json_t *object, const char *name)
{
	return json_text(json_object_get(object, name));
}

static long long
get_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

/* JSON's numbers lose the last bits of an address. */
bool
json_address(const json_t *json, uint64_t *ret_address)
{
	const char *text = json_string_value(json);
	char *end;
	uint64_t address;

	if (text == NULL)
		return false;
	errno = 0;
	address = strtoull(text, &end, 16);
	if (end == text || *end != '\0' || errno != 0)
		return false;
	*ret_address = address;
	return true;
}

static bool
get_address(const json_t *object, const char *name, uint64_t *ret_address)
{
	return json_address(json_object_get(object, name), ret_address);
}

void *
record_append(void *array, size_t *count, size_t size)
{
	char *grown = array;

	if ((*count & (*count - 1)) == 0)
		grown = cmd_realloc(array,
		    size * (*count != 0 ? 2 * *count : 1));
	memset(grown + *count * size, 0, size);
	++*count;
	return grown;
}

struct module *
record_module(const struct record *record, long long number)
{
	struct module *const *modules = record->modules;

	/* The library counts from 0; other writers need not. */
	if (number >= 0 && (size_t)number < record->module_count &&
	    modules[number]->id == number)
		return modules[number];
	for (size_t i = record->module_count; i-- > 0;)
		if (modules[i]->id == number)
			return modules[i];
	return NULL;
}

struct module *
record_module_at(const struct record *record, uint64_t address)
{
	for (size_t i = record->module_count; i-- > 0;)
		if (address >= record->modules[i]->start &&
		    address < record->modules[i]->end)
			return record->modules[i];
	return NULL;
}

static void
read_frame(const struct record *record, const json_t *json,
    struct frame *frame)
{
	const json_t *id = json_object_get(json, "module");
	uint64_t value;

	frame->module = json_is_integer(id) ?
	    record_module(record, json_integer_value(id)) : NULL;
	if (get_address(json, "address", &value))
		frame->address = value - 1;
	if (frame->module != NULL) {
		if (get_address(json, "offset", &value))
			frame->offset = value - 1;
		else
			frame->offset = frame->address - frame->module->base;
	}
	if (json_is_string(json_object_get(json, "symbol")))
		frame->symbol = get_text(json, "symbol");
}

bool
frame_is_own(const struct frame *frame)
{
	return frame->module != NULL &&
	    strcmp(module_name(frame->module), LIBRARY) == 0;
}

static void
read_frames(const struct record *record, const json_t *event,
    const char *name, struct frame **ret_frames, size_t *ret_count)
{
	const json_t *json = json_object_get(event, name);
	size_t count = json_array_size(json);
	struct frame *frames = cmd_alloc(count * sizeof(*frames));
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		read_frame(record, json_array_get(json, i), &frames[used]);
		if (used == 0 && frame_is_own(&frames[used])) {
			free(frames[used].symbol);
			memset(&frames[used], 0, sizeof(frames[used]));
			continue;
		}
		used++;
	}
	*ret_frames = frames;
	*ret_count = used;
}

static void
destroy_frames(struct frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(frames[i].symbol);
	free(frames);
}

static uint64_t
hash(uint64_t state, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		state = (state ^ bytes[i]) * FNV_PRIME;
	return state;
}

/*
 * What identifies a stack in every run of the same program: the places in
 * files, not the addresses.  A frame outside any file has nothing that lasts.
 */
static uint64_t
stack_id(const struct frame *frames, size_t count)
{
	uint64_t state = FNV_BASIS;
	const char *file;

	for (size_t i = 0; i < count; i++) {
		file = "";
		if (frames[i].module != NULL) {
			file = frames[i].module->build_id;
			if (*file == '\0')
				file = module_name(frames[i].module);
		}
		state = hash(state, file, strlen(file) + 1);
		state = hash(state, &frames[i].offset,
		    sizeof(frames[i].offset));
	}
	return state;
}

static void
destroy_leak(struct leak *leak)
{
	free(leak->first_seen);
	destroy_frames(leak->frames, leak->frame_count);
}

static void
clear(struct record *record)
{
	for (size_t i = 0; i < record->module_count; i++) {
		symbols_destroy(record->modules[i]->symbols);
		free(record->modules[i]->path);
		free(record->modules[i]->build_id);
		free(record->modules[i]);
	}
	for (size_t i = 0; i < record->leak_count; i++)
		destroy_leak(&record->leaks[i]);
	for (size_t i = 0; i < record->misuse_count; i++) {
		free(record->misuses[i].function);
		free(record->misuses[i].what);
		destroy_frames(record->misuses[i].frames,
		    record->misuses[i].frame_count);
		destroy_frames(record->misuses[i].freed_by,
		    record->misuses[i].freed_count);
	}
	for (size_t i = 0; i < record->quarantined_count; i++)
		destroy_frames(record->quarantined[i].frames,
		    record->quarantined[i].frame_count);
	for (size_t i = 0; i < record->argument_count; i++)
		free(record->argv[i]);
	free(record->argv);
	free(record->modules);
	free(record->leaks);
	free(record->misuses);
	free(record->quarantined);
	free(record->exe);
	free(record->barrier);
	json_decref(record->cycles);
	held_destroy(record->held);
	memset(record, 0, sizeof(*record));
}

static void
read_start(struct record *record, const json_t *event)
{
	const json_t *argv = json_object_get(event, "argv");

	/* A second start: the process became another program. */
	clear(record);
	record->pid = get_number(event, "pid");
	record->exe = get_text(event, "exe");
	record->barrier = get_text(event, "barrier");
	record->argument_count = json_array_size(argv);
	record->argv = cmd_alloc(record->argument_count *
	    sizeof(*record->argv));
	for (size_t i = 0; i < record->argument_count; i++)
		record->argv[i] = json_text(json_array_get(argv, i));
}

/* The barrier of the last cycle; the start names the one that was expected. */
static void
read_barrier(struct record *record, const json_t *event)
{
	free(record->barrier);
	record->barrier = get_text(event, "barrier");
}

static void
read_module(struct record *record, const json_t *event)
{
	struct module *module = cmd_alloc(sizeof(*module));

	module->id = get_number(event, "id");
	module->path = get_text(event, "path");
	module->build_id = get_text(event, "build_id");
	get_address(event, "base", &module->base);
	get_address(event, "start", &module->start);
	get_address(event, "end", &module->end);
	record->modules = record_append(record->modules, &record->module_count,
	    sizeof(*record->modules));
	record->modules[record->module_count - 1] = module;
}

static void
read_leak(struct record *record, const json_t *event)
{
	const json_t *site = json_object_get(event, "site");
	const char *kind = json_string_value(json_object_get(event, "kind"));
	size_t order = record->leak_count;
	struct leak *leak;

	record->leaks = record_append(record->leaks, &record->leak_count,
	    sizeof(*record->leaks));
	leak = &record->leaks[order];
	leak->order = order;
	leak->site = json_is_integer(site) ? json_integer_value(site) :
	    -1 - (long long)order;
	leak->kind = kind != NULL && strcmp(kind, "indirect") == 0 ?
	    LEAK_INDIRECT : LEAK_DIRECT;
	leak->bytes = get_number(event, "bytes");
	leak->blocks = get_number(event, "blocks");
	leak->reclaimed_bytes = get_number(event, "reclaimed_bytes");
	leak->first_seen = get_text(event, "first_seen");
	read_frames(record, event, "frames", &leak->frames,
	    &leak->frame_count);
	leak->id = stack_id(leak->frames, leak->frame_count);
}

static void
read_misuse(struct record *record, const json_t *event)
{
	struct misuse *misuse;

	record->misuses = record_append(record->misuses, &record->misuse_count,
	    sizeof(*record->misuses));
	misuse = &record->misuses[record->misuse_count - 1];
	misuse->function = get_text(event, "function");
	misuse->what = get_text(event, "what");
	get_address(event, "address", &misuse->address);
	misuse->size = get_number(event, "size");
	misuse->at = get_number(event, "at");
	read_frames(record, event, "frames", &misuse->frames,
	    &misuse->frame_count);
	read_frames(record, event, "freed_by", &misuse->freed_by,
	    &misuse->freed_count);
}

static void
read_quarantined(struct record *record, const json_t *event)
{
	struct quarantined *q;

	record->quarantined = record_append(record->quarantined,
	    &record->quarantined_count, sizeof(*record->quarantined));
	q = &record->quarantined[record->quarantined_count - 1];
	q->bytes = get_number(event, "bytes");
	q->blocks = get_number(event, "blocks");
	read_frames(record, event, "frames", &q->frames, &q->frame_count);
	q->id = stack_id(q->frames, q->frame_count);
}

static void
read_end(struct record *record, const json_t *event)
{
	const json_t *status = json_object_get(event, "exit_status");

	record->has_end = true;
	record->has_exit_status = json_is_integer(status);
	record->exit_status = (int)json_integer_value(status);
	record->is_checked = json_is_true(json_object_get(event, "checked"));
	for (size_t i = 0; i < TOTALS; i++)
		record->totals[i] = get_number(event, total_names[i]);
	json_decref(record->cycles);
	record->cycles = json_incref(json_object_get(event, "cycles"));
}

/* Returns NULL, or why this cannot be a record. */
static const char *
read_event(struct record *record, const json_t *event, const char *name)
{
	const char *schema;

	if (strcmp(name, "start") == 0) {
		schema = json_string_value(json_object_get(event, "schema"));
		if (schema == NULL || strcmp(schema, SCHEMA) != 0)
			return "its schema is not " SCHEMA;
		read_start(record, event);
	} else if (strcmp(name, "module") == 0) {
		read_module(record, event);
	} else if (strcmp(name, "leak") == 0) {
		read_leak(record, event);
	} else if (strcmp(name, "misuse") == 0) {
		read_misuse(record, event);
	} else if (strcmp(name, "quarantined") == 0) {
		read_quarantined(record, event);
	} else if (strcmp(name, "resurrected") == 0) {
		record->totals[TOTAL_RESURRECTED_BLOCKS] +=
		    get_number(event, "blocks");
	} else if (strcmp(name, "cycle") == 0) {
		record->cycle_count++;
		read_barrier(record, event);
	} else if (strcmp(name, "end") == 0) {
		read_end(record, event);
	} else {
		held_read(record, event, name);
	}
	return NULL;
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int
compare_sites(const void *left, const void *right)
{
	const struct leak *a = left, *b = right;
	int result = COMPARE(a->site, b->site);

	if (result == 0)
		result = COMPARE(a->kind, b->kind);
	return result != 0 ? result : COMPARE(a->order, b->order);
}

static int
compare_ids(const void *left, const void *right)
{
	const struct leak *a = left, *b = right;
	int result = COMPARE(a->id, b->id);

	if (result == 0)
		result = COMPARE(a->kind, b->kind);
	return result != 0 ? result : COMPARE(a->order, b->order);
}

static int
compare_weights(const void *left, const void *right)
{
	const struct leak *a = left, *b = right;
	int result = COMPARE(a->kind, b->kind);

	if (result == 0)
		result = COMPARE(b->bytes, a->bytes);
	return result != 0 ? result : COMPARE(a->order, b->order);
}

/* The last word on a site replaces the earlier ones. */
static void
keep_last(struct record *record)
{
	struct leak *leaks = record->leaks;
	size_t kept = 0;

	qsort(leaks, record->leak_count, sizeof(*leaks), compare_sites);
	for (size_t i = 0; i < record->leak_count; i++) {
		if (kept != 0 && leaks[kept - 1].site == leaks[i].site &&
		    leaks[kept - 1].kind == leaks[i].kind)
			destroy_leak(&leaks[--kept]);
		leaks[kept++] = leaks[i];
	}
	record->leak_count = kept;
}

/*
 * Two sites are one to the reader when their stacks differ in addresses only:
 * a library that was loaded twice, or code made at run time.
 */
static void
merge_ids(struct record *record)
{
	struct leak *leaks = record->leaks;
	struct leak *into = NULL;
	size_t kept = 0;

	qsort(leaks, record->leak_count, sizeof(*leaks), compare_ids);
	for (size_t i = 0; i < record->leak_count; i++) {
		if (into == NULL || into->id != leaks[i].id ||
		    into->kind != leaks[i].kind) {
			into = &leaks[kept++];
			*into = leaks[i];
			continue;
		}
		into->bytes += leaks[i].bytes;
		into->blocks += leaks[i].blocks;
		into->reclaimed_bytes += leaks[i].reclaimed_bytes;
		destroy_leak(&leaks[i]);
	}
	record->leak_count = kept;
}

static void
add_up(struct record *record)
{
	long long *totals = record->totals;

	for (size_t i = 0; i < record->leak_count; i++) {
		const struct leak *leak = &record->leaks[i];
		bool direct = leak->kind == LEAK_DIRECT;

		totals[TOTAL_LEAKED_BYTES] += leak->bytes;
		totals[TOTAL_LEAKED_BLOCKS] += leak->blocks;
		totals[direct ? TOTAL_DIRECT_BYTES : TOTAL_INDIRECT_BYTES] +=
		    leak->bytes;
		totals[direct ? TOTAL_DIRECT_BLOCKS : TOTAL_INDIRECT_BLOCKS] +=
		    leak->blocks;
		totals[TOTAL_RECLAIMED_BYTES] += leak->reclaimed_bytes;
	}
	totals[TOTAL_MISUSES] = (long long)record->misuse_count;
}

static void
finish(struct record *record)
{
	if (record->leak_count != 0) {
		keep_last(record);
		merge_ids(record);
		qsort(record->leaks, record->leak_count,
		    sizeof(*record->leaks), compare_weights);
	}
	if (!record->has_end)
		add_up(record);
}

/* One line.  Returns NULL, or why this cannot be a record. */
static const char *
read_line(struct record *record, const char *line, size_t length,
    bool *ret_is_event)
{
	const char *name, *why = NULL;
	char *copy;
	json_t *event;

	line = escape_before_parse(line, &length, &copy);
	event = json_loadb(line, length, 0, NULL);
	free(copy);
	name = json_string_value(json_object_get(event, "event"));
	*ret_is_event = name != NULL;
	if (name != NULL)
		why = read_event(record, event, name);
	json_decref(event);
	return why;
}

struct record *
record_read(FILE *in, const char **ret_why)
{
	struct record *record = cmd_alloc(sizeof(*record));
	const char *why = NULL;
	bool is_event, is_last_bad = false;
	size_t space = 0;
	char *line = NULL;
	ssize_t length;
	size_t events = 0;

	while (why == NULL && (length = getline(&line, &space, in)) > 0) {
		if (is_last_bad)
			record->damaged_lines++;
		why = read_line(record, line, (size_t)length, &is_event);
		events += is_event;
		is_last_bad = !is_event;
		if (events == 0 && why == NULL)
			why = "it is not a record of bilge";
	}
	free(line);
	if (why == NULL && ferror(in))
		why = strerror(errno);
	if (why == NULL && (events == 0 || record->exe == NULL))
		why = "it has no beginning";
	if (why != NULL) {
		*ret_why = why;
		record_destroy(record);
		return NULL;
	}
	finish(record);
	return record;
}

void
record_destroy(struct record *record)
{
	clear(record);
	free(record);
}
