/*
 * squad.h - more hands while the world stands: the processors that the program
 * leaves idle then do part of the work, and the pause is shorter.
 *
 * Its members sleep while the program runs.
 *
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 */
#ifndef BILGE_SQUAD_H
#define BILGE_SQUAD_H

#include "base/base.h"

/*
 * squad_begin - one member a processor, the caller the first of them; as many
 * as can be had.  Nobody else marks until squad_end().
 */
void squad_begin(void);
void squad_end(void);

/* squad_run - each member does this job, of its number; returns when done. */
void squad_run(void (*job)(unsigned member));

/* squad_fork_child - there is none in the child.  Context: forked. */
void squad_fork_child(void);

#endif
