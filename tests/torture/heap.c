/*
 * heap.c - blocks that hold blocks, and pointers that are not quite.
 */
#include "torture.h"

#include <malloc.h>

static void **root[SEATS_MAX];

static void **
zeroed(size_t size)
{
	void **block = (void **)calloc(1, size);

	CHECK(block != NULL);
	return block;
}

WAY(chain, ANYWHERE)
{
	void **link = root[seat->index] = zeroed(100);

	for (int i = 0; i < 50; i++) {
		void **next = zeroed(16 << i % 12);

		*link = next;
		link = next;
	}
	hold_in(link, seat);
}

/* A tree whose leaves are one word each; the last one holds. */
static void **
grow(void **node, int depth)
{
	if (depth == 0)
		return node;
	node[0] = zeroed(24);
	node[1] = zeroed(24);
	grow((void **)node[0], depth - 1);
	return grow((void **)node[1], depth - 1);
}

WAY(tree, ANYWHERE)
{
	root[seat->index] = zeroed(24);
	hold_in(grow(root[seat->index], 7), seat);
}

static NOINLINE void **
ring(int length)
{
	void **first = zeroed(48), **last = first;

	for (int i = 1; i < length; i++) {
		void **next = zeroed(48);

		*last = next;
		last = next;
	}
	*last = first;
	return first;
}

static NOINLINE void
lose_ring(int length)
{
	use(ring(length));
	will_be_lost(true, 1, 48);
	will_be_lost(false, length - 1, (length - 1) * 48);
}

/* A ring is held as one; a lost ring has one head. */
WAY(rings, ANYWHERE)
{
	root[seat->index] = ring(5);
	hold_in(&root[seat->index][1], seat);
	for (int length = 1; length < 9; length++)
		lose_ring(length);
	scrub();
}

static NOINLINE void
put_offset(void *place, uintptr_t hidden, uintptr_t offset)
{
	*(uintptr_t *)place = (uintptr_t)reveal(hidden) + offset;
	scrub();
}

static void
hold_offset(struct seat *seat, uintptr_t offset)
{
	put_offset(&root[seat->index], seat->lost, offset);
	put_offset(&root[seat->index], seat->kept, offset);
}

WAY(interior, ANYWHERE)
{
	hold_offset(seat, HEAD_SIZE / 2);
}

WAY(interior_last, ANYWHERE)
{
	hold_offset(seat, HEAD_SIZE + KEPT_MORE - 1);
}

WAY(past_end, ANYWHERE)
{
	hold_offset(seat, HEAD_SIZE + KEPT_MORE);
}

WAY(tagged_low, ANYWHERE)
{
	hold_offset(seat, 7);
}

/* With BILGE_TAG_MASK. */
WAY(tagged_high, ANYWHERE)
{
	hold_offset(seat, (uintptr_t)0xa5 << 56);
}

WAY(large_block, ANYWHERE)
{
	root[seat->index] = zeroed(1 << 20);
	hold_in(&root[seat->index][(1 << 20) / sizeof(void *) - 1], seat);
}

/* Of a huge block most pages were never touched. */
WAY(sparse_block, ANYWHERE)
{
	root[seat->index] = zeroed(64 << 20);
	hold_in(&root[seat->index][5000000], seat);
}

WAY(aligned_block, ANYWHERE)
{
	void *block = NULL;

	CHECK(posix_memalign(&block, 4096, 5000) == 0);
	memset(block, 0, 5000);
	root[seat->index] = (void **)block;
	hold_in(&root[seat->index][624], seat);
}

WAY(grown_block, ANYWHERE)
{
	void **block = zeroed(100);
	size_t size;

	hold_in(&block[3], seat);
	for (size = 200; size < (4 << 20); size *= 3) {
		block = (void **)realloc(block, size);
		CHECK(block != NULL);
	}
	root[seat->index] = (void **)realloc(block, 100);
}

/* Behind the size asked for lies memory that the program was told of. */
WAY(usable_size, ANYWHERE)
{
	void **block = (void **)malloc(131);
	size_t size = malloc_usable_size(block);

	CHECK(size >= 131);
	memset(block, 0, size);
	root[seat->index] = block;
	hold_in(&block[size / sizeof *block - 1], seat);
}

/* Slots that held other things before. */
WAY(reused_block, ANYWHERE)
{
	for (int i = 0; i < 100; i++) {
		void **block = (void **)malloc(HEAD_SIZE);

		CHECK(block != NULL);
		memset(block, 0, HEAD_SIZE);
		hold_in(&block[i % 20], seat);
		if (i < 99)
			free(block);
		else
			root[seat->index] = block;
	}
}
