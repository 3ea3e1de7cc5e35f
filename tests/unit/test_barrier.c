/*
 * test_barrier.c - which pages did the program write?
 *
 * Where the kernel has no userfaultfd the tests of it see that it says so, and
 * that `auto` steps down.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/barrier.h"
#include "heap/meta.h"
#include "settings/options.h"
#include "settings/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	((size_t)4096)
#define PAGES	((size_t)512)
#define BYTES	(PAGES * PAGE)

static bool has_uffd;
static char *area;		/* PAGES pages, tracked */
static bool is_dirty[PAGES];	/* as reported, and not looked at */

static void
open_uffd(void)
{
	unit_core_defaults();
	has_uffd = barrier_uffd.open() == 0;
}

static void
setup(void)
{
	open_uffd();
	area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(area != MAP_FAILED);
	if (has_uffd)
		ck_assert_int_eq(barrier_uffd.track((uintptr_t)area,
					(uintptr_t)area + BYTES), 0);
}

static void
note(uintptr_t start, uintptr_t end, void *unused)
{
	(void)unused;
	expect(start < end && start % PAGE == 0 && end % PAGE == 0);
	expect(start >= (uintptr_t)area && end <= (uintptr_t)area + BYTES);
	for (; start < end; start += PAGE)
		is_dirty[(start - (uintptr_t)area) / PAGE] = true;
}

static int
collect(bool rearm)
{
	return barrier_uffd.collect((uintptr_t)area, (uintptr_t)area + BYTES,
				    rearm, note, NULL);
}

/* dirty_pages - how many, and they are clean now. */
static size_t
dirty_pages(void)
{
	size_t count = 0;

	memset(is_dirty, 0, sizeof(is_dirty));
	expect(collect(true) == 0);
	for (size_t i = 0; i < PAGES; i++)
		count += is_dirty[i];
	return count;
}

static void
touch(size_t page)
{
	*(volatile char *)(area + page * PAGE + page % PAGE) += 1;
}

/* ----------------------------------------------------------- ways to write */

static void *
write_there(void *page)
{
	touch((size_t)page);
	return NULL;
}

static void
write_by_thread(size_t page)
{
	pthread_t thread;

	expect(pthread_create(&thread, NULL, write_there, (void *)page) == 0);
	pthread_join(thread, NULL);
}

static void
write_by_read(size_t page)
{
	int fds[2];

	expect(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
	expect(read(fds[0], area + page * PAGE + 100, 1) == 1);
	close(fds[0]);
	close(fds[1]);
}

static void
write_by_copy(size_t page)
{
	char byte = 7;
	struct iovec from = { &byte, 1 }, to = { area + page * PAGE, 1 };

	expect(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1);
}

/* While a child shares the page, a write makes a copy of it. */
static void
write_after_fork(size_t page)
{
	int fds[2], status;
	pid_t pid;

	expect(pipe(fds) == 0);
	pid = fork();
	if (pid == 0) {
		char byte;

		close(fds[1]);
		_exit(read(fds[0], &byte, 1) != 0);
	}
	touch(page);
	close(fds[0]);
	close(fds[1]);
	expect(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
write_after_drop(size_t page)
{
	expect(madvise(area + page * PAGE, PAGE, MADV_DONTNEED) == 0);
	touch(page);
}

/* It reads as zero, from a page that all share, before it is written. */
static void
write_after_drop_and_read(size_t page)
{
	volatile char *at = area + page * PAGE;

	expect(madvise(area + page * PAGE, PAGE, MADV_DONTNEED) == 0);
	expect(*at == 0);
	expect(dirty_pages() == 0);
	touch(page);
}

static void
write_after_protect(size_t page)
{
	expect(mprotect(area + page * PAGE, PAGE, PROT_READ) == 0);
	expect(mprotect(area + page * PAGE, PAGE, PROT_READ | PROT_WRITE) ==
	       0);
	touch(page);
}

static void (*const ways[])(size_t) = {
	touch, write_by_thread, write_by_read, write_by_copy,
	write_after_fork, write_after_drop, write_after_drop_and_read,
	write_after_protect,
};

/* Each way is seen, once, and nothing else is. */
START_TEST(test_ways)
{
	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	ck_assert_uint_eq(dirty_pages(), PAGES);
	ck_assert_uint_eq(dirty_pages(), 0);
	for (size_t page = 3; page < PAGES; page += 97) {
		ways[_i](page);
		expect(dirty_pages() == 1 && is_dirty[page]);
		expect(dirty_pages() == 0);
	}
}
END_TEST

/* Written pages are reported until they are made clean. */
START_TEST(test_without_rearm)
{
	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	touch(7);
	for (unsigned i = 0; i < 3; i++) {
		memset(is_dirty, 0, sizeof(is_dirty));
		ck_assert_int_eq(collect(false), 0);
		ck_assert(is_dirty[7]);
	}
	ck_assert_uint_eq(dirty_pages(), 1);
	ck_assert_uint_eq(dirty_pages(), 0);
}
END_TEST

/* Memory that appears in a tracked range is dirty. */
START_TEST(test_fresh)
{
	if (!has_uffd)
		return;
	ck_assert_uint_eq(dirty_pages(), 0);
	for (size_t i = 0; i < PAGES; i += 2)
		touch(i);
	ck_assert_uint_eq(dirty_pages(), PAGES / 2);
	for (size_t i = 1; i < PAGES; i += 2)
		touch(i);
	ck_assert_uint_eq(dirty_pages(), PAGES / 2);
	ck_assert_uint_eq(dirty_pages(), 0);
}
END_TEST

/* All at random: what was written and is still there is always told. */
START_TEST(test_random)
{
	uint64_t state = unit_seed(1);
	bool is_written[PAGES] = { false }, was_dropped[PAGES] = { false };

	if (!has_uffd)
		return;
	for (unsigned n = 0; n < 20000; n++) {
		size_t page = unit_random(&state, PAGES);

		switch (unit_random(&state, 8)) {
		case 0:
			write_by_copy(page);
			is_written[page] = true;
			break;
		case 1:
			expect(madvise(area + page * PAGE, PAGE,
				       MADV_DONTNEED) == 0);
			is_written[page] = false;
			was_dropped[page] = true;
			break;
		case 2:
			expect(area[page * PAGE + 9] < 127);
			break;
		case 3:
			if (n % 10 != 0)
				break;
			dirty_pages();
			for (size_t i = 0; i < PAGES; i++) {
				expect(is_dirty[i] || !is_written[i]);
				expect(!is_dirty[i] || is_written[i] ||
				       was_dropped[i]);
				is_written[i] = was_dropped[i] = false;
			}
			break;
		default:
			*(volatile char *)(area + page * PAGE + 9) = 1;
			is_written[page] = true;
		}
	}
}
END_TEST

/* Several threads write while dirty pages are asked for: none is missed. */
static _Atomic bool is_over;
static _Atomic uint32_t rounds[4];

static void *
write_all_the_time(void *argument)
{
	size_t self = (size_t)argument;

	while (!load_relaxed(&is_over)) {
		for (size_t i = self; i < PAGES; i += 4)
			*(volatile uint32_t *)(area + i * PAGE) += 1;
		atomic_fetch_add(&rounds[self], 1);
	}
	return NULL;
}

START_TEST(test_concurrent)
{
	static uint32_t seen[PAGES];
	pthread_t threads[4];

	if (!has_uffd)
		return;
	for (size_t i = 0; i < 4; i++)
		expect(pthread_create(&threads[i], NULL, write_all_the_time,
				      (void *)i) == 0);
	for (size_t i = 0; i < 4; i++)
		while (load_relaxed(&rounds[i]) == 0)
			sched_yield();
	/* After the last time a page was told, what was read there is true. */
	for (unsigned n = 0; n < 3000; n++) {
		expect(dirty_pages() <= PAGES);
		for (size_t i = 0; i < PAGES; i++)
			if (is_dirty[i])
				seen[i] = *(volatile uint32_t *)(area +
								 i * PAGE);
	}
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	dirty_pages();
	for (size_t i = 0; i < PAGES; i++)
		expect(is_dirty[i] ||
		       seen[i] == *(volatile uint32_t *)(area + i * PAGE));
}
END_TEST

/* ---------------------------------------------------- other kinds of memory */

/* Of a huge page at least the part that was written is told. */
START_TEST(test_huge)
{
	char *mapped = mmap(NULL, 4 * BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!has_uffd)
		return;
	area = (char *)ALIGN_UP((uintptr_t)mapped, BYTES);
	madvise(area, BYTES, MADV_HUGEPAGE);
	ck_assert_int_eq(barrier_uffd.track((uintptr_t)area,
					    (uintptr_t)area + BYTES), 0);
	memset(area, 1, BYTES);
	ck_assert_uint_eq(dirty_pages(), PAGES);
	ck_assert_uint_eq(dirty_pages(), 0);
	for (size_t page = 0; page < PAGES; page += 31) {
		touch(page);
		dirty_pages();
		expect(is_dirty[page]);
	}
	ck_assert_uint_eq(dirty_pages(), 0);
	/* Dropped as a whole, and made anew. */
	expect(madvise(area, BYTES, MADV_DONTNEED) == 0);
	touch(77);
	dirty_pages();
	ck_assert(is_dirty[77]);
}
END_TEST

/* What moved into the range, or was mapped over it, is never clean. */
START_TEST(test_moved)
{
	char *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	other[0] = 1;
	expect(mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      area + 5 * PAGE) == area + 5 * PAGE);
	dirty_pages();
	ck_assert(is_dirty[5]);
	/* From then on it is tracked as the rest is. */
	ck_assert_uint_eq(dirty_pages(), 0);
	touch(5);
	ck_assert_uint_eq(dirty_pages(), 1);
	expect(mmap(area + 9 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	       area + 9 * PAGE);
	touch(9);
	dirty_pages();
	ck_assert(is_dirty[9]);
	/* Within the range, by page tables only. */
	touch(20);
	expect(mremap(area + 20 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE |
		      MREMAP_FIXED | MREMAP_DONTUNMAP, area + 30 * PAGE) ==
	       area + 30 * PAGE);
	dirty_pages();
	ck_assert(is_dirty[30]);
}
END_TEST

/* A range that is gone is an error, or dirty: never clean. */
START_TEST(test_unmapped)
{
	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	expect(munmap(area + 8 * PAGE, 8 * PAGE) == 0);
	memset(is_dirty, 0, sizeof(is_dirty));
	touch(40);
	ck_assert(collect(true) < 0 || is_dirty[40]);
}
END_TEST

/* The heap is tracked: blocks of all sizes, old and new. */
static bool is_told;
static uintptr_t wanted;

static void
look_for(uintptr_t start, uintptr_t end, void *unused)
{
	(void)unused;
	is_told |= wanted >= start && wanted < end;
}

static bool
heap_is_dirty(const void *at)
{
	is_told = false;
	wanted = (uintptr_t)at;
	expect(barrier_uffd.collect(arena_view.base, arena_view.base +
				    load_relaxed(&arena_view.frontier), true,
				    look_for, NULL) == 0);
	return is_told;
}

START_TEST(test_heap)
{
	uint64_t state = unit_seed(3);
	void *blocks[64] = { NULL };

	if (!has_uffd)
		return;
	for (unsigned n = 0; n < 2000; n++) {
		size_t i = unit_random(&state, 64);
		size_t size = unit_random_size(&state, 3 * MIB) + 1;
		size_t at = unit_random(&state, size);

		if (unit_random(&state, 3) == 0 && blocks[i] != NULL) {
			expect(heap_resize(blocks[i], size, &blocks[i]) ==
			       HEAP_DONE);
		} else {
			if (blocks[i] != NULL)
				expect(heap_free(blocks[i]) == HEAP_DONE);
			blocks[i] = heap_alloc(size, n % 2);
		}
		if (n % 100 == 0)
			heap_trim();
		((char *)blocks[i])[at] = 1;
		expect(heap_is_dirty((char *)blocks[i] + at));
		expect(!heap_is_dirty((char *)blocks[i] + at));
		((char *)blocks[i])[at] = 2;
		expect(heap_is_dirty((char *)blocks[i] + at));
	}
}
END_TEST

/* ------------------------------------------------------- lost descriptors */

static size_t
count_descriptors(void)
{
	size_t count = 0;

	for (int fd = 3; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* The program closed everything: an error, not silence. */
START_TEST(test_closed)
{
	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	close_range(3, ~0u, 0);
	touch(3);
	memset(is_dirty, 0, sizeof(is_dirty));
	ck_assert(collect(true) < 0 || is_dirty[3]);
	/* A new one does the work again. */
	barrier_uffd.close(false);
	ck_assert_int_eq(barrier_uffd.open(), 0);
	ck_assert_int_eq(barrier_uffd.track((uintptr_t)area,
					    (uintptr_t)area + BYTES), 0);
	dirty_pages();
	touch(3);
	ck_assert_uint_eq(dirty_pages(), 1);
}
END_TEST

/* It closed one of the two only. */
START_TEST(test_closed_one)
{
	unsigned seen = 0;

	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	for (int fd = 1023; fd >= 3; fd--)
		if (fcntl(fd, F_GETFD) >= 0 && seen++ == (unsigned)_i)
			close(fd);
	touch(3);
	memset(is_dirty, 0, sizeof(is_dirty));
	ck_assert(collect(true) < 0 || is_dirty[3]);
}
END_TEST

/* Another file in the place of one of ours. */
START_TEST(test_replaced)
{
	int other = memfd_create("other", 0);
	unsigned seen = 0;

	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	for (int fd = 1023; fd >= 3; fd--)
		if (fd != other && fcntl(fd, F_GETFD) >= 0 &&
		    seen++ == (unsigned)_i)
			expect(dup2(other, fd) == fd);
	touch(3);
	memset(is_dirty, 0, sizeof(is_dirty));
	ck_assert(collect(true) < 0 || is_dirty[3]);
}
END_TEST

/* Closed, nothing is left open; the program's are low, ours are high. */
START_TEST(test_descriptors)
{
	size_t before;

	barrier_uffd.close(false);
	before = count_descriptors();
	for (unsigned i = 0; i < 50; i++) {
		if (barrier_uffd.open() == 0) {
			expect(count_descriptors() == before + 2);
			expect(fcntl(3, F_GETFD) < 0 || before > 0);
			barrier_uffd.close(false);
		}
		expect(count_descriptors() == before);
	}
}
END_TEST

/* ------------------------------------------------------------------- forks */

/* In a child nothing inherited is used: it opens its own (U2). */
START_TEST(test_child)
{
	int status;
	pid_t pid;

	if (!has_uffd)
		return;
	memset(area, 1, BYTES);
	dirty_pages();
	pid = fork();
	expect(pid >= 0);
	if (pid == 0) {
		barrier_uffd.close(true);
		expect(barrier_uffd.open() == 0);
		expect(barrier_uffd.track((uintptr_t)area,
					  (uintptr_t)area + BYTES) == 0);
		dirty_pages();
		touch(11);
		expect(dirty_pages() == 1 && is_dirty[11]);
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	/* What it did there is nothing to us, and ours works on. */
	ck_assert_uint_eq(dirty_pages(), 0);
	touch(12);
	ck_assert_uint_eq(dirty_pages(), 1);
	ck_assert(is_dirty[12]);
}
END_TEST

/* ------------------------------------------------------------- which one it is */

START_TEST(test_auto)
{
	const struct barrier *first;

	barrier_uffd.close(false);
	first = barrier_open();
	ck_assert_ptr_eq(barrier_current(), first);
	ck_assert_ptr_eq(barrier_open(), first);
	ck_assert(first == &barrier_uffd || !has_uffd);
	ck_assert_str_eq(stats.barrier, first->name);
	/* One that failed is not tried again, in this process. */
	barrier_failed();
	ck_assert_ptr_eq(barrier_open(), &barrier_stop);
	barrier_failed();
	ck_assert_ptr_eq(barrier_open(), &barrier_stop);
	ck_assert_str_eq(stats.barrier, "stop");
	barrier_fork_child();
	ck_assert_ptr_eq(barrier_open(), first);
}
END_TEST

START_TEST(test_chosen)
{
	static const char *const names[] = { "BILGE_BARRIER=stop",
					     "BILGE_BARRIER=uffd" };
	const char *settings[] = { names[_i], NULL };
	const struct barrier *b;

	unit_core(settings);
	b = barrier_open();
	ck_assert(b == &barrier_stop ||
		  (_i == 1 && b == &barrier_uffd));
}
END_TEST

/* Without a barrier all is dirty, always. */
START_TEST(test_stop)
{
	area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_int_eq(barrier_stop.open(), 0);
	ck_assert(!barrier_stop.is_concurrent);
	for (unsigned i = 0; i < 3; i++) {
		memset(is_dirty, 0, sizeof(is_dirty));
		ck_assert_int_eq(barrier_stop.collect((uintptr_t)area,
			(uintptr_t)area + BYTES, true, note, NULL), 0);
		for (size_t p = 0; p < PAGES; p++)
			expect(is_dirty[p]);
	}
	barrier_stop.disarm();
	barrier_stop.close(false);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("barrier");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "without_rearm", test_without_rearm },
		{ "fresh", test_fresh }, { "random", test_random },
		{ "concurrent", test_concurrent }, { "huge", test_huge },
		{ "moved", test_moved }, { "unmapped", test_unmapped },
		{ "heap", test_heap }, { "closed", test_closed },
		{ "descriptors", test_descriptors }, { "child", test_child },
	};
	TCase *loops = unit_case(suite, "ways", NULL);

	tcase_add_checked_fixture(loops, setup, NULL);
	tcase_add_loop_test(loops, test_ways, 0, ARRAY_LEN(ways));
	tcase_add_loop_test(loops, test_closed_one, 0, 2);
	tcase_add_loop_test(loops, test_replaced, 0, 2);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	tcase_add_checked_fixture(unit_case(suite, "auto", test_auto),
				  open_uffd, NULL);
	loops = unit_case(suite, "chosen", NULL);
	tcase_add_loop_test(loops, test_chosen, 0, 2);
	unit_case(suite, "stop", test_stop);
	return unit_run(suite);
}
