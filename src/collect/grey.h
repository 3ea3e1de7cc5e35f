/*
 * grey.h - what was reached and not scanned yet.
 *
 * Each marking thread has a list of its own, last in, first out, in chunks.
 * What is more than a chunk or two goes to a pool that all share: from there
 * those who have nothing left take their work.
 *
 * Defaults: Context: collector, world running or stopped.
 *           Locks: RANK_CYCLE held by the cycle; takes RANK_GREY.
 */
#ifndef BILGE_GREY_H
#define BILGE_GREY_H

#include "collect/candidate.h"

/* 8 KiB: taking the lock once in so many pushes costs nothing. */
#define GREY_CHUNK_BLOCKS	511u

struct grey_chunk {
	struct grey_chunk *next;
	size_t used;
	struct block blocks[GREY_CHUNK_BLOCKS];
};

struct grey {
	/* Owner thread: the marking one. */
	struct grey_chunk *top;		/* the chunk in use */
	struct grey_chunk *spare;	/* an empty one, or NULL */
};

/*
 * grey_open - get ready for a cycle.
 * Returns: false when there is no address space for even one chunk.
 */
bool grey_open(void);

/* grey_close - after a cycle: the memory goes back to the kernel. */
void grey_close(void);

/* grey_begin_chunk - for grey_push() only: make room for one. */
bool grey_begin_chunk(struct grey *grey);

/* grey_take_chunk - for grey_pop() only: take work from the pool. */
bool grey_take_chunk(struct grey *grey);

/*
 * grey_push - false when there is no memory: the block stays marked but
 * unscanned, and the marker must look for such blocks.
 */
ALWAYS_INLINE bool
grey_push(struct grey *grey, struct block block)
{
	if (unlikely(grey->top == NULL ||
		     grey->top->used == GREY_CHUNK_BLOCKS) &&
	    !grey_begin_chunk(grey))
		return false;
	grey->top->blocks[grey->top->used++] = block;
	return true;
}

/* grey_pop - from the own list, then from the pool; false: both are empty. */
ALWAYS_INLINE bool
grey_pop(struct grey *grey, struct block *ret_block)
{
	if (unlikely(grey->top == NULL || grey->top->used == 0) &&
	    !grey_take_chunk(grey))
		return false;
	*ret_block = grey->top->blocks[--grey->top->used];
	return true;
}

/* grey_give_back - what a list has goes to the pool. */
void grey_give_back(struct grey *grey);

/* grey_is_empty - has this list nothing, and the pool neither? */
bool grey_is_empty(const struct grey *grey);

/*
 * Marking together: grey_join() for each thread; grey_wait() by each that has
 * nothing left; grey_stop() to end it whatever is left.
 * Returns: true when there may be work again, false when nobody has any, or
 *          it was stopped.
 */
void grey_join(void);
void grey_leave(void);
bool grey_wait(void);
void grey_stop(void);

void grey_fork_child(void);

#endif
