/*
 * kernel.c - what this kernel offers the collector.
 *
 * The questions are those of src/collect/barrier_uffd.c.
 */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of the systems we build on. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define WP_HUGETLBFS_SHMEM (1 << 12)	/* Linux 5.19 */
#define WP_ASYNC (1 << 15)		/* Linux 6.7, with PAGEMAP_SCAN */

const char *
kernel_barrier(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = WP_ASYNC | WP_HUGETLBFS_SHMEM,
	};
	const char *result = "yes";
	long fd;

	/* The program inherits it; the library does not try its luck then. */
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER)
		return "no, a filter of system calls is set";
	fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0)
		return errno == ENOSYS ? "no, this kernel has none" :
		    "no, it is not permitted";
	if (ioctl((int)fd, UFFDIO_API, &api) != 0)
		result = "no, it needs Linux 6.7";
	close((int)fd);
	return result;
}
