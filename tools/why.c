/*
 * why.c - why a block was not freed: the path from a root to it.
 *
 * Each block was reached through one word.  There may be others that hold it
 * as well; the record keeps the first, nearest to a root.
 */
#include "why.h"
#include "cmd.h"
#include "held.h"
#include "root.h"
#include "symbols.h"

#include <inttypes.h>
#include <stdlib.h>

struct path {
	const struct held_block **steps;	/* from the root on */
	size_t count;
	bool has_root;
	struct root root;
};

/* What the address is. */
static const char *const answers[] = { "none", "leaked", "reachable" };

static struct path
find_path(const struct record *record, const struct held_block *block)
{
	const struct held *held = record->held;
	const struct held_block *step;
	struct path path = { 0 };

	for (step = block; step != NULL; step = held_holder(held, step))
		path.count++;
	path.steps = cmd_alloc(path.count * sizeof(*path.steps));
	step = block;
	for (size_t i = path.count; i-- > 0; step = held_holder(held, step))
		path.steps[i] = step;
	path.has_root = block != NULL && !block->is_lost;
	if (path.has_root)
		root_find(record, path.steps[0], &path.root);
	return path;
}

/* Where the pointer to the next step is in this one. */
static uint64_t
pointer_in(const struct path *path, size_t step)
{
	return path->steps[step + 1]->word - path->steps[step]->block;
}

/*
 * The call that a reader knows: the innermost one with a source line, else
 * the innermost.
 */
static struct frame *
caller_of(const struct held_site *site)
{
	if (site == NULL || site->frame_count == 0)
		return NULL;
	for (size_t i = 0; i < site->frame_count; i++)
		if (symbols_find(&site->frames[i])->locations[0].line != 0)
			return &site->frames[i];
	return &site->frames[0];
}

/* ------------------------------------------------------------------- text */

static void
print_frame(struct frame *frame, FILE *out)
{
	const struct location *location = symbols_find(frame)->locations;

	if (location->function != NULL)
		fprintf(out, "%s", location->function);
	else
		fprintf(out, "0x%" PRIx64, frame->address);
	if (location->file != NULL && location->line != 0)
		fprintf(out, " %s:%d", location->file, location->line);
	else if (frame->module != NULL)
		fprintf(out, " (%s+0x%" PRIx64 ")",
		    module_name(frame->module), frame->offset);
}

static void
print_thread(const struct held_thread *thread, FILE *out)
{
	fprintf(out, "thread %d", thread->tid);
	if (thread->name[0] != '\0')
		fprintf(out, " (%s)", thread->name);
}

static void
print_root(struct root *root, FILE *out)
{
	fprintf(out, "    #0 ");
	if (root->kind != ROOT_IGNORED)
		fprintf(out, "0x%" PRIx64 " ", root->word);
	switch (root->kind) {
	case ROOT_VARIABLE:
		if (root->variable != NULL)
			fprintf(out, "global variable %s+0x%" PRIx64 " of %s",
			    root->variable, root->into, root->module->path);
		else
			fprintf(out, "data of %s, without a name (+0x%" PRIx64
			    ")", root->module->path,
			    root->word - root->module->base);
		break;
	case ROOT_STACK:
		fprintf(out, "stack of ");
		print_thread(root->thread, out);
		if (root->has_frame) {
			fprintf(out, ", frame of ");
			print_frame(&root->frame, out);
		} else {
			fprintf(out, ", in a frame that is not known");
		}
		break;
	case ROOT_REGISTERS:
		fprintf(out, "registers of ");
		print_thread(root->thread, out);
		break;
	case ROOT_TLS:
		fprintf(out, "thread-local storage of ");
		print_thread(root->thread, out);
		break;
	case ROOT_MAPPING:
		fprintf(out, "mapping 0x%" PRIx64 "-0x%" PRIx64 "+0x%" PRIx64
		    " %s", root->mapping->start, root->mapping->end,
		    root->into, root->mapping->path[0] != '\0' ?
		    root->mapping->path : "(anonymous)");
		break;
	case ROOT_KERNEL:
		fprintf(out, "held by the kernel for the program");
		break;
	case ROOT_IGNORED:
		fprintf(out, "ignored: __lsan_ignore_object or "
		    "__lsan_disable");
		break;
	case ROOT_UNKNOWN:
		fprintf(out, "a place that is not known");
		break;
	}
	fputc('\n', out);
}

static void
print_steps(const struct record *record, const struct path *path, FILE *out)
{
	for (size_t i = 0; i < path->count; i++) {
		const struct held_block *step = path->steps[i];
		struct frame *caller = caller_of(held_site(record->held,
		    step->site));

		fprintf(out, "    #%zu 0x%" PRIx64 " block of %" PRIu64
		    " byte(s)", i + path->has_root, step->block, step->size);
		if (caller != NULL) {
			fprintf(out, " allocated in ");
			print_frame(caller, out);
		}
		if (i + 1 < path->count)
			fprintf(out, ", points on at +0x%" PRIx64,
			    pointer_in(path, i));
		fputc('\n', out);
	}
}

static void
print_text(const struct record *record, uint64_t address, struct path *path,
    FILE *out)
{
	const struct held_block *block;

	fprintf(out, "==%lld==bilge: 0x%" PRIx64, record->pid, address);
	if (path->count == 0) {
		fprintf(out, " is in no block that the program had.\n");
		return;
	}
	block = path->steps[path->count - 1];
	fprintf(out, " is at +0x%" PRIx64 " in a block of %" PRIu64
	    " byte(s), ", address - block->block, block->size);
	if (path->has_root)
		fprintf(out, "which is reachable:\n");
	else if (path->count == 1)
		fprintf(out, "a direct leak: nothing points at it but what "
		    "it leads to itself:\n");
	else
		fprintf(out, "an indirect leak: only leaks point at it, from "
		    "their head on:\n");
	if (path->has_root)
		print_root(&path->root, out);
	print_steps(record, path, out);
}

/* ------------------------------------------------------------------- JSON */

static json_t *
json_frame(struct frame *frame)
{
	const struct location *location = symbols_find(frame)->locations;
	json_t *object = json_object();

	render_put_hex(object, "address", frame->address);
	render_put_text(object, "module",
	    frame->module != NULL ? frame->module->path : "");
	render_put_hex(object, "offset", frame->offset);
	render_put_text(object, "function", location->function);
	render_put_text(object, "file", location->file);
	render_put(object, "line", json_integer(location->line));
	return object;
}

static json_t *
json_root(struct root *root)
{
	json_t *object = json_object();
	json_t *thread = json_null(), *frame = json_null();

	render_put_text(object, "kind", root_kind_names[root->kind]);
	render_put_hex(object, "address", root->word);
	render_put_text(object, "variable", root->variable);
	render_put_hex(object, "offset", root->into);
	render_put_text(object, "module",
	    root->module != NULL ? root->module->path : "");
	render_put_text(object, "mapping",
	    root->mapping != NULL ? root->mapping->path : "");
	if (root->thread != NULL) {
		thread = json_object();
		render_put(thread, "tid", json_integer(root->thread->tid));
		render_put_text(thread, "name", root->thread->name);
	}
	render_put(object, "thread", thread);
	if (root->has_frame)
		frame = json_frame(&root->frame);
	render_put(object, "frame", frame);
	return object;
}

static json_t *
json_step(const struct record *record, const struct path *path, size_t step)
{
	const struct held_block *block = path->steps[step];
	struct held_site *site = held_site(record->held, block->site);
	json_t *object = json_object(), *frames = json_array();

	render_put_hex(object, "address", block->block);
	render_put(object, "bytes", json_integer((json_int_t)block->size));
	if (step + 1 < path->count)
		render_put_hex(object, "points_on_at", pointer_in(path, step));
	else
		render_put(object, "points_on_at", json_null());
	for (size_t i = 0; site != NULL && i < site->frame_count; i++)
		json_array_append_new(frames, json_frame(&site->frames[i]));
	render_put(object, "frames", frames);
	return object;
}

static void
print_json(const struct record *record, uint64_t address, struct path *path,
    FILE *out)
{
	json_t *object = json_object(), *steps = json_array();
	uint64_t offset = 0;

	for (size_t i = 0; i < path->count; i++)
		json_array_append_new(steps, json_step(record, path, i));
	if (path->count != 0)
		offset = address - path->steps[path->count - 1]->block;
	render_put_text(object, "schema", "bilge-1");
	render_put(object, "pid", json_integer(record->pid));
	render_put_hex(object, "address", address);
	render_put_text(object, "answer", answers[(path->count != 0) +
	    path->has_root]);
	render_put_hex(object, "offset", offset);
	render_put(object, "root", path->has_root ? json_root(&path->root) :
	    json_null());
	render_put(object, "path", steps);
	render_json(object, out);
}

void
why_render(struct record *record, uint64_t address, enum format format,
    FILE *out)
{
	struct held *held = record->held;
	const struct held_block *block;
	struct path path;

	if (held == NULL)
		cmd_die(STATUS_FAILED, "the record does not say what holds "
		    "blocks: BILGE_WHY was 0, or there was no check at exit");
	held_sort(held);
	block = held_find(held, address);
	if (block == NULL && (held->is_cut || held->lost_is_cut))
		cmd_die(STATUS_FAILED, "0x%" PRIx64 " is not among the first "
		    "%lld blocks; the record holds more with a larger "
		    "BILGE_WHY", address, held->limit);
	path = find_path(record, block);
	if (format == FORMAT_JSON)
		print_json(record, address, &path, out);
	else
		print_text(record, address, &path, out);
	if (path.has_root)
		root_destroy(&path.root);
	free(path.steps);
}
