/*
 * remap.h - the memory of blocks, moved and cleared by whole pages.
 * Defaults: Context: mutator.  Locks: none.
 */
#ifndef BILGE_REMAP_H
#define BILGE_REMAP_H

#include "base/base.h"

/*
 * remap_keep - while set, no memory is moved by its page tables: a barrier
 * would lose sight of it.
 * Context: collector.
 */
void remap_keep(bool keep);

/*
 * remap_move - move the memory of one block to another by its page tables.
 *
 * The kernel may refuse, and half of the way at that, where it keeps a part of
 * them apart, because of madvise(2), mlock(2) or userfaultfd(2).
 *
 * Units:   size, of what is worth moving; all pages of it move.
 * Returns: false, nothing has moved: it has to be copied.
 */
bool remap_move(uintptr_t from, uintptr_t to, size_t size);

/* remap_clear - let memory that the program owns read as zero. */
void remap_clear(uintptr_t start, uintptr_t end);

#endif
