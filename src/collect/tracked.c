/*
 * tracked.c - the memory a barrier tracks, and what of it is to be read again.
 *
 * Owns the lists of dirty ranges, in the heap and outside, and the knowledge
 * which root ranges are tracked.
 *
 * Always true:
 *   T1  what the barrier has reported as dirty is in a list until somebody
 *       scans it: it was made clean when it was reported;
 *   T2  memory that is not the heap's is read by a copy of the kernel's: a
 *       mapping may vanish at any time; there is one copy, the collector's.
 *
 * While a squad is at work its members add to the lists under tracked.lock
 * (RANK_DIRTY) and take from that of the heap by its count alone; never both
 * at once.
 */
#include "collect/tracked.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/marker.h"
#include "collect/squad.h"
#include "collect/work.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "world/roots.h"
#include "world/stacks.h"

#include <errno.h>

/* Tracking a range costs a system call a cycle, reading one page less. */
#define TRACK_MIN	(64 * KIB)

/* The kernel copies as fast as memory in pieces of this size. */
#define COPY_SIZE	(64 * KIB)

/* So much is in one entry, and scanned between two looks at the clock. */
#define STEP_SIZE	(64 * KIB)

/* The parts of the heap of which members of a squad ask. */
#define STRIPE_SIZE	(32 * MIB)

/*
 * The same where what is dirty is read at once: so many pages of it, a tenth of
 * a millisecond, by what the last pass has found.
 */
#define PIECE_PAGES	64u
#define PIECE_MIN	(128 * KIB)
#define PIECE_MAX	(8 * MIB)

/* Ranges of dirty pages that the list can hold; address space. */
#define DIRTY_MAX	(16u << 20)
#define RANGES_MAX	(1u << 17)

struct dirty {
	uintptr_t start;
	uintptr_t end;
};

struct list {
	struct dirty *items;
	size_t size;			/* bytes of address space */
	size_t committed;
	/* Atomic: who lowers it has taken the last one. */
	_Atomic size_t count;
};

/* What one thread has been told, on its way into the lists. */
struct batch {
	unsigned count;
	struct dirty items[64];
};

/* Guarded by RANK_CYCLE, and the lists by their own rules. */
static struct {
	struct lock lock;
	struct list heap;
	struct list roots;
	/* Atomic: relaxed; of both. */
	_Atomic size_t pages;
	bool has_overflowed;
	/* Atomic: relaxed; bytes of the heap that somebody has asked about. */
	_Atomic size_t asked;
	/* Atomic: relaxed; of any member of the squad. */
	_Atomic int squad_error;
	uint64_t end_ns;		/* of what the squad does */
	bool is_passing;		/* tracked_pass() is in the middle */
	size_t piece;
	/* Atomic: relaxed; pages that were read in it. */
	_Atomic size_t passed_pages;

	uint64_t *is_tracked;		/* one bit a range, in their order */
	size_t ranges;			/* how many there are */
	size_t at;			/* the one being visited */
	uint64_t root_bytes;
	int error;
	bool (*between)(void);
	char *copy;
} tracked = { .lock = LOCK_INIT(RANK_DIRTY) };

static bool
reserve(struct list *list)
{
	if (list->items == NULL) {
		list->size = MIN(DIRTY_MAX * sizeof(*list->items),
				 meta_room() / 16);
		list->items = meta_reserve(list->size);
	}
	return list->items != NULL;
}

static bool
take_memory(void)
{
	if (tracked.is_tracked == NULL)
		tracked.is_tracked = meta_alloc(RANGES_MAX / 8);
	if (tracked.copy == NULL)
		tracked.copy = meta_alloc(COPY_SIZE);
	return reserve(&tracked.heap) && reserve(&tracked.roots) &&
	       tracked.is_tracked != NULL && tracked.copy != NULL;
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

/* add_locked - one range more, in entries of a step. */
static void
add_locked(struct list *list, struct dirty d)
{
	/* relaxed: nobody takes while others add. */
	size_t count = load_relaxed(&list->count);

	while (d.start < d.end) {
		struct dirty *last = &list->items[count - 1];
		uintptr_t end = MIN(d.end, ALIGN_DOWN(d.start, STEP_SIZE) +
					   STEP_SIZE);
		size_t committed;

		if (count > 0 && last->end == d.start &&
		    d.start % STEP_SIZE != 0) {
			last->end = end;
			d.start = end;
			continue;
		}
		committed = meta_commit(list->items, list->committed,
					(count + 1) * sizeof(*list->items),
					list->size);
		if (committed == 0) {
			tracked.has_overflowed = true;
			break;
		}
		list->committed = committed;
		list->items[count++] = (struct dirty){ d.start, end };
		d.start = end;
	}
	store_relaxed(&list->count, count);
}

static void
flush(struct batch *batch)
{
	lock_acquire(&tracked.lock);
	for (unsigned i = 0; i < batch->count; i++) {
		struct dirty d = batch->items[i];

		atomic_fetch_add_explicit(&tracked.pages, (d.end - d.start) /
					  ARCH_PAGE_SIZE, memory_order_relaxed);
		add_locked(arena_contains(d.start) ? &tracked.heap
						   : &tracked.roots, d);
	}
	lock_release(&tracked.lock);
	batch->count = 0;
}

static void
note_dirty(uintptr_t start, uintptr_t end, void *argument)
{
	struct batch *batch = argument;

	if (batch->count == ARRAY_LEN(batch->items))
		flush(batch);
	batch->items[batch->count++] = (struct dirty){ start, end };
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

static void
forget_dirty(void)
{
	store_relaxed(&tracked.heap.count, 0);
	store_relaxed(&tracked.roots.count, 0);
	store_relaxed(&tracked.pages, 0);
}

int
tracked_begin(void)
{
	int error;

	if (!take_memory())
		return -ENOMEM;
	forget_dirty();
	tracked.is_passing = false;
	store_relaxed(&tracked.passed_pages, SIZE_MAX / ARCH_PAGE_SIZE);
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
	forget_dirty();
	barrier_current()->disarm();
}

static void
collect_range(const struct root_range *r, void *batch)
{
	size_t i = tracked.at++;

	if (i >= tracked.ranges || !is_tracked(i))
		return;
	/*
	 * It may be another mapping by now, or two: then the barrier does not
	 * know it, and it is read whole from here on.
	 */
	if (barrier_current()->collect(r->start, r->end, true, note_dirty,
				       batch) != 0)
		tracked.is_tracked[i / WORD_BITS] &=
			~(UINT64_C(1) << (i % WORD_BITS));
}

/* next_part - Returns: false when all have been taken. */
static bool
next_part(size_t size, uintptr_t *ret_start, uintptr_t *ret_end)
{
	uintptr_t end = arena_end();

	*ret_start = arena_view.base +
		atomic_fetch_add_explicit(&tracked.asked, size,
					  memory_order_relaxed);
	*ret_end = MIN(*ret_start + size, end);
	return *ret_start < end;
}

static void
begin_parts(void)
{
	store_relaxed(&tracked.asked, 0);
	store_relaxed(&tracked.squad_error, 0);
}

static void
collect_stripes(unsigned member)
{
	struct batch batch = { .count = 0 };
	uintptr_t start, end;
	int error = 0;

	(void)member;
	while (error == 0 && next_part(STRIPE_SIZE, &start, &end))
		error = barrier_current()->collect(start, end, true,
						   note_dirty, &batch);
	flush(&batch);
	if (error != 0)
		store_relaxed(&tracked.squad_error, error);
}

/* collect_roots - what is tracked besides the heap. */
static int
collect_roots(void)
{
	struct batch batch = { .count = 0 };

	tracked.at = 0;
	roots_for_each_range(collect_range, &batch);
	flush(&batch);
	return tracked.has_overflowed ? -ENOMEM : tracked.error;
}

/* ask - by the squad, where the barrier can be asked by several. */
static int
ask(void (*job)(unsigned member))
{
	if (barrier_current()->is_divisible)
		squad_run(job);
	else
		job(0);
	return load_relaxed(&tracked.squad_error);
}

int
tracked_collect(void)
{
	int error;

	begin_parts();
	tracked.is_passing = false;
	error = ask(collect_stripes);
	return error != 0 ? error : collect_roots();
}

size_t
tracked_dirty_pages(void)
{
	return load_relaxed(&tracked.pages);
}

static bool
take(struct list *list, struct dirty *ret)
{
	size_t count = load_relaxed(&list->count);

	do
		if (count == 0)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&list->count, &count,
	       count - 1, memory_order_relaxed, memory_order_relaxed));
	*ret = list->items[count - 1];
	atomic_fetch_sub_explicit(&tracked.pages,
				  (ret->end - ret->start) / ARCH_PAGE_SIZE,
				  memory_order_relaxed);
	return true;						/* T1 */
}

static bool
is_late(uint64_t end_ns)
{
	return end_ns != 0 && sys_monotonic_ns() >= end_ns;
}

/* scan_roots - Returns: is nothing left of the ranges' list? */
static bool
scan_roots(uint64_t end_ns)
{
	struct dirty d;

	while (take(&tracked.roots, &d)) {
		scan_copied(d.start, d.end, NULL);
		if (is_late(end_ns))
			break;
	}
	return load_relaxed(&tracked.roots.count) == 0;
}

static bool
scan_heap(struct marker *m, uint64_t end_ns)
{
	struct dirty d;

	while (take(&tracked.heap, &d)) {
		marker_rescan(m, d.start, d.end);
		if (is_late(end_ns))
			break;
	}
	return load_relaxed(&tracked.heap.count) == 0;
}

bool
tracked_scan_dirty(uint64_t end_ns)
{
	return scan_roots(end_ns) && scan_heap(marker_of(0), end_ns);
}

/* scan_member - and what becomes grey by that, for others if it is late. */
static void
scan_member(unsigned member)
{
	struct marker *m = marker_of(member);

	if (scan_heap(m, tracked.end_ns))
		work_drain(m, tracked.end_ns);
	marker_give_back(m);
}

bool
tracked_scan_together(uint64_t end_ns)
{
	if (!scan_roots(end_ns))
		return false;
	tracked.end_ns = end_ns;
	if (load_relaxed(&tracked.heap.count) > 0)
		squad_run(scan_member);
	return load_relaxed(&tracked.heap.count) == 0 &&
	       work_drain(marker_of(0), end_ns);
}

static void
rescan_dirty(uintptr_t start, uintptr_t end, void *marker)
{
	atomic_fetch_add_explicit(&tracked.passed_pages, (end - start) /
				  ARCH_PAGE_SIZE, memory_order_relaxed);
	marker_rescan(marker, start, end);			/* T1 */
}

static void
pass_member(unsigned member)
{
	struct marker *m = marker_of(member);
	uintptr_t start, end;
	int error = 0;

	while (error == 0 && !is_late(tracked.end_ns) &&
	       next_part(tracked.piece, &start, &end))
		error = barrier_current()->collect(start, end, true,
						   rescan_dirty, m);
	if (error != 0)
		store_relaxed(&tracked.squad_error, error);
	work_drain(m, tracked.end_ns);
	marker_give_back(m);
}

static void
begin_pass(void)
{
	size_t heap = arena_end() - arena_view.base;
	size_t dirty = load_relaxed(&tracked.passed_pages);

	tracked.piece = ALIGN_UP(heap / MAX(dirty, 1u) * PIECE_PAGES,
				 ARCH_PAGE_SIZE);
	tracked.piece = MIN(MAX(tracked.piece, PIECE_MIN), PIECE_MAX);
	tracked.is_passing = true;
	store_relaxed(&tracked.passed_pages, 0);
	begin_parts();
}

int
tracked_pass(uint64_t end_ns, size_t *ret_pages)
{
	size_t before;
	int error;

	if (!tracked.is_passing)
		begin_pass();
	before = load_relaxed(&tracked.passed_pages);
	tracked.end_ns = end_ns;
	error = ask(pass_member);
	*ret_pages = load_relaxed(&tracked.passed_pages) - before;
	if (error == 0 &&
	    load_relaxed(&tracked.asked) < arena_end() - arena_view.base)
		return 1;
	tracked.is_passing = false;
	return error != 0 ? error : collect_roots();
}

uint64_t
tracked_root_bytes(void)
{
	return tracked.root_bytes;
}

void
tracked_fork_child(void)
{
	lock_reset(&tracked.lock);
	forget_dirty();
}
