/*
 * test_marker.c - from roots to everything that can be reached, on random
 * graphs against a breadth-first search.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/grey.h"
#include "collect/marker.h"
#include "heap/meta.h"
#include "world/pages.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define NODES		6000
#define EDGES		4

/* Nodes are blocks; an edge is a word of the block. */
static struct {
	uintptr_t block;
	size_t size;
} nodes[NODES];

static struct unit_node graph[NODES];
static unsigned queue[NODES];

_Static_assert(EDGES <= UNIT_EDGES, "a node has room for its edges");

static uintptr_t roots[64];

static const char *settings[4];

/* Has the list of grey blocks room for few of them only? */
static bool is_starved;

/* mark - all that roots lead to. */
static void
mark(void)
{
	pages_open();
	unit_mark(roots, roots + 64);
	pages_close();
	marker_end();
}

static uintptr_t
allocate(size_t size)
{
	return ~unit_hidden_block(size).word;
}

/* pointer_into - to the start of a block, into it, or just past it. */
static uintptr_t
pointer_into(uint64_t *state, unsigned node)
{
	size_t at = unit_random(state, 3) == 0
		? unit_random(state, nodes[node].size + 1) : 0;

	return nodes[node].block + at;
}

static void
connect(uint64_t *state, unsigned from, unsigned to)
{
	uintptr_t *words = (uintptr_t *)nodes[from].block;
	size_t place = nodes[from].size / 8 / EDGES *
		       graph[from].edge_count;

	if (graph[from].edge_count == MIN(EDGES, nodes[from].size / 8))
		return;
	if (nodes[from].size / 8 < EDGES)
		place = graph[from].edge_count;
	words[place] = pointer_into(state, to);
	graph[from].edges[graph[from].edge_count++] = to;
}

static void
make_graph(uint64_t *state, size_t largest)
{
	for (unsigned i = 0; i < NODES; i++) {
		size_t size = unit_random(state, 400) == 0
			? unit_random_size(state, largest)
			: unit_random_size(state, 400);

		memset(&nodes[i], 0, sizeof(nodes[i]));
		memset(&graph[i], 0, sizeof(graph[i]));
		nodes[i].block = allocate(size);
		nodes[i].size = size;
	}
	/* Few edges a node: about half of the nodes are reached. */
	for (unsigned i = 0; i < NODES + NODES / 4; i++)
		connect(state, (unsigned)unit_random(state, NODES),
			(unsigned)unit_random(state, NODES));
}

static size_t
check_graph(void)
{
	size_t reached = 0;

	for (unsigned i = 0; i < NODES; i++) {
		expect(unit_is_marked(nodes[i].block) ==
		       graph[i].is_reachable);
		reached += graph[i].is_reachable;
	}
	return reached;
}

static void
choose_roots(uint64_t *state)
{
	for (unsigned i = 0; i < NODES; i++)
		graph[i].is_reachable = false;
	for (unsigned i = 0; i < 64; i++) {
		unsigned node = (unsigned)unit_random(state, NODES);

		roots[i] = i % 3 == 0 ? i * 7919 : pointer_into(state, node);
		if (i % 3 != 0)
			unit_search(graph, queue, node);
	}
}

static void
setup(void)
{
	unit_core(settings);
}

static void
check_graphs(void)
{
	uint64_t state = unit_seed(1);

	make_graph(&state, 3 * MIB);
	if (is_starved)
		unit_starve();
	for (unsigned i = 0; i < 20; i++) {
		choose_roots(&state);
		mark();
		expect(check_graph() > 10);
		expect(marker_bytes() > 0);
	}
	/* No roots, no marks: nothing is left of the last time. */
	memset(roots, 0, sizeof(roots));
	for (unsigned i = 0; i < NODES; i++)
		graph[i].is_reachable = false;
	mark();
	ck_assert_uint_eq(check_graph(), 0);
	ck_assert_uint_eq(marker_bytes(), 0);
}

START_TEST(test_graphs)
{
	check_graphs();
}
END_TEST

START_TEST(test_graphs_starved)
{
	is_starved = true;
	check_graphs();
}
END_TEST

/* The grey list overflows, again and again: nothing is missed (K1). */
START_TEST(test_overflow)
{
	enum { WIDE = 60000 };
	static struct hidden far[WIDE];
	uintptr_t *first = unit_reveal(unit_hidden_block(WIDE * 8));

	for (size_t i = 0; i < WIDE; i++) {
		uintptr_t *near = unit_reveal(unit_hidden_block(16));

		far[i] = unit_hidden_block(24);
		near[i % 2] = (uintptr_t)unit_reveal(far[i]);
		first[i] = (uintptr_t)near;
	}
	roots[5] = (uintptr_t)first;
	unit_starve();
	mark();
	for (size_t i = 0; i < WIDE; i++) {
		expect(unit_is_marked(first[i]));
		expect(unit_is_marked((uintptr_t)unit_reveal(far[i])));
	}
}
END_TEST

/* A list of a million: no recursion, no stack. */
START_TEST(test_deep)
{
	uintptr_t *last = NULL;
	size_t length = 0;

	for (size_t i = 0; i < 1000000; i++) {
		uintptr_t *node = unit_reveal(unit_hidden_block(16));

		node[1] = (uintptr_t)last;
		last = node;
	}
	roots[0] = (uintptr_t)last;
	unit_starve();
	mark();
	for (; last != NULL; last = (uintptr_t *)last[1])
		expect(unit_is_marked((uintptr_t)last) && ++length > 0);
	ck_assert_uint_eq(length, 1000000);
}
END_TEST

/* Large blocks are asked for their touched pages: each word still counts. */
START_TEST(test_sparse)
{
	uint64_t state = unit_seed(2);
	size_t size = 64 * MIB;
	uintptr_t *large = (uintptr_t *)allocate(size);
	struct hidden targets[100];

	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		size_t at = unit_random(&state, size / 8);

		targets[i] = unit_hidden_block(40);
		while (large[at] != 0)
			at++;
		large[at] = (uintptr_t)unit_reveal(targets[i]);
	}
	large[0] = allocate(10);
	large[size / 8 - 1] = allocate(10);
	roots[0] = (uintptr_t)large + size / 2;
	mark();
	for (size_t i = 0; i < ARRAY_LEN(targets); i++)
		expect(unit_is_marked((uintptr_t)unit_reveal(targets[i])));
	ck_assert(unit_is_marked(large[0]));
	ck_assert(unit_is_marked(large[size / 8 - 1]));
}
END_TEST

/* Marking never writes to the program's memory (K2). */
START_TEST(test_reads_only)
{
	uint64_t state = unit_seed(3);
	size_t used = load_relaxed(&arena_view.frontier);

	make_graph(&state, 300 * KIB);
	choose_roots(&state);
	used = load_relaxed(&arena_view.frontier);
	ck_assert_int_eq(sys_mprotect(arena_view.base, used, PROT_READ), 0);
	mark();
	ck_assert_uint_gt(check_graph(), 10);
}
END_TEST

/* Words at odd places are no pointers; the range is read as words. */
START_TEST(test_alignment)
{
	uintptr_t block = allocate(64);
	char bytes[32] = { 0 };

	memcpy(bytes + 3, &block, sizeof(block));
	expect(marker_begin(true));
	marker_whiten();
	marker_scan_range((uintptr_t)bytes, (uintptr_t)bytes + 32);
	unit_drain();
	ck_assert(!unit_is_marked(block));
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + ALIGN_UP((uintptr_t)bytes, 8) - (uintptr_t)bytes + 8,
	       &block, sizeof(block));
	/* Ends in the middle of the word, then begins before it. */
	marker_scan_range((uintptr_t)bytes,
			  ALIGN_UP((uintptr_t)bytes, 8) + 15);
	unit_drain();
	ck_assert(!unit_is_marked(block));
	marker_scan_range((uintptr_t)bytes + 1,
			  ALIGN_UP((uintptr_t)bytes, 8) + 16);
	unit_drain();
	ck_assert(unit_is_marked(block));
}
END_TEST

/* scan - a range of words, by however many at a time the processor can. */
static void
scan(const uintptr_t *start, const uintptr_t *end)
{
	expect(marker_begin(true));
	marker_whiten();
	marker_scan_range((uintptr_t)start, (uintptr_t)end);
	unit_drain();
	marker_end();
}

/*
 * Words at random, of any number and beginning at any word: of each it is
 * found out, one by one, what it points at.
 */
START_TEST(test_wide)
{
	enum { BLOCKS = 300, WORDS = 700 };
	static uintptr_t blocks[BLOCKS], words[WORDS];
	static bool is_wanted[BLOCKS];
	uint64_t state = unit_seed(7);

	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = allocate(unit_random_size(&state, 300000) + 1);
	for (unsigned n = 0; n < 3000; n++) {
		size_t count = unit_random_size(&state, WORDS - 20);
		size_t from = unit_random(&state, 20);

		memset(is_wanted, 0, sizeof(is_wanted));
		for (size_t i = 0; i < WORDS; i++) {
			size_t k = unit_random(&state, BLOCKS);
			bool is_in = i >= from && i < from + count;

			switch (unit_random(&state, 8)) {
			case 0:
				words[i] = blocks[k];
				is_wanted[k] |= is_in;
				break;
			case 1:	/* just before the heap, and behind it */
				words[i] = arena_view.base - 1 -
					   unit_random(&state, 100);
				break;
			case 2:
				words[i] = arena_view.base + arena_view.size +
					   unit_random(&state, 100);
				break;
			case 3:	/* its bits, with one more above */
				words[i] = blocks[k] ^
					   (UINT64_C(1) << (47 +
					    unit_random(&state, 17)));
				break;
			case 4:
				words[i] = (uintptr_t)state * 0x9e3779b9u;
				break;
			default:
				words[i] = unit_random(&state, 1000);
			}
		}
		scan(words + from, words + from + count);
		for (size_t i = 0; i < BLOCKS; i++)
			expect(unit_is_marked(blocks[i]) == is_wanted[i]);
	}
}
END_TEST

/* Whatever is in its pipelines when the work ends is not forgotten (K1). */
START_TEST(test_few)
{
	for (unsigned count = 0; count < 70; count++) {
		static uintptr_t words[70];

		for (unsigned i = 0; i < count; i++) {
			uintptr_t *block = (uintptr_t *)allocate(64);

			words[i] = (uintptr_t)block;
			block[3] = allocate(32);
		}
		scan(words, words + count);
		for (unsigned i = 0; i < count; i++) {
			expect(unit_is_marked(words[i]));
			expect(unit_is_marked(((uintptr_t *)words[i])[3]));
		}
	}
}
END_TEST

/* It returns after a budget, whatever is left; in the end all is done. */
START_TEST(test_budget)
{
	static const size_t budgets[] = { 1, 1000, 64 * KIB, GIB };
	uintptr_t *list = NULL, *large;
	uint64_t before, most = 0;
	size_t steps = 1;

	for (unsigned i = 0; i < 20000; i++) {
		uintptr_t *node = (uintptr_t *)allocate(200);

		node[1] = (uintptr_t)list;
		list = node;
	}
	large = (uintptr_t *)allocate(16 * MIB);
	memset(large, 1, 16 * MIB);
	large[MIB] = (uintptr_t)list;
	roots[0] = (uintptr_t)large;
	expect(marker_begin(true));
	marker_whiten();
	pages_open();
	marker_scan_range((uintptr_t)roots, (uintptr_t)(roots + 1));
	before = marker_scanned_bytes();
	for (; !marker_drain(marker_of(0), budgets[_i]); steps++) {
		most = MAX(most, marker_scanned_bytes() - before);
		before = marker_scanned_bytes();
	}
	/* A part of a large block is the most that it is late. */
	ck_assert_uint_le(most, budgets[_i] + 160 * KIB);
	ck_assert_uint_ge(steps, MIN(16 * MIB / (budgets[_i] + 160 * KIB),
				     20000));
	for (; list != NULL; list = (uintptr_t *)list[1])
		expect(unit_is_marked((uintptr_t)list));
	pages_close();
	marker_end();
}
END_TEST

/* ------------------------------------------------------------------ together */

#define MARKERS	4u

static void *
help(void *argument)
{
	struct marker *m = marker_of((unsigned)(uintptr_t)argument);

	do
		while (!marker_drain(m, 16 * KIB))
			continue;
	while (grey_wait());
	return NULL;
}

static void
mark_together(void)
{
	pthread_t threads[MARKERS];

	expect(marker_begin(true));
	marker_whiten();
	pages_open();
	marker_scan_range((uintptr_t)roots, (uintptr_t)(roots + 64));
	for (unsigned i = 0; i < MARKERS; i++)
		grey_join();
	for (uintptr_t i = 0; i < MARKERS; i++)
		expect(pthread_create(&threads[i], NULL, help, (void *)i) ==
		       0);
	for (uintptr_t i = 0; i < MARKERS; i++)
		pthread_join(threads[i], NULL);
	unit_drain();
	pages_close();
	marker_end();
}

/* Several mark what one would, and count it once. */
START_TEST(test_together)
{
	uint64_t state = unit_seed(11), alone;

	make_graph(&state, 3 * MIB);
	if (_i == 1)
		unit_starve();
	for (unsigned i = 0; i < 10; i++) {
		choose_roots(&state);
		mark();
		alone = marker_bytes();
		expect(check_graph() > 10);
		mark_together();
		expect(check_graph() > 10);
		expect(marker_bytes() == alone);
	}
}
END_TEST

/* Free slots are black from the beginning: they are no blocks (K3). */
START_TEST(test_free)
{
	uintptr_t block = allocate(64), far = allocate(64);

	*(uintptr_t *)block = far;
	roots[0] = block;
	mark();
	ck_assert(unit_is_marked(far));
	ck_assert_int_eq(heap_free((void *)block), HEAP_DONE);
	*(volatile uintptr_t *)block = far;
	mark();
	ck_assert(!unit_is_marked(far));
}
END_TEST

/* What the program told us to ignore is a root, with all it leads to. */
START_TEST(test_ignored)
{
	uintptr_t *block = (uintptr_t *)allocate(64), next = allocate(64);
	uintptr_t other = allocate(64);

	block[3] = next;
	ck_assert(heap_set_site(block, SITE_IGNORED));
	expect(marker_begin(true));
	marker_whiten();
	marker_grey_ignored();
	unit_drain();
	ck_assert(unit_is_marked((uintptr_t)block) && unit_is_marked(next));
	ck_assert(!unit_is_marked(other));
	/* A slot that is free again is none. */
	ck_assert_int_eq(heap_free(block), HEAP_DONE);
	expect(marker_begin(true));
	marker_whiten();
	marker_grey_ignored();
	unit_drain();
	ck_assert(!unit_is_marked(next));
	marker_end();
}
END_TEST

/* A pointer that carries a tag in bits the user named. */
START_TEST(test_tags)
{
	uintptr_t block = allocate(64), plain = allocate(64);

	roots[0] = block | UINT64_C(0xa5) << 56;
	roots[1] = plain;
	mark();
	ck_assert(unit_is_marked(block));
	ck_assert(unit_is_marked(plain));
}
END_TEST

START_TEST(test_no_tags)
{
	uintptr_t block = allocate(64);

	roots[0] = block | UINT64_C(0xa5) << 56;
	mark();
	ck_assert(!unit_is_marked(block));
}
END_TEST

static void
setup_tags(void)
{
	settings[0] = "BILGE_TAG_MASK=ff00000000000000";
	unit_core(settings);
}

int
main(void)
{
	Suite *suite = suite_create("marker");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "graphs", test_graphs },
		{ "graphs_starved", test_graphs_starved },
		{ "overflow", test_overflow },
		{ "deep", test_deep }, { "sparse", test_sparse },
		{ "reads_only", test_reads_only },
		{ "alignment", test_alignment }, { "ignored", test_ignored },
		{ "wide", test_wide }, { "few", test_few },
		{ "free", test_free },
		{ "no_tags", test_no_tags },
	};
	TCase *loops = unit_case(suite, "loops", NULL);

	tcase_add_checked_fixture(loops, setup, NULL);
	tcase_add_loop_test(loops, test_budget, 0, 4);
	tcase_add_loop_test(loops, test_together, 0, 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	tcase_add_checked_fixture(unit_case(suite, "tags", test_tags),
				  setup_tags, NULL);
	return unit_run(suite);
}
