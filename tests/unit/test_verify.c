/*
 * test_verify.c - the second mark: it reaches what a search reaches, each
 * block once and after its holder, and a first mark that missed anything is
 * found out.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/marker.h"
#include "collect/verify.h"
#include "settings/stats.h"
#include "world/pages.h"
#include "world/roots.h"
#include "world/stop.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES	3000
#define EDGES	3
#define ROOTS	16

/* Nodes are blocks that no word of ours leads to; an edge is a word of one. */
static struct {
	struct hidden block;
	size_t size;
	unsigned visits;
} nodes[NODES];

static struct unit_node graph[NODES];
static unsigned queue[NODES];

_Static_assert(EDGES <= UNIT_EDGES, "a node has room for its edges");

/* Nobody in this file reads them. */
static volatile uintptr_t roots[ROOTS];

static void
setup(void)
{
	static const char *const settings[] = { "BILGE_VERIFY=1", NULL };

	unit_core(settings);
}

static uintptr_t
address(unsigned node)
{
	return (uintptr_t)unit_reveal(nodes[node].block);
}

static NOINLINE void
make_graph(uint64_t *state)
{
	for (unsigned i = 0; i < NODES; i++) {
		memset(&nodes[i], 0, sizeof(nodes[i]));
		memset(&graph[i], 0, sizeof(graph[i]));
		nodes[i].size = EDGES * 8 + (unit_random(state, 200) == 0
			? unit_random_size(state, MIB)
			: unit_random_size(state, 300));
		nodes[i].block = unit_hidden_block(nodes[i].size);
	}
	for (unsigned i = 0; i < NODES + NODES / 4; i++) {
		unsigned from = (unsigned)unit_random(state, NODES);
		unsigned to = (unsigned)unit_random(state, NODES);

		if (graph[from].edge_count == EDGES)
			continue;
		((uintptr_t *)address(from))[graph[from].edge_count] =
			address(to) + unit_random(state, nodes[to].size + 1);
		graph[from].edges[graph[from].edge_count++] = to;
	}
}

static NOINLINE void
choose_roots(uint64_t *state)
{
	for (unsigned i = 0; i < NODES; i++) {
		graph[i].is_reachable = false;
		nodes[i].visits = 0;
	}
	for (unsigned i = 0; i < ROOTS; i++) {
		unsigned node = (unsigned)unit_random(state, NODES);

		roots[i] = address(node);
		unit_search(graph, queue, node);
	}
}

/* ------------------------------------------------------------ both marks */

/* What a first mark does wrong, between its end and the second. */
static void (*break_mark)(void);

static bool (*reach)(struct block, uintptr_t);

/* run - both marks, as a cycle does it.  Returns: of the second. */
static NOINLINE int
run(size_t blocks)
{
	struct stop_failure failure;
	int error;

	__builtin_unwind_init();
	pages_open();
	expect(marker_begin(true));
	expect(verify_prepare(blocks));
	expect(roots_prepare() == 0);
	expect(stop_begin(NSEC_PER_SEC,
			  (uintptr_t)__builtin_frame_address(0) -
			  ARCH_SAVED_REGISTERS, false, &failure) == 0);
	marker_whiten();
	marker_grey_ignored();
	expect(roots_scan(true, marker_scan_range) == 0);
	unit_drain();
	if (break_mark != NULL)
		break_mark();
	error = verify_run_stopped(reach);
	stop_end();
	verify_release();
	marker_end();
	pages_close();
	return error;
}

static unsigned
node_at(uintptr_t block)
{
	for (unsigned i = 0; i < NODES; i++)
		if (address(i) == block)
			return i;
	return NODES;
}

static unsigned order;

static bool
note_visit(struct block b, uintptr_t word)
{
	uintptr_t block = span_is_large(b.span) ? span_base(b.span)
						: span_slot_addr(b.span,
								 b.slot);
	unsigned node = node_at(block);
	struct block other;

	if (node == NODES)
		return true;
	expect(nodes[node].visits == 0);
	nodes[node].visits = ++order;
	/* The word is there and points at it; its own block came before. */
	expect(word != 0 && candidate_find(*(uintptr_t *)word, &other));
	expect(other.span == b.span && other.slot == b.slot);
	if (candidate_find(word, &other)) {
		node = node_at(span_is_large(other.span) ? span_base(other.span)
			       : span_slot_addr(other.span, other.slot));
		expect(node != NODES && nodes[node].visits != 0);
	}
	return true;
}

START_TEST(test_graphs)
{
	uint64_t state = unit_seed(1);
	unsigned reached = 0;

	make_graph(&state);
	reach = note_visit;
	for (unsigned n = 1; n <= 8; n++) {
		choose_roots(&state);
		unit_scrub();
		ck_assert_int_eq(run(n % 2 == 0 ? NODES : 1), 0);
		for (unsigned i = 0; i < NODES; i++) {
			expect((nodes[i].visits != 0) ==
			       graph[i].is_reachable);
			reached += graph[i].is_reachable;
		}
		verify_settle();
		ck_assert_uint_eq(stats.cycle.verified, n);
	}
	ck_assert_uint_gt(reached, 100);
}
END_TEST

/* The queue overflows: all is reached nevertheless (V1). */
static unsigned seen;

static bool
count_visit(struct block b, uintptr_t word)
{
	seen += span_requested(b.span, b.slot) == 24;
	return word != 0;
}

START_TEST(test_overflow)
{
	enum { WIDE = 60000 };
	uintptr_t *first = unit_reveal(unit_hidden_block(WIDE * 8));

	for (size_t i = 0; i < WIDE; i++) {
		uintptr_t *near = unit_reveal(unit_hidden_block(16));

		near[i % 2] = (uintptr_t)unit_reveal(unit_hidden_block(24));
		first[i] = (uintptr_t)near;
	}
	roots[5] = (uintptr_t)first;
	reach = count_visit;
	ck_assert_int_eq(run(1), 0);
	ck_assert_uint_eq(seen, WIDE);
	verify_settle();
}
END_TEST

/* Who has seen enough is not called again; what is verified is all the same. */
static bool
see_three(struct block b, uintptr_t word)
{
	(void)b;
	(void)word;
	expect(seen < 3);
	return ++seen < 3;
}

START_TEST(test_enough)
{
	uint64_t state = unit_seed(2);

	make_graph(&state);
	choose_roots(&state);
	reach = see_three;
	ck_assert_int_eq(run(NODES), 0);
	ck_assert_uint_eq(seen, 3);
	ck_assert_uint_eq(stats.cycle.verified, 1);
}
END_TEST

/* ------------------------------------------------------------ broken marks */

static void
clear_mark(uintptr_t block)
{
	struct block b;

	expect(candidate_find(block, &b));
	atomic_fetch_and(&b.span->mark[b.slot / WORD_BITS],
			 ~(UINT64_C(1) << (b.slot % WORD_BITS)));
}

static unsigned victim;

static void
forget_victim(void)
{
	clear_mark(address(victim));
}

/* Nothing that the roots lead to was scanned. */
static void
forget_drain(void)
{
	expect(marker_begin(true));
	marker_whiten();
	/* Twice: the second time pushes the rest out of the pipeline. */
	for (unsigned i = 0; i < 2; i++)
		expect(roots_scan(true, marker_scan_range) == 0);
}

/* told - what a process says that settles; it must end by SIGABRT. */
static const char *
told(void)
{
	static char text[4096];
	int fds[2], status;
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	expect(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 2);
		signal(SIGABRT, SIG_DFL);
		verify_settle();
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(fds[0]);
	expect(waitpid(pid, &status, 0) == pid);
	expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	return text;
}

START_TEST(test_missed_block)
{
	uint64_t state = unit_seed(3 + (unsigned)_i);
	char expected[64];
	const char *said;

	make_graph(&state);
	choose_roots(&state);
	do
		victim = (unsigned)unit_random(&state, NODES);
	while (!graph[victim].is_reachable);
	break_mark = forget_victim;
	ck_assert_int_eq(run(NODES), 0);
	said = told();
	snprintf(expected, sizeof(expected),
		 "missed the block 0x%lx of %zu bytes", address(victim),
		 nodes[victim].size);
	ck_assert_msg(unit_count(said, expected) == 1, "said: %s", said);
	ck_assert_msg(unit_count(said, " points at it\n") == 1, "said: %s",
		      said);
	ck_assert_uint_eq(stats.cycle.verified, 0);
}
END_TEST

START_TEST(test_missed_scan)
{
	uint64_t state = unit_seed(20);
	const char *said;

	make_graph(&state);
	choose_roots(&state);
	break_mark = forget_drain;
	ck_assert_int_eq(run(NODES), 0);
	said = told();
	ck_assert_msg(unit_count(said, " in the block ") == 1, "said: %s",
		      said);
}
END_TEST

/* Another process may write to shared memory between the two: no error. */
static uintptr_t *page;

static void
write_late(void)
{
	page[7] = address(0);
}

static void
look_at_page(int flags)
{
	nodes[0].size = 48;
	nodes[0].block = unit_hidden_block(48);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    flags | MAP_ANONYMOUS, -1, 0);
	ck_assert(page != MAP_FAILED);
	page[0] = 1;
	unit_scrub();
	break_mark = write_late;
	ck_assert_int_eq(run(NODES), 0);
}

START_TEST(test_shared)
{
	look_at_page(MAP_SHARED);
	verify_settle();
}
END_TEST

START_TEST(test_private)
{
	look_at_page(MAP_PRIVATE);
	ck_assert_int_eq(unit_count(told(), " in a stack, thread-local "
				    "storage or a mapping points"), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("verify");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "graphs", test_graphs }, { "overflow", test_overflow },
		{ "enough", test_enough },
		{ "missed_scan", test_missed_scan },
		{ "shared", test_shared }, { "private", test_private },
	};
	TCase *tcase;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	tcase = unit_case(suite, "missed_block", NULL);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_loop_test(tcase, test_missed_block, 0, 10);
	return unit_run(suite);
}
