/*
 * barrier.c - the choice of a barrier.
 *
 * Owns which one is in use.  `auto` begins with the best and steps down, for
 * good, when one fails its self-test or, later, a cycle.
 *
 * Whether mprotect may be among them is decided when the process starts: the
 * wrappers must open what the kernel writes from the first call on, and do so
 * only where the kernel offers no uffd then.  So what fails later, or is
 * forbidden by a filter of system calls that the program has installed before
 * its first cycle, steps down from uffd to stop.
 */
#include "collect/barrier.h"

#include "base/panic.h"
#include "heap/fence.h"
#include "settings/options.h"
#include "settings/stats.h"

/* Best first; the last one always works. */
static const struct {
	enum barrier_choice choice;
	const struct barrier *barrier;
} barriers[] = {
	{ BARRIER_UFFD, &barrier_uffd },
	{ BARRIER_MPROTECT, &barrier_mprotect },
	{ BARRIER_STOP, &barrier_stop },
};

/* Guarded by RANK_CYCLE. */
static const struct barrier *current;
static unsigned next;		/* the first that has not failed yet */

const struct barrier *
barrier_current(void)
{
	return current != NULL ? current : &barrier_stop;
}

/* is_wanted - does BILGE_BARRIER allow it? */
static bool
is_wanted(unsigned index)
{
	return options->barrier == BARRIER_AUTO ||
	       options->barrier == barriers[index].choice ||
	       barriers[index].choice == BARRIER_STOP;
}

/* has_uffd - asked once: its descriptor is the program's lowest free one. */
static bool
has_uffd(void)
{
	static bool is_asked, is_there;

	if (!is_asked)
		is_there = barrier_uffd_is_there();
	is_asked = true;
	return is_there;
}

bool
barrier_may_protect(void)
{
	return options->barrier == BARRIER_MPROTECT ||
	       (options->barrier == BARRIER_AUTO && !has_uffd());
}

const char *
barrier_foreseen(void)
{
	if (is_wanted(0) && has_uffd())
		return barrier_uffd.name;
	return is_wanted(1) && fence_lends ? barrier_mprotect.name
					   : barrier_stop.name;
}

const struct barrier *
barrier_open(void)
{
	for (; current == NULL && next < ARRAY_LEN(barriers); next++) {
		if (!is_wanted(next))
			continue;
		if (barriers[next].barrier->open() == 0) {
			current = barriers[next].barrier;
			break;
		}
		if (options->barrier == barriers[next].choice)
			say("BILGE_BARRIER=%s does not work here; using stop",
			    barriers[next].barrier->name);
	}
	stats.barrier = barrier_current()->name;
	return barrier_current();
}

void
barrier_failed(void)
{
	if (current == NULL || current == &barrier_stop)
		return;
	current->close(false);
	current = NULL;
	next++;
}

void
barrier_close(void)
{
	if (current != NULL)
		current->close(false);
	current = NULL;
}

void
barrier_fork_child(void)
{
	if (current != NULL)
		current->close(true);
	current = NULL;
	next = 0;
}
