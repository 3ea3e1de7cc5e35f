/*
 * record_reader.h - a record in memory, ready to be rendered.
 *
 * The record's form is in report/record.h.  Here its strings are the
 * system's bytes again, its leaks are merged and in the order of reports,
 * and the frames of libbilge itself are gone.
 */
#ifndef BILGE_RECORD_READER_H
#define BILGE_RECORD_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct held;
struct symbols;

struct module {
	long long id;
	char *path;
	char *build_id;			/* hexadecimal, "" for none */
	uint64_t base;			/* address minus the file's address */
	uint64_t start;			/* its mapping; 0 to 0: not known */
	uint64_t end;
	struct symbols *symbols;	/* NULL until symbols_find() */
};

/*
 * The call, not where it returns to: one less than in the record.  Otherwise
 * the last call of a function would belong to the next function.
 */
struct frame {
	uint64_t address;
	uint64_t offset;		/* in the module's file */
	struct module *module;		/* NULL outside any */
	char *symbol;			/* NULL when not known */
};

enum leak_kind { LEAK_DIRECT, LEAK_INDIRECT };

struct leak {
	uint64_t id;			/* same site, same id, in every run */
	long long site;			/* in this record */
	enum leak_kind kind;
	size_t order;			/* of the event in the record */
	long long bytes;
	long long blocks;
	long long reclaimed_bytes;
	char *first_seen;
	struct frame *frames;
	size_t frame_count;
};

struct misuse {
	char *function;			/* "" where no call was wrong */
	char *what;
	uint64_t address;
	/* Of a write to a freed block: its size, and where it was written. */
	long long size;
	long long at;
	struct frame *frames;		/* of such a block: where allocated */
	size_t frame_count;
	struct frame *freed_by;
	size_t freed_count;
};

/* Freed blocks that pointers lead to, by where they were allocated. */
struct quarantined {
	uint64_t id;			/* as a leak's */
	long long bytes;
	long long blocks;
	struct frame *frames;
	size_t frame_count;
};

/* The members of "summary", in the order of total_names[]. */
enum total {
	TOTAL_LEAKED_BYTES,
	TOTAL_LEAKED_BLOCKS,
	TOTAL_DIRECT_BYTES,
	TOTAL_DIRECT_BLOCKS,
	TOTAL_INDIRECT_BYTES,
	TOTAL_INDIRECT_BLOCKS,
	TOTAL_SUPPRESSED_BYTES,
	TOTAL_SUPPRESSED_BLOCKS,
	TOTAL_RECLAIMED_BYTES,
	TOTAL_RECLAIMED_BLOCKS,
	TOTAL_RESURRECTED_BLOCKS,
	TOTAL_MISUSES,
	TOTAL_QUARANTINED_BYTES,
	TOTAL_HEAP_BYTES,
	TOTAL_HEAP_PEAK_BYTES,
	TOTALS
};

extern const char *const total_names[TOTALS];

struct record {
	long long pid;
	char *exe;
	char *barrier;
	char **argv;
	size_t argument_count;
	bool has_exit_status;
	int exit_status;

	struct module **modules;
	size_t module_count;
	struct leak *leaks;		/* direct first, then by bytes */
	size_t leak_count;
	struct misuse *misuses;
	size_t misuse_count;
	struct quarantined *quarantined;	/* as in the record */
	size_t quarantined_count;

	struct held *held;		/* NULL: what holds blocks is not known */

	long long totals[TOTALS];
	long long cycle_count;
	json_t *cycles;			/* of the end; NULL without one */
	bool has_end;
	bool is_checked;		/* the check at exit was made */
	size_t damaged_lines;		/* left out, the last one not counted */
};

/*
 * record_read - read a record to its end.
 *
 * Events and members that are not known are passed over, and so is a last
 * line that was cut off.  Without an end the totals are those of the leaks.
 *
 * Returns:  the record, for record_destroy(); NULL when this is no record,
 *           with the cause in *ret_why.
 */
struct record *record_read(FILE *in, const char **ret_why);

void record_destroy(struct record *record);

/* record_module - a module by its number, NULL when there is none. */
struct module *record_module(const struct record *record, long long number);

/* record_module_at - the module mapped at an address, NULL outside any. */
struct module *record_module_at(const struct record *record, uint64_t address);

/* json_text - a string of the system's, "" when it is none; the caller frees. */
char *json_text(const json_t *json);

/* json_address - "0x..." as a number; false when it is none. */
bool json_address(const json_t *json, uint64_t *ret_address);

/*
 * record_append - one more element, cleared, at the end of an array.
 * Returns:  the array, whose space doubles when it is full.
 */
void *record_append(void *array, size_t *count, size_t size);

/* frame_is_own - does a frame lie in libbilge itself? */
bool frame_is_own(const struct frame *frame);

/* module_name - the last part of the module's path. */
const char *module_name(const struct module *module);

#endif
