/*
 * barrier_uffd.c - dirty pages by userfaultfd(2) in asynchronous
 * write-protect mode and PAGEMAP_SCAN (Linux 6.7).
 *
 * The kernel itself makes a protected page writable again at the first write,
 * also where it is a system call that writes.  A page that was never protected
 * counts as written.
 *
 * Owns two descriptors.  They are kept out of the program's way; one that the
 * program has closed is an error of the next request, and where it closed the
 * first, the kernel has already forgotten what was registered.
 *
 * Always true:
 *   U1  a range is asked about only after it was registered: without the flag
 *       that checks it, the kernel skips what is not;
 *   U2  descriptors of a parent are never used in its child: they act on the
 *       parent's memory.
 */
#include "collect/barrier.h"

#include "base/arch.h"
#include "base/sys.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "world/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>

/* Of linux/userfaultfd.h since 6.1 and 6.7. */
#define FEATURE_WP_HUGETLBFS_SHMEM	(1ull << 12)
#define FEATURE_WP_ASYNC		(1ull << 15)

/* What the kernel is asked for at once: on the stack. */
#define REGIONS	256

/* Guarded by RANK_CYCLE. */
static struct {
	int uffd;
	int pagemap;
} uffd = { .uffd = -1, .pagemap = -1 };

static void
uffd_close(bool is_forked)
{
	/* A child's descriptor is as much its own as the parent's: close it. */
	(void)is_forked;
	if (uffd.uffd >= 0)
		sys_close(uffd.uffd);
	if (uffd.pagemap >= 0)
		sys_close(uffd.pagemap);
	uffd.uffd = uffd.pagemap = -1;
}

static int
uffd_track(uintptr_t start, uintptr_t end)
{
	struct uffdio_register request = {
		.range = { start, end - start },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return sys_ioctl(uffd.uffd, UFFDIO_REGISTER, &request);
}

static void
ignore(uintptr_t start, uintptr_t end, void *unused)
{
	(void)start;
	(void)end;
	(void)unused;
}

static int
scan_pages(uintptr_t start, uintptr_t end, bool rearm,
	   void (*visit)(uintptr_t, uintptr_t, void *), void *argument)
{
	struct pages_region regions[REGIONS];
	struct pages_scan scan = {
		.size = sizeof(scan),
		.flags = PAGES_SCAN_CHECK_WPASYNC |		/* U1 */
			 (rearm ? PAGES_SCAN_WP_MATCHING : 0),
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS,
		/* The zero page holds nothing, and is written by a fault. */
		.category_inverted = PAGES_IS_PFNZERO,
		.category_mask = PAGES_IS_PFNZERO | PAGES_IS_WRITTEN,
		/* Where no page is, the kernel says "written" too. */
		.category_anyof_mask = PAGES_IS_PRESENT | PAGES_IS_SWAPPED,
		.return_mask = PAGES_IS_WRITTEN,
	};

	while (scan.start < end) {
		int n = sys_ioctl(uffd.pagemap, PAGES_SCAN_REQUEST, &scan);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			visit(regions[i].start, regions[i].end,
			      argument);
		if (scan.walk_end <= scan.start)
			return -EIO;
		scan.start = scan.walk_end;
	}
	return 0;
}

static int
uffd_collect(uintptr_t start, uintptr_t end, bool rearm,
	     void (*visit)(uintptr_t, uintptr_t, void *), void *argument)
{
	int error = scan_pages(start, end, rearm, visit, argument);

	if (error != -EPERM)
		return error;
	/*
	 * Part of the range is another mapping by now, or was moved there by
	 * mremap, which drops what was registered.  The kernel does not say
	 * what it had protected before it came to that: all may be dirty.
	 */
	error = uffd_track(start, end);
	if (error == 0 && rearm)
		error = scan_pages(start, end, true, ignore, NULL);
	if (error == 0)
		visit(start, end, argument);
	return error;
}

/* ---------------------------------------------------------------- self-test */

static void
count_pages(uintptr_t start, uintptr_t end, void *argument)
{
	*(size_t *)argument += (end - start) / ARCH_PAGE_SIZE;
}

/* dirty - how many of the test's pages are dirty; -errno. */
static long
dirty(char *pages, bool rearm)
{
	size_t count = 0;
	int error = uffd_collect((uintptr_t)pages,
				 (uintptr_t)pages + 4 * ARCH_PAGE_SIZE, rearm,
				 count_pages, &count);

	return error != 0 ? error : (long)count;
}

/*
 * self_test - does the kernel notice a write of ours, one of its own, and
 * memory that appears?
 */
static bool
self_test(void)
{
	char *pages = meta_map(4 * ARCH_PAGE_SIZE);
	volatile char *first = pages;
	bool works = false;

	if (pages == NULL)
		return false;
	memset(pages, 1, 2 * ARCH_PAGE_SIZE);
	if (uffd_track((uintptr_t)pages,
		       (uintptr_t)pages + 4 * ARCH_PAGE_SIZE) != 0 ||
	    dirty(pages, true) != 2 || dirty(pages, false) != 0)
		goto out;
	first[0] = 2;
	first[2 * ARCH_PAGE_SIZE] = 2;
	if (dirty(pages, true) != 2 || dirty(pages, true) != 0)
		goto out;
	/* The system writes for us, where no handler could help it. */
	works = sys_getrlimit(RLIMIT_AS, (struct rlimit *)pages) == 0 &&
		dirty(pages, true) == 1;
out:
	meta_unmap(pages, 4 * ARCH_PAGE_SIZE);
	return works;
}

/* begin_api - Returns: 0; -EINVAL, the kernel lacks a feature. */
static int
begin_api(int fd)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = FEATURE_WP_ASYNC | FEATURE_WP_HUGETLBFS_SHMEM,
	};

	return sys_ioctl(fd, UFFDIO_API, &api);
}

bool
barrier_uffd_is_there(void)
{
	int fd = sys_userfaultfd();
	bool is_there = fd >= 0 && begin_api(fd) == 0;

	if (fd >= 0)
		sys_close(fd);
	return is_there;
}

static int
uffd_open(void)
{
	int error;

	uffd.uffd = sys_keep_high(sys_userfaultfd());
	if (uffd.uffd < 0)
		return uffd.uffd;
	error = begin_api(uffd.uffd);
	uffd.pagemap = sys_keep_high(sys_open("/proc/thread-self/pagemap",
					  O_RDONLY, 0));
	if (error == 0 && uffd.pagemap < 0)
		error = uffd.pagemap;
	if (error == 0 && !self_test())
		error = -ENOSYS;
	/* All of the range: what is reserved becomes memory later. */
	if (error == 0)
		error = uffd_track(arena_view.base,
				   arena_view.base + arena_view.size);
	if (error != 0)
		uffd_close(false);
	return error;
}

static void
uffd_disarm(void)
{
	/*
	 * Nothing: a protected page costs one fault, at its next write, and
	 * one that is not written until the next cycle need not be read again.
	 */
}

const struct barrier barrier_uffd = {
	.name = "uffd",
	.is_concurrent = true,
	.is_divisible = true,
	.open = uffd_open,
	.close = uffd_close,
	.track = uffd_track,
	.collect = uffd_collect,
	.disarm = uffd_disarm,
};
