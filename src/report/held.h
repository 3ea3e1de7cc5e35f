/*
 * held.h - what holds each block: the word through which it was reached.
 * Defaults: Context: collector.  Locks: RANK_CYCLE held.
 *
 * Nothing is collected unless held_request() asked for it: once, for the
 * next cycle, which may be the check at exit or one that a request began.
 */
#ifndef BILGE_HELD_H
#define BILGE_HELD_H

#include "base/arch.h"
#include "collect/candidate.h"

/* A block, and the first word that was found to point at it. */
struct held_block {
	uintptr_t block;
	uintptr_t word;		/* 0: ignored by request; of a leak: its head */
	uint64_t size;		/* as the program asked for */
	uint32_t site;
};

/* A word of a stack that a call chain may be read from. */
struct held_word {
	uintptr_t at;
	uintptr_t value;
};

/* Where a thread stood.  Its stack in use is [sp, stack_end). */
struct held_thread {
	int tid;
	int task;		/* its name in /proc */
	uintptr_t tp;
	uintptr_t tls_start;	/* thread-local storage, at most: to tls_end */
	uintptr_t tls_end;
	uintptr_t sp;
	uintptr_t stack_end;	/* 0: not known */
	uintptr_t frame;	/* where its registers were saved: */
	uintptr_t frame_end;	/* up to there */
	bool has_registers;
	uintptr_t registers[ARCH_REGISTERS];
	size_t first_word;
	size_t word_count;
};

struct held {
	/* In the order of reaching: nothing comes before its holder. */
	struct held_block *blocks;
	size_t count;
	bool is_cut;		/* there are more blocks than were asked for */
	struct held_block *lost;
	size_t lost_count;
	bool lost_is_cut;
	struct held_thread *threads;
	size_t thread_count;
	struct held_word *words;
	size_t word_count;
	size_t limit;		/* of blocks, and of lost ones */
};

/* held_request - the next cycle collects up to so many blocks; 0: none. */
void held_request(size_t limit);

/*
 * held_prepare - take memory, if there was a request.
 * Returns: how many blocks will be collected, 0: nothing is.
 */
size_t held_prepare(void);
bool held_is_prepared(void);

/*
 * held_reach - for verify_run_stopped().
 * held_collect_stopped - note where the threads stand.
 * Context: stopped.
 */
bool held_reach(struct block block, uintptr_t word);
void held_collect_stopped(void);

/* held_note_lost - a leak, and the word in another leak that points at it. */
void held_note_lost(struct block block, uintptr_t word);

/* held_get - what was collected, NULL if nothing; until held_release(). */
const struct held *held_get(void);
void held_release(void);

#endif
