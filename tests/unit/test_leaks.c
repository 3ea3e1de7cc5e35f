/*
 * test_leaks.c - what is white: counted, told apart, grouped by site.
 *
 * Random graphs against a model that knows for each two blocks whether one
 * leads to the other.  Of each circle (strongly connected component) of white
 * blocks that no other white block leads to, exactly one block is direct.
 */
#include "unit.h"

#include "collect/candidate.h"
#include "collect/marker.h"
#include "heap/meta.h"
#include "report/leaks.h"

#include <errno.h>
#include <string.h>

#define NODES	48
#define WORDS	6

static struct {
	struct hidden block;
	size_t size;
} nodes[NODES];

static bool leads[NODES][NODES];	/* in any number of steps */
static bool is_white[NODES];
static uintptr_t root;

static void
setup(void)
{
	unit_core_defaults();
	/* What unit_core() left behind is no leak of the model. */
	heap_set_site((void *)arena_view.base, SITE_NONE);
}

static uintptr_t
address(unsigned node)
{
	return (uintptr_t)unit_reveal(nodes[node].block);
}

/* What a site stands for: each node has its own, or some share one. */
static uint32_t
site_of(unsigned node, unsigned sites)
{
	return SITE_FIRST + node % sites;
}

static void
make_graph(uint64_t *state, unsigned edges, unsigned sites)
{
	memset(leads, 0, sizeof(leads));
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i].size = WORDS * 8 + unit_random_size(state, 8000);
		nodes[i].block = unit_hidden_block(nodes[i].size);
		heap_note((void *)address(i), nodes[i].size,
			  site_of(i, sites));
	}
	for (unsigned e = 0; e < edges; e++) {
		unsigned from = (unsigned)unit_random(state, NODES);
		unsigned to = (unsigned)unit_random(state, NODES);
		uintptr_t *word = (uintptr_t *)address(from) +
				  unit_random(state, WORDS);

		if (*word != 0)
			continue;
		/* To any byte of it, and to the one past its end. */
		*word = address(to) + unit_random(state, nodes[to].size + 1);
		leads[from][to] = true;
	}
	for (unsigned k = 0; k < NODES; k++)
		for (unsigned i = 0; i < NODES; i++)
			for (unsigned j = 0; leads[i][k] && j < NODES; j++)
				leads[i][j] |= leads[k][j];
}

static void
mark(unsigned from)
{
	root = from < NODES ? address(from) : 0;
	for (unsigned i = 0; i < NODES; i++)
		is_white[i] = from >= NODES || (i != from && !leads[from][i]);
	unit_mark(&root, &root + 1);
}

/* A leak that other leaks lead to, unless these are in one circle with it. */
static bool
is_in_source(unsigned node)
{
	for (unsigned i = 0; i < NODES; i++)
		if (is_white[i] && leads[i][node] && !leads[node][i])
			return false;
	return true;
}

static const struct leak_group *
find_group(uint32_t site, bool is_direct)
{
	size_t count;
	const struct leak_group *g = leaks_groups(&count);
	const struct leak_group *found = NULL;

	for (size_t i = 0; i < count; i++, g++) {
		expect(g->blocks > 0);
		if (g->site == site && g->is_direct == is_direct) {
			expect(found == NULL);
			found = g;
		}
	}
	return found;
}

/* check_order - direct ones first, largest first. */
static void
check_order(void)
{
	size_t count;
	const struct leak_group *g = leaks_groups(&count);

	for (size_t i = 1; i < count; i++) {
		expect(g[i - 1].is_direct >= g[i].is_direct);
		expect(g[i - 1].is_direct != g[i].is_direct ||
		       g[i - 1].bytes >= g[i].bytes);
	}
}

static void
check_scratch(struct span *span, void *argument)
{
	(void)argument;
	for (uint32_t w = 0; w < span->words; w++)
		expect((span->scratch[w] & span_word_mask(span, w)) ==
		       0);					/* W2 */
}

/* check_own_sites - each node has a site of its own. */
static void
check_own_sites(void)
{
	unsigned sources = 0, heads = 0;

	for (unsigned i = 0; i < NODES; i++) {
		const struct leak_group *direct, *indirect;
		bool is_first = true;

		direct = find_group(site_of(i, NODES), true);
		indirect = find_group(site_of(i, NODES), false);
		if (!is_white[i]) {
			expect(direct == NULL && indirect == NULL);
			continue;
		}
		expect((direct == NULL) != (indirect == NULL));
		expect((direct ? direct : indirect)->blocks == 1);
		expect((direct ? direct : indirect)->bytes == nodes[i].size);
		expect(direct == NULL || is_in_source(i));
		heads += direct != NULL;
		/* The first of its circle stands for all of it. */
		for (unsigned k = 0; k < i; k++)
			is_first = is_first && !(leads[i][k] && leads[k][i]);
		sources += is_in_source(i) && is_first;
		/* No circle has two heads. */
		for (unsigned k = 0; k < i && direct != NULL; k++)
			expect(!(leads[i][k] && leads[k][i]) ||
			       find_group(site_of(k, NODES), true) == NULL);
	}
	expect(heads == sources);
}

static void
check_shared_sites(unsigned sites)
{
	for (uint32_t site = 0; site < sites; site++) {
		const struct leak_group *direct, *indirect;
		uint64_t blocks = 0, bytes = 0;

		for (unsigned i = 0; i < NODES; i++)
			if (is_white[i] && i % sites == site) {
				blocks++;
				bytes += nodes[i].size;
			}
		direct = find_group(SITE_FIRST + site, true);
		indirect = find_group(SITE_FIRST + site, false);
		expect((direct ? direct->blocks : 0) +
		       (indirect ? indirect->blocks : 0) == blocks);
		expect((direct ? direct->bytes : 0) +
		       (indirect ? indirect->bytes : 0) == bytes);
	}
}

static void
check_graph(unsigned sites)
{
	size_t room = meta_room();

	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	check_order();
	if (sites == NODES)
		check_own_sites();
	else
		check_shared_sites(sites);
	arena_for_each_span(check_scratch, NULL);
	leaks_release();
	marker_end();
	expect(meta_room() == room);
}

START_TEST(test_graphs)
{
	uint64_t state = unit_seed(1);

	for (unsigned n = 0; n < 1500; n++) {
		unsigned edges = (unsigned)unit_random(&state, 3 * NODES);
		unsigned sites = n % 3 == 0 ? 1 + n % 7 : NODES;

		make_graph(&state, edges, sites);
		mark((unsigned)unit_random(&state, 2 * NODES));
		check_graph(sites);
		for (unsigned i = 0; i < NODES; i++)
			expect(heap_free((void *)address(i)) == HEAP_DONE);
	}
}
END_TEST

/* Blocks that are reached, free, not noted or ignored are no leaks. */
START_TEST(test_none)
{
	static uintptr_t table[4];
	const struct leak_group *g;
	size_t count;
	void *p;

	p = unit_reveal(unit_hidden_block(100));
	table[0] = (uintptr_t)p;
	p = unit_reveal(unit_hidden_block(100));
	ck_assert_int_eq(heap_free(p), HEAP_DONE);
	/* On its way out of malloc. */
	ck_assert_ptr_nonnull(heap_alloc(100, false));
	ck_assert_ptr_nonnull(heap_alloc(500000, false));
	p = unit_reveal(unit_hidden_block(100));
	heap_set_site(p, SITE_IGNORED);
	expect(marker_begin(true));
	marker_whiten();
	marker_grey_ignored();
	marker_scan_range((uintptr_t)table, (uintptr_t)(table + 4));
	unit_drain();
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	leaks_groups(&count);
	ck_assert_uint_eq(count, 0);
	leaks_release();
	/* And one that is. */
	unit_hidden_block(77);
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	g = leaks_groups(&count);
	ck_assert_uint_eq(count, 1);
	ck_assert(g->is_direct && g->bytes == 77 && g->blocks == 1);
	ck_assert_uint_eq(g->site, SITE_UNKNOWN);
	leaks_release();
	marker_end();
}
END_TEST

/* A long list, a wide tree, a ring of large blocks. */
START_TEST(test_shapes)
{
	uintptr_t *first, *last, *p;
	const struct leak_group *g;
	size_t count;

	first = last = unit_reveal(unit_hidden_block(16));
	for (unsigned i = 1; i < 300000; i++) {
		p = unit_reveal(unit_hidden_block(16));
		last[0] = (uintptr_t)p;
		last = p;
	}
	expect(marker_begin(true));
	marker_whiten();
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	g = leaks_groups(&count);
	ck_assert_uint_eq(count, 2);
	ck_assert(g[0].is_direct && g[0].blocks == 1 && g[0].bytes == 16);
	ck_assert_uint_eq(g[1].blocks, 299999);
	leaks_release();
	/* Closed to a ring, it still has one head. */
	last[0] = (uintptr_t)first;
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	g = leaks_groups(&count);
	ck_assert(g[0].is_direct && g[0].blocks == 1);
	ck_assert_uint_eq(g[1].blocks, 299999);
	leaks_release();
	/* Held by a large block from somewhere in its middle. */
	p = unit_reveal(unit_hidden_block(3 * MIB));
	p[200000] = (uintptr_t)last + 8;
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	g = leaks_groups(&count);
	ck_assert(g[0].is_direct && g[0].bytes == 3 * MIB);
	ck_assert_uint_eq(g[1].blocks, 300000);
	leaks_release();
	marker_end();
}
END_TEST

/* A mark stack that is too small is told, not guessed over. */
START_TEST(test_overflow)
{
	uintptr_t *parent = unit_reveal(unit_hidden_block(40000 * 8));
	const struct leak_group *g;
	size_t count;

	for (unsigned i = 0; i < 40000; i++)
		parent[i] = (uintptr_t)unit_reveal(unit_hidden_block(16));
	unit_starve();
	expect(marker_begin(true));
	marker_whiten();
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), -ENOMEM);
	leaks_groups(&count);
	ck_assert_uint_eq(count, 0);
	/* Nor is what it found before the next one's. */
	for (unsigned i = 5; i < 40000; i++) {
		expect(heap_free((void *)parent[i]) == HEAP_DONE);
		parent[i] = 0;
	}
	marker_end();
	expect(marker_begin(true));
	marker_whiten();
	ck_assert_int_eq(leaks_collect(LEAKS_ALL, NULL), 0);
	g = leaks_groups(&count);
	ck_assert_uint_eq(count, 2);
	ck_assert(g[0].is_direct && g[0].blocks == 1);
	ck_assert_uint_eq(g[1].blocks, 5);
	leaks_release();
	marker_end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("leaks");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "graphs", test_graphs }, { "none", test_none },
		{ "shapes", test_shapes }, { "overflow", test_overflow },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
