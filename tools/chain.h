/*
 * chain.h - the call chain of a thread that stood still.
 */
#ifndef BILGE_CHAIN_H
#define BILGE_CHAIN_H

#include "held.h"

/* A frame's words are [low, high). */
struct chain_frame {
	uint64_t low;
	uint64_t high;
	struct frame frame;
};

/*
 * chain_find - the frame that an address on the thread's stack lies in.
 *
 * The chain ends where the modules' unwind information does: in code made at
 * run time, in files that have changed since, and where the stack was larger
 * than the record keeps.
 *
 * Returns:  false when it is not known; nothing is guessed.
 */
bool chain_find(const struct record *record, const struct held_thread *thread,
    uint64_t address, struct chain_frame *ret_frame);

#endif
