/*
 * blind.c - parts of the heap that the program has made unreadable.
 *
 * Owns the list of them, ascending; no two touch.  Once it lacks memory nothing
 * is readable any more, and no cycle comes to its end (M3).
 *
 * State is guarded by blind.lock (RANK_BLIND).
 */
#include "heap/blind.h"

#include "base/lock.h"
#include "heap/meta.h"

#include <string.h>

/* As many as a process can have mappings, by default. */
#define PARTS_MAX	((size_t)65536)

struct part {
	uintptr_t start;
	uintptr_t end;
};

_Atomic bool blind_is_any;

static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct part *parts;
	size_t count;
	size_t committed;
	/* Atomic: relaxed, only ever set. */
	_Atomic bool is_total;
} blind = { .lock = LOCK_INIT(RANK_BLIND) };

bool
blind_is_total(void)
{
	return load_relaxed(&blind.is_total);
}

/* first_behind - the first part that ends behind an address. */
static size_t
first_behind(uintptr_t at)
{
	size_t low = 0, high = blind.count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (blind.parts[middle].end <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
has_room(size_t count)
{
	size_t limit = PARTS_MAX * sizeof(*blind.parts);
	size_t committed;

	if (blind.parts == NULL)
		blind.parts = meta_reserve(limit);
	if (blind.parts == NULL)
		return false;
	committed = meta_commit(blind.parts, blind.committed,
				count * sizeof(*blind.parts), limit);
	if (committed != 0)
		blind.committed = committed;
	return committed != 0;
}

/* replace - parts [first, last) by `count` others. */
static void
replace(size_t first, size_t last, const struct part *with, size_t count)
{
	memmove(&blind.parts[first + count], &blind.parts[last],
		(blind.count - last) * sizeof(*with));
	memcpy(&blind.parts[first], with, count * sizeof(*with));
	blind.count -= last - first;
	blind.count += count;
}

static void
note_locked(uintptr_t start, uintptr_t end, bool is_blind)
{
	size_t first = first_behind(start), last = first, count = 0;
	struct part with[2];

	while (last < blind.count && blind.parts[last].start < end)
		last++;
	if (is_blind) {
		if (first < last) {
			start = start < blind.parts[first].start
				? start : blind.parts[first].start;
			end = end > blind.parts[last - 1].end
			      ? end : blind.parts[last - 1].end;
		}
		with[count++] = (struct part){ start, end };
	} else if (first < last) {
		if (blind.parts[first].start < start)
			with[count++] = (struct part){
				blind.parts[first].start, start };
		if (blind.parts[last - 1].end > end)
			with[count++] = (struct part){
				end, blind.parts[last - 1].end };
	}
	replace(first, last, with, count);
}

void
blind_note(uintptr_t start, uintptr_t end, bool is_blind)
{
	if (!is_blind && !load_relaxed(&blind_is_any))
		return;
	lock_acquire(&blind.lock);
	if (has_room(blind.count + 1))
		note_locked(start, end, is_blind);
	else
		store_relaxed(&blind.is_total, true);
	store_relaxed(&blind_is_any, blind.count != 0 || blind_is_total());
	lock_release(&blind.lock);
}

bool
blind_skip(uintptr_t *at, uintptr_t end, uintptr_t *ret_end)
{
	size_t i;

	if (blind_is_total())
		return false;
	lock_acquire(&blind.lock);
	*ret_end = end;
	for (i = first_behind(*at); i < blind.count; i++) {
		const struct part *p = &blind.parts[i];

		if (p->start > *at) {
			*ret_end = MIN(end, p->start);
			break;
		}
		*at = p->end;
	}
	lock_release(&blind.lock);
	return *at < end;
}

void
blind_fork_lock(void)
{
	lock_acquire(&blind.lock);
}

void
blind_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&blind.lock);
	else
		lock_release(&blind.lock);
}
