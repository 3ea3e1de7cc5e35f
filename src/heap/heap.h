/*
 * heap.h - allocate, resize, free.
 * Defaults: Context: mutator, also its signal handlers.  errno untouched.
 */
#ifndef BILGE_HEAP_H
#define BILGE_HEAP_H

#include "heap/cache.h"

#include <string.h>

/* What became of a pointer given to heap_free() and its kin. */
enum heap_verdict {
	HEAP_DONE,
	HEAP_NO_MEMORY,
	HEAP_FOREIGN,		/* not in our range: somebody else's */
	HEAP_DOUBLE_FREE,	/* its slot is free already */
	HEAP_INVALID,		/* in our range, but no block begins there */
};

/*
 * heap_init - reserve the address space.
 * Errors:  -ENOMEM.
 * Context: early, one thread.
 */
int heap_init(void);

/*
 * heap_configure - before the first block is given out.
 * Units:   pad, bytes added to each request, so that a pointer just past a
 *          block lies in its slot; with_sites, keep requested sizes and sites;
 *          clears, every block reads as zero: what an earlier one has left
 *          must not look like a pointer that has come back, nor be found by a
 *          second mark in a block that is black from birth.
 * Context: early, one thread.
 */
void heap_configure(unsigned pad, bool with_sites, bool clears);

/*
 * Requests smaller than this may take heap_alloc_fast(): 0 while there is no
 * heap, while sites are kept, or when each request is padded.
 * Fixed by heap_configure().
 */
extern size_t heap_fast_end HIDDEN;

/*
 * Where sites are kept, requests smaller than this may take heap_alloc_noted();
 * else 0.  Each is padded by heap_pad bytes, and blocks must read as zero where
 * heap_clears is set.  Fixed by heap_configure().
 */
extern size_t heap_noted_end HIDDEN;
extern unsigned heap_pad HIDDEN;
extern bool heap_clears HIDDEN;

/*
 * Has a block ever been condemned?  Then who frees one looks whether it is.
 * Atomic: relaxed, only ever set.
 */
extern _Atomic bool heap_has_condemned HIDDEN;

/* heap_alloc_claiming - a block below heap_fast_end, from a new claim. */
void *heap_alloc_claiming(size_t size);

/*
 * heap_alloc_fast - a block from the caller's claimed word.
 * Returns: false when it takes more than that: for a size below heap_fast_end
 *          heap_alloc_claiming() then, else heap_alloc().
 */
ALWAYS_INLINE bool
heap_alloc_fast(size_t size, void **ret_block)
{
	struct cache *cache = cache_self;
	bool fresh, done;

	if (unlikely(size >= heap_fast_end) || unlikely(cache_is_busy(cache)))
		return false;
	cache_enter(cache);
	done = cache_take(cache_claim(cache, sizeclass_lookup(size)),
			  ret_block, &fresh);
	cache_leave(cache);
	return done;
}

/*
 * heap_alloc_noted - the same of a size below heap_noted_end, with its site.
 * *ret_dirty: so many bytes may not be zero.
 */
ALWAYS_INLINE bool
heap_alloc_noted(size_t size, uint32_t site, void **ret_block,
		 size_t *ret_dirty)
{
	struct cache *cache = cache_self;
	bool done;

	if (unlikely(cache_is_busy(cache)))
		return false;
	cache_enter(cache);
	done = cache_take_noted(cache_claim(cache, sizeclass_lookup(
					size + heap_pad)),
				size, site, ret_block, ret_dirty);
	cache_leave(cache);
	return done;
}

/*
 * heap_unnote - a block of a span with sites is about to be freed.
 * Returns: false, with nothing changed, when it is condemned or no block.
 */
ALWAYS_INLINE bool
heap_unnote(struct span *span, size_t slot)
{
	if (unlikely(slot >= span->slot_count) ||
	    (unlikely(load_relaxed(&heap_has_condemned)) &&
	     unlikely(arch_has_bit(load_relaxed(
			&span->condemned[slot / WORD_BITS]), slot))))
		return false;
	store_relaxed(&span->site[slot], SITE_NONE);
	return true;
}

/*
 * heap_free_fast - free a block of the caller's own cache.
 * Returns: false when it takes more: heap_free() then, which does all of it.
 */
ALWAYS_INLINE bool
heap_free_fast(void *pointer)
{
	uintptr_t block = (uintptr_t)pointer;
	struct span *span = arena_span_of(block);
	struct cache *cache = cache_self, *self = cache->self;
	size_t slot;

	if (unlikely(span == NULL))
		return false;
	if (likely(arch_is(self, &span->fast_owner)))
		return likely(span_find_slot(span, block, &slot)) &&
		       likely(cache_put(cache, span, slot, block));
	/* Noted before the bit: afterwards it may be a handler's block. */
	return likely(arch_is(CACHE_NOTING(self), &span->fast_owner)) &&
	       likely(span_find_slot(span, block, &slot)) &&
	       likely(heap_unnote(span, slot)) &&
	       likely(cache_put(cache, span, slot, block));
}

/*
 * heap_alloc - a block of at least size bytes, aligned to 16.
 * Returns: NULL when there is no memory or size exceeds PTRDIFF_MAX.
 */
void *heap_alloc(size_t size, bool zero);

/* heap_alloc_aligned - alignment is a power of two. */
void *heap_alloc_aligned(size_t size, size_t alignment);

enum heap_verdict heap_free(void *block);

/*
 * heap_quarantine - the same where freed blocks are guarded: heap_free() is
 * this then, without a site.
 * Units: site, of the call that frees it.
 */
enum heap_verdict heap_quarantine(void *block, uint32_t site);

/*
 * heap_resize - give a block a new size, in place where it can be.
 * Returns: HEAP_DONE and the block; anything else leaves the old one as it is.
 * Cost:    moving copies min(old, new) bytes, or remaps pages of large blocks.
 */
enum heap_verdict heap_resize(void *block, size_t size, void **ret_block);

/* heap_usable_size - bytes the program may use; 0 when it is not a block. */
size_t heap_usable_size(const void *block);

/*
 * heap_size_was_asked - has any caller seen more than it asked for, through
 * heap_usable_size()?  Then blocks are scanned to the end of their slots.
 */
bool heap_size_was_asked(void);

/* heap_has_ignored - has any block ever had the site SITE_IGNORED? */
bool heap_has_ignored(void);

/* heap_note - keep requested size and site of a block just allocated. */
void heap_note(void *block, size_t requested, uint32_t site);

/* heap_set_site - change a block's site; false when it is no block. */
bool heap_set_site(const void *block, uint32_t site);

/*
 * heap_limit - the program's address space is about to be limited: release
 * what was only reserved, but for a share of the limit.
 */
void heap_limit(size_t limit);

/*
 * heap_set_pressure_hook - called, outside of mutator_hold(), with the bytes
 * that a thread has claimed and put into quarantine since it was last called,
 * now and then.
 * Context: early, one thread.
 */
void heap_set_pressure_hook(void (*changed)(size_t claimed,
					    size_t quarantined));

/*
 * heap_uncondemn - a block is about to be freed.
 * Returns: true when it was condemned; *ret_site is its site.
 */
bool heap_uncondemn(const void *block, uint32_t *ret_site);

/* What the statistics interfaces of malloc tell. */
struct heap_statistics {
	size_t mapped_bytes;	/* in runs that hold memory */
	size_t used_bytes;	/* in slots that are not free */
	size_t used_slots;
	size_t quarantined_bytes;	/* of used_bytes: freed, held back */
	size_t free_slots;
	size_t large_blocks;
	size_t large_bytes;
	size_t dirty_bytes;	/* that heap_trim() could give back */
};

/*
 * heap_statistics - a sum over all spans, true to within what other threads
 * do meanwhile.
 */
struct heap_statistics heap_statistics(void);

/* heap_trim - give free memory back to the kernel.  Returns: bytes. */
size_t heap_trim(void);

/*
 * heap_thread_begin - register the calling thread and give it a cache.
 * Units:   has_own_stack: see mutator_register().
 * Returns: false when there is no memory.
 */
bool heap_thread_begin(bool has_own_stack);

/*
 * heap_thread_end - the calling thread ends: its cache becomes an orphan.
 * Units:   keep_result: see mutator_end().
 */
void heap_thread_end(bool keep_result);

/*
 * heap_signal_stack - the calling thread's alternate stack is here now; 0: it
 * has none, as far as we know.  A block with one in it is not free before.
 */
void heap_signal_stack(uintptr_t start);

/*
 * heap_fork_prepare, heap_fork_done - take every lock of the heap; release
 * them, in the child after mending what threads that do not exist there were
 * at work on.
 */
void heap_fork_prepare(void);
void heap_fork_done(bool in_child);

#endif
