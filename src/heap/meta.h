/*
 * meta.h - memory for the collector's own data.
 * Defaults: Context: mutator inside mutator_hold(), collector.
 *           Locks: takes RANK_META.
 */
#ifndef BILGE_META_H
#define BILGE_META_H

#include "base/base.h"

/*
 * meta_init - reserve the range all metadata lives in.
 * Units:    size, bytes wished for; halved until the system grants it.
 * Errors:   -ENOMEM, not even the smallest range can be had.
 * Context:  early.
 */
int meta_init(size_t size);

/*
 * meta_alloc - zeroed memory that is never given back.
 * Returns:  memory aligned to 64 bytes, NULL when there is none.
 */
void *meta_alloc(size_t size);

/*
 * meta_reserve - address space that becomes memory when meta_commit() says
 * so, for tables that grow at their end.
 * Returns:  the address, NULL when the range is used up.
 */
void *meta_reserve(size_t size);

/*
 * meta_commit - make the first `size` bytes of a reserved table usable.
 * Returns:  the bytes usable now, at least size; 0 when memory is short.
 */
size_t meta_commit(void *table, size_t committed, size_t size, size_t limit);

/* meta_map - zeroed pages of their own, given back with meta_unmap(). */
void *meta_map(size_t size);
void meta_unmap(void *pages, size_t size);

/*
 * meta_release - give address space that was reserved and never committed back
 * to the program, for good: its address space is limited now.
 */
void meta_release(void *start, size_t size);

/* meta_shrink - keep this much uncommitted address space, release the rest. */
void meta_shrink(size_t keep);

/*
 * meta_piece - the index-th piece of our range, for skipping it when roots
 * are read.  Returns: false after the last one.  Any context.
 */
bool meta_piece(unsigned index, uintptr_t *ret_start, uintptr_t *ret_end);

/* meta_room - bytes of address space that are not used yet. */
size_t meta_room(void);

void meta_fork_lock(void);
void meta_fork_unlock(bool in_child);

#endif
