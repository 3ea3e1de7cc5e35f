/*
 * pages.h - which pages of a range can hold anything.
 * Defaults: Context: collector, stopped.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_PAGES_H
#define BILGE_PAGES_H

#include "base/base.h"

/*
 * pages_open - get ready to ask the kernel, while that is still allowed.
 * Without it every page that can be read counts as touched.
 */
void pages_open(void);
void pages_close(void);

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
