/*
 * grey.c - what was reached and not scanned yet.
 *
 * Owns the mark stack of a cycle: last in, first out, in pages of its own.
 */
#include "collect/grey.h"

#include "heap/meta.h"

#define BLOCKS_MIN	4096u

/* Guarded by RANK_CYCLE. */
static struct {
	struct block *stack;
	size_t size;
	size_t used;
} grey;

bool
grey_init(size_t blocks)
{
	grey.used = 0;
	for (grey.size = MAX(blocks, BLOCKS_MIN); grey.size >= BLOCKS_MIN;
	     grey.size /= 2) {
		grey.stack = meta_map(grey.size * sizeof(*grey.stack));
		if (grey.stack != NULL)
			return true;
	}
	return false;
}

void
grey_fini(void)
{
	meta_unmap(grey.stack, grey.size * sizeof(*grey.stack));
	grey.stack = NULL;
}

bool
grey_push(struct block block)
{
	if (grey.used == grey.size)
		return false;
	grey.stack[grey.used++] = block;
	return true;
}

bool
grey_pop(struct block *ret)
{
	if (grey.used == 0)
		return false;
	*ret = grey.stack[--grey.used];
	return true;
}
