/*
 * tracked.c - the memory a barrier tracks, and what of it is to be read again.
 *
 * Owns the list of dirty ranges and the knowledge which root ranges are
 * tracked.
 *
 * Always true:
 *   T1  what the barrier has reported as dirty is in the list until it was
 *       scanned: it was made clean when it was reported;
 *   T2  memory that is not the heap's is read by a copy of the kernel's: a
 *       mapping may vanish at any time.
 */
#include "collect/tracked.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/marker.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "world/roots.h"
#include "world/stacks.h"

#include <errno.h>

/* Tracking a range costs a system call a cycle, reading one page less. */
#define TRACK_MIN	(64 * KIB)

/* The kernel copies as fast as memory in pieces of this size. */
#define COPY_SIZE	(64 * KIB)

/* So much is scanned between two looks at the clock. */
#define STEP_SIZE	(64 * KIB)

/* Ranges of dirty pages that the list can hold; address space. */
#define DIRTY_MAX	(16u << 20)
#define RANGES_MAX	(1u << 17)

struct dirty {
	uintptr_t start;
	uintptr_t end;
};

/* Guarded by RANK_CYCLE. */
static struct {
	struct dirty *list;
	size_t size;			/* bytes of address space */
	size_t committed;
	size_t count;
	size_t pages;
	bool has_overflowed;

	uint64_t *is_tracked;		/* one bit a range, in their order */
	size_t ranges;			/* how many there are */
	size_t at;			/* the one being visited */
	uint64_t root_bytes;
	int error;
	bool (*between)(void);
	char *copy;
} tracked;

static bool
take_memory(void)
{
	if (tracked.list == NULL) {
		tracked.size = MIN(DIRTY_MAX * sizeof(*tracked.list),
				   meta_room() / 16);
		tracked.list = meta_reserve(tracked.size);
	}
	if (tracked.is_tracked == NULL)
		tracked.is_tracked = meta_alloc(RANGES_MAX / 8);
	if (tracked.copy == NULL)
		tracked.copy = meta_alloc(COPY_SIZE);
	return tracked.list != NULL && tracked.is_tracked != NULL &&
	       tracked.copy != NULL;
}

/* ------------------------------------------------------------ careful reads */

static void
scan_copied(uintptr_t start, uintptr_t end, void *unused)
{
	(void)unused;
	while (start < end) {
		size_t size = MIN(end - start, COPY_SIZE);
		long n = sys_copy_from(start, tracked.copy, size);	/* T2 */

		if (n > 0)
			marker_scan_range((uintptr_t)tracked.copy,
					  (uintptr_t)tracked.copy + (size_t)n);
		if (n <= 0) {
			if (n != -EFAULT && tracked.error == 0)
				tracked.error = (int)n;
			n = (long)(ALIGN_DOWN(start, ARCH_PAGE_SIZE) +
				   ARCH_PAGE_SIZE - start);
		}
		start += (size_t)n;
		if (tracked.between != NULL && !tracked.between())
			return;
	}
}

static bool
is_tracked(size_t range)
{
	return bits_has(tracked.is_tracked[range / WORD_BITS],
			range % WORD_BITS);
}

static void
scan_range(const struct root_range *r, void *unused)
{
	(void)unused;
	pages_for_each_touched(r->start, r->end, r->kind, scan_copied, NULL);
}

void
tracked_scan_ranges(bool (*between)(void))
{
	tracked.between = between;
	roots_for_each_range(scan_range, NULL);
	tracked.between = NULL;
}

static void
scan_dead(uintptr_t start, uintptr_t end)
{
	pages_for_each_touched(start, end, PAGES_ANONYMOUS, scan_copied, NULL);
}

void
tracked_scan_dead(bool (*between)(void))
{
	tracked.between = between;
	stacks_for_each_dead(scan_dead);
	tracked.between = NULL;
}

static void
scan_untracked(const struct root_range *r, void *unused)
{
	size_t i = tracked.at++;

	(void)unused;
	if (i >= tracked.ranges || !is_tracked(i))
		scan_range(r, NULL);
}

static void
rescan_blocks(uintptr_t start, uintptr_t end, void *unused)
{
	(void)unused;
	marker_rescan(marker_of(0), start, end);
}

void
tracked_scan_rest(void)
{
	if (barrier_current()->rest != NULL)
		barrier_current()->rest(rescan_blocks, NULL);
	tracked.at = 0;
	roots_for_each_range(scan_untracked, NULL);
}

/* ----------------------------------------------------------------- tracking */

static void
note_dirty(uintptr_t start, uintptr_t end, void *unused)
{
	size_t needed = (tracked.count + 1) * sizeof(*tracked.list);
	size_t committed;

	(void)unused;
	tracked.pages += (end - start) / ARCH_PAGE_SIZE;
	if (tracked.count > 0 &&
	    tracked.list[tracked.count - 1].end == start) {
		tracked.list[tracked.count - 1].end = end;
		return;
	}
	committed = meta_commit(tracked.list, tracked.committed, needed,
				tracked.size);
	if (committed == 0) {
		tracked.has_overflowed = true;
		return;
	}
	tracked.committed = committed;
	tracked.list[tracked.count++] = (struct dirty){ start, end };
}

static void
ignore(uintptr_t start, uintptr_t end, void *unused)
{
	(void)start;
	(void)end;
	(void)unused;
}

static void
track_range(const struct root_range *r, void *unused)
{
	const struct barrier *b = barrier_current();
	size_t i = tracked.ranges;

	(void)unused;
	tracked.root_bytes += r->end - r->start;
	if (i == RANGES_MAX)
		return;
	tracked.ranges++;
	tracked.is_tracked[i / WORD_BITS] &=
		~(UINT64_C(1) << (i % WORD_BITS));
	/* What others write to as well is never known to be clean. */
	if (!b->is_concurrent || r->kind == PAGES_SHARED_FILE ||
	    r->has_thread || r->end - r->start < TRACK_MIN ||
	    r->start % ARCH_PAGE_SIZE != 0 || r->end % ARCH_PAGE_SIZE != 0)
		return;
	if (b->track(r->start, r->end) == 0 &&
	    b->collect(r->start, r->end, true, ignore, NULL) == 0)
		tracked.is_tracked[i / WORD_BITS] |=
			UINT64_C(1) << (i % WORD_BITS);
}

int
tracked_begin(void)
{
	int error;

	if (!take_memory())
		return -ENOMEM;
	tracked.count = tracked.pages = 0;
	tracked.ranges = 0;
	tracked.root_bytes = 0;
	tracked.error = 0;
	tracked.has_overflowed = false;
	roots_for_each_range(track_range, NULL);
	if (!barrier_current()->is_concurrent)
		return 0;
	error = barrier_current()->track(arena_view.base, arena_view.base +
					 arena_view.size);
	if (error != 0)
		return error;
	return barrier_current()->collect(arena_view.base, arena_end(), true,
					  ignore, NULL);
}

void
tracked_end(void)
{
	tracked.count = tracked.pages = 0;
	barrier_current()->disarm();
}

static void
collect_range(const struct root_range *r, void *unused)
{
	size_t i = tracked.at++;

	(void)unused;
	if (i >= tracked.ranges || !is_tracked(i))
		return;
	/*
	 * It may be another mapping by now, or two: then the barrier does not
	 * know it, and it is read whole from here on.
	 */
	if (barrier_current()->collect(r->start, r->end, true, note_dirty,
				       NULL) != 0)
		tracked.is_tracked[i / WORD_BITS] &=
			~(UINT64_C(1) << (i % WORD_BITS));
}

int
tracked_collect(void)
{
	int error = barrier_current()->collect(arena_view.base, arena_end(),
					       true, note_dirty, NULL);

	if (error != 0)
		return error;
	tracked.at = 0;
	roots_for_each_range(collect_range, NULL);
	return tracked.has_overflowed ? -ENOMEM : tracked.error;
}

size_t
tracked_dirty_pages(void)
{
	return tracked.pages;
}

bool
tracked_scan_dirty(uint64_t end_ns)
{
	while (tracked.count > 0) {
		struct dirty *d = &tracked.list[tracked.count - 1];
		uintptr_t end = MIN(d->start + STEP_SIZE, d->end);

		if (arena_contains(d->start))
			marker_rescan(marker_of(0), d->start, end);
		else
			scan_copied(d->start, end, NULL);
		tracked.pages -= (end - d->start) / ARCH_PAGE_SIZE;
		d->start = end;
		if (d->start == d->end)
			tracked.count--;			/* T1 */
		if (end_ns != 0 && sys_monotonic_ns() >= end_ns)
			break;
	}
	return tracked.count == 0;
}

uint64_t
tracked_root_bytes(void)
{
	return tracked.root_bytes;
}

void
tracked_fork_child(void)
{
	tracked.count = tracked.pages = 0;
}
