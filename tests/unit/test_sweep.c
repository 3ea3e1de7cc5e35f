/*
 * test_sweep.c - what becomes of white blocks.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/candidate.h"
#include "collect/marker.h"
#include "collect/sweep.h"
#include "heap/meta.h"
#include "report/leaks.h"
#include "report/ledger.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/pages.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sites, as if they came from the depot. */
#define SITE	100u

/* was_reclaimed - is this slot free because it was reclaimed? */
static bool
was_reclaimed(const void *block)
{
	struct span *span = arena_span_of((uintptr_t)block);
	uint32_t slot;

	return span != NULL && !span_is_large(span) &&
	       span_has_slot_at(span, (uintptr_t)block, &slot) &&
	       ((load_relaxed(&span->reclaimed[slot / WORD_BITS]) >>
		 (slot % WORD_BITS)) & 1) != 0;
}

/* All that the program can reach. */
static uintptr_t roots[64];

static void
start(const char *grace)
{
	char text[32];
	const char *settings[] = { "BILGE_LEAKS=reclaim", text, NULL };

	snprintf(text, sizeof(text), "BILGE_GRACE=%s", grace);
	unit_core(settings);
	/* The block of unit_core(). */
	roots[0] = arena_view.base;
}

static void
setup(void)
{
	start("1");
}

/* cycle - a mark, from the roots alone, and a sweep. */
static struct sweep_result
cycle(bool reclaims)
{
	struct sweep_result r;

	span_defer(true);
	expect(marker_begin(true));
	marker_whiten();
	pages_open();
	marker_blacken_claims();
	marker_scan_range((uintptr_t)roots, (uintptr_t)(roots + 64));
	unit_drain();
	expect(sweep_run(reclaims, &r) == 0);
	leaks_release();
	store_relaxed(&cache_blackens, false);
	pages_close();
	marker_end();
	span_defer(false);
	return r;
}

static struct hidden
lose(size_t size, uint32_t site)
{
	struct hidden h = unit_hidden_block(size);
	void *block = unit_reveal(h);

	memset(block, 0x5a, size);
	heap_note(block, size, site);
	return h;
}

/* is_there - is it in the program's hands? */
static bool
is_there(struct hidden h)
{
	struct block b;

	return candidate_find((uintptr_t)unit_reveal(h), &b);
}

/* ------------------------------------------------------------------ R1: grace */

static const size_t sizes[] = { 1, 16, 100, 5000, 60000, 300000, 5 * MIB };

/* White in grace + 1 cycles in a row, and not one less. */
START_TEST(test_grace)
{
	static const unsigned graces[] = { 0, 1, 4 };
	unsigned grace = graces[_i];
	char text[8];
	struct hidden lost[ARRAY_LEN(sizes)];
	struct sweep_result r;

	snprintf(text, sizeof(text), "%u", grace);
	start(text);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		lost[i] = lose(sizes[i], SITE);
	for (unsigned n = 0; n < grace; n++) {
		r = cycle(true);
		expect(r.lost_blocks == (n == 0 ? ARRAY_LEN(sizes) : 0));
		expect(r.reclaimed_blocks == 0 && r.pending_bytes > 5 * MIB);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
			expect(is_there(lost[i]));
	}
	r = cycle(true);
	ck_assert_uint_eq(r.reclaimed_blocks, ARRAY_LEN(sizes));
	ck_assert_uint_ge(r.reclaimed_bytes, 5 * MIB);
	ck_assert_uint_eq(r.pending_bytes, 0);
	ck_assert_uint_eq(r.resurrected_blocks, 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		expect(!is_there(lost[i]));
	ck_assert_uint_eq(stats.reclaimed_blocks, ARRAY_LEN(sizes));
	r = cycle(true);
	ck_assert_uint_eq(r.lost_blocks + r.reclaimed_blocks, 0);
	unit_check_heap();
}
END_TEST

/* Told once, with the sizes that the program asked for. */
START_TEST(test_told)
{
	struct sweep_result r;
	struct account a;

	for (unsigned i = 0; i < 10; i++)
		lose(100 + i, SITE + i / 5);
	r = cycle(true);
	ck_assert_uint_eq(r.lost_blocks, 10);
	ck_assert_uint_eq(r.lost_bytes, 1045);
	ck_assert_uint_eq(r.lost_sites, 2);
	ck_assert(ledger_find(SITE, true, &a));
	ck_assert(a.blocks == 5 && a.bytes == 510 && a.reclaimed_blocks == 0);
	r = cycle(true);
	ck_assert_uint_eq(r.lost_blocks + r.lost_sites, 0);
	ck_assert_uint_eq(r.reclaimed_bytes, 1045);
	ck_assert(ledger_find(SITE + 1, true, &a));
	ck_assert(a.blocks == 5 && a.bytes == 535);
	ck_assert(a.reclaimed_blocks == 5 && a.reclaimed_bytes == 535);
}
END_TEST

/* What only a leak holds goes with it; so does a circle. */
START_TEST(test_graphs)
{
	struct hidden parent = lose(64, SITE), child = lose(64, SITE + 1);
	struct hidden ring[3];
	struct account a;

	*(void **)unit_reveal(parent) = unit_reveal(child);
	for (size_t i = 0; i < 3; i++)
		ring[i] = lose(64, SITE + 2);
	for (size_t i = 0; i < 3; i++)
		*(void **)unit_reveal(ring[i]) =
			unit_reveal(ring[(i + 1) % 3]);
	ck_assert_uint_eq(cycle(true).lost_blocks, 5);
	ck_assert_uint_eq(cycle(true).reclaimed_blocks, 5);
	ck_assert(ledger_find(SITE + 1, false, &a) && a.reclaimed_blocks == 1);
	ck_assert(ledger_find(SITE + 2, true, &a) && a.reclaimed_blocks == 1);
	ck_assert(ledger_find(SITE + 2, false, &a) && a.reclaimed_blocks == 2);
}
END_TEST

/* What is in use is never touched, nor its neighbours. */
START_TEST(test_random)
{
	enum { MANY = 3000 };
	static struct hidden blocks[MANY];
	static bool is_lost[MANY];
	static size_t lengths[MANY];
	uint64_t state = unit_seed(1);
	uintptr_t *held = unit_reveal(unit_hidden_block(MANY * 8));
	size_t lost = 0, reclaimed = 0;

	roots[1] = (uintptr_t)held;
	for (size_t i = 0; i < MANY; i++) {
		lengths[i] = unit_random_size(&state, 3000) + 8;
		blocks[i] = lose(lengths[i], SITE);
		held[i] = (uintptr_t)unit_reveal(blocks[i]);
		memset(unit_reveal(blocks[i]), (int)(i % 251), lengths[i]);
	}
	for (unsigned n = 0; n < 10; n++) {
		for (size_t k = 0; k < 200; k++) {
			size_t i = unit_random(&state, MANY);

			lost += !is_lost[i];
			is_lost[i] = true;
			held[i] = 0;
		}
		reclaimed += cycle(true).reclaimed_blocks;
		expect(reclaimed <= lost);
		unit_check_heap();
	}
	reclaimed += cycle(true).reclaimed_blocks;
	ck_assert_uint_eq(reclaimed, lost);
	for (size_t i = 0; i < MANY; i++) {
		const unsigned char *p = unit_reveal(blocks[i]);

		expect(is_there(blocks[i]) == !is_lost[i]);
		for (size_t at = 0; !is_lost[i] && at < lengths[i]; at++)
			expect(p[at] == i % 251);
	}
	/* All that was reclaimed can be had again, once. */
	for (size_t i = 0; i < 2 * MANY; i++)
		expect(heap_alloc(unit_random(&state, 3000), false) != NULL);
	for (size_t i = 0; i < MANY; i++)
		if (!is_lost[i])
			expect(((unsigned char *)unit_reveal(blocks[i]))[0] ==
			       i % 251);
	unit_check_heap();
}
END_TEST

/* -------------------------------------------------------------- resurrections */

/* expect_kept - it came back: it is there, and its site is left alone. */
static void
expect_kept(struct hidden block, uint32_t site)
{
	struct hidden sibling = lose(64, site), other = lose(64, site + 50);

	expect(ledger_is_exempt(site) && !ledger_is_exempt(site + 50));
	roots[9] = 0;
	for (unsigned n = 0; n < 5; n++)
		expect(cycle(true).resurrected_blocks == 0);
	expect(is_there(block) && is_there(sibling) && !is_there(other));
	expect(stats.resurrected == 1);
}

START_TEST(test_reached)
{
	struct hidden back, inner;

	start("2");
	back = lose(sizes[_i], SITE);
	inner = lose(32, SITE + 1);
	if (sizes[_i] >= 8)
		*(void **)unit_reveal(back) = unit_reveal(inner);
	ck_assert_uint_ge(cycle(true).lost_blocks, 2);
	cycle(true);
	roots[9] = (uintptr_t)unit_reveal(back);
	/* What it holds comes back with it; once may be by a stale word. */
	ck_assert_uint_eq(cycle(true).resurrected_blocks,
			  sizes[_i] >= 8 ? 2 : 1);
	ck_assert(!ledger_is_exempt(SITE) && !ledger_is_exempt(SITE + 1));
	ck_assert_uint_eq(cycle(true).resurrected_blocks,
			  sizes[_i] >= 8 ? 2 : 1);
	if (sizes[_i] < 8)
		return;
	ck_assert(is_there(back) && is_there(inner));
	ck_assert(ledger_is_exempt(SITE) && ledger_is_exempt(SITE + 1));
	ck_assert(!ledger_is_exempt(SITE + 2));
	roots[9] = 0;
	for (unsigned n = 0; n < 5; n++)
		expect(cycle(true).reclaimed_blocks == 0);
	ck_assert(is_there(back) && is_there(inner));
}
END_TEST

/* Reached once only: its site's blocks wait for 3 cycles more, then 15. */
START_TEST(test_reached_once)
{
	struct hidden block, sibling;

	start("0");
	for (unsigned n = 0; n < 2; n++) {
		unsigned patience = n == 0 ? 3 : 15;

		stats.cycle.count += 5;
		ledger_suspect(SITE, stats.cycle.count + 1);
		ck_assert_uint_eq(ledger_patience(SITE, stats.cycle.count + 1),
				  patience);
		block = lose(64, SITE);
		sibling = lose(64, SITE + 1);
		for (unsigned i = 0; i < patience; i++) {
			cycle(true);
			expect(is_there(block) && !is_there(sibling));
		}
		cycle(true);
		expect(!is_there(block));
	}
	ck_assert(!ledger_is_exempt(SITE));
	stats.cycle.count += 5;
	ledger_suspect(SITE, stats.cycle.count + 1);
	ck_assert(ledger_is_exempt(SITE));
	/* What is long ago is forgotten. */
	for (uint64_t n = 100; n < 100 + 5 * 2 * LEDGER_MEMORY;
	     n += 2 * LEDGER_MEMORY)
		ledger_suspect(SITE + 2, n);
	ck_assert(!ledger_is_exempt(SITE + 2));
	/* In one cycle many blocks say no more than one. */
	for (unsigned i = 0; i < 10; i++)
		ledger_suspect(SITE + 3, 7);
	ck_assert(!ledger_is_exempt(SITE + 3));
}
END_TEST

/* Any byte that was asked for, whenever it changes. */
START_TEST(test_changed)
{
	uint64_t state = unit_seed(2 + (unsigned)_i);
	size_t size = sizes[_i] & ~(size_t)7;
	struct hidden back;

	if (size == 0)
		return;
	back = lose(size, SITE);
	ck_assert_uint_eq(cycle(true).lost_blocks, 1);
	((char *)unit_reveal(back))[unit_random(&state, size)] ^= 1;
	ck_assert_uint_eq(cycle(true).resurrected_blocks, 1);
	expect_kept(back, SITE);
}
END_TEST

/* The same words in another order, a word moved, zero for zero pages. */
START_TEST(test_changed_little)
{
	struct hidden back;
	uint64_t *words;

	back = lose(5 * MIB, SITE);
	words = unit_reveal(back);
	words[0] = 1;
	words[4] = 2;
	cycle(true);
	if (_i == 0) {
		words[0] = 2;
		words[4] = 1;
	} else if (_i == 1) {
		/* A whole part, to the place of another like it. */
		words[0] = words[4] = 0x5a5a5a5a5a5a5a5a;
		words[512] = 1;
		words[516] = 2;
	} else {
		madvise((char *)ALIGN_UP((uintptr_t)words, 4096) + 4096,
			4096, MADV_DONTNEED);
	}
	ck_assert_uint_eq(cycle(true).resurrected_blocks, 1);
	expect_kept(back, SITE);
}
END_TEST

/* Freed by the program while it waits: it was none. */
START_TEST(test_freed)
{
	enum { NEIGHBOURS = 400 };
	uintptr_t *held = unit_reveal(unit_hidden_block(NEIGHBOURS * 8));
	struct hidden back = { 0 }, again;
	uint32_t site = 0;
	size_t tries = 0;
	void *p;

	roots[1] = (uintptr_t)held;
	for (size_t i = 0; i < NEIGHBOURS; i++) {
		held[i] = (uintptr_t)heap_alloc(100, false);
		if (i == NEIGHBOURS / 2)
			back = lose(100, SITE);
	}
	p = unit_reveal(back);
	ck_assert(!heap_uncondemn(p, &site));
	ck_assert(!load_relaxed(&heap_has_condemned));
	cycle(true);
	ck_assert(load_relaxed(&heap_has_condemned));
	ck_assert(heap_uncondemn(p, &site));
	ck_assert_uint_eq(site, SITE);
	ck_assert(!heap_uncondemn(p, &site));
	sweep_resurrect(site);
	ck_assert_int_eq(heap_free(p), HEAP_DONE);
	ck_assert(ledger_is_exempt(SITE));
	ck_assert_uint_eq(stats.resurrected, 1);
	/* Its slot has another block now, which has its own grace. */
	for (size_t i = 0; i < NEIGHBOURS; i++)
		expect(heap_free((void *)held[i]) == HEAP_DONE);
	do
		again = lose(100, SITE + 1);
	while (again.word != back.word && ++tries < 10000);
	ck_assert(again.word == back.word);
	ck_assert_uint_eq(cycle(true).resurrected_blocks, 0);
	ck_assert(is_there(again));
	cycle(true);
	ck_assert(!is_there(again));
	ck_assert(was_reclaimed(unit_reveal(again)));
	/* What is given out is not reclaimed, whatever it was before. */
	for (tries = 0; tries < 10000; tries++)
		expect(!was_reclaimed(heap_alloc(100, false)));
}
END_TEST

/* Exempt sites are told, condemned and kept; and so are all, if need be. */
START_TEST(test_exempt)
{
	struct hidden kept = lose(100, SITE), lost = lose(100, SITE + 1), more;

	ledger_exempt(SITE);
	ck_assert_uint_eq(cycle(true).lost_blocks, 2);
	ck_assert_uint_eq(cycle(true).reclaimed_blocks, 1);
	ck_assert(is_there(kept) && !is_there(lost));
	more = lose(100, SITE + 2);
	cycle(true);
	ledger_exempt_all();
	for (unsigned n = 0; n < 4; n++)
		expect(cycle(true).reclaimed_blocks == 0);
	ck_assert(is_there(kept) && is_there(more));
}
END_TEST

/* ------------------------------------------------------------- report only */

START_TEST(test_report_only)
{
	struct hidden lost = lose(100, SITE), large = lose(MIB, SITE);
	struct sweep_result r = cycle(false);

	ck_assert_uint_eq(r.lost_blocks, 2);
	ck_assert_uint_eq(r.pending_bytes, 0);
	for (unsigned n = 0; n < 5; n++) {
		r = cycle(false);
		expect(r.lost_blocks == 0 && r.reclaimed_blocks == 0);
	}
	ck_assert(is_there(lost) && is_there(large));
	/* Changing is no news, and coming back no resurrection. */
	*(int *)unit_reveal(lost) = 7;
	roots[9] = (uintptr_t)unit_reveal(lost);
	r = cycle(false);
	ck_assert_uint_eq(r.resurrected_blocks + r.lost_blocks, 0);
	ck_assert(!ledger_is_exempt(SITE));
	/* Lost once more, it is told once more. */
	roots[9] = 0;
	ck_assert_uint_eq(cycle(false).lost_blocks, 1);
}
END_TEST

/* ------------------------------------------------------------------- large ones */

static size_t
resident(void)
{
	unsigned char pages[2 * MIB / 4096];
	size_t count = 0;
	size_t size = MIN(load_relaxed(&arena_view.frontier), 256 * MIB);

	for (size_t at = 0; at < size; at += 2 * MIB) {
		size_t part = MIN(size - at, 2 * MIB);

		if (mincore((void *)(arena_view.base + at), part, pages) != 0)
			continue;
		for (size_t i = 0; i < part / 4096; i++)
			count += pages[i] & 1;
	}
	return count * 4096;
}

START_TEST(test_large)
{
	struct hidden lost[8];
	size_t before = resident(), dirty = arena_dirty_bytes();
	uint64_t reclaimed = sweep_reclaimed();

	for (size_t i = 0; i < ARRAY_LEN(lost); i++)
		lost[i] = lose(4 * MIB, SITE);
	ck_assert_uint_ge(resident(), before + 32 * MIB);
	cycle(true);
	ck_assert_uint_eq(cycle(true).reclaimed_blocks, ARRAY_LEN(lost));
	for (size_t i = 0; i < ARRAY_LEN(lost); i++)
		ck_assert(!is_there(lost[i]));
	/* The pages went back at once, and that is known. */
	ck_assert_uint_le(resident(), before + MIB);
	ck_assert_uint_eq(arena_dirty_bytes(), dirty);
	ck_assert_uint_ge(sweep_reclaimed() - reclaimed, 32 * MIB);
	unit_check_heap();
}
END_TEST

/* ------------------------------------------------- R2: sweep against the program */

#define RACERS	20000

static struct hidden racers[RACERS];
static _Atomic unsigned is_racing;

static void *
free_all(void *ret_freed)
{
	size_t freed = 0;
	uint32_t site;

	heap_thread_begin(true);
	store_release(&is_racing, 1);
	for (size_t i = RACERS; i-- > 0;) {
		void *p = unit_reveal(racers[i]);
		enum heap_verdict verdict;

		if (heap_uncondemn(p, &site))
			sweep_resurrect(site);
		verdict = heap_free(p);
		if (verdict == HEAP_DONE) {
			freed++;
		} else {
			expect(verdict == HEAP_DOUBLE_FREE);
			expect(was_reclaimed(p));
		}
		p = NULL;
	}
	heap_thread_end(false);
	*(size_t *)ret_freed = freed;
	return NULL;
}

/* Each block is freed by the program or reclaimed, never both. */
START_TEST(test_race)
{
	size_t freed = 0, reclaimed;
	pthread_t thread;

	for (size_t i = 0; i < RACERS; i++)
		racers[i] = lose(48, SITE + (uint32_t)i);
	/* So that no span becomes empty. */
	for (size_t i = 0; i < RACERS; i += 50)
		roots[1] = (uintptr_t)unit_reveal(lose(48, 7));
	cycle(false);
	reclaimed = 0;
	sweep_fork_child();
	cycle(true);
	expect(pthread_create(&thread, NULL, free_all, &freed) == 0);
	while (load_acquire(&is_racing) == 0)
		sched_yield();
	for (unsigned n = 0; n < 3; n++)
		reclaimed += cycle(true).reclaimed_blocks;
	pthread_join(thread, NULL);
	/* What was lost to keep the spans is reclaimed too. */
	ck_assert_uint_ge(freed + reclaimed, RACERS);
	ck_assert_uint_le(freed + reclaimed, RACERS + RACERS / 50);
	unit_check_heap();
}
END_TEST

/* ------------------------------------------------------------------ fork, memory */

/* In a child nothing is condemned: grace begins anew. */
START_TEST(test_child)
{
	struct hidden lost = lose(100, SITE);
	int status;
	pid_t pid;

	cycle(true);
	pid = fork();
	if (pid == 0) {
		sweep_fork_child();
		expect(cycle(true).reclaimed_blocks == 0 && is_there(lost));
		expect(cycle(true).reclaimed_blocks == 1 && !is_there(lost));
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	ck_assert(is_there(lost));
	ck_assert_uint_eq(cycle(true).reclaimed_blocks, 1);
}
END_TEST

/* Without memory nothing is told and nothing reclaimed. */
START_TEST(test_no_memory)
{
	struct hidden lost = lose(100, SITE);
	struct sweep_result r;

	expect(marker_begin(true));
	marker_whiten();
	marker_blacken_claims();
	meta_reserve(meta_room());
	ck_assert_int_eq(sweep_run(true, &r), -ENOMEM);
	ck_assert_uint_eq(r.reclaimed_blocks + r.lost_blocks, 0);
	ck_assert(is_there(lost));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sweep");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "told", test_told }, { "graphs", test_graphs },
		{ "random", test_random }, { "freed", test_freed },
		{ "exempt", test_exempt },
		{ "report_only", test_report_only },
		{ "large", test_large }, { "race", test_race },
		{ "child", test_child }, { "no_memory", test_no_memory },
	};
	TCase *loops = unit_case(suite, "grace", NULL);

	tcase_add_loop_test(loops, test_grace, 0, 3);
	tcase_add_loop_test(loops, test_reached, 0, ARRAY_LEN(sizes));
	tcase_add_test(loops, test_reached_once);
	loops = unit_case(suite, "resurrected", NULL);
	tcase_add_checked_fixture(loops, setup, NULL);
	tcase_add_loop_test(loops, test_changed, 0, ARRAY_LEN(sizes));
	tcase_add_loop_test(loops, test_changed_little, 0, 3);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
