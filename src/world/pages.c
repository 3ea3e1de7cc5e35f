/*
 * pages.c - which pages of a range can hold anything.
 *
 * Owns the descriptor of /proc/self/pagemap during a cycle.  Asked with
 * PAGEMAP_SCAN (Linux 6.7); where the kernel does not know it, every page is
 * taken to be touched: reading it costs time but is not wrong.
 */
#include "world/pages.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>

/* linux/fs.h of Linux 6.7; older headers lack it. */
#define SCAN_PAGE_IS_FILE	(1ull << 2)
#define SCAN_PAGE_IS_PRESENT	(1ull << 3)
#define SCAN_PAGE_IS_SWAPPED	(1ull << 4)
#define SCAN_PAGE_IS_PFNZERO	(1ull << 5)

struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_argument {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define PAGEMAP_SCAN_REQUEST	_IOWR('f', 16, struct scan_argument)

#define REGIONS	256

/* Below this a question costs more than reading the pages. */
#define ASK_MIN	(8 * ARCH_PAGE_SIZE)

/* Guarded by RANK_CYCLE. */
static int pagemap = -1;
static struct scan_region regions[REGIONS];

void
pages_open(void)
{
	struct scan_argument probe = { .size = sizeof(probe) };

	pagemap = sys_open("/proc/thread-self/pagemap", O_RDONLY, 0);
	if (pagemap >= 0 &&
	    sys_ioctl(pagemap, PAGEMAP_SCAN_REQUEST, &probe) < 0)
		pages_close();
}

void
pages_close(void)
{
	if (pagemap >= 0)
		sys_close(pagemap);
	pagemap = -1;
}

/* visit_readable - a file may be shorter than its mapping: try each page. */
static void
visit_readable(uintptr_t start, uintptr_t end, enum pages_kind kind,
	       void (*visit)(uintptr_t, uintptr_t, void *), void *argument)
{
	if (kind == PAGES_ANONYMOUS) {
		visit(start, end, argument);
		return;
	}
	while (start < end) {
		uintptr_t next = ALIGN_DOWN(start, ARCH_PAGE_SIZE) +
				 ARCH_PAGE_SIZE;

		next = MIN(next, end);
		if (sys_is_readable(ALIGN_DOWN(start, 8)))
			visit(start, next, argument);
		start = next;
	}
}

void
pages_for_each_touched(uintptr_t start, uintptr_t end, enum pages_kind kind,
		       void (*visit)(uintptr_t, uintptr_t, void *),
		       void *argument)
{
	struct scan_argument scan = {
		.size = sizeof(scan),
		.start = ALIGN_DOWN(start, ARCH_PAGE_SIZE),
		.end = ALIGN_UP(end, ARCH_PAGE_SIZE),
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_inverted = SCAN_PAGE_IS_PFNZERO,
		.category_mask = SCAN_PAGE_IS_PFNZERO,
		.category_anyof_mask = SCAN_PAGE_IS_PRESENT |
				       SCAN_PAGE_IS_SWAPPED,
	};

	if (kind == PAGES_PRIVATE_FILE) {
		scan.category_inverted |= SCAN_PAGE_IS_FILE;
		scan.category_mask |= SCAN_PAGE_IS_FILE;
	}
	if (pagemap < 0 || (kind == PAGES_ANONYMOUS && end - start < ASK_MIN)) {
		visit_readable(start, end, kind, visit, argument);
		return;
	}
	while (scan.start < scan.end) {
		int n = sys_ioctl(pagemap, PAGEMAP_SCAN_REQUEST, &scan);

		if (n < 0) {
			visit_readable(MAX(scan.start, start), end, kind,
				       visit, argument);
			return;
		}
		for (int i = 0; i < n; i++)
			visit(MAX(regions[i].start, start),
			      MIN(regions[i].end, end), argument);
		if (scan.walk_end <= scan.start)
			return;
		scan.start = scan.walk_end;
	}
}
