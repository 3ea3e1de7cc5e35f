/*
 * quarantine.c - blocks that the program has freed and that are held back.
 *
 * Owns the way in and the way out.  In between a block is neither the
 * program's nor free: its slot counts as taken, so that no cache hands it out,
 * and its bit in `quarantined` says why.
 *
 * Always true:
 *   G1  a block is clear when its bit is set, and is not scanned from then on;
 *   G2  a block whose bit is set while marks count (cache_blackens) is black:
 *       only a mark that began afterwards may find it white;
 *   G3  who comes out of quarantine first leaves `quarantined`, then enters
 *       `returned`: it is never in both, where a free by the next owner would
 *       find it in quarantine already.
 *
 * Atomics: [G] release as the bit is set pairs with acquire as the collector
 * reads it: whoever sees the bit sees the block clear and marked.
 *
 * Not here: which blocks may go (collect/guard.c).
 */
#include "heap/quarantine.h"

#include "base/sys.h"
#include "world/mutator.h"

#include <string.h>
#include <sys/mman.h>

void
quarantine_start(void)
{
	span_guards = true;
}

/* clear_large - its pages go at once: nothing is resident of it. */
static COLD void
clear_large(struct span *span)
{
	uint64_t mask;

	mutator_enter(&mask);
	span_unprotect(span);
	mutator_leave(mask);
	/* Pages that are locked in memory stay. */
	if (sys_madvise(span->run, span->run_units << UNIT_SHIFT,
			MADV_DONTNEED) != 0)
		memset((void *)span_base(span), 0, span->large_bytes);
}

bool
quarantine_put(struct span *span, uint32_t slot, uint32_t site)
{
	uint32_t word = slot / WORD_BITS;
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);
	uintptr_t block = span_slot_addr(span, slot);
	bool is_first;

	if (span_is_quarantined(span, slot))
		return false;
	if (unlikely(span_is_large(span)))
		clear_large(span);
	else
		span_clear_slot((void *)block, span->slot_size);
	if (span->freed_site != NULL)
		store_relaxed(&span->freed_site[slot], site);
	if (unlikely(load_relaxed(&cache_blackens)))		/* G2 */
		atomic_fetch_or_explicit(&span->mark[word], bit,
					 memory_order_relaxed);
	/* release [G] */
	is_first = (atomic_fetch_or_explicit(&span->quarantined[word], bit,
					     memory_order_release) & bit) == 0;
	arch_pin(block);					/* H1 */
	return is_first;
}

void
quarantine_release(struct span *span, uint32_t word, uint64_t bits)
{
	if (span->site != NULL)
		for (uint64_t left = bits; left != 0; left &= left - 1)
			store_relaxed(&span->site[word * WORD_BITS +
						  bits_ctz(left)], SITE_NONE);
	span->spoiled[word] &= ~bits;
	atomic_fetch_and_explicit(&span->quarantined[word], ~bits,
				  memory_order_release);	/* G3 */
	if (span_is_large(span))
		cache_return_large(span);
	else
		cache_return(span, word, bits);
}

void
quarantine_note(const void *block, uint32_t site)
{
	struct span *span = arena_span_of((uintptr_t)block);
	uint32_t slot = 0;

	if (span == NULL || span->freed_site == NULL)
		return;
	if (!span_is_large(span) &&
	    !span_has_slot_at(span, (uintptr_t)block, &slot))
		return;
	store_relaxed(&span->freed_site[slot], site);
}
