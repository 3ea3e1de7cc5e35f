/*
 * root.h - what a word outside the heap was.
 */
#ifndef BILGE_ROOT_H
#define BILGE_ROOT_H

#include "held.h"

enum root_kind {
	ROOT_VARIABLE,		/* in the data of a module */
	ROOT_STACK,
	ROOT_REGISTERS,
	ROOT_TLS,		/* thread-local storage and the descriptor */
	ROOT_MAPPING,
	ROOT_KERNEL,		/* kept by bilge for the kernel */
	ROOT_IGNORED,		/* no word: the program asked for it */
	ROOT_UNKNOWN,
};

struct root {
	enum root_kind kind;
	uint64_t word;
	const struct held_thread *thread;	/* NULL: no thread's */
	struct module *module;		/* of a variable */
	char *variable;			/* NULL when it has no name */
	uint64_t into;			/* the variable, thread, mapping ... */
	bool has_frame;			/* the stack's: its function is known */
	struct frame frame;
	const struct held_mapping *mapping;
};

/* The kinds as words, for programs. */
extern const char *const root_kind_names[];

/* root_find - what the word was that held a block; see root_destroy(). */
void root_find(const struct record *record, const struct held_block *block,
    struct root *ret_root);

void root_destroy(struct root *root);

#endif
