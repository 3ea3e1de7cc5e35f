/*
 * pages.h - which pages of a range can hold anything.
 * Defaults: Context: collector, stopped.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_PAGES_H
#define BILGE_PAGES_H

#include "base/base.h"

#include <sys/ioctl.h>

/*
 * The kernel's PAGEMAP_SCAN, as in linux/fs.h of Linux 6.7: older headers lack
 * it (Documentation/admin-guide/mm/pagemap.rst).
 */
struct pages_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct pages_scan {
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

#define PAGES_IS_WRITTEN	(1ull << 1)
#define PAGES_IS_FILE		(1ull << 2)
#define PAGES_IS_PRESENT	(1ull << 3)
#define PAGES_IS_SWAPPED	(1ull << 4)
#define PAGES_IS_PFNZERO	(1ull << 5)
#define PAGES_SCAN_WP_MATCHING	(1ull << 0)
#define PAGES_SCAN_CHECK_WPASYNC (1ull << 1)
#define PAGES_SCAN_REQUEST	_IOWR('f', 16, struct pages_scan)

/*
 * pages_open - get ready to ask the kernel, while that is still allowed.
 * Without it every page that can be read counts as touched.
 */
void pages_open(void);
void pages_close(void);

/* pages_can_tell - does the kernel tell pages apart? */
bool pages_can_tell(void);

/* What the pages of a range are. */
enum pages_kind {
	PAGES_ANONYMOUS,
	PAGES_PRIVATE_FILE,	/* those still as in the file are left out */
	PAGES_SHARED_FILE,
};

/*
 * pages_for_each_touched - call visit for the parts of [start, end) that hold
 * memory, ascending.  Pages that were never touched, or that lie behind the
 * end of a file, are left out where the kernel tells.
 */
void pages_for_each_touched(uintptr_t start, uintptr_t end,
			    enum pages_kind kind,
			    void (*visit)(uintptr_t, uintptr_t, void *),
			    void *argument);

#endif
