/*
 * test_modules.c - the loaded objects that code addresses lie in.
 */
#include "unit.h"

#include "heap/meta.h"
#include "report/modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* A library that nobody has loaded yet, and a function of it. */
#define OTHER		"libunwind.so.8"
#define OTHER_SYMBOL	"unw_backtrace"

static int own_data = 1;
static __thread volatile char own_tls[1000];

static void
setup(void)
{
	ck_assert_int_eq(meta_init(64 * MIB), 0);
	ck_assert_int_eq(modules_init(), 0);
}

static const struct module *
find(const void *address)
{
	uint32_t index = modules_find((uintptr_t)address);

	ck_assert_uint_ne(index, MODULE_NONE);
	ck_assert_uint_lt(index, modules_count());
	ck_assert_uint_eq(modules_lookup((uintptr_t)address), index);
	return modules_get(index);
}

/* Another function of this object, by its name. */
static const void *
code(void)
{
	return (const void *)(uintptr_t)setup;
}

START_TEST(test_own)
{
	char exe[PATH_MAX] = { 0 };
	const struct module *m = find(code());

	ck_assert_int_gt(readlink("/proc/self/exe", exe, PATH_MAX - 1), 0);
	ck_assert_str_eq(m->path, exe);
	ck_assert_ptr_eq(find(&own_data), m);
	ck_assert_uint_eq(modules_count(), 1);
	ck_assert(load_relaxed(&m->is_loaded));
	ck_assert((uintptr_t)code() >= m->start &&
		  (uintptr_t)code() < m->end);
	ck_assert_uint_ge(modules_tls_bytes(m), sizeof(own_tls));
	for (size_t i = 0; i < sizeof(own_tls); i++)
		own_tls[i] = 1;
}
END_TEST

START_TEST(test_libc)
{
	void *address = dlsym(RTLD_DEFAULT, "qsort");
	const struct module *m = find(address);
	Dl_info info;

	ck_assert_int_ne(dladdr(address, &info), 0);
	ck_assert_str_eq(m->path, info.dli_fname);
	ck_assert_uint_eq(m->bias, (uintptr_t)info.dli_fbase);
	ck_assert_uint_eq(m->start, (uintptr_t)info.dli_fbase);
	/* Debian builds with --build-id: SHA-1. */
	ck_assert_uint_eq(m->build_id_size, 20);
}
END_TEST

static const char *
symbol(const char *name, size_t offset)
{
	char *address = dlsym(RTLD_DEFAULT, name);

	ck_assert_ptr_nonnull(address);
	return modules_symbol(find(address), (uintptr_t)address + offset);
}

START_TEST(test_symbols)
{
	const struct module *m = find(dlsym(RTLD_DEFAULT, "qsort_r"));

	ck_assert_str_eq(symbol("qsort_r", 0), "qsort_r");
	ck_assert_str_eq(symbol("qsort_r", 20), "qsort_r");
	ck_assert_str_eq(symbol("getopt_long", 3), "getopt_long");
	/* Nothing is exported there. */
	ck_assert_ptr_null(modules_symbol(m, m->start));
	ck_assert_ptr_null(modules_symbol(m, m->end - 1));
}
END_TEST

START_TEST(test_unknown)
{
	int local;
	void *block = malloc(10);

	ck_assert_uint_eq(modules_find(0), MODULE_NONE);
	ck_assert_uint_eq(modules_find(UINTPTR_MAX), MODULE_NONE);
	ck_assert_uint_eq(modules_find((uintptr_t)&local), MODULE_NONE);
	ck_assert_uint_eq(modules_find((uintptr_t)block), MODULE_NONE);
	ck_assert_uint_eq(modules_lookup((uintptr_t)code()), MODULE_NONE);
	ck_assert_uint_eq(modules_count(), 0);
	free(block);
}
END_TEST

START_TEST(test_loader)
{
	/* The auxiliary vector says where it is. */
	uintptr_t loader = getauxval(AT_BASE);

	ck_assert(modules_is_loader(loader));
	ck_assert(modules_is_loader(loader + 0x1100));
	ck_assert(!modules_is_loader((uintptr_t)code()));
	ck_assert(!modules_is_loader((uintptr_t)dlsym(RTLD_DEFAULT, "qsort")));
}
END_TEST

/* What was unloaded keeps its name, and gives up its addresses. */
START_TEST(test_closed)
{
	void *handle = dlopen(OTHER, RTLD_NOW);
	const struct module *m;
	uintptr_t address, again;
	uint32_t index;

	ck_assert_ptr_nonnull(handle);
	address = (uintptr_t)dlsym(handle, OTHER_SYMBOL);
	m = find((void *)address);
	index = modules_find(address);
	find(code());
	ck_assert(!modules_closed());
	ck_assert_int_eq(dlclose(handle), 0);
	ck_assert(modules_closed());
	ck_assert(!modules_closed());
	ck_assert(!load_relaxed(&m->is_loaded));
	ck_assert_uint_eq(modules_find(address), MODULE_NONE);
	ck_assert_uint_eq(modules_lookup(address), index);
	ck_assert_ptr_nonnull(strstr(m->path, OTHER));
	ck_assert_ptr_null(modules_symbol(m, address));
	ck_assert_uint_eq(modules_tls_bytes(m), 0);
	ck_assert(load_relaxed(&find(code())->is_loaded));
	/* Loaded again it is the same module if it is at the same place. */
	handle = dlopen(OTHER, RTLD_NOW);
	again = (uintptr_t)dlsym(handle, OTHER_SYMBOL);
	ck_assert_int_eq(modules_find(again) == index, again == address);
	address = again;
	ck_assert(load_relaxed(&find((void *)address)->is_loaded));
}
END_TEST

static unsigned visits;
static uintptr_t first_bias;

static int
visit(struct dl_phdr_info *info, size_t size, void *argument)
{
	expect(size == sizeof(*info) && argument == &visits);
	expect(info->dlpi_phnum > 0 && info->dlpi_name != NULL);
	if (visits++ == 0)
		first_bias = info->dlpi_addr;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		expect(info->dlpi_phdr[i].p_memsz > 0 ||
		       info->dlpi_phdr[i].p_type == PT_GNU_STACK);
	return 0;
}

static int
stop_at_second(struct dl_phdr_info *info, size_t size, void *argument)
{
	(void)info;
	(void)size;
	return ++*(int *)argument == 2 ? 17 : 0;
}

/* Those that were noted, each once, and the one asked for first. */
START_TEST(test_iterate)
{
	uintptr_t libc = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort");
	int calls = 0;

	find(code());
	find((void *)getauxval(AT_BASE));
	/* The hint is noted by this. */
	ck_assert_int_eq(modules_iterate(libc, visit, &visits), 0);
	ck_assert_uint_eq(visits, 3);
	ck_assert_uint_eq(first_bias, find((void *)libc)->bias);
	visits = 0;
	ck_assert_int_eq(modules_iterate(0, visit, &visits), 0);
	ck_assert_uint_eq(visits, 3);
	ck_assert_int_eq(modules_iterate(libc, stop_at_second, &calls), 17);
	ck_assert_int_eq(calls, 2);
}
END_TEST

static void *
find_all(void *addresses)
{
	for (void **a = addresses; *a != NULL; a++)
		expect(modules_find((uintptr_t)*a) != MODULE_NONE);
	return NULL;
}

START_TEST(test_concurrent)
{
	void *addresses[] = {
		(void *)code(), dlsym(RTLD_DEFAULT, "qsort"),
		(void *)getauxval(AT_BASE),
		dlsym(dlopen(OTHER, RTLD_NOW), OTHER_SYMBOL), &own_data, NULL,
	};
	pthread_t threads[8];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, find_all,
				      addresses) == 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	/* Four objects, each noted once. */
	ck_assert_uint_eq(modules_count(), 4);
}
END_TEST

/* Opened again and again it stays one module, and what is kept is ours. */
START_TEST(test_reopened)
{
	uint32_t count = 0;

	for (unsigned i = 0; i < 300; i++) {
		void *library = dlopen(OTHER, RTLD_NOW);
		const struct module *m;

		ck_assert_ptr_nonnull(library);
		m = find(dlsym(library, OTHER_SYMBOL));
		expect(load_relaxed(&m->is_loaded));
		expect(dlclose(library) == 0);
		expect(modules_closed());
		expect(!load_relaxed(&m->is_loaded));
		/* They were mapped with the object, and are not now. */
		expect(m->phnum > 0 && m->phdr[0].p_type <= PT_GNU_PROPERTY);
		expect(m->build_id_size > 0);
		if (i == 0)
			count = modules_count();
	}
	/* The kernel chooses other places for it at times. */
	ck_assert_uint_le(modules_count(), count + 20);
}
END_TEST

static volatile bool is_over;

static void *
reopen(void *argument)
{
	while (!is_over)
		expect(dlclose(dlopen(argument, RTLD_NOW)) == 0);
	return NULL;
}

static int
visit_headers(struct dl_phdr_info *info, size_t size, void *argument)
{
	unsigned *sum = argument;

	expect(size == sizeof(*info));
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		*sum += info->dlpi_phdr[i].p_type;
	return 0;
}

/* Others close it while we note and look (N3). */
START_TEST(test_closed_meanwhile)
{
	static char name[] = OTHER;
	pthread_t threads[3];
	void *library = dlopen(OTHER, RTLD_NOW);
	uintptr_t address = (uintptr_t)dlsym(library, OTHER_SYMBOL);
	unsigned sum = 0;

	dlclose(library);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, reopen, name) == 0);
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t index = modules_find(address);

		if (index != MODULE_NONE)
			expect(strstr(modules_get(index)->path, "unwind") !=
			       NULL);
		modules_iterate(0, visit_headers, &sum);
		if (i % 16 == 0)
			modules_closed();
	}
	is_over = true;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("modules");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "own", test_own }, { "libc", test_libc },
		{ "symbols", test_symbols }, { "unknown", test_unknown },
		{ "loader", test_loader }, { "closed", test_closed },
		{ "iterate", test_iterate }, { "concurrent", test_concurrent },
		{ "reopened", test_reopened },
		{ "closed_meanwhile", test_closed_meanwhile },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
