/*
 * shield.c - condemned blocks that nobody can touch unnoticed.
 *
 * Owns how many there are; the protection itself is fence.c's.
 *
 * Always true:
 *   W1  no more than SHIELDS_MAX blocks are closed: each may cost two mappings;
 *   W2  none is closed while a cycle marks or tells: we read them ourselves.
 */
#include "collect/shield.h"

#include "base/bits.h"
#include "heap/fence.h"
#include "heap/span.h"
#include "world/fault.h"

/* Of the 65530 mappings of vm.max_map_count. */
#define SHIELDS_MAX	4096u

/* Touches that are remembered by the cycle that asks. */
#define TOUCHES_MAX	64u

/* Guarded by RANK_CYCLE. */
static struct {
	unsigned raised;
	struct fault_touch touches[TOUCHES_MAX];
	unsigned touch_count;
} shield;

/* find_units - those which only the block covers.  False: none. */
static bool
find_units(const struct block *b, uintptr_t *ret_start, uintptr_t *ret_end)
{
	if (!span_is_large(b->span))
		return false;
	*ret_start = ALIGN_UP(span_base(b->span), UNIT_SIZE);
	*ret_end = span_end(b->span);
	return *ret_start < *ret_end;
}

bool
shield_raise(const struct block *b)
{
	uintptr_t start, end;

	if (!fence_is_on || shield.raised >= SHIELDS_MAX ||	/* W1 */
	    !find_units(b, &start, &end))
		return false;
	/* The first of a cycle: is the signal ours, still? */
	if (shield.raised == 0 && fault_install() != 0)
		return false;
	if (fence_shut(start, end, FENCE_CLOSED, NULL) != 0)
		return false;
	shield.raised++;
	return true;
}

/* take_touches - what was noted since we last asked. */
static void
take_touches(void)
{
	struct fault_touch touch;

	while (fault_take_touch(&touch))
		shield.touches[shield.touch_count++ % TOUCHES_MAX] = touch;
}

static uintptr_t
find_touch(uintptr_t start, uintptr_t end)
{
	take_touches();
	for (unsigned i = 0; i < MIN(shield.touch_count, TOUCHES_MAX); i++)
		if (shield.touches[i].addr - start < end - start)
			return shield.touches[i].pc;
	return 0;
}

void
shield_forget(void)
{
	if (shield.raised > 0)
		shield.raised--;
}

bool
shield_lower(const struct block *b, uintptr_t *ret_pc)
{
	uintptr_t start, end;
	bool was_touched;

	shield_forget();
	if (!find_units(b, &start, &end))
		return false;
	was_touched = fence_state(start) == FENCE_OPEN;
	if (was_touched)
		*ret_pc = find_touch(start, end);
	else
		fence_open(start, end);
	return was_touched;
}

void
shield_fork_child(void)
{
	shield.raised = 0;
}
