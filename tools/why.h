/*
 * why.h - why a block was not freed: the path from a root to it.
 */
#ifndef BILGE_WHY_COMMAND_H
#define BILGE_WHY_COMMAND_H

#include "record_reader.h"
#include "render.h"

/*
 * why_render - answer what held the block at an address, or inside of which
 * the address lies.
 *
 * Ends the command when the record cannot tell.
 */
void why_render(struct record *record, uint64_t address, enum format format,
    FILE *out);

#endif
