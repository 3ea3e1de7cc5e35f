/*
 * test_maps.c - the mappings of this process.
 */
#include "unit.h"

#include "base/maps.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct maps maps;

/* find - the mapping an address lies in; its path is copied. */
static bool
find(const void *address, struct mapping *ret, char *path)
{
	struct mapping m;
	bool found = false;

	expect(maps_open(&maps) == 0);
	while (maps_next(&maps, &m))
		if ((uintptr_t)address >= m.start &&
		    (uintptr_t)address < m.end) {
			*ret = m;
			strcpy(path, m.path);
			found = true;
		}
	maps_close(&maps);
	return found;
}

START_TEST(test_own)
{
	static int data = 1;
	char path[PATH_MAX], exe[PATH_MAX] = { 0 };
	struct mapping m;
	int local;

	expect(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	ck_assert(find(&data, &m, path));
	ck_assert(m.readable && m.writable && !m.executable && !m.shared);
	ck_assert_str_eq(path, exe);
	ck_assert(find((void *)(uintptr_t)find, &m, path));
	ck_assert(m.readable && !m.writable && m.executable);
	ck_assert(find(&local, &m, path));
	ck_assert_str_eq(path, "[stack]");
	ck_assert_uint_eq(m.inode, 0);
	ck_assert(!find((void *)16, &m, path));
}
END_TEST

START_TEST(test_kinds)
{
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC,
	};
	char path[PATH_MAX];
	struct mapping m;

	for (size_t i = 0; i < ARRAY_LEN(prots); i++)
		for (int shared = 0; shared < 2; shared++) {
			char *p = mmap(NULL, 3 * 4096, prots[i], MAP_ANONYMOUS |
				       (shared ? MAP_SHARED : MAP_PRIVATE),
				       -1, 0);

			expect(p != MAP_FAILED && find(p + 4096, &m, path));
			expect(m.readable == !!(prots[i] & PROT_READ));
			expect(m.writable == !!(prots[i] & PROT_WRITE));
			expect(m.executable == !!(prots[i] & PROT_EXEC));
			expect(m.shared == (shared == 1));
			expect(munmap(p, 3 * 4096) == 0);
		}
}
END_TEST

/* A file with a name that is as long and as odd as names may be. */
START_TEST(test_file)
{
	char name[NAME_MAX + 1], path[PATH_MAX], wanted[PATH_MAX];
	struct mapping m;
	struct stat st;
	char *p;
	int fd;

	memset(name, 'n', NAME_MAX);
	name[NAME_MAX] = '\0';
	memcpy(name, "unit maps (deleted) ", 20);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 5 * 4096), 0);
	p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 3 * 4096);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert(find(p, &m, path));
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_ptr_nonnull(realpath(name, wanted));
	ck_assert_str_eq(path, wanted);
	ck_assert_uint_eq(m.start, (uintptr_t)p);
	ck_assert_uint_eq(m.end, (uintptr_t)p + 2 * 4096);
	ck_assert_uint_eq(m.offset, 3 * 4096);
	ck_assert_uint_eq(m.inode, st.st_ino);
	ck_assert(m.shared);
	unlink(name);
}
END_TEST

/* More text than the buffer holds: no line is lost, doubled or torn. */
START_TEST(test_many)
{
	enum { COUNT = 2000 };
	static bool seen[COUNT];
	char *base = mmap(NULL, 2 * COUNT * 4096, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t last = 0;
	struct mapping m;

	ck_assert_ptr_ne(base, MAP_FAILED);
	for (size_t i = 0; i < COUNT; i++)
		expect(mprotect(base + 2 * i * 4096, 4096, PROT_READ) == 0);
	ck_assert_int_eq(maps_open(&maps), 0);
	while (maps_next(&maps, &m)) {
		size_t page = (m.start - (uintptr_t)base) / 4096;

		expect(m.start >= last && m.end > m.start);
		last = m.end;
		if (m.start < (uintptr_t)base || page >= 2 * COUNT)
			continue;
		expect(m.readable == (page % 2 == 0));
		if (page % 2 != 0)
			continue;
		expect(m.end == m.start + 4096 && !seen[page / 2]);
		seen[page / 2] = true;
	}
	maps_close(&maps);
	for (size_t i = 0; i < COUNT; i++)
		expect(seen[i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("maps");

	unit_case(suite, "own", test_own);
	unit_case(suite, "kinds", test_kinds);
	unit_case(suite, "file", test_file);
	unit_case(suite, "many", test_many);
	return unit_run(suite);
}
