/*
 * unit.h - what the unit tests share.
 *
 * One program a module.  Each test runs in a process of its own (Check forks),
 * so each begins with a core that nobody has used.  The programs keep libc's
 * malloc: the core is called by its own names.
 *
 * TEST_SEED=N repeats a random run; without it the seed is new each time.
 * CK_FORK=no CK_RUN_CASE=NAME runs one case under a debugger.
 */
#ifndef BILGE_UNIT_H
#define BILGE_UNIT_H

#include "base/bits.h"
#include "heap/heap.h"

#include <check.h>
#include <stdio.h>
#include <ucontext.h>

/*
 * expect - like ck_assert(), for loops, other threads and signal handlers:
 * Check writes a message for each assertion that holds.
 */
#define expect(x) \
	(likely(x) ? (void)0 : unit_fail(__FILE__, __LINE__, #x))
_Noreturn void unit_fail(const char *file, int line, const char *what) COLD;

/*
 * AddressSanitizer's shadow takes more address space than a test could limit
 * itself to, its allocator's locks do not survive a fork, and it looks at the
 * results of threads: a few cases are left out with it.
 */
#ifdef __SANITIZE_ADDRESS__
#define UNIT_HAS_ASAN	true
#else
#define UNIT_HAS_ASAN	false
#endif

/* What reads stacks and registers as the collector does. */
#define UNIT_SCANS	__attribute__((no_sanitize("address")))

/* unit_run - run a suite.  Returns: the status to exit with. */
int unit_run(Suite *suite);

/* unit_case - a case with one test and a time limit, added to a suite. */
TCase *unit_case(Suite *suite, const char *name, const TTest *test);

/* --------------------------------------------------------------- randomness */

/*
 * unit_seed - the seed of this run, mixed with a number of the test's own.
 * Printed once by the program.
 */
uint64_t unit_seed(unsigned own);

/* unit_random - the next number below `limit`. */
size_t unit_random(uint64_t *state, size_t limit);

/* unit_random_size - mostly small, sometimes large, up to `limit`. */
size_t unit_random_size(uint64_t *state, size_t limit);

/* --------------------------------------------------------------------- heap */

/* unit_heap - begin a heap and give the calling thread a cache. */
void unit_heap(unsigned pad, bool with_sites);

/* unit_core - begin all that a cycle needs, with settings; NULL-terminated. */
void unit_core(const char *const *settings);
/* unit_core_defaults - without any. */
void unit_core_defaults(void);

/* unit_cycle_check - a check by a thread of the program. */
int unit_cycle_check(void);

/*
 * unit_check_heap - every rule of span.c and cache.c (S1-S3, C1-C5), for a
 * heap that nobody is at work on.
 * Returns: slots that are in the program's hands.
 */
size_t unit_check_heap(void);

/* unit_is_marked - is the block at an address marked? */
bool unit_is_marked(uintptr_t block);

/* unit_drain - scan all that is grey, with one marker. */
void unit_drain(void);

/* unit_mark - all that words of [start, end) lead to; marker_end() follows. */
void unit_mark(const void *start, const void *end);

/*
 * unit_starve - leave the collector so little memory that its list of grey
 * blocks is the smallest there is.  Before the first marker_begin().
 */
void unit_starve(void);

/* ---------------------------------------------------------- hidden pointers */

/* A block's address that the conservative scan does not recognise. */
struct hidden {
	uintptr_t word;
};

static inline struct hidden
unit_hide(const void *block)
{
	return (struct hidden){ ~(uintptr_t)block };
}

static inline void *
unit_reveal(struct hidden hidden)
{
	return (void *)~hidden.word;
}

/* unit_hidden_block - allocate without leaving a copy of the address. */
struct hidden unit_hidden_block(size_t size);

/* unit_scrub - overwrite what returned functions left below on the stack. */
void unit_scrub(void);
/* unit_scrub_registers - the same for registers, with little stack. */
void unit_scrub_registers(void);

/* --------------------------------------------------------------- reachability */

/* A graph as a mark has to see it; a test keeps its blocks apart. */
#define UNIT_EDGES	4

struct unit_node {
	unsigned edges[UNIT_EDGES];
	unsigned edge_count;
	bool is_reachable;
};

/*
 * unit_search - note what can be reached from the first one, breadth first.
 * The queue has room for every node.
 */
void unit_search(struct unit_node *nodes, unsigned *queue, unsigned first);

/* ----------------------------------------------------------------- stepping */

/*
 * unit_step - run a function and call `each` before every instruction of it,
 * with the registers as a signal handler sees them.
 */
void unit_step(void (*run)(void), void (*each)(const ucontext_t *));

/* unit_signals_are_blocked - could a handler run at this instruction? */
bool unit_signals_are_blocked(const ucontext_t *context);

/* unit_count_threads - of this process. */
unsigned unit_count_threads(void);

/* ------------------------------------------------------------------- output */

/* unit_block_all - every signal, those of libc too, until the mask is set. */
void unit_block_all(uint64_t *ret_mask);

/* unit_capture - what a function writes to standard error; static buffer. */
const char *unit_capture(void (*run)(void));

/* unit_count - how often a text occurs in another. */
unsigned unit_count(const char *text, const char *part);

#endif
