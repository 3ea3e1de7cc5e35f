/*
 * text.h - the text report, as far as the library itself can tell.
 */
#ifndef BILGE_TEXT_H
#define BILGE_TEXT_H

#include "report/leaks.h"

/*
 * text_write - the report without files and lines: modules and offsets.
 * Context: collector, world running.
 */
void text_write(int fd, const struct leak_group *groups, size_t count);

#endif
