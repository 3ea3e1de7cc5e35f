/*
 * spray.h - the attack: allocate until something takes a freed block's place.
 *
 * A place is where a block was, hidden.  Beside those to be attacked go
 * controls: blocks of the same size, freed with them or later, to which nothing
 * points.  When a control's place has been taken, so could the others' have
 * been.
 *
 * Spraying is allocating blocks of one size without freeing any, so that every
 * slot of that size that can be had is, and looking each up among the places.
 * What is freed then is more than a quarantine holds before it is looked at.
 */
#ifndef SPRAY_H
#define SPRAY_H

#include "victim.h"

#include <time.h>

#define PLACES_MAX	4096u
#define SPRAY_BYTES	(256 * 1024ul)	/* in the first turn */
#define SPRAY_MIN	16u		/* blocks */
#define SPRAY_TURNS	6u		/* then from the first again */
#define DRAIN_CYCLES	3
#define DRAIN_USEC	5000u		/* of the first turn, for each */
#define DRAIN_SIZE	2000		/* no other size of these tests */
#define DRAIN_BLOCKS	600		/* more than a MiB */
#define SPRAY_SECONDS	40

struct place {
	uintptr_t hidden;	/* the last byte, so that order is upwards */
	size_t size;
	const char *held_by;	/* NULL: a control */
	bool is_taken;
};

static struct place places[PLACES_MAX];
static size_t place_count;
static bool places_are_sorted;

/* hidden_end - of the block's last byte, which is the lowest when hidden. */
static ALWAYS_INLINE uintptr_t
hidden_end(uintptr_t hidden, size_t size)
{
	__asm__ volatile("" : "+r"(hidden));
	return hidden - size + 1;
}

static UNUSED void
add_place(uintptr_t hidden, size_t size, const char *held_by)
{
	CHECK(place_count < PLACES_MAX);
	places[place_count++] = (struct place){
		hidden_end(hidden, size), size, held_by, false
	};
	places_are_sorted = false;
}

static int
compare_places(const void *a, const void *b)
{
	uintptr_t x = ((const struct place *)a)->hidden;
	uintptr_t y = ((const struct place *)b)->hidden;

	return (x > y) - (x < y);
}

/* note_taken - of all places that this block lies in.  They may be nested. */
static NOINLINE void
note_taken(uintptr_t hidden, size_t size)
{
	uintptr_t first = hidden_end(hidden, size), last = hidden;
	size_t low = 0, high = place_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (places[middle].hidden + places[middle].size <= first)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < place_count && places[low].hidden <= last; low++)
		places[low].is_taken = true;
}

/* sort_places - before a spray. */
static UNUSED void
sort_places(void)
{
	if (places_are_sorted)
		return;
	qsort(places, place_count, sizeof *places, compare_places);
	places_are_sorted = true;
}

static bool
is_held_by(const struct place *place, const char *held_by)
{
	if (held_by == NULL || place->held_by == NULL)
		return held_by == place->held_by;
	return strcmp(place->held_by, held_by) == 0;
}

/*
 * are_taken - more than half of some places: something may point at one, and
 * few free slots among many that are not are left alone.
 * Units: held_by, whose, NULL: the controls; size, 0: all.
 */
static UNUSED bool
are_taken(const char *held_by, size_t size)
{
	size_t count = 0, taken = 0, i;

	for (i = 0; i < place_count; i++)
		if (is_held_by(&places[i], held_by) &&
		    (size == 0 || places[i].size == size)) {
			count++;
			taken += places[i].is_taken;
		}
	return taken * 2 > count || count == 0;
}

/*
 * drain - have the quarantine looked at, so that what was sprayed before is
 * free: in a class of its own so much is freed as makes a cycle begin, more
 * than once, for one may be under way.
 * Units: turn, from 0: how often it was tried; cycles are given more time.
 */
static NOINLINE UNUSED void
drain(unsigned turn)
{
	int n, i;

	for (n = 0; n < DRAIN_CYCLES; n++) {
		for (i = 0; i < DRAIN_BLOCKS; i++)
			free(use(malloc(DRAIN_SIZE)));
		usleep(DRAIN_USEC << turn);
	}
	scrub();
}

struct sprayed {
	struct sprayed *next;
};

/* spray - Units: turn, from 0: each takes more than those before can leave. */
static NOINLINE UNUSED void
spray(size_t size, unsigned turn)
{
	size_t count = (SPRAY_BYTES / size + SPRAY_MIN) << turn, i;
	struct sprayed *all = NULL, *block;

	for (i = 0; i < count; i++) {
		block = malloc(size);
		CHECK(block != NULL);
		memset(block, 0xa5, size < 64 ? size : 64);
		note_taken(hide(block), size);
		block->next = all;
		all = block;
	}
	while (all != NULL) {
		block = all;
		all = block->next;
		free(block);
	}
	scrub();
}

/* free_block - and leave no copy of its address. */
static NOINLINE UNUSED void
free_block(uintptr_t hidden)
{
	free(reveal(hidden));
	scrub();
}

static NOINLINE UNUSED void
add_control(size_t size)
{
	uintptr_t hidden = hidden_block(size);

	add_place(hidden, size, NULL);
	free_block(hidden);
}

/* is_clear - a held block reads as zero, whatever was allocated meanwhile. */
static NOINLINE UNUSED bool
is_clear(const struct place *place)
{
	const char *p = reveal(place->hidden + place->size - 1);
	bool clear = true;
	size_t i;

	for (i = 0; i < place->size; i++)
		clear = clear && p[i] == 0;
	p = NULL;
	use(&p);
	scrub();
	return clear;
}

/*
 * spray_is_taken - attack this place, whose block has just been freed, until
 * controls have been taken three times.
 */
static NOINLINE UNUSED bool
spray_is_taken(uintptr_t hidden, size_t size)
{
	time_t end = time(NULL) + SPRAY_SECONDS;
	bool is_taken = false;
	unsigned n;
	int turn, i;

	for (turn = 0; turn < 3 && !is_taken; turn++) {
		place_count = 0;
		add_place(hidden, size, "attacked");
		for (i = 0; i < 16; i++)
			add_control(size);
		sort_places();
		for (n = 0; !are_taken(NULL, size); n++) {
			CHECK(time(NULL) < end);
			drain(n % SPRAY_TURNS);
			spray(size, n % SPRAY_TURNS);
		}
		is_taken = are_taken("attacked", size);
	}
	return is_taken;
}

#endif
