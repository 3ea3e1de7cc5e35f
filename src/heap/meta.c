/*
 * meta.c - memory for the collector's own data.
 *
 * Owns one reserved range of addresses.  Small things are cut from its
 * committed front and live as long as the process; tables are cut from its
 * end and committed as they grow.
 *
 * Always true:
 *   M1  front <= committed <= back: what lies between committed and back is
 *       inaccessible;
 *   M2  memory handed out by meta_alloc() reads as zero;
 *   M3  no word of this range is ever scanned for pointers.
 *
 * State is guarded by meta.lock (RANK_META).  Temporary pages come from the
 * same range, so that M3 holds for them too.
 */
#include "heap/meta.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/sys.h"

#include <errno.h>
#include <sys/mman.h>

/* Pages are committed in steps of this size, to keep mprotect calls few. */
#define COMMIT_STEP	(256 * KIB)
#define RANGE_MIN	(4 * MIB)

/* A cycle needs tables when the heap is full, most of all. */
#define SPARE_PART	4

/* The end of each large table, and the middle of the range. */
#define RELEASED_MAX	8

/* Tables of a cycle that are given back in another order than taken. */
#define HOLES_MAX	64

static struct {
	/* Fixed by meta_init(). */
	uintptr_t start;
	uintptr_t end;
	/* Kept for tables of a cycle when metadata of blocks fills the rest. */
	size_t spare;

	/* Guarded by lock. */
	struct lock lock;
	uintptr_t front;
	uintptr_t committed;
	uintptr_t back;
	/*
	 * What was given back between tables, ascending and never adjacent;
	 * what has no room here is lost address space.
	 */
	uintptr_t holes[HOLES_MAX][2];
	unsigned hole_count;
	/* What was released, ascending; it is the program's now. */
	uintptr_t released[RELEASED_MAX][2];
	unsigned released_count;
} meta = { .lock = LOCK_INIT(RANK_META) };

int
meta_init(size_t size)
{
	for (; size >= RANGE_MIN; size /= 2) {
		long start = sys_mmap(0, size, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS |
				      MAP_NORESERVE, -1, 0);

		if (start < 0)
			continue;
		meta.start = (uintptr_t)start;
		meta.end = meta.start + size;
		meta.spare = size / SPARE_PART;
		meta.front = meta.committed = meta.start;
		meta.back = meta.end;
		sys_madvise(meta.start, size, MADV_DONTDUMP);
		return 0;
	}
	return -ENOMEM;
}

static bool
commit_front_locked(uintptr_t end)
{
	uintptr_t want = ALIGN_UP(end, COMMIT_STEP);

	uintptr_t limit = meta.back - MIN(meta.spare, meta.back - meta.start);

	if (want > limit)
		want = limit;
	if (end > want)
		return false;
	if (sys_mprotect(meta.committed, want - meta.committed,
			 PROT_READ | PROT_WRITE) != 0)
		return false;
	meta.committed = want;
	return true;
}

void *
meta_alloc(size_t size)
{
	void *memory = NULL;

	size = ALIGN_UP(size, 64);
	lock_acquire(&meta.lock);
	if (meta.front + size <= meta.committed ||
	    commit_front_locked(meta.front + size)) {
		memory = (void *)meta.front;
		meta.front += size;
	}
	lock_release(&meta.lock);
	return memory;
}

static void
remove_hole_locked(unsigned i)
{
	meta.hole_count--;
	for (; i < meta.hole_count; i++) {
		meta.holes[i][0] = meta.holes[i + 1][0];
		meta.holes[i][1] = meta.holes[i + 1][1];
	}
}

/* take_hole_locked - the end of the first hole that is large enough. */
static void *
take_hole_locked(size_t size)
{
	for (unsigned i = 0; i < meta.hole_count; i++) {
		if (meta.holes[i][1] - meta.holes[i][0] < size)
			continue;
		meta.holes[i][1] -= size;
		size = meta.holes[i][1];
		if (meta.holes[i][0] == meta.holes[i][1])
			remove_hole_locked(i);
		return (void *)size;
	}
	return NULL;
}

static void
add_hole_locked(uintptr_t start, uintptr_t end)
{
	unsigned i = 0;

	while (i < meta.hole_count && meta.holes[i][1] < start)
		i++;
	/* Merge with what ends or begins where this one begins or ends. */
	while (i < meta.hole_count && meta.holes[i][0] <= end) {
		start = MIN(start, meta.holes[i][0]);
		end = MAX(end, meta.holes[i][1]);
		remove_hole_locked(i);
	}
	if (start == meta.back) {
		meta.back = end;
		return;
	}
	if (meta.hole_count == HOLES_MAX)
		return;
	for (unsigned at = meta.hole_count++; at > i; at--) {
		meta.holes[at][0] = meta.holes[at - 1][0];
		meta.holes[at][1] = meta.holes[at - 1][1];
	}
	meta.holes[i][0] = start;
	meta.holes[i][1] = end;
}

void *
meta_reserve(size_t size)
{
	void *table;

	size = ALIGN_UP(size, ARCH_PAGE_SIZE);
	lock_acquire(&meta.lock);
	table = take_hole_locked(size);
	if (table == NULL && meta.back - meta.committed >= size) {
		meta.back -= size;
		table = (void *)meta.back;
	}
	lock_release(&meta.lock);
	return table;
}

size_t
meta_commit(void *table, size_t committed, size_t size, size_t limit)
{
	size_t want = MIN(ALIGN_UP(size, COMMIT_STEP), limit);

	if (size <= committed)
		return committed;
	if (size > limit)
		return 0;
	want = ALIGN_UP(want, ARCH_PAGE_SIZE);
	if (sys_mprotect((uintptr_t)table + committed, want - committed,
			 PROT_READ | PROT_WRITE) != 0)
		return 0;
	return want;
}

void *
meta_map(size_t size)
{
	void *pages = meta_reserve(size);

	if (pages == NULL)
		return NULL;
	size = ALIGN_UP(size, ARCH_PAGE_SIZE);
	if (sys_mprotect((uintptr_t)pages, size, PROT_READ | PROT_WRITE) == 0)
		return pages;
	meta_unmap(pages, size);
	return NULL;
}

void
meta_unmap(void *pages, size_t size)
{
	size = ALIGN_UP(size, ARCH_PAGE_SIZE);
	/* Mapped anew, the pages are gone and the range stays ours. */
	sys_mmap((uintptr_t)pages, size, PROT_NONE, MAP_PRIVATE |
		 MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	lock_acquire(&meta.lock);
	add_hole_locked((uintptr_t)pages, (uintptr_t)pages + size);
	lock_release(&meta.lock);
}

static void
release_locked(uintptr_t start, uintptr_t end)
{
	unsigned i = meta.released_count;

	start = ALIGN_UP(start, ARCH_PAGE_SIZE);
	end = ALIGN_DOWN(end, ARCH_PAGE_SIZE);
	if (start >= end || i == RELEASED_MAX)
		return;
	sys_munmap(start, end - start);
	for (; i > 0 && meta.released[i - 1][0] > start; i--) {
		meta.released[i][0] = meta.released[i - 1][0];
		meta.released[i][1] = meta.released[i - 1][1];
	}
	meta.released[i][0] = start;
	meta.released[i][1] = end;
	meta.released_count++;
}

void
meta_release(void *start, size_t size)
{
	lock_acquire(&meta.lock);
	release_locked((uintptr_t)start, (uintptr_t)start + size);
	lock_release(&meta.lock);
}

void
meta_shrink(size_t keep)
{
	lock_acquire(&meta.lock);
	if (meta.back - meta.committed > keep) {
		uintptr_t back = meta.back;

		meta.back = ALIGN_UP(meta.committed + keep, ARCH_PAGE_SIZE);
		meta.spare = keep / SPARE_PART;
		release_locked(meta.back, back);
	}
	lock_release(&meta.lock);
}

bool
meta_piece(unsigned index, uintptr_t *ret_start, uintptr_t *ret_end)
{
	if (index > meta.released_count)
		return false;
	*ret_start = index == 0 ? meta.start : meta.released[index - 1][1];
	*ret_end = index == meta.released_count ? meta.end
						: meta.released[index][0];
	return true;
}

size_t
meta_room(void)
{
	return meta.back - meta.committed;
}

void
meta_fork_lock(void)
{
	lock_acquire(&meta.lock);
}

void
meta_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&meta.lock);
	else
		lock_release(&meta.lock);
}
