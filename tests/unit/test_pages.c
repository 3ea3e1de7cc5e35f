/*
 * test_pages.c - which pages of a range can hold anything.
 *
 * Each test runs twice: with the kernel's help, and without it.
 */
#include "unit.h"

#include "world/pages.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096
#define PAGES	600

static bool visited[PAGES];
static uintptr_t base, first, last;

static void
setup(int way)
{
	if (way == 0)
		pages_open();
}

static void
visit(uintptr_t start, uintptr_t end, void *argument)
{
	expect(argument == &base && start < end);
	expect(start >= first && end <= last);
	first = end;
	for (uintptr_t at = ALIGN_DOWN(start, PAGE); at < end; at += PAGE) {
		visited[(at - base) / PAGE] = true;
		/* It can be read. */
		expect(*(volatile char *)MAX(at, start) != 127);
	}
}

static void
ask(uintptr_t start, uintptr_t end, enum pages_kind kind)
{
	memset(visited, 0, sizeof(visited));
	first = start;
	last = end;
	pages_for_each_touched(start, end, kind, visit, &base);
}

static void
map(int flags, int fd)
{
	void *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd,
		       0);

	expect(p != MAP_FAILED);
	base = (uintptr_t)p;
}

static void
touch(size_t page)
{
	*(volatile char *)(base + page * PAGE + 77) = 1;
}

START_TEST(test_anonymous)
{
	uint64_t state = unit_seed(1);
	bool touched[PAGES] = { false };

	setup(_i);
	map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (unsigned n = 0; n < PAGES; n++) {
		size_t page = unit_random(&state, PAGES);

		/* More runs of pages than fit into one answer. */
		touched[page] = true;
		touch(page);
		if (n % 10 != 0)
			continue;
		ask(base, base + PAGES * PAGE, PAGES_ANONYMOUS);
		for (size_t i = 0; i < PAGES; i++)
			expect(visited[i] >= touched[i]);
	}
}
END_TEST

/* Pages that were never touched, or only read, are left out. */
START_TEST(test_untouched)
{
	size_t count = 0;

	pages_open();
	map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	touch(100);
	touch(101);
	touch(PAGES - 1);
	for (size_t i = 200; i < 300; i++)
		expect(*(volatile char *)(base + i * PAGE) == 0);
	ask(base, base + PAGES * PAGE, PAGES_ANONYMOUS);
	for (size_t i = 0; i < PAGES; i++)
		count += visited[i];
	ck_assert(visited[100] && visited[101] && visited[PAGES - 1]);
	/* Where the kernel does not tell, all of them. */
	ck_assert(count == 3 || count == PAGES);
}
END_TEST

/* A range that begins and ends within a page. */
START_TEST(test_clipped)
{
	setup(_i);
	map(MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (size_t i = 0; i < PAGES; i++)
		touch(i);
	ask(base + 1234, base + 50 * PAGE - 8, PAGES_ANONYMOUS);
	ck_assert_uint_eq(first, base + 50 * PAGE - 8);
	for (size_t i = 0; i < PAGES; i++)
		expect(visited[i] == (i < 50));
	ask(base + 10 * PAGE + 8, base + 10 * PAGE + 16, PAGES_ANONYMOUS);
	ck_assert(visited[10] && !visited[9] && !visited[11]);
}
END_TEST

/* Behind the end of a file there is nothing to read. */
START_TEST(test_files)
{
	int fd = memfd_create("pages", 0);
	char text[PAGE];

	setup(_i);
	memset(text, 'x', PAGE);
	for (unsigned i = 0; i < 20; i++)
		expect(write(fd, text, PAGE) == PAGE);
	map(MAP_SHARED, fd);
	touch(3);
	touch(19);
	ask(base, base + PAGES * PAGE, PAGES_SHARED_FILE);
	for (size_t i = 20; i < PAGES; i++)
		expect(!visited[i]);
	ck_assert(visited[3] && visited[19]);
	map(MAP_PRIVATE, fd);
	touch(5);
	ask(base, base + PAGES * PAGE, PAGES_PRIVATE_FILE);
	for (size_t i = 20; i < PAGES; i++)
		expect(!visited[i]);
	ck_assert(visited[5]);
	/* The kernel knows which pages are still the file's. */
	if (_i == 0 && !visited[4])
		for (size_t i = 0; i < 20; i++)
			expect(visited[i] == (i == 5));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pages");

	tcase_add_loop_test(unit_case(suite, "anonymous", NULL),
			    test_anonymous, 0, 2);
	unit_case(suite, "untouched", test_untouched);
	tcase_add_loop_test(unit_case(suite, "clipped", NULL), test_clipped,
			    0, 2);
	tcase_add_loop_test(unit_case(suite, "files", NULL), test_files, 0, 2);
	return unit_run(suite);
}
