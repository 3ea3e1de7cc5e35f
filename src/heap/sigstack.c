/*
 * sigstack.c - alternate signal stacks in blocks.
 *
 * The kernel goes on using what sigaltstack(2) was told until it is told
 * otherwise, and the stop signal's handler runs there.  Some programs free the
 * memory before, such as ruby when a thread of its own ends on one of the
 * kernel's that stays: the next owner of the block would find it overwritten,
 * or, where it is guarded, a write after free would be told that is ours.
 *
 * So such a block is freed when the thread has another stack, or has ended.
 * Until then it is the program's: nobody gets it, and it is scanned.
 *
 * Always true:
 *   K1  a span with an alternate stack in it has_stack, and no free in it is
 *       fast;
 *   K2  a block that the program has freed, and that is kept, is freed_stack
 *       of one mutator, and a root there (stacks.c).
 *
 * Not here: stacks that were registered by the bare system call.
 */
#include "heap/sigstack.h"

#include "base/sys.h"
#include "heap/cache.h"
#include "heap/quarantine.h"

bool
sigstack_change(uintptr_t start, void **ret_block, uint32_t *ret_site)
{
	struct mutator *m = mutator_self;
	struct span *span = arena_span_of(start);
	uintptr_t block;
	uint64_t mask;

	if (span != NULL)
		cache_set_stack(span);				/* K1 */
	else if (m->signal_stack == 0)
		return false;
	mutator_enter(&mask);
	mutator_lock();
	m->signal_stack = span != NULL ? start : 0;
	block = m->freed_stack;
	*ret_site = m->freed_site;
	m->freed_stack = 0;
	mutator_unlock();
	mutator_leave(mask);
	*ret_block = (void *)block;
	return block != 0;
}

enum sigstack_verdict
sigstack_keep(uintptr_t block, size_t size, uint32_t site)
{
	enum sigstack_verdict verdict = SIGSTACK_ELSEWHERE;
	uint64_t mask;

	mutator_enter(&mask);
	mutator_lock();
	for (struct mutator *m = mutator_first_locked();
	     m != NULL && verdict == SIGSTACK_ELSEWHERE; m = m->next) {
		if (m->state != MUTATOR_ALIVE ||
		    m->signal_stack - block >= size)
			continue;
		verdict = m->freed_stack == block ? SIGSTACK_KEPT_BEFORE
						  : SIGSTACK_KEPT;
		m->freed_stack = block;				/* K2 */
		m->freed_site = site;
	}
	mutator_unlock();
	mutator_leave(mask);
	return verdict;
}

void
sigstack_leave(void)
{
	struct mutator *m = mutator_self;

	/* It may still be stopped, as a thread that we do not know. */
	if (m != NULL && m->freed_stack != 0)
		sys_disable_alternate_stack();
}

void
sigstack_end_locked(struct mutator *m)
{
	uintptr_t block = m->freed_stack;
	struct span *span = arena_span_of(block);
	uint32_t slot = 0;

	m->signal_stack = m->freed_stack = 0;
	if (block == 0 || span == NULL ||
	    (!span_is_large(span) && !span_has_slot_at(span, block, &slot)))
		return;
	if (span->site != NULL && !span_guards)
		store_relaxed(&span->site[slot], SITE_NONE);
	if (span_guards)
		quarantine_put(span, slot, m->freed_site);
	else if (span_is_large(span))
		cache_return_large(span);
	else
		cache_return(span, slot / WORD_BITS,
			     UINT64_C(1) << (slot % WORD_BITS));
}
