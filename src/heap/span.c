/*
 * span.c - slots and their bitmaps.
 *
 * Owns the layout of a span's metadata and the lists of unused span structs,
 * one per class, because a class fixes the size of the bitmaps.
 *
 * Always true:
 *   S1  a slot's bit is in at most one of `free`, `returned` and `claimed`; in
 *       none of them, the program has the block;
 *   S2  a word's bit of `full` is set when all of it is in `free`; the span is
 *       empty when all words are full; a bit of `rich` is only set while its
 *       word has slots in `free`;
 *   S3  bits beyond slot_count are 0 in every bitmap but two: in `scratch`
 *       they are leaks.c's, and in `free` they are 1, with a whole word of
 *       them at the end: a word is full when it is all ones, and what is not a
 *       slot is never taken;
 *   S4  a span is entered into the arena's table after it is complete;
 *   S5  while a collector may hold the address of a span that it found in the
 *       table, no struct becomes another span: what is released meanwhile
 *       waits in limbo.
 *
 * The lists of structs are guarded by unused.lock (RANK_SPAN).
 */
#include "heap/span.h"

#include "base/lock.h"
#include "base/sys.h"
#include "heap/blind.h"
#include "heap/meta.h"

#include <string.h>
#include <sys/mman.h>

/* The summaries have one bit a word, and every class fits. */
static_assert(UNIT_SIZE / SLOT_ALIGN <= WORD_BITS * WORD_BITS, "summaries");
static_assert(offsetof(struct span, next) == 64 &&
	      offsetof(struct span, rich) <= 128, "the fast paths' lines");

/*
 * Memory that was never used is claimed by so many bytes: a program that needs
 * a block at a time shall not touch page after page of it.
 */
#define WINDOW_SIZE	(8 * KIB)

bool span_guards;

static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct span *list[CLASS_COUNT + 1];
	struct span *limbo;	/* S5, by next */
	bool is_deferred;
} unused = { .lock = LOCK_INIT(RANK_SPAN) };

/* layout - point a span's arrays into its metadata, or just measure it. */
static size_t
layout(struct span *span, char *memory, bool with_sites)
{
	size_t bitmap = span->words * sizeof(uint64_t);
	size_t used = sizeof(*span) +
		      (span->words + 1u) * sizeof(struct span_word);

	span->returned = (_Atomic uint64_t *)(memory + used);
	used += bitmap;
	span->mark = (_Atomic uint64_t *)(memory + used);
	used += bitmap;
	span->condemned = (_Atomic uint64_t *)(memory + used);
	used += bitmap;
	span->reclaimed = (_Atomic uint64_t *)(memory + used);
	used += bitmap;
	span->quarantined = (_Atomic uint64_t *)(memory + used);
	used += bitmap;
	span->spoiled = (uint64_t *)(memory + used);
	used += bitmap;
	span->scratch = (uint64_t *)(memory + used);
	used += bitmap;
	span->heads = (uint64_t *)(memory + used);
	used += bitmap;
	span->slack = NULL;
	span->site = NULL;
	span->freed_site = NULL;
	if (!with_sites)
		return used;
	if (span_guards) {
		span->freed_site = (_Atomic uint32_t *)(memory + used);
		used += span->slot_count * sizeof(uint32_t);
	}
	span->site = (_Atomic uint32_t *)(memory + used);
	used += span->slot_count * sizeof(uint32_t);
	span->slack = (_Atomic uint16_t *)(memory + used);
	return used + span->slot_count * sizeof(uint16_t);
}

static struct span *
struct_acquire(unsigned class, uint32_t slot_size, uint32_t slot_count,
	       bool with_sites)
{
	struct span shape = {
		.slot_size = slot_size,
		.slot_count = slot_count,
		.words = (uint16_t)((slot_count + WORD_BITS - 1) / WORD_BITS),
		.last_mask = bits_below((slot_count - 1) % WORD_BITS + 1),
		.class = (uint16_t)class,
	};
	size_t size = layout(&shape, NULL, with_sites);
	struct span *span;

	lock_acquire(&unused.lock);
	span = unused.list[class];
	if (span != NULL)
		unused.list[class] = span->next;
	lock_release(&unused.lock);
	if (span == NULL) {
		span = meta_alloc(size);	/* reads as zero */
		if (span == NULL)
			return NULL;
	} else {
		/* Sites are cleared too: SITE_NONE for every slot. */
		memset(span, 0, size);
	}
	*span = shape;
	layout(span, (char *)span, with_sites);
	return span;
}

static void
struct_release(struct span *span)
{
	struct span **list = &unused.list[span->class];

	lock_acquire(&unused.lock);
	if (unused.is_deferred)					/* S5 */
		list = &unused.limbo;
	span->next = *list;
	*list = span;
	lock_release(&unused.lock);
}

void
span_defer(bool is_deferred)
{
	struct span *span, *next;

	lock_acquire(&unused.lock);
	unused.is_deferred = is_deferred;
	for (span = is_deferred ? NULL : unused.limbo; span != NULL;
	     span = next) {
		next = span->next;
		span->next = unused.list[span->class];
		unused.list[span->class] = span;
	}
	if (!is_deferred)
		unused.limbo = NULL;
	lock_release(&unused.lock);
}

struct span *
span_create(unsigned class, struct cache *owner, bool with_sites)
{
	unsigned units = sizeclass_span_units(class);
	uint32_t slot_size = sizeclass_slot_size[class];
	bool zero;
	struct span *span;
	uintptr_t run;

	span = struct_acquire(class, slot_size,
			      (uint32_t)((units << UNIT_SHIFT) / slot_size),
			      with_sites);
	if (span == NULL)
		return NULL;
	run = arena_take(units, &zero);
	if (run == 0) {
		struct_release(span);
		return NULL;
	}
	span->minus_base = -run;
	span->run = run;
	span->run_units = units;
	span->reciprocal = UINT64_MAX / slot_size + 1;
	span->is_zero = zero;
	span->window = (uint8_t)MIN(MAX(WINDOW_SIZE / slot_size, 1u),
				    WORD_BITS);
	span->own[span->words].free = ~UINT64_C(0);			/* S3 */
	for (uint32_t w = 0; w < span->words; w++)
		span_set_free(span, w, ~UINT64_C(0));		/* S3 */
	store_relaxed(&span->owner, owner);
	arena_assign(run, units, span);				/* S4 */
	return span;
}

struct span *
span_create_large(size_t size, size_t alignment, bool with_sites,
		  bool *ret_zero)
{
	size_t extra = alignment > UNIT_SIZE ? alignment - UNIT_SIZE : 0;
	size_t units = (MAX(size, 1u) + extra + UNIT_SIZE - 1) >> UNIT_SHIFT;
	struct span *span = struct_acquire(CLASS_LARGE, 0, 1, with_sites);
	uintptr_t run;

	if (span == NULL)
		return NULL;
	run = arena_take(units, ret_zero);
	if (run == 0) {
		struct_release(span);
		return NULL;
	}
	span->run = run;
	span->run_units = units;
	span->minus_base = -ALIGN_UP(run, MAX(alignment, SLOT_ALIGN));
	span->large_bytes = run + (units << UNIT_SHIFT) - span_base(span);
	span->large_requested = size;
	arena_assign(run, units, span);				/* S4 */
	return span;
}

/* Atomic: relaxed, only ever set, before anything is protected. */
static _Atomic bool may_be_protected;

void
span_expect_protected(void)
{
	store_relaxed(&may_be_protected, true);
}

void
span_unprotect(struct span *span)
{
	size_t size = span->run_units << UNIT_SHIFT;

	if (likely(!load_relaxed(&may_be_protected)))
		return;
	sys_mprotect(span->run, size, PROT_READ | PROT_WRITE);
	blind_note(span->run, span->run + size, false);
}

void
span_destroy(struct span *span)
{
	if (span_is_large(span))
		span_unprotect(span);
	if (span->is_cold)
		arena_give_cold(span->run, span->run_units);
	else
		arena_give(span->run, span->run_units);
	struct_release(span);
}

void
span_fork_lock(void)
{
	lock_acquire(&unused.lock);
}

void
span_fork_unlock(bool in_child)
{
	if (!in_child) {
		lock_release(&unused.lock);
		return;
	}
	lock_reset(&unused.lock);
	span_defer(false);
}
