/*
 * remap.c - the memory of blocks, moved and cleared by whole pages.
 *
 * Owns the choice between copying and page tables, and the knowledge whether
 * the kernel lets us move pages at all.
 *
 * Always true: after a move the new place holds what the old one held, however
 * far the kernel came; the old pages stay mapped.
 *
 * The caller owns both blocks.  Nothing is locked, no thread has to be held.
 *
 * Not here: which block becomes which (heap.c).
 */
#include "heap/remap.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"

#include <string.h>
#include <sys/mman.h>

/* From this size on, moving page tables surely beats copying. */
#define REMAP_MIN	(512 * KIB)

/* Atomic: relaxed, a page moved all the same is noticed by the barrier. */
static _Atomic bool pages_are_kept;
/* Atomic: relaxed, only ever set: the kernel has refused to move some. */
static _Atomic bool pages_are_split;

void
remap_keep(bool keep)
{
	store_relaxed(&pages_are_kept, keep);
}

static bool
is_zero_page(uintptr_t page)
{
	const uint64_t *p = (const uint64_t *)page;
	uint64_t found = 0;

	for (size_t i = 0; i < ARCH_PAGE_SIZE / sizeof(*p); i++)
		found |= p[i];
	return found == 0;
}

/*
 * gather_pages - the kernel has given up a move, wherever it was.  What it has
 * moved reads as zero where it came from, and what it has not reads as zero
 * where it should be.
 */
static COLD void
gather_pages(uintptr_t from, uintptr_t to, size_t size)
{
	for (uintptr_t end = from + size; from < end;
	     from += ARCH_PAGE_SIZE, to += ARCH_PAGE_SIZE) {
		/* Some make room first, and then see that they cannot. */
		sys_mmap(to, ARCH_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			 MAP_FIXED_NOREPLACE, -1, 0);
		if (!is_zero_page(from))
			memcpy((void *)to, (const void *)from, ARCH_PAGE_SIZE);
	}
}

bool
remap_move(uintptr_t from, uintptr_t to, size_t size)
{
	if (size < REMAP_MIN || from % ARCH_PAGE_SIZE != 0 ||
	    load_relaxed(&pages_are_kept) ||
	    load_relaxed(&pages_are_split))
		return false;
	size = ALIGN_UP(size, ARCH_PAGE_SIZE);
	if (sys_madvise(to, size, MADV_DONTNEED) != 0)
		return false;
	if (sys_mremap(from, size, size,
		       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		       to) != (long)to) {
		store_relaxed(&pages_are_split, true);
		gather_pages(from, to, size);
	}
	return true;
}

void
remap_clear(uintptr_t start, uintptr_t end)
{
	uintptr_t page = ALIGN_UP(start, ARCH_PAGE_SIZE);

	/* Pages that were never used cost nothing until they are. */
	if (end - start >= REMAP_MIN &&
	    sys_madvise(page, ALIGN_DOWN(end, ARCH_PAGE_SIZE) - page,
			MADV_DONTNEED) == 0) {
		memset((void *)start, 0, page - start);
		start = ALIGN_DOWN(end, ARCH_PAGE_SIZE);
	}
	memset((void *)start, 0, end - start);
}
