/*
 * stack.c - a call stack with inlined functions.  The comments behind the
 * calls are what the test looks for.
 */
#include "own_record.h"

void exported_callee(int bytes);

static int depth;

static inline __attribute__((always_inline)) void
inlined_inner(int bytes)
{
	own_record_leak("direct", bytes);	/* line: inlined_inner */
	depth--;
}

static inline __attribute__((always_inline)) void
inlined_outer(int bytes)
{
	depth++;
	inlined_inner(bytes);			/* line: inlined_outer */
	depth--;
}

__attribute__((noinline)) static void
plain_callee(int bytes)
{
	depth++;
	inlined_outer(bytes);			/* line: plain_callee */
	depth--;
}

__attribute__((noinline)) void
exported_callee(int bytes)
{
	own_record_leak("indirect", bytes);	/* line: exported_callee */
	depth--;
}

int
main(int argc, char **argv)
{
	own_record_begin(argv);
	plain_callee(100);			/* line: main_plain */
	exported_callee(5000);			/* line: main_exported */
	own_record_leak("direct", 3000);	/* line: main_leak */
	own_record_end();
	return depth > 100;
}
