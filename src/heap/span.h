/*
 * span.h - slots and their bitmaps.
 *
 * A span is a run of units cut into equal slots.  Per slot it keeps bits, all
 * outside the heap's range:
 *
 *   bitmap       written by                       meaning of 1
 *   free         the owning cache only            free, may be claimed
 *   claimed      the owning cache only            free, in its claimed word
 *   returned     anyone, atomic OR                freed by another thread, or
 *                                                 reclaimed; owner merges it
 *   mark         markers, atomic OR; owner at     grey or black in this cycle
 *                claim
 *   condemned    sweep, atomic OR; who frees,     white earlier, in grace
 *                atomic AND
 *   reclaimed    sweep, atomic OR; owner at       free because sweep reclaimed
 *                claim, atomic AND                it, not because it was freed
 *   quarantined  who frees, atomic OR; the        freed, held back (guard):
 *                collector, atomic AND            quarantine.c
 *   spoiled      the collector                    written to in quarantine,
 *                                                 and that was told
 *   scratch      the collector                    visited while leaks are told
 *                                                 direct from indirect (more
 *                                                 in leaks.c)
 *   heads        the collector                    may be the head of leaks
 *
 * Of `free` there is a summary, `full`, one bit a word.
 *
 * A slot is in the program's hands when it is neither free, returned,
 * quarantined nor claimed (in its owner's cache).
 */
#ifndef BILGE_SPAN_H
#define BILGE_SPAN_H

#include "base/arch.h"
#include "heap/arena.h"

#include <string.h>

struct cache;

/* A word of the owner's bitmaps: what a free looks at lies side by side. */
struct span_word {
	uint64_t free;
	uint64_t claimed;
};

struct span {
	/*
	 * The first 64 bytes are what the fast paths read.
	 *
	 * Fixed when the span is cut; read by anyone without a lock.
	 */
	/*
	 * Less than nothing by the address of the first slot: that address
	 * itself must not lie about in registers and on the stack when a path
	 * of ours has used it, where it looks like a pointer to the block.
	 */
	uintptr_t minus_base;
	uint64_t reciprocal;		/* 2^64 / slot_size, rounded up */
	uint32_t slot_size;		/* bytes; large: see large_bytes */
	uint32_t slot_count;
	uint64_t last_mask;		/* the slots of the last word */
	uint16_t words;			/* of each bitmap, at most 64 */
	uint16_t class;			/* CLASS_LARGE: one block */
	/*
	 * Atomic: SPAN_LISTED while the span is in a list of spans with
	 * returned bits, plus SPAN_VISITOR for each thread that is returning
	 * a slot right now and may still touch the span after its bit is set.
	 */
	_Atomic uint32_t remote;
	/*
	 * Atomic: the owner, as CACHE_NOTING() where there are sites, or NULL
	 * when its frees have more to do: returned bits to look at
	 * (SPAN_LISTED), the span to link.
	 */
	_Atomic(struct cache *) fast_owner;
	/* Owner thread, one bit a word of `free`: is it all ones? */
	uint64_t full;
	/*
	 * Fixed when the span is cut: NULL unless reports need them; one entry
	 * a slot, see span_note().
	 */
	_Atomic uint32_t *site;

	/* The second 64 bytes are what they read besides with sites. */
	struct span *next, *prev;	/* spans of this class with free bits */
	bool is_linked;			/* is it in that list? */
	bool is_spare;			/* empty, and kept all the same */
	/*
	 * After a fork: of a thread that does not exist here.  What only its
	 * registers held cannot be told from what it lost.
	 */
	bool is_inherited;
	bool is_zero;			/* virgin slots read as zero */
	uint8_t window;			/* virgin slots claimed at once */
	uint8_t last;			/* the word claimed last */
	/* Atomic: only ever set: some thread's alternate stack lies here. */
	_Atomic bool has_stack;
	/*
	 * Atomic: the cache that allocates from this span.  Changes only when
	 * a span of a thread that ended is adopted, under RANK_HEAP.
	 */
	_Atomic(struct cache *) owner;
	/* Fixed when the span is cut; slack where there are sites. */
	_Atomic uint16_t *slack;
	_Atomic uint64_t *condemned;

	/* Owner thread. */
	uint64_t rich;			/* words worth a claim when we looked */
	uint32_t virgin;		/* from here no slot was ever claimed */
	struct span *next_listed;	/* owned by whoever set SPAN_LISTED */

	/* Fixed when the span is cut. */
	_Atomic uint64_t *returned;
	_Atomic uint64_t *mark;
	_Atomic uint64_t *reclaimed;
	_Atomic uint64_t *quarantined;
	_Atomic uint32_t *freed_site;	/* with sites, where span_guards is */
	uint64_t *spoiled;
	uint64_t *scratch;
	uint64_t *heads;
	uintptr_t run;			/* first unit; base may lie behind it */

	/* Guarded by the block's holder where it is a large one. */
	size_t run_units;
	bool is_cold;			/* destroyed, its memory goes back */

	/* Large blocks only.  Guarded by the block's holder. */
	size_t large_bytes;		/* from base to the end of the run */
	size_t large_requested;

	/* Owner thread: one word more than the other bitmaps, see S3. */
	struct span_word own[] CACHE_ALIGNED;
};

#define SPAN_LISTED	1u
#define SPAN_VISITOR	2u

/* A slot's slack is kept in 16 bits. */
#define SPAN_SLACK_MAX	UINT16_MAX

/*
 * Sites below SITE_FIRST are not depot ids.  A slot that nobody has been given
 * yet is not a block, though its bits are taken: the caller is on its way out
 * of malloc, or was when its process forked.
 */
#define SITE_NONE	0u
#define SITE_UNKNOWN	1u	/* the call stack was not kept */
#define SITE_IGNORED	2u	/* __lsan_disable(), __lsan_ignore_object() */
#define SITE_FIRST	16u

/*
 * What is freed goes into quarantine (quarantine.c).
 * Fixed before the first span is cut.
 */
extern bool span_guards HIDDEN;

/*
 * span_create - cut a run into slots of a class, all free.
 * Returns:  NULL when there is no memory.
 * Context:  mutator inside mutator_hold().
 */
struct span *span_create(unsigned class, struct cache *owner, bool with_sites);

/*
 * span_create_large - a span of one slot, already in the program's hands.
 * Units:    size, bytes; alignment, a power of two.
 * Returns:  NULL when there is no memory.  *ret_zero: it reads as zero.
 * Context:  mutator inside mutator_hold().
 */
struct span *span_create_large(size_t size, size_t alignment, bool with_sites,
			       bool *ret_zero);

/* span_destroy - give an entirely free span's run back.
 * Context:  mutator inside mutator_hold(); nobody else may know the span.
 */
void span_destroy(struct span *span);

/*
 * span_expect_protected - the program has begun to change the protection of
 * heap memory, and may free it without a thought of that, as it may with
 * libc's large blocks: their pages are made writable again from now on.
 */
void span_expect_protected(void);

/* span_unprotect - see to it that a large span's pages can be written. */
void span_unprotect(struct span *span);

/*
 * span_defer - keep the structs of spans that are destroyed from now on as
 * they are (S5), or let them be used again.
 * Context:  collector, world running or stopped.
 */
void span_defer(bool is_deferred);

/* span_base - the address of the first slot. */
ALWAYS_INLINE uintptr_t
span_base(const struct span *span)
{
	return -span->minus_base;
}

/* span_end - the end of its run. */
ALWAYS_INLINE uintptr_t
span_end(const struct span *span)
{
	return span->run + (span->run_units << UNIT_SHIFT);
}

/* span_slot_of - index of the slot an address inside the span lies in. */
ALWAYS_INLINE uint32_t
span_slot_of(const struct span *span, uintptr_t addr)
{
	uint64_t low;

	/*
	 * Offsets are below 2^20 and slots at most 2^17 bytes: the error of
	 * offset * reciprocal stays below 2^20, and a reciprocal is at least
	 * 2^47 (Granlund and Montgomery, "Division by Invariant Integers").
	 */
	return (uint32_t)arch_multiply(addr + span->minus_base,
				       &span->reciprocal, &low);
}

/*
 * span_find_slot - does a slot begin at this address, or the last one end?
 * *ret_slot is it.
 * The fraction of offset * reciprocal is below one reciprocal exactly when the
 * offset is a multiple of the slot size.
 */
ALWAYS_INLINE bool
span_find_slot(const struct span *span, uintptr_t addr, size_t *ret_slot)
{
	uint64_t fraction;

	*ret_slot = arch_multiply(addr + span->minus_base, &span->reciprocal,
				  &fraction);
	return fraction < span->reciprocal;
}

/* span_has_slot_at - does a slot begin at this address?  *ret_slot is it. */
ALWAYS_INLINE bool
span_has_slot_at(const struct span *span, uintptr_t addr, uint32_t *ret_slot)
{
	size_t slot;
	bool begins = span_find_slot(span, addr, &slot);

	*ret_slot = (uint32_t)slot;
	return begins && slot < span->slot_count;
}

/* span_slot_addr - where a slot begins; a large span's is slot 0. */
ALWAYS_INLINE uintptr_t
span_slot_addr(const struct span *span, uint32_t slot)
{
	return (uintptr_t)slot * span->slot_size - span->minus_base;
}

ALWAYS_INLINE bool
span_is_large(const struct span *span)
{
	return span->class == CLASS_LARGE;
}

/* span_slot_bytes - bytes of a slot, also of a large one. */
ALWAYS_INLINE size_t
span_slot_bytes(const struct span *span)
{
	return span_is_large(span) ? span->large_bytes : span->slot_size;
}

/* span_word_mask - the bits of a bitmap's word that stand for slots. */
ALWAYS_INLINE uint64_t
span_word_mask(const struct span *span, uint32_t word)
{
	return word + 1 == span->words ? span->last_mask : ~UINT64_C(0);
}

/* span_is_empty - are all its slots free, and none claimed? */
ALWAYS_INLINE bool
span_is_empty(const struct span *span)
{
	return span->full == bits_below(span->words);
}

/*
 * span_set_free - add bits to a word of `free`.  Owner thread.
 * Returns: did the word become all ones?
 */
ALWAYS_INLINE bool
span_set_free(struct span *span, uint32_t word, uint64_t bits)
{
	span->own[word].free |= bits;
	if (span->own[word].free != ~UINT64_C(0))			/* S3 */
		return false;
	span->full |= UINT64_C(1) << word;
	return true;
}

/*
 * span_claim - move bits of a word from `free` to `claimed`.  Owner thread.
 */
ALWAYS_INLINE void
span_claim(struct span *span, uint32_t word, uint64_t bits)
{
	struct span_word *own = &span->own[word];
	uint64_t left = own->free & ~bits;

	/* In this order: who looks from outside misses none. */
	__atomic_store_n(&own->claimed, bits, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_seq_cst);
	__atomic_store_n(&own->free, left, __ATOMIC_RELAXED);
	/* S2 */
	span->rich &= ~(UINT64_C(1) << word);
	span->full &= ~(UINT64_C(1) << word);
}

/*
 * span_unused - the slots of a word that the owner holds as free ones.  Where
 * another thread asks about a block it rightly holds, the block's bit left
 * both bitmaps before its address was given away.
 */
ALWAYS_INLINE uint64_t
span_unused(const struct span *span, uint32_t word)
{
	const struct span_word *own = &span->own[word];
	/* x86 loads in order, and span_claim() stores in order. */
	uint64_t bits = __atomic_load_n(&own->free, __ATOMIC_ACQUIRE);

	return bits | __atomic_load_n(&own->claimed, __ATOMIC_RELAXED);
}

/* span_is_quarantined - is a slot held back? */
ALWAYS_INLINE bool
span_is_quarantined(const struct span *span, size_t slot)
{
	return bits_has(load_relaxed(&span->quarantined[slot / WORD_BITS]),
			slot % WORD_BITS);
}

/* span_clear_slot - clear a slot; size is a multiple of SLOT_ALIGN. */
ALWAYS_INLINE void *
span_clear_slot(void *block, size_t size)
{
	char *first = block, *last = first + size;

	/* Most are small: two or four stores that overlap. */
	if (size > 8 * SLOT_ALIGN)
		return memset(block, 0, size);
	if (size > 4 * SLOT_ALIGN) {
		memset(first, 0, 4 * SLOT_ALIGN);
		memset(last - 4 * SLOT_ALIGN, 0, 4 * SLOT_ALIGN);
	} else if (size > 2 * SLOT_ALIGN) {
		memset(first, 0, 2 * SLOT_ALIGN);
		memset(last - 2 * SLOT_ALIGN, 0, 2 * SLOT_ALIGN);
	} else {
		memset(first, 0, SLOT_ALIGN);
		memset(last - SLOT_ALIGN, 0, SLOT_ALIGN);
	}
	return block;
}

/* span_note - keep what reports need of a block just allocated. */
ALWAYS_INLINE void
span_note(struct span *span, uint32_t slot, size_t requested, uint32_t site)
{
	if (span->site == NULL)
		return;
	/* relaxed: the collector reads them with the world stopped. */
	if (span_is_large(span))
		span->large_requested = requested;
	else
		store_relaxed(&span->slack[slot],
			      (uint16_t)(span->slot_size - requested));
	/* release: the slot was claimed, and so marked, before. */
	store_release(&span->site[slot], site);
}

/* span_requested - bytes the program asked for. */
ALWAYS_INLINE size_t
span_requested(const struct span *span, uint32_t slot)
{
	if (span_is_large(span))
		return span->site != NULL ? span->large_requested
					  : span->large_bytes;
	if (span->slack == NULL)
		return span->slot_size;
	return span->slot_size - load_relaxed(&span->slack[slot]);
}

ALWAYS_INLINE uint32_t
span_site(const struct span *span, uint32_t slot)
{
	return span->site == NULL ? 0 : load_relaxed(&span->site[slot]);
}

void span_fork_lock(void);
void span_fork_unlock(bool in_child);

#endif
