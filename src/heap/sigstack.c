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

/* move_locked - a thread's stack is there now; what is freed for that? */
static bool
move_locked(struct mutator *m, uintptr_t start, void **ret_block,
	    uint32_t *ret_site)
{
	uintptr_t block = m->freed_stack;

	m->signal_stack = start;
	m->freed_stack = 0;
	*ret_block = (void *)block;
	*ret_site = m->freed_site;
	return block != 0;
}

bool
sigstack_change(uintptr_t start, void **ret_block, uint32_t *ret_site)
{
	struct mutator *m = mutator_self;
	struct span *span = arena_span_of(start);
	uint64_t mask;
	bool is_due;

	if (span != NULL)
		cache_set_stack(span);				/* K1 */
	else if (m->signal_stack == 0)
		return false;
	mutator_enter(&mask);
	mutator_lock();
	is_due = move_locked(m, span != NULL ? start : 0, ret_block, ret_site);
	mutator_unlock();
	mutator_leave(mask);
	return is_due;
}

enum sigstack_verdict
sigstack_keep_locked(uintptr_t block, size_t size, uint32_t site)
{
	enum sigstack_verdict verdict = SIGSTACK_ELSEWHERE;

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
	return verdict;
}

enum sigstack_verdict
sigstack_keep(uintptr_t block, size_t size, uint32_t site)
{
	enum sigstack_verdict verdict;
	uint64_t mask;

	mutator_enter(&mask);
	mutator_lock();
	verdict = sigstack_keep_locked(block, size, site);
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

bool
sigstack_end_locked(struct mutator *m, void **ret_block, uint32_t *ret_site)
{
	return move_locked(m, 0, ret_block, ret_site);
}
