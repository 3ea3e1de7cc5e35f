/*
 * held.h - what held each block of a process, as its record tells.
 *
 * The events' form is in report/why.h.
 */
#ifndef BILGE_TOOLS_HELD_H
#define BILGE_TOOLS_HELD_H

#include "record_reader.h"

/* A block, and the first word that was found to point at it. */
struct held_block {
	uint64_t block;
	uint64_t size;
	long long site;
	uint64_t word;			/* 0: ignored; of a leak: it is direct */
	size_t order;			/* nothing comes before its holder */
	bool is_lost;
};

/* A word of a stack: a code address, or one further up the same stack. */
struct held_word {
	uint64_t at;
	uint64_t value;
};

struct held_thread {
	int tid;
	char *name;
	uint64_t tls_start, tls_end;
	uint64_t sp;
	uint64_t stack_end;		/* 0: not known */
	uint64_t frame, frame_end;	/* where its registers were saved */
	bool has_registers;
	uint64_t registers[17];		/* numbered as in DWARF */
	struct held_word *words;	/* by address */
	size_t word_count;
};

struct held_mapping {
	uint64_t start, end;
	char *path;
};

struct held_site {
	long long site;
	struct frame *frames;
	size_t frame_count;
};

struct held {
	uint64_t base, end;		/* of the heap */
	long long limit;
	bool is_cut, lost_is_cut;
	uint64_t red_zone;
	struct held_mapping *own;	/* memory of bilge */
	size_t own_count;
	struct held_thread *threads;
	size_t thread_count;
	struct held_mapping *mappings;
	size_t mapping_count;
	struct held_site *sites;
	size_t site_count;
	struct held_block *blocks;	/* see held_sort() */
	size_t block_count;
};

/* held_read - take in an event, if it is one of ours. */
void held_read(struct record *record, const json_t *event, const char *name);

/* held_sort - order the blocks by address, for what follows. */
void held_sort(struct held *held);

/* held_find - the block an address lies in, or NULL. */
const struct held_block *held_find(const struct held *held, uint64_t address);

/* held_holder - the block whose word holds another, NULL for a root. */
const struct held_block *held_holder(const struct held *held,
    const struct held_block *block);

/* held_site - where blocks were allocated, or NULL. */
struct held_site *held_site(const struct held *held, long long site);

void held_destroy(struct held *held);

#endif
