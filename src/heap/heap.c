/*
 * heap.c - allocate, resize, free.
 *
 * Owns the choice of path: the fast ones touch the calling thread's cache
 * only and can be stopped at any instruction (H1); everything else runs
 * inside mutator_hold() (H2).
 *
 * A signal handler may have interrupted any of it.  It finds the cache busy
 * and allocates from a nested one; sections that take locks run with signals
 * blocked.
 *
 * Not here: what a wrong pointer means for the program (bilge.c).
 */
#include "heap/heap.h"

#include "base/sys.h"
#include "heap/claim.h"
#include "heap/meta.h"
#include "heap/quarantine.h"
#include "heap/remap.h"
#include "heap/sigstack.h"
#include "world/mutator.h"

#include <string.h>
#include <sys/mman.h>

/* Fixed by heap_configure(). */
static struct {
	size_t small_max;	/* largest request served from slots */
	bool with_sites;
} shape;

size_t heap_fast_end, heap_noted_end;
unsigned heap_pad;
bool heap_clears;
_Atomic bool heap_has_condemned;

/* Fixed by heap_set_pressure_hook(). */
static void (*pressure_hook)(size_t, size_t);

/* Claimed bytes that the hook is told of at once: one span. */
#define PRESSURE_STEP	UNIT_SIZE

/* Atomic: relaxed, only ever set. */
static _Atomic bool size_was_asked;
static _Atomic bool has_ignored;

/*
 * range_size - how much address space to reserve.  Where it is limited, the
 * program needs some of it for stacks and mappings of its own.
 */
static size_t
range_size(void)
{
	struct rlimit limit;
	size_t size = TIB;

	if (sys_getrlimit(RLIMIT_AS, &limit) != 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return size;
	while (size > UNIT_SIZE && size > limit.rlim_cur / 2)
		size /= 2;
	return size;
}

void
heap_limit(size_t limit)
{
	uint64_t mask;

	mutator_enter(&mask);
	arena_shrink(limit / 2);
	meta_shrink(limit / 8);
	mutator_leave(mask);
}

static void detach(struct mutator *m);

int
heap_init(void)
{
	size_t heap_size;
	int error;

	sizeclass_init();
	heap_size = range_size();
	error = meta_init(heap_size / 4);
	if (error == 0)
		error = arena_init(heap_size);
	mutator_set_hook(detach);
	return error;
}

void
heap_configure(unsigned pad, bool with_sites, bool clears)
{
	heap_pad = pad;
	shape.small_max = SLOT_SIZE_MAX - pad;
	shape.with_sites = with_sites;
	heap_clears = clears;
	heap_fast_end = pad == 0 && !with_sites ? CLASS_TABLE_MAX + 1 : 0;
	heap_noted_end = with_sites ? CLASS_TABLE_MAX + 1 - pad : 0;
}

bool
heap_thread_begin(bool has_own_stack)
{
	struct mutator *m = mutator_self;
	uint64_t mask;

	if (m == NULL)
		m = mutator_register(has_own_stack);
	if (m == NULL)
		return false;
	if (m->cache != NULL)
		return true;
	mutator_mask_signals(&mask);
	mutator_hold();
	if (m->cache == NULL) {
		m->cache = cache_attach();
		if (m->cache != NULL)
			cache_self = m->cache;
	}
	mutator_release();
	mutator_unmask_signals(mask);
	return m->cache != NULL;
}

void
heap_signal_stack(uintptr_t start)
{
	uint32_t site;
	void *block;

	if (!sigstack_change(start, &block, &site))
		return;
	arch_pin(block);					/* H1 */
	if (span_guards)
		heap_quarantine(block, site);
	else
		heap_free(block);
	arch_pin(block);
}

void
heap_thread_end(bool keep_result)
{
	uint64_t mask;

	/* A handler that allocates in between would revive the cache. */
	mutator_mask_signals(&mask);
	sigstack_leave();
	cache_self = &cache_nobody;
	mutator_end(keep_result);
	mutator_unmask_signals(mask);
}

/* --------------------------------------------------------------- allocating */

/* finish - Units: slack, bytes of the slot behind those that were asked for. */
static void *
finish(void *block, size_t size, size_t slack, bool zero, bool fresh)
{
	if (fresh)
		return block;
	if (heap_clears)
		memset(block, 0, size + slack);
	else if (zero)
		memset(block, 0, size);
	return block;
}

void
heap_set_pressure_hook(void (*changed)(size_t claimed, size_t quarantined))
{
	pressure_hook = changed;
}

/* note_pressure - see heap_set_pressure_hook(). */
static NOINLINE void
note_pressure(struct mutator *m)
{
	size_t claimed = m->unpaced, quarantined = m->unpaced_frees;

	m->unpaced = m->unpaced_frees = 0;
	pressure_hook(claimed, quarantined);
}

static void
note_claimed(size_t bytes)
{
	struct mutator *m = mutator_self;

	if (pressure_hook == NULL || m == NULL)
		return;
	m->unpaced += bytes;
	if (m->unpaced >= PRESSURE_STEP)
		note_pressure(m);
}

static void
note_quarantined(size_t bytes)
{
	struct mutator *m = mutator_self;

	if (pressure_hook == NULL || m == NULL)
		return;
	m->unpaced_frees += bytes;
	if (unlikely(m->unpaced_frees >= PRESSURE_STEP))
		note_pressure(m);
}

static COLD void *
alloc_large(size_t size, size_t alignment, bool zero)
{
	bool fresh = false;
	void *block = NULL;
	struct span *span;
	uint64_t mask;

	mutator_enter(&mask);
	span = span_create_large(size + heap_pad, alignment,
				 shape.with_sites, &fresh);
	if (span != NULL && unlikely(load_relaxed(&cache_blackens)))
		store_relaxed(&span->mark[0], 1);		/* H3 */
	if (span != NULL) {
		block = (void *)span_base(span);
		/* Pages that read as zero cost nothing until they are used. */
		if ((zero || heap_clears) && !fresh)
			fresh = sys_madvise(span->run, span->run_units <<
					    UNIT_SHIFT, MADV_DONTNEED) == 0;
	}
	mutator_leave(mask);
	note_claimed(size);
	arch_pin(block);					/* H1 */
	return block == NULL ? NULL : finish(block, size, 0, zero, fresh);
}

static void *
alloc_slow(unsigned class, size_t size, bool zero)
{
	size_t claimed = 0;
	struct cache *cache;
	void *block = NULL;
	bool fresh = false;

	if (unlikely(cache_self == &cache_nobody) && !heap_thread_begin(false))
		return NULL;
	mutator_hold();
	cache = cache_begin(cache_self);
	if (cache != NULL) {
		struct claim *claim = &cache->claims[class];

		if (*claim->bits != 0 ||
		    claim_refill(cache, class, shape.with_sites)) {
			if (pressure_hook != NULL)
				claimed = bits_count(*claim->bits) *
					  claim->slot_size;
			cache_take(claim, &block, &fresh);
		}
		cache_leave(cache);
	}
	mutator_release();
	if (claimed != 0)
		note_claimed(claimed);
	/* H1: it is in a register or in our frame while we may be stopped. */
	arch_pin(block);
	return block == NULL ? NULL : finish(block, size,
					   sizeclass_slot_size[class] - size,
					   zero, fresh);
}

ALWAYS_INLINE void *
alloc_class(unsigned class, size_t size, bool zero)
{
	struct cache *cache = cache_self;
	void *block;
	bool fresh, done = false;

	if (likely(!cache_is_busy(cache))) {
		cache_enter(cache);
		done = cache_take(&cache->claims[class], &block, &fresh);
		cache_leave(cache);
	}
	if (likely(done))
		return finish(block, size, sizeclass_slot_size[class] - size,
			      zero, fresh);
	return alloc_slow(class, size, zero);
}

void *
heap_alloc_claiming(size_t size)
{
	return alloc_slow(sizeclass_of(size), size, false);
}

void *
heap_alloc(size_t size, bool zero)
{
	if (likely(size <= shape.small_max))
		return alloc_class(sizeclass_of(size + heap_pad), size, zero);
	if (size > PTRDIFF_MAX)
		return NULL;
	return alloc_large(size, SLOT_ALIGN, zero);
}

void *
heap_alloc_aligned(size_t size, size_t alignment)
{
	size_t least = MAX(size + heap_pad, alignment);

	if (alignment <= SLOT_ALIGN)
		return heap_alloc(size, false);
	if (size > PTRDIFF_MAX - alignment || alignment > PTRDIFF_MAX)
		return NULL;
	if (least <= SLOT_SIZE_MAX) {
		unsigned class = sizeclass_of(least);

		/* Spans begin at 64 KiB: a slot is as aligned as its size. */
		while (class < CLASS_COUNT &&
		       sizeclass_slot_size[class] % alignment != 0)
			class++;
		if (class < CLASS_COUNT && alignment <= UNIT_SIZE &&
		    sizeclass_slot_size[class] - size <= SPAN_SLACK_MAX)
			return alloc_class(class, size, false);
	}
	return alloc_large(size, alignment, false);
}

/* ------------------------------------------------------------------ freeing */

/* verdict_outside - on an address that no span covers. */
static enum heap_verdict
verdict_outside(uintptr_t block)
{
	if (!arena_contains(block))
		return HEAP_FOREIGN;
	/* Large blocks begin a unit, and take their span with them. */
	return block % UNIT_SIZE == 0 ? HEAP_DOUBLE_FREE : HEAP_INVALID;
}

static enum heap_verdict
free_large(struct span *span, uintptr_t block)
{
	if (block != span_base(span))
		return HEAP_INVALID;
	return cache_return_large(span) ? HEAP_DONE : HEAP_DOUBLE_FREE;
}

/* free_shared - the slot is another thread's, or our cache is in use. */
static NOINLINE enum heap_verdict
free_shared(struct span *span, uintptr_t block)
{
	uint32_t slot;
	bool done;

	if (span_is_large(span))
		return free_large(span, block);
	if (!span_has_slot_at(span, block, &slot))
		return HEAP_INVALID;
	if (span->site != NULL)
		store_relaxed(&span->site[slot], SITE_NONE);
	mutator_hold();
	done = cache_return(span, slot / WORD_BITS,
			    UINT64_C(1) << (slot % WORD_BITS));
	mutator_release();
	arch_pin(block);					/* H1 */
	return done ? HEAP_DONE : HEAP_DOUBLE_FREE;
}

/* free_settling - a slot of ours, when more follows than a bit that is set. */
static NOINLINE enum heap_verdict
free_settling(struct cache *cache, struct span *span, uint32_t slot,
	      uintptr_t block)
{
	uint32_t word = slot / WORD_BITS;
	uint64_t bit = UINT64_C(1) << (slot % WORD_BITS);

	if (cache_is_free(span, slot))
		return HEAP_DOUBLE_FREE;
	mutator_hold();
	cache_enter(cache);
	cache_put_slow(cache, span, word, bit);
	cache_leave(cache);
	mutator_release();
	arch_pin(block);					/* H1 */
	return HEAP_DONE;
}

/*
 * find_block - the span and slot of a block the program holds.
 */
static enum heap_verdict
find_block(const void *pointer, struct span **ret_span, uint32_t *ret_slot)
{
	uintptr_t block = (uintptr_t)pointer;
	struct span *span = arena_span_of(block);
	uint32_t slot;

	if (span == NULL)
		return verdict_outside(block);
	*ret_span = span;
	*ret_slot = 0;
	if (span_is_large(span)) {
		if (block != span_base(span))
			return HEAP_INVALID;
		return (load_relaxed(&span->returned[0]) |
			load_relaxed(&span->quarantined[0])) == 0
		       ? HEAP_DONE : HEAP_DOUBLE_FREE;
	}
	if (!span_has_slot_at(span, block, &slot))
		return HEAP_INVALID;
	if (cache_is_free(span, slot) || span_is_quarantined(span, slot))
		return HEAP_DOUBLE_FREE;
	*ret_slot = slot;
	return HEAP_DONE;
}

/* free_kept_locked - unless another thread's alternate stack is there, too. */
static void
free_kept_locked(void *block, uint32_t site)
{
	struct span *span;
	uint32_t slot;

	arch_pin(block);					/* H1 */
	if (find_block(block, &span, &slot) == HEAP_DONE &&
	    sigstack_keep_locked((uintptr_t)block, span_slot_bytes(span),
				 site) == SIGSTACK_ELSEWHERE) {
		if (span_guards)
			quarantine_put(span, slot, site);
		else
			free_shared(span, (uintptr_t)block);
	}
	arch_pin(block);
}

/* detach - a thread is gone: what it had is anybody's. */
static void
detach(struct mutator *m)
{
	uint32_t site;
	void *block;

	if (m->cache != NULL)
		cache_detach(m->cache);
	if (sigstack_end_locked(m, &block, &site))
		free_kept_locked(block, site);
}

/*
 * keeps_stack - does a block that is to be freed stay, for the alternate stack
 * in it?
 */
static COLD bool
keeps_stack(const void *block, uint32_t site, enum heap_verdict *ret)
{
	struct span *span;
	uint32_t slot;

	if (find_block(block, &span, &slot) != HEAP_DONE)
		return false;
	switch (sigstack_keep((uintptr_t)block, span_slot_bytes(span), site)) {
	case SIGSTACK_KEPT:
		*ret = HEAP_DONE;
		return true;
	case SIGSTACK_KEPT_BEFORE:
		*ret = HEAP_DOUBLE_FREE;
		return true;
	case SIGSTACK_ELSEWHERE:
		break;
	}
	return false;
}

enum heap_verdict
heap_free(void *pointer)
{
	uintptr_t block = (uintptr_t)pointer;
	struct span *span = arena_span_of(block);
	struct cache *cache = cache_self;
	enum heap_verdict verdict;
	uint32_t slot;

	if (unlikely(span == NULL))
		return verdict_outside(block);
	if (unlikely(span_guards))
		return heap_quarantine(pointer, SITE_UNKNOWN);
	if (unlikely(load_relaxed(&span->has_stack)) &&
	    keeps_stack(pointer, SITE_UNKNOWN, &verdict))
		return verdict;
	/* relaxed: only the owner itself finds its own address there. */
	if (unlikely(load_relaxed(&span->owner) != cache) ||
	    unlikely(cache_is_busy(cache)))
		return free_shared(span, block);
	if (unlikely(!span_has_slot_at(span, block, &slot)))
		return HEAP_INVALID;
	if (span->site != NULL)
		store_relaxed(&span->site[slot], SITE_NONE);
	/*
	 * relaxed: a slot that another thread has returned is not ours; if we
	 * free it all the same, the span is still listed, or its bit is back.
	 */
	if (likely(load_relaxed(&span->remote) == 0) &&
	    likely(span->is_linked) &&
	    likely(cache_put(cache, span, slot, block)))
		return HEAP_DONE;
	return free_settling(cache, span, slot, block);
}

/* --------------------------------------------------------- asking, resizing */

enum heap_verdict
heap_quarantine(void *block, uint32_t site)
{
	enum heap_verdict verdict;
	struct span *span;
	size_t size;
	uint32_t slot;
	bool is_first;

	/*
	 * H1: ours is the only copy, kept as it is until the block is held:
	 * computed again from span and slot, it could be in a register that the
	 * clearing uses, or nowhere.
	 */
	arch_pin(block);
	verdict = find_block(block, &span, &slot);
	if (unlikely(verdict != HEAP_DONE) ||
	    (unlikely(load_relaxed(&span->has_stack)) &&
	     keeps_stack(block, site, &verdict)))
		return verdict;
	/* Afterwards a large one's span may be gone. */
	size = span_slot_bytes(span);
	is_first = quarantine_put(span, slot, site);
	arch_pin(block);
	if (unlikely(!is_first))
		return HEAP_DOUBLE_FREE;
	note_quarantined(size);
	return HEAP_DONE;
}

size_t
heap_usable_size(const void *block)
{
	struct span *span;
	uint32_t slot;

	if (find_block(block, &span, &slot) != HEAP_DONE)
		return 0;
	store_relaxed(&size_was_asked, true);
	/* The pad stays ours: a pointer past what is usable is inside. */
	return span_slot_bytes(span) - heap_pad;
}

bool
heap_size_was_asked(void)
{
	return load_relaxed(&size_was_asked);
}

bool
heap_has_ignored(void)
{
	return load_relaxed(&has_ignored);
}

void
heap_note(void *block, size_t requested, uint32_t site)
{
	struct span *span = arena_span_of((uintptr_t)block);

	if (unlikely(site == SITE_IGNORED))
		store_relaxed(&has_ignored, true);

	if (span_is_large(span))
		span_note(span, 0, requested, site);
	else
		span_note(span, span_slot_of(span, (uintptr_t)block),
			  requested, site);
}

bool
heap_set_site(const void *block, uint32_t site)
{
	struct span *span;
	uint32_t slot;

	if (find_block(block, &span, &slot) != HEAP_DONE)
		return false;
	if (site == SITE_IGNORED)
		store_relaxed(&has_ignored, true);
	if (span->site != NULL)
		store_relaxed(&span->site[slot], site);
	return true;
}

bool
heap_uncondemn(const void *block, uint32_t *ret_site)
{
	struct span *span;
	uint64_t bit;
	uint32_t slot;

	if (find_block(block, &span, &slot) != HEAP_DONE)
		return false;
	bit = UINT64_C(1) << (slot % WORD_BITS);
	if ((load_relaxed(&span->condemned[slot / WORD_BITS]) & bit) == 0)
		return false;
	*ret_site = span_site(span, slot);
	return (atomic_fetch_and_explicit(&span->condemned[slot / WORD_BITS],
		~bit, memory_order_acq_rel) & bit) != 0;
}

/* resize_large - a large block that can keep its place.  False: it cannot. */
static bool
resize_large(struct span *span, size_t size)
{
	size_t padded = size + heap_pad;
	size_t bytes = span_base(span) - span->run + padded;
	size_t units = (bytes + UNIT_SIZE - 1) >> UNIT_SHIFT;
	uintptr_t tail = span->run + (units << UNIT_SHIFT);
	uint64_t mask;
	bool fits = true;

	mutator_enter(&mask);
	if (units < span->run_units && span_guards) {
		/* Somebody may point at what is cut off: it stays here. */
		sys_madvise(tail, span_end(span) - tail, MADV_DONTNEED);
	} else if (units < span->run_units) {
		size_t surplus = span->run_units - units;

		span->run_units = units;
		arena_give(tail, surplus);
	} else if (units > span->run_units) {
		fits = arena_extend(span->run, span->run_units,
				    units - span->run_units, span);
		if (fits)
			span->run_units = units;
	}
	if (fits) {
		span->large_requested = size;
		span->large_bytes = span_end(span) - span_base(span);
	}
	mutator_leave(mask);
	return fits;
}

/* held_bytes - what the program may have written of a block. */
static size_t
held_bytes(const struct span *span, uint32_t slot)
{
	return heap_size_was_asked() ? span_slot_bytes(span)
				     : span_requested(span, slot);
}

enum heap_verdict
heap_resize(void *block, size_t size, void **ret_block)
{
	enum heap_verdict verdict;
	size_t old_size, padded = size + heap_pad;
	struct span *span;
	uint32_t slot;
	void *moved;
	bool fits;

	verdict = find_block(block, &span, &slot);
	if (verdict != HEAP_DONE)
		return verdict;
	if (size > PTRDIFF_MAX)
		return HEAP_NO_MEMORY;
	*ret_block = block;
	old_size = held_bytes(span, slot);
	if (span_is_large(span)) {
		/* Not from large to a tenth: small slots pack better. */
		fits = padded > SLOT_SIZE_MAX / 2 && resize_large(span, size);
	} else {
		fits = padded <= span->slot_size &&
		       (padded > span->slot_size / 2 || span->slot_size <= 64);
	}
	if (fits) {
		if (heap_clears && old_size < size)
			remap_clear((uintptr_t)block + old_size,
				    (uintptr_t)block + size);
		return HEAP_DONE;
	}
	moved = heap_alloc(size, false);
	if (moved == NULL) {
		/* A smaller size always fits where the block is. */
		return padded <= span_slot_bytes(span) &&
		       span_slot_bytes(span) - size <= SPAN_SLACK_MAX
		       ? HEAP_DONE : HEAP_NO_MEMORY;
	}
	old_size = MIN(old_size, size);
	if (!remap_move(span_base(span), (uintptr_t)moved, old_size))
		memcpy(moved, block, old_size);
	heap_free(block);
	*ret_block = moved;
	return HEAP_DONE;
}

static void
add_span(struct span *span, void *argument)
{
	struct heap_statistics *s = argument;
	size_t free_slots = 0;

	if (span_is_large(span)) {
		s->large_blocks++;
		s->used_slots++;
		s->large_bytes += span->large_bytes;
		s->used_bytes += span->large_bytes;
		if (load_relaxed(&span->quarantined[0]) != 0)
			s->quarantined_bytes += span->large_bytes;
		return;
	}
	for (uint32_t w = 0; w < span->words; w++)
		free_slots += bits_count(span_word_mask(span, w) &
			(span_unused(span, w) |
			 load_relaxed(&span->returned[w])));
	for (uint32_t w = 0; span_guards && w < span->words; w++)
		s->quarantined_bytes += span->slot_size * bits_count(
			load_relaxed(&span->quarantined[w]));
	s->free_slots += free_slots;
	s->used_slots += span->slot_count - free_slots;
	s->used_bytes += (span->slot_count - free_slots) * span->slot_size;
}

struct heap_statistics
heap_statistics(void)
{
	struct heap_statistics s = { 0 };
	uint64_t mask;

	mutator_enter(&mask);
	/* Under its lock no span leaves the table. */
	arena_fork_lock();
	arena_for_each_span(add_span, &s);
	s.dirty_bytes = arena_dirty_bytes();
	s.mapped_bytes = arena_used_bytes() + s.dirty_bytes;
	arena_fork_unlock(false);
	mutator_leave(mask);
	return s;
}

size_t
heap_trim(void)
{
	struct cache *cache = cache_self;
	uint64_t mask;
	size_t bytes;

	mutator_enter(&mask);
	if (!cache_is_busy(cache)) {
		cache_enter(cache);
		cache_flush(cache);
		cache_leave(cache);
	}
	bytes = arena_trim(0);
	mutator_leave(mask);
	return bytes;
}

/* --------------------------------------------------------------------- fork */

void
heap_fork_prepare(void)
{
	cache_fork_lock();
	arena_fork_lock();
	span_fork_lock();
}

void
heap_fork_done(bool in_child)
{
	span_fork_unlock(in_child);
	arena_fork_unlock(in_child);
	cache_fork_unlock(in_child);
}
