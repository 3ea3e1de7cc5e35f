/*
 * test_tracked.c - what a mark has read already and the program writes then is
 * read again, in the heap and outside, with a barrier and without.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/marker.h"
#include "collect/squad.h"
#include "collect/tracked.h"
#include "settings/options.h"
#include "world/pages.h"
#include "world/roots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE	((size_t)4096)
#define SIZE	MIB

/* A mapping of the program's, a root. */
static uintptr_t *area;

/* Who reads what is dirty, and how. */
static enum { ALONE, TOGETHER, PASSING, WAYS } way;

static const char *const barriers[] = { "BILGE_BARRIER=auto",
					"BILGE_BARRIER=stop" };

static void
start(int i)
{
	const char *settings[] = { barriers[i / WAYS], NULL };

	way = i % WAYS;
	unit_core(settings);
	barrier_open();
	area = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(area != MAP_FAILED);
	area[0] = 1;
}

static void
begin(void)
{
	expect(marker_begin(true));
	pages_open();
	expect(roots_prepare() == 0);
	expect(roots_list(true) == 0);
	expect(tracked_begin() == 0);
	marker_whiten();
}

static bool
go_on(void)
{
	return true;
}

static bool
give_up(void)
{
	return false;
}

/* mark - what can be reached now. */
static void
mark(void)
{
	begin();
	tracked_scan_ranges(go_on);
	unit_drain();
}

/* pass - ask for all, part after part, and read it. */
static void
pass(void)
{
	size_t pages;
	int more;

	do
		more = tracked_pass(sys_monotonic_ns() + 50 * NSEC_PER_USEC,
				    &pages);
	while (more == 1);
	expect(more == 0);
}

/* catch_up - what the last stop of a cycle does. */
static void
catch_up(void)
{
	if (way == ALONE) {
		expect(tracked_collect() == 0);
		expect(tracked_scan_dirty(0));
	} else {
		squad_begin();
		if (way == PASSING)
			pass();
		else
			expect(tracked_collect() == 0);
		expect(tracked_scan_together(UINT64_MAX));
		squad_end();
	}
	expect(tracked_dirty_pages() == 0);
	tracked_scan_rest();
	unit_drain();
}

static void
end(void)
{
	tracked_end();
	pages_close();
	marker_end();
}

static bool
is_seen(struct hidden block)
{
	return unit_is_marked((uintptr_t)unit_reveal(block));
}

static void
put(uintptr_t *place, struct hidden block)
{
	*(volatile uintptr_t *)place = (uintptr_t)unit_reveal(block);
}

/* close_pagemap - as a program may that closes all.  Returns: was it there? */
static bool
close_pagemap(void)
{
	char path[40], target[100];
	bool found = false;

	for (int fd = 3; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strstr(target, "/pagemap") != NULL) {
			close(fd);
			found |= barrier_current() == &barrier_uffd;
		}
	}
	return found;
}

/* What is there from the beginning. */
START_TEST(test_ranges)
{
	struct hidden first, last, far;

	start(_i);
	first = unit_hidden_block(100);
	last = unit_hidden_block(MIB);
	far = unit_hidden_block(100);
	put(area, first);
	put(area + SIZE / 8 - 1, last);
	put((uintptr_t *)unit_reveal(last) + MIB / 16, far);
	mark();
	ck_assert(is_seen(first) && is_seen(last) && is_seen(far));
	ck_assert_uint_ge(tracked_root_bytes(), SIZE);
	end();
}
END_TEST

/* What is written into a range after it was read. */
START_TEST(test_written_range)
{
	uint64_t state = unit_seed(1);

	start(_i);
	memset(area, 1, SIZE);
	for (unsigned n = 0; n < 30; n++) {
		struct hidden lost = unit_hidden_block(100);
		struct hidden kept = unit_hidden_block(100);
		size_t at = unit_random(&state, SIZE / 8);

		mark();
		put(area + at, kept);
		expect(!is_seen(kept));
		catch_up();
		expect(is_seen(kept) && !is_seen(lost));
		area[at] = 0;
		end();
	}
}
END_TEST

/* What the kernel writes there. */
START_TEST(test_read_into_range)
{
	struct hidden kept;
	uintptr_t word;
	int fds[2];

	start(_i);
	memset(area, 1, SIZE);
	kept = unit_hidden_block(100);
	expect(pipe(fds) == 0);
	word = (uintptr_t)unit_reveal(kept);
	expect(write(fds[1], &word, sizeof(word)) == sizeof(word));
	word = 0;
	mark();
	expect(read(fds[0], area + 7777, sizeof(word)) == sizeof(word));
	catch_up();
	ck_assert(is_seen(kept));
	end();
}
END_TEST

/* In the heap: marked blocks are read again, others are not (M1). */
START_TEST(test_written_heap)
{
	uint64_t state = unit_seed(2);
	static const size_t sizes[] = { 16, 100, 3000, 40000, 300000,
					9 * MIB };

	start(_i);
	for (unsigned n = 0; n < 120; n++) {
		size_t size = sizes[n % ARRAY_LEN(sizes)];
		struct hidden holder = unit_hidden_block(size);
		struct hidden other = unit_hidden_block(size);
		struct hidden kept = unit_hidden_block(100);
		struct hidden lost = unit_hidden_block(100);
		size_t at = unit_random(&state, size / 8);

		put(area + n, holder);
		mark();
		expect(is_seen(holder) && !is_seen(other));
		put((uintptr_t *)unit_reveal(holder) + at, kept);
		put((uintptr_t *)unit_reveal(other) + at, lost);
		catch_up();
		expect(is_seen(kept) && !is_seen(lost));
		end();
	}
}
END_TEST

/* A chain: each step is written when the one before was read. */
START_TEST(test_chain)
{
	struct hidden chain[20];

	start(_i);
	for (size_t i = 0; i < ARRAY_LEN(chain); i++)
		chain[i] = unit_hidden_block(64);
	put(area + 1, chain[0]);
	mark();
	for (size_t i = 1; i < ARRAY_LEN(chain); i++) {
		put(unit_reveal(chain[i - 1]), chain[i]);
		catch_up();
		expect(is_seen(chain[i]));
	}
	end();
}
END_TEST

/* Blocks, spans and pages of the heap that were not there at the beginning. */
START_TEST(test_new_heap)
{
	struct hidden holder, kept;
	uintptr_t *late;

	start(_i);
	holder = unit_hidden_block(64);
	kept = unit_hidden_block(64);
	put(area + 1, holder);
	mark();
	marker_blacken_claims();
	late = unit_reveal(unit_hidden_block(30 * MIB));
	put(late + MIB, kept);
	catch_up();
	ck_assert(unit_is_marked((uintptr_t)late));
	ck_assert(is_seen(kept));
	store_relaxed(&cache_blackens, false);
	end();
}
END_TEST

/* ------------------------------------------------------ mappings that change */

START_TEST(test_vanished)
{
	struct hidden kept;

	start(_i);
	kept = unit_hidden_block(64);
	put(area + 1, kept);
	begin();
	/* Before it is read, in part. */
	expect(munmap((char *)area + SIZE / 2, SIZE / 2) == 0);
	tracked_scan_ranges(go_on);
	unit_drain();
	ck_assert(is_seen(kept));
	/* And after, all of it. */
	expect(munmap(area, SIZE / 2) == 0);
	catch_up();
	end();
}
END_TEST

/* Another mapping in its place is read, wherever it was written. */
START_TEST(test_replaced)
{
	uint64_t state = unit_seed(3);

	start(_i);
	for (unsigned n = 0; n < 30; n++) {
		struct hidden kept = unit_hidden_block(64);
		size_t pages = 1 + unit_random(&state, SIZE / PAGE / 2);
		size_t from = unit_random(&state, SIZE / PAGE - pages);
		uintptr_t *there = area + from * PAGE / 8;

		memset(area, 1, SIZE);
		mark();
		if (n % 3 == 0)
			catch_up();
		expect(mmap(there, pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		       there);
		put(there + unit_random(&state, pages * PAGE / 8), kept);
		catch_up();
		expect(is_seen(kept));
		end();
	}
}
END_TEST

/* Moved there with what it held: its pages were written long before. */
START_TEST(test_moved)
{
	uintptr_t *other;
	struct hidden kept;

	start(_i);
	kept = unit_hidden_block(64);
	memset(area, 1, SIZE);
	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	other[77] = ~(uintptr_t)unit_reveal(kept);
	mark();
	other[77] = ~other[77];
	expect(mremap(other, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE |
		      MREMAP_FIXED, area + 32 * PAGE / 8) ==
	       area + 32 * PAGE / 8);
	catch_up();
	ck_assert(is_seen(kept));
	end();
}
END_TEST

/* Small ranges, and what others can write, are read whole at the end. */
START_TEST(test_untracked)
{
	int fd = memfd_create("shared", 0);
	uintptr_t *small, *shared, *again;
	struct hidden kept[2];

	start(_i);
	small = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(ftruncate(fd, (off_t)SIZE) == 0);
	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	again = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		kept[i] = unit_hidden_block(64);
	small[0] = shared[9] = 1;
	mark();
	put(small + 3, kept[0]);
	/* Written through another mapping of the same memory. */
	put(again + 3, kept[1]);
	expect(munmap(again, SIZE) == 0);
	catch_up();
	ck_assert(is_seen(kept[0]) && is_seen(kept[1]));
	end();
}
END_TEST

/* ------------------------------------------------------------------ in slices */

START_TEST(test_slices)
{
	enum { HOLDERS = 64 };
	struct hidden holders[HOLDERS], kept[HOLDERS];
	size_t slices = 0, before;

	start(_i);
	for (size_t i = 0; i < HOLDERS; i++) {
		holders[i] = unit_hidden_block(256 * KIB);
		memset(unit_reveal(holders[i]), 1, 256 * KIB);
		kept[i] = unit_hidden_block(64);
		put(area + i, holders[i]);
	}
	mark();
	for (size_t i = 0; i < HOLDERS; i++) {
		memset(unit_reveal(holders[i]), 2, 256 * KIB);
		put((uintptr_t *)unit_reveal(holders[i]) + i * 500, kept[i]);
	}
	expect(tracked_collect() == 0);
	before = tracked_dirty_pages();
	ck_assert_uint_ge(before, HOLDERS * 64);
	/* A deadline that is past: each time a step and no more. */
	while (!tracked_scan_dirty(1)) {
		expect(tracked_dirty_pages() < before);
		before = tracked_dirty_pages();
		expect(++slices < 1000000);
	}
	ck_assert_uint_gt(slices, HOLDERS);
	ck_assert_uint_eq(tracked_dirty_pages(), 0);
	unit_drain();
	for (size_t i = 0; i < HOLDERS; i++)
		expect(is_seen(kept[i]));
	end();
}
END_TEST

/* Dirty pages of which some were scanned, and more by then (T1). */
START_TEST(test_slices_and_more)
{
	struct hidden holder, kept[8];

	start(_i);
	holder = unit_hidden_block(8 * MIB);
	memset(unit_reveal(holder), 1, 8 * MIB);
	put(area, holder);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		kept[i] = unit_hidden_block(64);
	mark();
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		memset(unit_reveal(holder), 2, MIB);
		put((uintptr_t *)unit_reveal(holder) + i * (MIB / 8) + 5,
		    kept[i]);
		expect(tracked_collect() == 0);
		tracked_scan_dirty(1);
	}
	catch_up();
	/* The first seven were overwritten, or not: the last ones are there. */
	for (size_t i = 1; i < ARRAY_LEN(kept); i++)
		expect(is_seen(kept[i]));
	end();
}
END_TEST

/* Given up in the middle, the next begins anew. */
/*
 * What a member of the squad has found and not read in time is read by whoever
 * goes on (T1, K1 of marker.c).
 */
START_TEST(test_handed_on)
{
	enum { HOLDERS = 8, NODES = 4000 };
	struct hidden holders[HOLDERS], last[HOLDERS];

	start(_i);
	for (size_t i = 0; i < HOLDERS; i++) {
		holders[i] = unit_hidden_block(256 * KIB);
		put(area + i, holders[i]);
	}
	mark();
	/* From each a list that is longer than what is read at once. */
	for (size_t i = 0; i < HOLDERS; i++) {
		uintptr_t *place = unit_reveal(holders[i]);

		for (size_t n = 0; n < NODES; n++) {
			last[i] = unit_hidden_block(100);
			put(place, last[i]);
			place = unit_reveal(last[i]);
		}
	}
	squad_begin();
	expect(tracked_collect() == 0);
	while (!tracked_scan_together(1))
		continue;
	squad_end();
	tracked_scan_rest();
	unit_drain();
	for (size_t i = 0; i < HOLDERS; i++)
		expect(is_seen(last[i]));
	end();
}
END_TEST

/* Where the barrier does not answer, what was written is not known (M3). */
START_TEST(test_no_answer)
{
	bool is_asked;
	size_t pages;

	start(_i);
	mark();
	is_asked = close_pagemap();
	ck_assert((tracked_collect() < 0) == is_asked);
	ck_assert((tracked_pass(UINT64_MAX, &pages) < 0) == is_asked);
	end();
}
END_TEST

/* Where there is no memory to note it in, it is not known either (M3). */
START_TEST(test_no_memory)
{
	/* Not 0: that is no limit to the kernel, mmap.c may_expand_vm(). */
	struct rlimit none = { 1, RLIM_INFINITY }, old;

	start(_i);
	mark();
	if (!barrier_current()->is_concurrent)
		return;		/* it tells of nothing */
	area[5] = 1;
	expect(getrlimit(RLIMIT_DATA, &old) == 0);
	none.rlim_max = old.rlim_max;
	expect(setrlimit(RLIMIT_DATA, &none) == 0);
	ck_assert_int_eq(tracked_collect(), -ENOMEM);
	expect(setrlimit(RLIMIT_DATA, &old) == 0);
	end();
}
END_TEST

START_TEST(test_given_up)
{
	struct hidden kept;

	start(_i);
	kept = unit_hidden_block(64);
	memset(area, 1, SIZE);
	put(area + SIZE / 8 - 1, kept);
	begin();
	tracked_scan_ranges(give_up);
	unit_drain();
	area[5] = 1;
	expect(tracked_collect() == 0);
	end();
	ck_assert_uint_eq(tracked_dirty_pages(), 0);
	mark();
	ck_assert(is_seen(kept));
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tracked");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "ranges", test_ranges },
		{ "written_range", test_written_range },
		{ "read_into_range", test_read_into_range },
		{ "written_heap", test_written_heap },
		{ "chain", test_chain }, { "new_heap", test_new_heap },
		{ "vanished", test_vanished }, { "replaced", test_replaced },
		{ "moved", test_moved }, { "untracked", test_untracked },
		{ "slices", test_slices },
		{ "slices_and_more", test_slices_and_more },
		{ "handed_on", test_handed_on },
		{ "no_answer", test_no_answer }, { "no_memory", test_no_memory },
		{ "given_up", test_given_up },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_loop_test(unit_case(suite, cases[i].name, NULL),
				    cases[i].test, 0,
				    WAYS * ARRAY_LEN(barriers));
	return unit_run(suite);
}
