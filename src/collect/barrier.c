/*
 * barrier.c - the choice of a barrier.
 *
 * Owns which one is in use.  `auto` begins with the best and steps down, for
 * good, when one fails its self-test or, later, a cycle.
 */
#include "collect/barrier.h"

#include "base/panic.h"
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

bool
barrier_may_protect(void)
{
	return options->barrier == BARRIER_MPROTECT ||
	       (options->barrier == BARRIER_AUTO && !barrier_uffd_is_there());
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
