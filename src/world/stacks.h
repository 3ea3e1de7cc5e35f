/*
 * stacks.h - what belongs to threads: registers, stacks, thread-local storage.
 * Defaults: Context: stopped.  Locks: RANK_CYCLE and RANK_MUTATORS held.
 */
#ifndef BILGE_STACKS_H
#define BILGE_STACKS_H

#include "base/base.h"
#include "base/maps.h"

/* A part of a mapping that is threads' alone. */
struct stack_area {
	uintptr_t start;
	uintptr_t end;
	uintptr_t live;		/* below it nothing is of use any more */
	uintptr_t dtv;		/* of a dead stack: its one word that counts */
};

/*
 * stacks_prepare - memory for what follows.
 * Errors:  -ENOMEM.
 * Context: collector, world running.
 */
int stacks_prepare(void);

/*
 * stacks_keep_below - read so many bytes below what is in use of a stack too.
 * What calls that returned have left there becomes the holes of later frames:
 * a block that nothing but such a word points at is garbage, but it would be
 * seen to come back.
 */
void stacks_keep_below(size_t size);

/*
 * stacks_for_each_dead - visit what lay below the parts in use of all stacks
 * when they were last scanned with stacks_keep_below() more than 0: for the
 * same reason.  It may be in use by now, or gone.
 * Context: collector, world running.
 */
void stacks_for_each_dead(void (*visit)(uintptr_t start, uintptr_t end));

/*
 * stacks_look - note where the stopped threads stand; before the rest.
 * Errors:  -ENOMEM: more threads than were thought of.
 */
int stacks_look(void);

/*
 * stacks_look_running - note where threads have their stacks.  What is told of
 * them then is not where they stand, and may be old when it is told.
 * Errors:  -ENOMEM.
 * Context: collector, world running.  Locks: takes RANK_MUTATORS.
 */
int stacks_look_running(void);

/*
 * stacks_note - the calling thread may run on a stack that begins here.
 * Units:   main_end, an address behind the frames of the first stack.
 * Context: mutator.
 */
void stacks_note(uintptr_t start, uintptr_t main_end);

#define STACK_AREAS_MAX 128

/*
 * stacks_areas - the areas of threads in a mapping, ascending, at most
 * STACK_AREAS_MAX: what is not told is to be read like other memory.
 * Returns: how many.
 * Context: stopped; collector, world running, after stacks_look_running().
 */
unsigned stacks_areas(const struct mapping *m, struct stack_area *ret_areas);

/* stacks_has_thread - does a thread stand in it, outside of any area? */
bool stacks_has_thread(uintptr_t start, uintptr_t end);

/*
 * stacks_scan - call scan for what threads have in a mapping: what lives of
 * the areas, and the stacks of those that stand outside of them.
 */
void stacks_scan(const struct mapping *m, const struct stack_area *areas,
		 unsigned count, void (*scan)(uintptr_t, uintptr_t));

/*
 * stacks_scan_rest - call scan for what lies in no mapping of the program:
 * what the kernel holds for threads, registers of those that stand in a block,
 * results of those that ended.
 */
void stacks_scan_rest(void (*scan)(uintptr_t, uintptr_t));

#endif
