/*
 * maps.h - the mappings of this process, read from /proc/self/maps in place.
 * Defaults: Context: collector, early; the reader's buffer is the caller's.
 */
#ifndef BILGE_MAPS_H
#define BILGE_MAPS_H

#include "base/base.h"

/* One line of /proc/self/maps. */
struct mapping {
	uintptr_t start;
	uintptr_t end;
	uint64_t offset;	/* in the file */
	uint64_t inode;		/* 0: not a file's */
	bool readable;
	bool writable;
	bool executable;
	bool shared;
	const char *path;	/* "" when anonymous; valid until the next */
};

struct maps {
	int fd;
	size_t filled;		/* bytes of buffer that were read */
	size_t used;		/* bytes of buffer that were given out */
	char buffer[8192];	/* a line is at most 73 + PATH_MAX bytes */
};

/*
 * maps_open - begin at the first mapping.
 * Errors: -errno of open(2): no /proc, or it may not be read.
 */
int maps_open(struct maps *maps);

/* maps_next - the next mapping, false after the last one. */
bool maps_next(struct maps *maps, struct mapping *ret_mapping);

void maps_close(struct maps *maps);

#endif
