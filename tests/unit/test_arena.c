/*
 * test_arena.c - address space, in runs of units, against a simple model.
 *
 * The model is one byte a unit.  Every run that is taken is filled with a
 * pattern of its own, a word a page, which must still be there when it is
 * given back: no run overlaps another.
 */
#include "unit.h"

#include "base/sys.h"
#include "heap/meta.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define RANGE		(512 * MIB)
#define UNITS		(RANGE >> UNIT_SHIFT)
#define RUNS		200
#define PAGES		(UNIT_SIZE / 4096)

/* In the table bit 0 of a span's address is free. */
struct span_like {
	uint64_t number;
};

static struct run_like {
	uintptr_t start;
	size_t units;
	struct span_like span;
} runs[RUNS];

static unsigned char owner[UNITS];	/* of a unit: 0 nobody, 1 a run */

static void
setup(void)
{
	ck_assert_int_eq(meta_init(256 * MIB), 0);
	ck_assert_int_eq(arena_init(RANGE), 0);
}

static void
check_valid(void)
{
#ifdef BILGE_DEBUG
	expect(arena_is_valid());
#endif
}

static size_t
unit_index(uintptr_t addr)
{
	return (addr - arena_view.base) >> UNIT_SHIFT;
}

static struct span *
span_of(struct run_like *run)
{
	return (struct span *)&run->span;
}

static uint64_t *
page_word(const struct run_like *run, size_t page)
{
	/* Not always the first word of a page. */
	return (uint64_t *)(run->start + page * 4096 + page * 8 % 4096);
}

static void
fill(struct run_like *run, size_t first_unit)
{
	for (size_t p = first_unit * PAGES; p < run->units * PAGES; p++)
		*page_word(run, p) = bits_mix(run->span.number + p);
}

static void
check_content(const struct run_like *run)
{
	for (size_t p = 0; p < run->units * PAGES; p++)
		expect(*page_word(run, p) == bits_mix(run->span.number + p));
}

static void
check_zero(uintptr_t start, size_t units)
{
	const uint64_t *word = (const uint64_t *)start;

	for (size_t i = 0; i < units << UNIT_SHIFT >> 3; i++)
		expect(word[i] == 0);
}

static void
own(struct run_like *run, size_t first_unit)
{
	for (size_t u = first_unit; u < run->units; u++) {
		uintptr_t addr = run->start + (u << UNIT_SHIFT);

		expect(owner[unit_index(addr)] == 0);		/* A1 */
		owner[unit_index(addr)] = 1;
		expect(arena_span_of(addr) == span_of(run));	/* A4 */
		expect(arena_span_of(addr + UNIT_SIZE - 1) == span_of(run));
	}
}

static void
take(struct run_like *run, size_t units)
{
	static uint64_t number;
	bool zero;

	run->start = arena_take(units, &zero);
	if (run->start == 0)
		return;
	expect(run->start % UNIT_SIZE == 0);
	expect(arena_contains(run->start) &&
	       arena_contains(run->start + (units << UNIT_SHIFT) - 1));
	expect(run->start - arena_view.base + (units << UNIT_SHIFT) <=
	       arena_view.size);
	expect(arena_span_of(run->start) == NULL);
	run->units = units;
	run->span.number = bits_mix(++number);
	arena_assign(run->start, units, span_of(run));
	own(run, 0);
	if (zero)						/* A1 */
		check_zero(run->start, units);
	fill(run, 0);
}

static void
give_tail(struct run_like *run, size_t units)
{
	uintptr_t tail = run->start + ((run->units - units) << UNIT_SHIFT);

	memset(owner + unit_index(tail), 0, units);
	run->units -= units;
	arena_give(tail, units);
	for (size_t u = 0; u < units; u++)
		expect(arena_span_of(tail + (u << UNIT_SHIFT)) == NULL);
}

static void
extend(struct run_like *run, size_t more)
{
	size_t end = unit_index(run->start) + run->units;
	size_t frontier = load_relaxed(&arena_view.frontier) >> UNIT_SHIFT;
	bool is_free = true;

	for (size_t u = end; u < MIN(end + more, UNITS); u++)
		is_free = is_free && owner[u] == 0;
	if (!arena_extend(run->start, run->units, more, span_of(run))) {
		/* At the frontier it only fails for want of memory. */
		expect(end != frontier || end + more > UNITS);
		/* Nothing has changed. */
		expect(end == frontier || end == UNITS ||
		       arena_span_of(run->start +
				     (run->units << UNIT_SHIFT)) !=
		       span_of(run));
		return;
	}
	expect(is_free && end + more <= UNITS);
	run->units += more;
	own(run, run->units - more);
	fill(run, run->units - more);
}

static size_t
model_bytes(void)
{
	size_t units = 0;

	for (size_t i = 0; i < RUNS; i++)
		units += runs[i].start != 0 ? runs[i].units : 0;
	return units << UNIT_SHIFT;
}

static void
one_operation(uint64_t *state, size_t largest)
{
	struct run_like *run = &runs[unit_random(state, RUNS)];
	size_t units = 1 + unit_random_size(state, largest - 1);

	if (run->start == 0) {
		take(run, units);
		return;
	}
	switch (unit_random(state, 8)) {
	case 0:
	case 1:
		extend(run, units);
		break;
	case 2:
		if (run->units > 1) {
			give_tail(run, 1 + unit_random(state, run->units - 1));
			break;
		}
		/* fall through */
	default:
		check_content(run);
		give_tail(run, run->units);
		run->start = 0;
	}
}

static void
run_model(uint64_t *state, unsigned operations, size_t largest)
{
	size_t peak = 0;

	for (unsigned i = 0; i < operations; i++) {
		one_operation(state, largest);
		peak = MAX(peak, arena_used_bytes());
		if (unit_random(state, 100) == 0)
			expect(arena_trim(0) % UNIT_SIZE == 0 &&
			       arena_dirty_bytes() == 0);
		if (i % 16 == 0) {
			check_valid();
			expect(arena_used_bytes() == model_bytes());
		}
	}
	expect(arena_peak_bytes() >= peak);
	for (size_t i = 0; i < RUNS; i++)
		if (runs[i].start != 0) {
			check_content(&runs[i]);
			give_tail(&runs[i], runs[i].units);
			runs[i].start = 0;
		}
	expect(arena_used_bytes() == 0);
	check_valid();
}

START_TEST(test_model)
{
	uint64_t state = unit_seed(1);
	size_t frontier;

	run_model(&state, 3000, 24);
	frontier = load_relaxed(&arena_view.frontier);
	/* Everything is free and in one piece again: A2. */
	arena_trim(0);
	take(&runs[0], frontier >> UNIT_SHIFT);
	ck_assert_uint_eq(runs[0].start, arena_view.base);
	ck_assert_uint_eq(load_relaxed(&arena_view.frontier), frontier);
}
END_TEST

/* Runs of all sizes, until there is no room. */
START_TEST(test_model_large)
{
	uint64_t state = unit_seed(2);

	run_model(&state, 600, 700);
}
END_TEST

/* A run of this size gives its memory back at once. */
START_TEST(test_at_once)
{
	take(&runs[0], 32 * MIB >> UNIT_SHIFT);
	give_tail(&runs[0], runs[0].units);
	ck_assert_uint_eq(arena_dirty_bytes(), 0);
	take(&runs[0], 1);
	give_tail(&runs[0], 1);
	ck_assert_uint_eq(arena_dirty_bytes(), UNIT_SIZE);
	/* A short idle time is not long enough, a trim without it is. */
	ck_assert_uint_eq(arena_trim(3600 * NSEC_PER_SEC), 0);
	ck_assert_uint_eq(arena_trim(0), UNIT_SIZE);
	ck_assert_uint_eq(arena_trim(0), 0);
	ck_assert_uint_eq(arena_dirty_bytes(), 0);
}
END_TEST

/* A small one too, where its last user says so; it is as good as new then. */
START_TEST(test_cold)
{
	uintptr_t run;
	bool zero;

	take(&runs[0], 1);
	run = arena_take(3, &zero);
	arena_assign(run, 3, NULL);
	memset((void *)run, 1, 3 * UNIT_SIZE);
	arena_give_cold(run, 3);
	ck_assert_uint_eq(arena_dirty_bytes(), 0);
	ck_assert_uint_eq(arena_take(3, &zero), run);
	ck_assert(zero);
	for (size_t i = 0; i < 3 * UNIT_SIZE; i++)
		expect(((const char *)run)[i] == 0);
	arena_give(run, 3);
	check_valid();
}
END_TEST

static size_t
resident_pages(uintptr_t start, size_t units)
{
	static unsigned char in_core[4096];
	size_t count = 0;

	expect(units * PAGES <= sizeof(in_core));
	expect(mincore((void *)start, units << UNIT_SHIFT, in_core) == 0);
	for (size_t i = 0; i < units * PAGES; i++)
		count += in_core[i] & 1;
	return count;
}

/* What is idle goes back to the kernel, when somebody else uses the arena. */
START_TEST(test_decay)
{
	uint64_t begin = sys_monotonic_ns();
	uintptr_t start;

	take(&runs[0], 64);
	take(&runs[1], 1);
	start = runs[0].start;
	ck_assert_uint_eq(resident_pages(start, 64), 64 * PAGES);
	give_tail(&runs[0], 64);
	ck_assert_uint_eq(arena_dirty_bytes(), 64 * UNIT_SIZE);
	while (arena_dirty_bytes() > UNIT_SIZE) {
		uintptr_t run;
		bool zero;

		expect(sys_monotonic_ns() - begin < 20 * NSEC_PER_SEC);
		usleep(20000);
		/* Another run comes and goes. */
		run = arena_take(1, &zero);
		arena_assign(run, 1, NULL);
		arena_give(run, 1);
	}
	ck_assert_uint_gt(sys_monotonic_ns() - begin, 400 * NSEC_PER_MSEC);
	ck_assert_uint_le(resident_pages(start, 64), PAGES);
	check_valid();
}
END_TEST

START_TEST(test_exhaustion)
{
	bool zero;
	size_t got = 0;

	ck_assert_uint_eq(arena_take(UNITS + 1, &zero), 0);
	ck_assert_uint_eq(arena_take(SIZE_MAX >> UNIT_SHIFT, &zero), 0);
	while (got < RUNS && (take(&runs[got], 64), runs[got].start != 0))
		got++;
	ck_assert_uint_eq(got, UNITS / 64);
	ck_assert_uint_eq(arena_take(1, &zero), 0);
	ck_assert(!arena_extend(runs[got - 1].start, 64, 1,
				span_of(&runs[got - 1])));
	give_tail(&runs[3], 64);
	ck_assert_uint_eq(arena_take(65, &zero), 0);
	take(&runs[3], 64);
	ck_assert_uint_ne(runs[3].start, 0);
	for (size_t i = 0; i < got; i++)
		check_content(&runs[i]);
}
END_TEST

START_TEST(test_shrink)
{
	bool zero;

	take(&runs[0], 100);
	arena_shrink(64 * MIB);
	ck_assert_uint_eq(arena_view.size, 64 * MIB);
	ck_assert_uint_eq(arena_take(64 * MIB >> UNIT_SHIFT, &zero), 0);
	take(&runs[1], 500);
	ck_assert_uint_ne(runs[1].start, 0);
	/* What is in use stays, however little is asked for. */
	arena_shrink(UNIT_SIZE);
	check_content(&runs[0]);
	check_content(&runs[1]);
	check_valid();
	/* It never grows again. */
	arena_shrink(RANGE);
	ck_assert_uint_le(arena_view.size, 64 * MIB);
}
END_TEST

START_TEST(test_outside)
{
	int local;

	take(&runs[0], 2);
	ck_assert_ptr_null(arena_span_of(0));
	ck_assert_ptr_null(arena_span_of((uintptr_t)&local));
	ck_assert_ptr_null(arena_span_of(arena_view.base - 1));
	ck_assert_ptr_null(arena_span_of(
		arena_view.base + load_relaxed(&arena_view.frontier)));
	ck_assert_ptr_null(arena_span_of(UINTPTR_MAX));
}
END_TEST

START_TEST(test_little_address_space)
{
	struct rlimit limit = { GIB, GIB };
	bool zero;

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_int_eq(meta_init(64 * MIB), 0);
	ck_assert_int_eq(arena_init(TIB), 0);
	ck_assert_uint_le(arena_view.size, GIB / 2);
	ck_assert_uint_ne(arena_take(10, &zero), 0);
}
END_TEST

static void
visit(struct span *span, void *argument)
{
	uintptr_t **next = argument;

	expect(((struct run_like *)((char *)span -
		offsetof(struct run_like, span)))->start == **next);
	++*next;
}

/* Each span once, ascending, whatever lies in between. */
START_TEST(test_for_each_span)
{
	uintptr_t starts[4], *next = starts;

	for (size_t i = 0; i < 7; i++)
		take(&runs[i], i + 1);
	for (size_t i = 0; i < 7; i++)
		if (i % 2 == 1)
			give_tail(&runs[i], i + 1);
		else
			*next++ = runs[i].start;
	next = starts;
	arena_for_each_span(visit, &next);
	ck_assert_ptr_eq(next, starts + 4);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("arena");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "model", test_model }, { "model_large", test_model_large },
		{ "at_once", test_at_once }, { "cold", test_cold },
		{ "decay", test_decay },
		{ "exhaustion", test_exhaustion }, { "shrink", test_shrink },
		{ "outside", test_outside }, { "spans", test_for_each_span },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	if (!UNIT_HAS_ASAN)
		unit_case(suite, "little", test_little_address_space);
	return unit_run(suite);
}
