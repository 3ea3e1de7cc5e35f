/*
 * render.h - have the command turn a record into a report.
 */
#ifndef BILGE_RENDER_H
#define BILGE_RENDER_H

#include "base/base.h"

/*
 * render_init - where the command may be.
 * Units:   library, the path of the preloaded object; installed, of the
 *          command when it is not beside it.
 * Context: early.
 */
void render_init(const char *library, const char *installed);

/*
 * render_report - run `bilge report -` from one descriptor to another, unseen
 * by the program, and wait for it.
 * Returns: false when the command is missing, may not be run, or failed.
 * Context: collector, world running, signals masked.
 */
bool render_report(int record_fd, int report_fd, char *const *environment);

#endif
