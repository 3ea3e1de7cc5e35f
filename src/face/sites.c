/*
 * sites.c - the site of the allocation that is being made.
 *
 * Owns the decision which allocations' call stacks are kept, and when the
 * unwinder is opened.
 *
 * Always true: an allocation has a site, if only SITE_UNKNOWN; nothing is
 * looked up for blocks of the unwinder's own.
 *
 * Not here: walking stacks (unwind.c), keeping them (depot.c).
 */
#include "face/sites.h"

#include "base/panic.h"
#include "face/process.h"
#include "heap/span.h"
#include "report/depot.h"
#include "report/modules.h"
#include "settings/options.h"
#include "world/mutator.h"
#include "world/unwind.h"

#include <unistd.h>

_Atomic uint32_t bilge_only_site;
_Atomic bool sites_unwinder_was_tried;

static struct {
	/* Fixed by sites_start(). */
	uintptr_t code_start, code_end;
	void *(*open_library)(const char *path, int mode);

	/* Atomic: relaxed, set once. */
	_Atomic bool has_unwinder;
} sites;

void
sites_start(uintptr_t code_start, uintptr_t code_end,
	    void *(*open_library)(const char *path, int mode))
{
	sites.open_library = open_library;
	sites.code_end = code_end;
	sites.code_start = code_start;
}

bool
sites_have_stacks(void)
{
	return load_relaxed(&sites.has_unwinder);
}

void
sites_do_without_unwinder(void)
{
	store_relaxed(&bilge_only_site, SITE_UNKNOWN);
	store_relaxed(&sites_unwinder_was_tried, true);
}

/*
 * At the first allocation after libc is ready.
 *
 * Not from our constructor: it runs before libc's, and a dlopen there would
 * run libc's without arguments and environment.  Not under the loader: it
 * would be entered a second time.
 */
COLD void
sites_try_unwinder(uintptr_t caller)
{
	uint64_t mask;
	static atomic_flag is_trying = ATOMIC_FLAG_INIT;
	bool is_loader;

	if (sites.code_start == 0 || environ == NULL ||
	    mutator_self == NULL || mutator_self->park.hold != 0)
		return;
	mutator_enter(&mask);
	is_loader = modules_is_loader(caller);
	mutator_leave(mask);
	if (is_loader || atomic_flag_test_and_set(&is_trying))
		return;
	store_relaxed(&sites_unwinder_was_tried, true);
	if (unwind_init(sites.code_start, sites.code_end,
			sites.open_library)) {
		store_relaxed(&sites.has_unwinder, true);
	} else {
		sites_do_without_unwinder();
		say("libunwind is missing; call stacks are not kept");
	}
}

void
bilge_thread_ahead(const void *caller)
{
	if (bilge_is_tracking && !load_relaxed(&sites_unwinder_was_tried))
		sites_try_unwinder((uintptr_t)caller);
}

/* is_sampled - is this allocation's stack to be kept? */
static bool
is_sampled(struct mutator *m, size_t size)
{
	if (options->sample <= 1)
		return true;
	m->sample_left -= (int64_t)MIN(size, (size_t)INT64_MAX);
	if (m->sample_left > 0)
		return false;
	m->sample_left = (int64_t)options->sample;
	return true;
}

/*
 * caller_site - the site of an allocation whose stack is not kept: the place
 * that called us, alone.  Sites must differ where programs do: one whose block
 * came back is never reclaimed again.
 */
static uint32_t
caller_site(const void *caller)
{
	uintptr_t frame = (uintptr_t)caller;
	uint32_t site;
	uint64_t mask;

	if (frame == 0)
		return SITE_UNKNOWN;
	site = depot_find_lately(frame);
	if (site == 0)
		site = depot_find(&frame, 1);
	if (likely(site != 0))
		return site;
	mutator_enter(&mask);
	site = depot_intern(&frame, 1);
	modules_find(frame - 1);
	mutator_leave(mask);
	return site;
}

/* current_stack - the site of the calling thread's call stack. */
static uint32_t
current_stack(void)
{
	const uintptr_t *frames;
	uint32_t count, site;
	uint64_t mask;

	mutator_hold();
	count = unwind_begin((uint32_t)options->depth, &frames);
	if (count == 0) {
		mutator_release();
		return SITE_UNKNOWN;
	}
	site = depot_find(frames, count);
	if (site == 0) {
		mutator_mask_signals(&mask);
		site = depot_intern(frames, count);
		/* While it is certainly loaded. */
		for (uint32_t i = 0; i < count; i++)
			modules_find(frames[i] - 1);
		mutator_unmask_signals(mask);
	}
	unwind_end();
	mutator_release();
	return site;
}

uint32_t
sites_freeing(const void *caller)
{
	struct mutator *m = mutator_self;

	if (m == NULL || unlikely(m->is_unwinding) ||
	    !load_relaxed(&sites.has_unwinder))
		return SITE_UNKNOWN;
	return options->sample <= 1 ? current_stack() : caller_site(caller);
}

uint32_t
sites_current(size_t size, const void *caller)
{
	struct mutator *m = mutator_self;

	if (m == NULL)
		return SITE_UNKNOWN;
	if (unlikely(m->is_unwinding))
		return SITE_NONE;	/* ours, not the program's */
	if (unlikely(m->ignore_depth > 0))
		return SITE_IGNORED;
	if (!load_relaxed(&sites.has_unwinder)) {
		if (load_relaxed(&bilge_only_site) != 0)
			m->sample_left = INT64_MAX;
		return SITE_UNKNOWN;
	}
	return is_sampled(m, size) ? current_stack() : caller_site(caller);
}
