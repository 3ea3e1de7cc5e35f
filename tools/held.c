/*
 * held.c - what held each block of a process, as its record tells.
 */
#include "held.h"
#include "cmd.h"

#include <stdlib.h>
#include <string.h>

static uint64_t
address_of(const json_t *json)
{
	uint64_t address;

	return json_address(json, &address) ? address : 0;
}

static uint64_t
address_in(const json_t *object, const char *name)
{
	return address_of(json_object_get(object, name));
}

/* ---------------------------------------------------------------- reading */

static void
read_ranges(const json_t *list, struct held_mapping **ranges, size_t *count)
{
	struct held_mapping *last;
	size_t index;
	json_t *range;

	json_array_foreach(list, index, range) {
		*ranges = record_append(*ranges, count, sizeof(**ranges));
		last = &(*ranges)[*count - 1];
		last->start = address_of(json_array_get(range, 0));
		last->end = address_of(json_array_get(range, 1));
		last->path = json_text(json_array_get(range, 2));
	}
}

static void
read_why(struct held *held, const json_t *event)
{
	held->base = address_in(event, "base");
	held->end = address_in(event, "end");
	held->limit = json_integer_value(json_object_get(event, "limit"));
	held->is_cut = json_is_true(json_object_get(event, "cut"));
	held->lost_is_cut = json_is_true(json_object_get(event, "lost_cut"));
	held->red_zone = (uint64_t)json_integer_value(json_object_get(event,
	    "red_zone"));
	read_ranges(json_object_get(event, "own"), &held->own,
	    &held->own_count);
}

static void
read_thread(struct held *held, const json_t *event)
{
	const json_t *tls = json_object_get(event, "tls");
	const json_t *frame = json_object_get(event, "frame");
	const json_t *registers = json_object_get(event, "registers");
	const json_t *words = json_object_get(event, "words");
	struct held_thread *thread;

	held->threads = record_append(held->threads, &held->thread_count,
	    sizeof(*held->threads));
	thread = &held->threads[held->thread_count - 1];
	thread->tid = (int)json_integer_value(json_object_get(event, "tid"));
	thread->name = json_text(json_object_get(event, "name"));
	thread->tls_start = address_of(json_array_get(tls, 0));
	thread->tls_end = address_of(json_array_get(tls, 1));
	thread->sp = address_in(event, "sp");
	thread->stack_end = address_in(event, "stack_end");
	thread->frame = address_of(json_array_get(frame, 0));
	thread->frame_end = address_of(json_array_get(frame, 1));
	thread->has_registers = json_array_size(registers) == 17;
	for (size_t i = 0; i < 17; i++)
		thread->registers[i] = address_of(json_array_get(registers,
		    i));
	thread->word_count = json_array_size(words) / 2;
	thread->words = cmd_alloc(thread->word_count * sizeof(*thread->words));
	for (size_t i = 0; i < thread->word_count; i++) {
		thread->words[i].at = address_of(json_array_get(words, 2 * i));
		thread->words[i].value = address_of(json_array_get(words,
		    2 * i + 1));
	}
}

static void
read_site(const struct record *record, struct held *held, const json_t *event)
{
	const json_t *calls = json_object_get(event, "calls");
	struct held_site *site;
	struct frame *frame;

	held->sites = record_append(held->sites, &held->site_count,
	    sizeof(*held->sites));
	site = &held->sites[held->site_count - 1];
	site->site = json_integer_value(json_object_get(event, "site"));
	site->frame_count = json_array_size(calls) / 2;
	site->frames = cmd_alloc(site->frame_count * sizeof(*site->frames));
	for (size_t i = 0; i < site->frame_count; i++) {
		frame = &site->frames[i];
		frame->module = record_module(record,
		    json_integer_value(json_array_get(calls, 2 * i)));
		/* The call, not where it returns to. */
		frame->offset = (uint64_t)json_integer_value(
		    json_array_get(calls, 2 * i + 1)) - 1;
		frame->address = frame->offset;
		if (frame->module != NULL)
			frame->address += frame->module->base;
	}
}

static void
read_blocks(struct held *held, const json_t *event, bool is_lost)
{
	const json_t *list = json_object_get(event, "blocks");
	size_t count = json_array_size(list) / 4;
	struct held_block *block;
	const json_t *word;

	for (size_t i = 0; i < count; i++) {
		held->blocks = record_append(held->blocks, &held->block_count,
		    sizeof(*held->blocks));
		block = &held->blocks[held->block_count - 1];
		block->order = held->block_count;
		block->is_lost = is_lost;
		block->block = held->base + (uint64_t)json_integer_value(
		    json_array_get(list, 4 * i));
		block->size = (uint64_t)json_integer_value(
		    json_array_get(list, 4 * i + 1));
		block->site = json_integer_value(json_array_get(list,
		    4 * i + 2));
		word = json_array_get(list, 4 * i + 3);
		if (json_is_integer(word))
			block->word = held->base +
			    (uint64_t)json_integer_value(word);
	}
}

void
held_read(struct record *record, const json_t *event, const char *name)
{
	if (strcmp(name, "why") == 0) {
		/* The last account is the one that counts. */
		held_destroy(record->held);
		record->held = cmd_alloc(sizeof(*record->held));
		read_why(record->held, event);
	}
	if (record->held == NULL)
		return;
	if (strcmp(name, "thread") == 0)
		read_thread(record->held, event);
	else if (strcmp(name, "mappings") == 0)
		read_ranges(json_object_get(event, "list"),
		    &record->held->mappings, &record->held->mapping_count);
	else if (strcmp(name, "site") == 0)
		read_site(record, record->held, event);
	else if (strcmp(name, "held") == 0)
		read_blocks(record->held, event, false);
	else if (strcmp(name, "lost") == 0)
		read_blocks(record->held, event, true);
}

/* ---------------------------------------------------------------- finding */

static int
compare_blocks(const void *left, const void *right)
{
	const struct held_block *a = left, *b = right;

	return (a->block > b->block) - (a->block < b->block);
}

static int
compare_sites(const void *left, const void *right)
{
	const struct held_site *a = left, *b = right;

	return (a->site > b->site) - (a->site < b->site);
}

void
held_sort(struct held *held)
{
	if (held->block_count != 0)
		qsort(held->blocks, held->block_count, sizeof(*held->blocks),
		    compare_blocks);
	if (held->site_count != 0)
		qsort(held->sites, held->site_count, sizeof(*held->sites),
		    compare_sites);
}

/* The last block that begins at an address or before it, or NULL. */
static const struct held_block *
block_before(const struct held *held, uint64_t address)
{
	size_t low = 0, high = held->block_count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (held->blocks[middle].block <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low != 0 ? &held->blocks[low - 1] : NULL;
}

const struct held_block *
held_find(const struct held *held, uint64_t address)
{
	const struct held_block *block = block_before(held, address);

	if (block == NULL || (address != block->block &&
	    address - block->block >= block->size))
		return NULL;
	return block;
}

/*
 * A word may lie behind the bytes that were asked for, where the program was
 * told that it may use them; it is never in a block that came later.
 */
const struct held_block *
held_holder(const struct held *held, const struct held_block *block)
{
	const struct held_block *holder;

	if (block->word < held->base || block->word >= held->end)
		return NULL;
	holder = block_before(held, block->word);
	if (holder == NULL || holder->order >= block->order ||
	    holder->is_lost != block->is_lost)
		return NULL;
	return holder;
}

struct held_site *
held_site(const struct held *held, long long site)
{
	struct held_site key = { .site = site };

	if (held->site_count == 0)
		return NULL;
	return bsearch(&key, held->sites, held->site_count,
	    sizeof(*held->sites), compare_sites);
}

static void
destroy_ranges(struct held_mapping *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(ranges[i].path);
	free(ranges);
}

void
held_destroy(struct held *held)
{
	if (held == NULL)
		return;
	destroy_ranges(held->own, held->own_count);
	destroy_ranges(held->mappings, held->mapping_count);
	for (size_t i = 0; i < held->thread_count; i++) {
		free(held->threads[i].name);
		free(held->threads[i].words);
	}
	for (size_t i = 0; i < held->site_count; i++)
		free(held->sites[i].frames);
	free(held->threads);
	free(held->sites);
	free(held->blocks);
	free(held);
}
