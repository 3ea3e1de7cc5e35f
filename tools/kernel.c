/*
 * kernel.c - what this kernel offers the collector.
 */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of the systems we build on. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define WP_UNPOPULATED (1 << 13)	/* Linux 6.4 */
#define WP_ASYNC (1 << 15)		/* Linux 6.7, with PAGEMAP_SCAN */

const char *
kernel_barrier(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = WP_UNPOPULATED | WP_ASYNC,
	};
	const char *result = "yes";
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		return errno == ENOSYS ? "no, this kernel has none" :
		    "no, it is not permitted";
	if (ioctl((int)fd, UFFDIO_API, &api) != 0)
		result = "no, it needs Linux 6.7";
	close((int)fd);
	return result;
}
