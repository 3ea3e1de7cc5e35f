/*
 * root.c - what a word outside the heap was.
 *
 * Nothing is guessed: a word on a stack whose call chain is not known is one
 * of that stack, and no more is said.
 */
#include "root.h"
#include "chain.h"
#include "symbols.h"

#include <stdlib.h>

const char *const root_kind_names[] = {
	"variable", "stack", "registers", "tls", "mapping", "kernel",
	"ignored", "unknown",
};

static bool
is_within(uint64_t word, uint64_t start, uint64_t end)
{
	return word >= start && word < end;
}

static const struct held_mapping *
find_range(const struct held_mapping *list, size_t count, uint64_t word)
{
	for (size_t i = 0; i < count; i++)
		if (is_within(word, list[i].start, list[i].end))
			return &list[i];
	return NULL;
}

static bool
find_variable(const struct record *record, struct root *root)
{
	struct module *module = record_module_at(record, root->word);

	if (module == NULL)
		return false;
	root->kind = ROOT_VARIABLE;
	root->module = module;
	root->variable = symbols_object(module, root->word - module->base,
	    &root->into);
	return true;
}

static bool
find_on_stack(const struct record *record, struct root *root)
{
	const struct held *held = record->held;
	struct chain_frame frame;

	for (size_t i = 0; i < held->thread_count; i++) {
		const struct held_thread *t = &held->threads[i];

		if (!is_within(root->word, t->sp - held->red_zone,
		    t->stack_end))
			continue;
		root->kind = ROOT_STACK;
		root->thread = t;
		root->into = root->word - t->sp;
		root->has_frame = chain_find(record, t, root->word, &frame);
		if (root->has_frame)
			root->frame = frame.frame;
		/* What it had in registers when it came to the check. */
		if (root->has_frame && frame_is_own(&root->frame)) {
			root->kind = ROOT_REGISTERS;
			root->has_frame = false;
		}
		/* Static TLS lies above the frames of a thread's stack. */
		if (!root->has_frame && root->kind == ROOT_STACK &&
		    is_within(root->word, t->tls_start, t->tls_end))
			root->kind = ROOT_TLS;
		return true;
	}
	return false;
}

/* A stack pointer, or a register, into a block that is a stack. */
static void
find_stack_in_block(const struct held *held, const struct held_block *block,
    struct root *root)
{
	for (size_t i = 0; i < held->thread_count; i++) {
		const struct held_thread *t = &held->threads[i];

		if (!is_within(t->sp, block->block, block->block +
		    block->size))
			continue;
		root->kind = ROOT_REGISTERS;
		root->thread = t;
		return;
	}
}

static bool
find_in_thread(const struct held *held, struct root *root)
{
	for (size_t i = 0; i < held->thread_count; i++) {
		const struct held_thread *t = &held->threads[i];

		root->thread = t;
		root->kind = ROOT_REGISTERS;
		if (is_within(root->word, t->frame, t->frame_end))
			return true;
		/* At most: the lower end may lie among the frames. */
		root->kind = ROOT_TLS;
		if (is_within(root->word, t->tls_start, t->tls_end))
			return true;
	}
	root->thread = NULL;
	return false;
}

void
root_find(const struct record *record, const struct held_block *block,
    struct root *ret)
{
	const struct held *held = record->held;

	*ret = (struct root){ .kind = ROOT_IGNORED, .word = block->word };
	if (block->word == 0 || find_variable(record, ret) ||
	    find_on_stack(record, ret) || find_in_thread(held, ret))
		return;
	ret->kind = ROOT_KERNEL;
	if (find_range(held->own, held->own_count, block->word) != NULL) {
		find_stack_in_block(held, block, ret);
		return;
	}
	ret->kind = ROOT_MAPPING;
	ret->mapping = find_range(held->mappings, held->mapping_count,
	    block->word);
	if (ret->mapping != NULL)
		ret->into = block->word - ret->mapping->start;
	else
		ret->kind = ROOT_UNKNOWN;
}

void
root_destroy(struct root *root)
{
	free(root->variable);
}
