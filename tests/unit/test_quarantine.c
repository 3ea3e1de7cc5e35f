/*
 * test_quarantine.c - freed blocks are held back until no pointer is left.
 */
#include "unit.h"

#include "collect/guard.h"
#include "collect/marker.h"
#include "heap/quarantine.h"
#include "settings/stats.h"
#include "world/pages.h"

#include <pthread.h>
#include <sys/mman.h>

static const size_t sizes[] = { 1, 16, 100, 1000, 5000, 60000, 130000, 300000,
				5 * MIB };

/* All that the marks of this file begin at. */
static uintptr_t roots[64];

static void
setup(void)
{
	static const char *const settings[] = { "BILGE_FREE=guard", NULL };

	quarantine_start();
	unit_core(settings);
}

/* mark - for the quarantine alone, from `roots`. */
static void
mark(void)
{
	span_defer(true);
	expect(marker_begin(false));
	guard_whiten();
	pages_open();
	marker_blacken_claims();
	marker_grey_ignored();
	marker_scan_range((uintptr_t)roots, (uintptr_t)(roots + 64));
	guard_scan_heap(NULL);
	unit_drain();
}

static struct guard_result
sweep(void)
{
	struct guard_result r;

	guard_sweep(&r);
	store_relaxed(&cache_blackens, false);
	pages_close();
	marker_end();
	span_defer(false);
	return r;
}

static struct guard_result
cycle(void)
{
	mark();
	return sweep();
}

/* held - a block that was freed, behind a pointer that nobody sees. */
static struct hidden
held(size_t size)
{
	struct hidden h = unit_hidden_block(size);

	memset(unit_reveal(h), 0x5a, size);
	expect(heap_free(unit_reveal(h)) == HEAP_DONE);
	return h;
}

static bool
is_held(struct hidden h)
{
	struct block b;

	return candidate_locate((uintptr_t)unit_reveal(h), &b) &&
	       span_is_quarantined(b.span, b.slot);
}

/* comes_back - is this place given out again within many allocations? */
static bool
comes_back(struct hidden h, size_t size)
{
	static struct hidden blocks[5000];
	bool found = false;
	size_t n = 0;

	while (n < ARRAY_LEN(blocks) && !found) {
		blocks[n] = unit_hidden_block(size);
		found = blocks[n++].word == h.word;
	}
	while (n > 0)
		expect(heap_free(unit_reveal(blocks[--n])) == HEAP_DONE);
	return found;
}

/* ------------------------------------------------------------------ the rule */

/* G1: clear, and not given out before a mark has found no pointer. */
START_TEST(test_held)
{
	size_t size = sizes[_i];
	struct hidden h = held(size);
	const char *bytes = unit_reveal(h);
	struct guard_result r;

	for (size_t i = 0; i < size; i++)
		expect(bytes[i] == 0);
	expect(is_held(h));
	ck_assert_uint_ge(heap_statistics().quarantined_bytes, size);
	ck_assert_uint_eq(heap_usable_size(bytes), 0);
	if (size < MIB)
		expect(!comes_back(h, size));

	roots[0] = (uintptr_t)bytes + size / 2;
	for (unsigned i = 0; i < 3; i++) {
		r = cycle();
		expect(is_held(h) && r.kept_bytes >= size);
	}
	roots[0] = 0;
	r = cycle();
	expect(!is_held(h) && r.released_bytes >= size);
	ck_assert_uint_eq(heap_statistics().quarantined_bytes, 0);
	unit_check_heap();
}
END_TEST

/* What is released is used again: memory does not grow. */
START_TEST(test_used_again)
{
	size_t size = sizes[_i], count = MIN(MAX(4 * MIB / size, 2u), 5000u);
	static struct hidden blocks[5000];
	size_t first = 0;

	for (unsigned round = 0; round < 30; round++) {
		for (size_t i = 0; i < count; i++)
			blocks[i] = unit_hidden_block(size);
		for (size_t i = 0; i < count; i++)
			expect(heap_free(unit_reveal(blocks[i])) == HEAP_DONE);
		cycle();
		if (round == 2)
			first = heap_statistics().mapped_bytes;
	}
	ck_assert_uint_le(heap_statistics().mapped_bytes,
			  first + first / 4 + MIB);
}
END_TEST

/* A pointer from any block counts, reachable or not, but one in quarantine. */
START_TEST(test_holders)
{
	struct hidden holder = unit_hidden_block(200);
	struct hidden large = unit_hidden_block(3 * MIB);
	struct hidden a = held(64), b = held(64), c = held(64);
	uintptr_t *words = unit_reveal(holder);
	uintptr_t *pages = unit_reveal(large);

	memset(words, 0, 200);
	words[7] = (uintptr_t)unit_reveal(a);
	pages[300000] = (uintptr_t)unit_reveal(b);
	/* Written after it was freed: it does not hold anything. */
	*(uintptr_t *)unit_reveal(a) = (uintptr_t)unit_reveal(c);
	cycle();
	expect(is_held(a) && is_held(b) && !is_held(c));
	expect(heap_free(words) == HEAP_DONE);
	pages[300000] = 0;
	words = pages = NULL;
	cycle();
	expect(!is_held(a) && !is_held(b) && !is_held(holder));
}
END_TEST

/*
 * K4: what is held is not read, also where it is written while we mark: a
 * dangling pointer in it holds nothing.
 */
START_TEST(test_written_meanwhile)
{
	size_t size = sizes[_i];
	struct hidden holder = held(size), b = held(64);
	uintptr_t start = (uintptr_t)unit_reveal(holder);

	roots[0] = start;
	mark();
	*(uintptr_t *)start = (uintptr_t)unit_reveal(b);
	marker_rescan(marker_of(0), ALIGN_DOWN(start, 4096), start + 4096);
	unit_drain();
	sweep();
	expect(is_held(holder) && !is_held(b));
	roots[0] = 0;
	cycle();
	expect(!is_held(holder));
}
END_TEST

/* G2: what is freed while marks count waits for the next mark. */
START_TEST(test_freed_meanwhile)
{
	struct hidden before = held(64), during = unit_hidden_block(64);
	struct guard_result r;

	span_defer(true);
	expect(marker_begin(false));
	marker_whiten();		/* as for leaks: all is white */
	pages_open();
	marker_blacken_claims();
	expect(heap_free(unit_reveal(during)) == HEAP_DONE);
	guard_sweep(&r);
	store_relaxed(&cache_blackens, false);
	pages_close();
	marker_end();
	span_defer(false);
	expect(!is_held(before) && is_held(during));
	cycle();
	expect(!is_held(during));
}
END_TEST

/* What the program told us to ignore is let go as soon as it is freed. */
START_TEST(test_ignored)
{
	struct hidden h = unit_hidden_block(64);

	expect(heap_set_site(unit_reveal(h), SITE_IGNORED));
	expect(heap_free(unit_reveal(h)) == HEAP_DONE);
	cycle();
	expect(!is_held(h));
}
END_TEST

/* ----------------------------------------------------------- wrong and right */

START_TEST(test_twice)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct hidden h = held(sizes[i]);
		void *moved;

		expect(heap_free(unit_reveal(h)) == HEAP_DOUBLE_FREE);
		expect(heap_resize(unit_reveal(h), 10, &moved) ==
		       HEAP_DOUBLE_FREE);
		expect(!heap_set_site(unit_reveal(h), SITE_IGNORED));
	}
	expect(heap_free((char *)unit_reveal(held(1000)) + 16) ==
	       HEAP_INVALID);
}
END_TEST

/* The old place of a block that has moved is held as well; so is its tail. */
START_TEST(test_resize)
{
	struct hidden old = unit_hidden_block(100);
	char *large = heap_alloc(4 * MIB, false), *same;
	uintptr_t tail = (uintptr_t)large + 3 * MIB;
	struct block b;
	void *moved;

	expect(heap_resize(unit_reveal(old), 100000, &moved) == HEAP_DONE);
	expect(moved != unit_reveal(old) && is_held(old));
	memset(large, 1, 4 * MIB);
	expect(heap_resize(large, MIB, (void **)&same) == HEAP_DONE);
	expect(same == large && large[MIB - 1] == 1);
	/* Pages behind it: cut off, and nobody else's. */
	expect(candidate_locate(tail, &b) &&
	       span_slot_addr(b.span, b.slot) == (uintptr_t)large);
	expect(*(char *)tail == 0);
	expect(heap_resize(large, 4 * MIB, (void **)&same) == HEAP_DONE);
	expect(same == large && *(char *)tail == 0);
}
END_TEST

START_TEST(test_locked_pages)
{
	char *block = heap_alloc(300000, false);
	struct hidden h = unit_hide(block);

	memset(block, 1, 300000);
	if (mlock(block, 300000) != 0)
		return;		/* not allowed here */
	expect(heap_free(block) == HEAP_DONE);
	for (size_t i = 0; i < 300000; i++)
		expect(block[i] == 0);
	block = NULL;
	cycle();
	expect(!is_held(h));
}
END_TEST

/* U2: a write is found, once, with its place; the block stays as it is. */
START_TEST(test_written)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct hidden h = held(sizes[i]);
		char *bytes = unit_reveal(h);
		size_t at = sizes[i] / 2, count;
		const struct overwrite *o;
		struct guard_result r;

		roots[0] = (uintptr_t)bytes;
		cycle();
		ck_assert_uint_eq(load_relaxed(&stats.misuses), i);
		bytes[at] = 1;
		for (unsigned n = 0; n < 3; n++)
			r = cycle();
		expect(r.kept_bytes >= sizes[i] && bytes[at] == 1);
		ck_assert_uint_eq(load_relaxed(&stats.misuses), i + 1);
		o = guard_overwrites(&count);
		ck_assert_uint_eq(count, i + 1);
		expect(o[i].address == (uintptr_t)bytes);
		expect(o[i].offset == ALIGN_DOWN(at, 8));
		roots[0] = 0;
		cycle();
		expect(!is_held(h));
	}
}
END_TEST

/* What was written at the last moment is seen at its release. */
START_TEST(test_written_and_dropped)
{
	struct hidden h = held(64);

	((char *)unit_reveal(h))[63] = 1;
	cycle();
	expect(!is_held(h));
	ck_assert_uint_eq(load_relaxed(&stats.misuses), 1);
}
END_TEST

/* --------------------------------------------------------------- all at once */

/* A model of what is held, against cycles at any time. */
START_TEST(test_random)
{
	uint64_t state = unit_seed(1);
	enum { COUNT = 400 };
	static struct hidden blocks[COUNT];
	static size_t size[COUNT];
	static bool is_freed[COUNT];
	unsigned rooted[64];

	memset(rooted, 0xff, sizeof(rooted));
	for (unsigned round = 0; round < 30000; round++) {
		size_t i = unit_random(&state, COUNT);
		size_t r = unit_random(&state, 64);

		if (is_freed[i]) {
			expect(is_held(blocks[i]));
			for (size_t at = 0; at < size[i]; at += 61)
				expect(((char *)unit_reveal(blocks[i]))[at] ==
				       0);
		} else if (size[i] != 0) {
			expect(heap_free(unit_reveal(blocks[i])) == HEAP_DONE);
			is_freed[i] = true;
			roots[r] = (uintptr_t)unit_reveal(blocks[i]);
			rooted[r] = (unsigned)i;
		} else {
			size[i] = 1 + unit_random_size(&state, 300000);
			blocks[i] = unit_hidden_block(size[i]);
			memset(unit_reveal(blocks[i]), 0x5a, size[i]);
		}
		if (unit_random(&state, 200) != 0)
			continue;
		cycle();
		for (i = 0; i < COUNT; i++) {
			bool is_rooted = false;

			for (r = 0; r < 64; r++)
				is_rooted |= rooted[r] == i;
			if (!is_freed[i])
				continue;
			expect(is_held(blocks[i]) == is_rooted);
			if (is_rooted)
				continue;
			is_freed[i] = false;
			size[i] = 0;
		}
	}
	unit_check_heap();
}
END_TEST

static void *
free_all(void *argument)
{
	struct hidden *blocks = argument;

	expect(heap_thread_begin(false));
	for (unsigned i = 0; i < 1000; i++)
		expect(heap_free(unit_reveal(blocks[i])) == HEAP_DONE);
	heap_thread_end(false);
	return NULL;
}

/* Freed by another thread, from one word as the owner frees. */
START_TEST(test_threads)
{
	static struct hidden theirs[1000], ours[1000];
	pthread_t thread;

	for (unsigned i = 0; i < 1000; i++) {
		theirs[i] = unit_hidden_block(48);
		ours[i] = unit_hidden_block(48);
	}
	expect(pthread_create(&thread, NULL, free_all, theirs) == 0);
	for (unsigned i = 0; i < 1000; i++)
		expect(heap_free(unit_reveal(ours[i])) == HEAP_DONE);
	expect(pthread_join(thread, NULL) == 0);
	for (unsigned i = 0; i < 1000; i++)
		expect(is_held(theirs[i]) && is_held(ours[i]));
	cycle();
	for (unsigned i = 0; i < 1000; i++)
		expect(!is_held(theirs[i]) && !is_held(ours[i]));
	unit_check_heap();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("quarantine");
	const struct {
		const char *name;
		const TTest *test;
		int count;
	} cases[] = {
		{ "held", test_held, ARRAY_LEN(sizes) },
		{ "used_again", test_used_again, ARRAY_LEN(sizes) },
		{ "holders", test_holders, 1 },
		{ "written_meanwhile", test_written_meanwhile,
		  ARRAY_LEN(sizes) },
		{ "freed_meanwhile", test_freed_meanwhile, 1 },
		{ "ignored", test_ignored, 1 },
		{ "twice", test_twice, 1 },
		{ "resize", test_resize, 1 },
		{ "locked_pages", test_locked_pages, 1 },
		{ "written", test_written, 1 },
		{ "written_and_dropped", test_written_and_dropped, 1 },
		{ "random", test_random, 1 },
		{ "threads", test_threads, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		TCase *c = tcase_create(cases[i].name);

		tcase_add_checked_fixture(c, setup, NULL);
		tcase_set_timeout(c, 120);
		tcase_add_loop_test(c, cases[i].test, 0, cases[i].count);
		suite_add_tcase(suite, c);
	}
	return unit_run(suite);
}
