/*
 * arena.h - address space, in runs of 64 KiB units.
 * Defaults: Context: mutator inside mutator_hold(), collector.
 *           Locks: takes RANK_ARENA.
 */
#ifndef BILGE_ARENA_H
#define BILGE_ARENA_H

#include "base/arch.h"
#include "heap/sizeclass.h"

struct span;

/* The heap's range and its span table: which span holds a unit, or NULL. */
struct arena_view {
	/* Fixed by arena_init(). */
	uintptr_t base;
	_Atomic(struct span *) *table;	/* one entry a unit */
	/* Guarded by RANK_ARENA; only shrinks. */
	size_t size;			/* bytes reserved */
	/* Atomic: grows; entries from here on are not to be read. */
	_Atomic size_t frontier;	/* bytes from base ever used */
};

extern struct arena_view arena_view HIDDEN;

/*
 * arena_init - reserve the range.
 * Units:    size, bytes wished for; halved until the system grants it.
 * Errors:   -ENOMEM.
 * Context:  early.
 */
int arena_init(size_t size);

/*
 * arena_shrink - reserve no more than this for the heap's range from now on,
 * or what is in use where that is more.
 */
void arena_shrink(size_t size);

/* arena_contains - is the word an address in the heap's range?  Any context. */
ALWAYS_INLINE bool
arena_contains(uintptr_t word)
{
	return word - arena_view.base < load_relaxed(&arena_view.frontier);
}

/* arena_end - the end of what was ever used of the range.  Any context. */
ALWAYS_INLINE uintptr_t
arena_end(void)
{
	return arena_view.base + load_relaxed(&arena_view.frontier);
}

/* arena_is_reserved - does it lie in the whole range?  Any context. */
ALWAYS_INLINE bool
arena_is_reserved(uintptr_t word)
{
	return word - arena_view.base < arena_view.size;
}

/*
 * arena_span_of - the span a word points into, NULL when none.
 *
 * A block that the caller holds keeps its span's entry; anything else is a
 * guess, and only good while the world is stopped or after validation.
 */
ALWAYS_INLINE struct span *
arena_span_of(uintptr_t word)
{
	uintptr_t offset = word - arena_view.base;

	if (unlikely(!arch_is_below(offset, &arena_view.frontier)))
		return NULL;
	/* relaxed: whoever has the block's address has seen the entry. */
	return load_relaxed(&arena_view.table[offset >> UNIT_SHIFT]);
}

/*
 * arena_take - a run of units that belongs to the caller.
 * Returns:  its address, 0 when there is no memory.  *ret_zero: it reads as
 *           zero.
 * Cost:     may make system calls.
 */
uintptr_t arena_take(size_t units, bool *ret_zero);

/* arena_assign - enter a span for all units of a run. */
void arena_assign(uintptr_t run, size_t units, struct span *span);

/* arena_give - take a run back.  Its entries are cleared. */
void arena_give(uintptr_t run, size_t units);

/* arena_give_cold - one that nobody wants soon: its memory goes back now. */
void arena_give_cold(uintptr_t run, size_t units);

/*
 * arena_extend - lengthen a run in place by units that are free behind it.
 * Returns:  false when they are not; nothing has changed then.
 */
bool arena_extend(uintptr_t run, size_t units, size_t more_units,
		  struct span *span);

/*
 * arena_trim - give the memory of free runs back to the kernel.
 * Units:    idle_ns, only runs that are free for so long.
 * Returns:  bytes given back.
 */
size_t arena_trim(uint64_t idle_ns);

/* Bytes of free runs that still hold memory; of used runs, now and ever. */
size_t arena_dirty_bytes(void);
size_t arena_used_bytes(void);
size_t arena_peak_bytes(void);

/*
 * arena_for_each_span - call visit for every span, ascending.
 * Context: collector: stopped, or after span_defer() (S5); RANK_ARENA held
 *          otherwise.
 */
void arena_for_each_span(void (*visit)(struct span *, void *), void *argument);

/* arena_for_each_span_back - the same, descending. */
void arena_for_each_span_back(void (*visit)(struct span *, void *),
			      void *argument);

/* Held over a fork, and where all spans are looked at. */
void arena_fork_lock(void);
void arena_fork_unlock(bool in_child);

#ifdef BILGE_DEBUG
bool arena_is_valid(void);
#endif

#endif
