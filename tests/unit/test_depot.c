/*
 * test_depot.c - call stacks, each kept once.
 */
#include "unit.h"

#include "heap/meta.h"
#include "report/depot.h"

#include <pthread.h>
#include <string.h>

#define THREADS	4
#define SHARED	20000

static void
setup(void)
{
	ck_assert_int_eq(meta_init(GIB), 0);
	ck_assert_int_eq(depot_init(), 0);
}

/* make_stack - the n-th of all stacks.  Returns: its length. */
static uint32_t
make_stack(uint64_t n, uintptr_t *frames)
{
	uint32_t count = 1 + (uint32_t)(n % DEPOT_DEPTH_MAX);

	/* Near each other, as return addresses are. */
	for (uint32_t i = 0; i < count; i++)
		frames[i] = 0x555555554000 + bits_mix(n + i / 3) % 100000;
	frames[count / 2] = n;
	return count;
}

static void
check_stack(uint32_t id, uint64_t n)
{
	uintptr_t frames[DEPOT_DEPTH_MAX];
	uint32_t count = make_stack(n, frames);
	const struct stack *stack = depot_stack(id);

	expect(stack != NULL && stack->count == count);
	expect(memcmp(stack->frames, frames, count * sizeof(*frames)) == 0);
}

static uint32_t
intern(uint64_t n)
{
	uintptr_t frames[DEPOT_DEPTH_MAX];
	uint32_t count = make_stack(n, frames);

	return depot_intern(frames, count);
}

static uint32_t
find(uint64_t n)
{
	uintptr_t frames[DEPOT_DEPTH_MAX];
	uint32_t count = make_stack(n, frames);

	return depot_find(frames, count);
}

/* More than there are buckets. */
START_TEST(test_many)
{
	enum { COUNT = 200000 };
	static uint32_t ids[COUNT];

	for (uint32_t i = 0; i < COUNT; i++) {
		if (i % 16 == 0)
			expect(find(i) == 0);
		ids[i] = intern(i);
		expect(ids[i] >= SITE_FIRST);
		/* Ascending, and so unique. */
		expect(i == 0 || ids[i] > ids[i - 1]);
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		check_stack(ids[i], i);
		expect(find(i) == ids[i]);
		expect(intern(i) == ids[i]);			/* D2 */
	}
}
END_TEST

/* Stacks that differ in one frame, in length, or in order. */
START_TEST(test_alike)
{
	uintptr_t frames[DEPOT_DEPTH_MAX];
	uint32_t ids[DEPOT_DEPTH_MAX * 2], id;

	for (uint32_t i = 0; i < DEPOT_DEPTH_MAX; i++)
		frames[i] = 0x1000;
	for (uint32_t n = 1; n <= DEPOT_DEPTH_MAX; n++) {
		ids[n - 1] = depot_intern(frames, n);
		for (uint32_t k = 0; k + 1 < n; k++)
			expect(ids[k] != ids[n - 1]);
	}
	for (uint32_t i = 0; i < DEPOT_DEPTH_MAX; i++) {
		frames[i] = 0x1001;
		id = depot_intern(frames, DEPOT_DEPTH_MAX);
		frames[i] = 0x1000;
		ids[DEPOT_DEPTH_MAX + i] = id;
		for (uint32_t k = 0; k < DEPOT_DEPTH_MAX + i; k++)
			expect(ids[k] != id);
	}
	frames[0] = 1;
	frames[1] = 2;
	id = depot_intern(frames, 2);
	frames[0] = 2;
	frames[1] = 1;
	ck_assert_uint_ne(depot_intern(frames, 2), id);
}
END_TEST

START_TEST(test_no_stack)
{
	ck_assert_ptr_null(depot_stack(SITE_NONE));
	ck_assert_ptr_null(depot_stack(SITE_UNKNOWN));
	ck_assert_ptr_null(depot_stack(SITE_IGNORED));
}
END_TEST

static _Atomic uint32_t agreed[SHARED];

static void *
intern_all(void *argument)
{
	uint64_t state = unit_seed((unsigned)(uintptr_t)argument);

	for (unsigned i = 0; i < 3 * SHARED; i++) {
		uint32_t n = (uint32_t)unit_random(&state, SHARED), none = 0;
		uint32_t id = find(n);

		if (id == 0)
			id = intern(n);
		/* A stack is complete when its id is known (D1). */
		check_stack(id, n);
		if (!atomic_compare_exchange_strong(&agreed[n], &none, id))
			expect(none == id);			/* D2 */
	}
	return NULL;
}

START_TEST(test_concurrent)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, intern_all,
				      (void *)(i + 1)) == 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t n = 0; n < SHARED; n++)
		expect(load_relaxed(&agreed[n]) == 0 ||
		       find(n) == load_relaxed(&agreed[n]));
}
END_TEST

/* Without memory a stack is unknown, those that are kept stay. */
START_TEST(test_full)
{
	uint32_t n = 0, id;

	depot_shrink(MIB);
	while ((id = intern(n)) != SITE_UNKNOWN) {
		check_stack(id, n);
		expect(++n < 100000);
	}
	ck_assert_uint_gt(n, 1000);
	for (uint32_t i = 0; i < n; i++)
		check_stack(find(i), i);
	ck_assert_uint_eq(find(n), 0);
	ck_assert_uint_eq(intern(n - 1), find(n - 1));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("depot");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "many", test_many }, { "alike", test_alike },
		{ "no_stack", test_no_stack },
		{ "concurrent", test_concurrent }, { "full", test_full },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
