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

/* On the stack: several threads may ask. */
#define REGIONS	64

/* Below this a question costs more than reading the pages. */
#define ASK_MIN	(8 * ARCH_PAGE_SIZE)

/* Guarded by RANK_CYCLE. */
static int pagemap = -1;

void
pages_open(void)
{
	struct pages_scan probe = { .size = sizeof(probe) };

	pagemap = sys_open("/proc/thread-self/pagemap", O_RDONLY, 0);
	if (pagemap >= 0 &&
	    sys_ioctl(pagemap, PAGES_SCAN_REQUEST, &probe) < 0)
		pages_close();
}

void
pages_close(void)
{
	if (pagemap >= 0)
		sys_close(pagemap);
	pagemap = -1;
}

bool
pages_can_tell(void)
{
	return pagemap >= 0;
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
	struct pages_region regions[REGIONS];
	struct pages_scan scan = {
		.size = sizeof(scan),
		.start = ALIGN_DOWN(start, ARCH_PAGE_SIZE),
		.end = ALIGN_UP(end, ARCH_PAGE_SIZE),
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		.category_inverted = PAGES_IS_PFNZERO,
		.category_mask = PAGES_IS_PFNZERO,
		.category_anyof_mask = PAGES_IS_PRESENT |
				       PAGES_IS_SWAPPED,
	};

	if (kind == PAGES_PRIVATE_FILE) {
		scan.category_inverted |= PAGES_IS_FILE;
		scan.category_mask |= PAGES_IS_FILE;
	}
	if (pagemap < 0 || (kind == PAGES_ANONYMOUS && end - start < ASK_MIN)) {
		visit_readable(start, end, kind, visit, argument);
		return;
	}
	while (scan.start < scan.end) {
		int n = sys_ioctl(pagemap, PAGES_SCAN_REQUEST, &scan);

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
