/*
 * test_pacer.c - when is the next cycle due?
 */
#include "unit.h"

#include "collect/pacer.h"
#include "settings/options.h"

#define MB	MIB
#define NEVER	(UINT64_MAX / 8)

static const struct pacer_settings go = { .percent = 100,
					  .limit = OPTION_OFF };

static struct pacer_plan
plan_of(uint64_t percent, uint64_t live, uint64_t root)
{
	struct pacer_settings s = { .percent = percent, .limit = OPTION_OFF };
	struct pacer_cycle c = { .live_bytes = live, .root_bytes = root,
				 .used_bytes = live };

	return pacer_plan(&s, &c);
}

/*
 * Go's published figures ("A Guide to the Go Garbage Collector"): target heap
 * = live heap + (live heap + roots) * GOGC / 100, and at least 4 MiB * GOGC /
 * 100.
 */
START_TEST(test_goal)
{
	static const struct {
		uint64_t percent, live, root, goal;
	} table[] = {
		{ 100, 4 * MB, 0, 8 * MB },
		{ 100, 8 * MB, 0, 16 * MB },
		{ 100, 10 * MB, 10 * MB, 30 * MB },
		{ 200, 8 * MB, 10 * MB, 44 * MB },
		{ 50, 100 * MB, 0, 150 * MB },
		{ 100, 0, 0, 4 * MB },
		{ 100, MB, 0, 4 * MB },
		{ 50, 0, 0, 2 * MB },
		{ 400, MB, 0, 16 * MB },
		{ 1000, 4 * MB, 0, 44 * MB },
		{ 100, 1000 * GIB, 0, 2000 * GIB },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		ck_assert_uint_eq(plan_of(table[i].percent, table[i].live,
					  table[i].root).goal_bytes,
				  table[i].goal);
	ck_assert_uint_gt(plan_of(OPTION_OFF, MB, MB).goal_bytes, NEVER);
	ck_assert_uint_gt(plan_of(OPTION_OFF, MB, MB).trigger_bytes, NEVER);
}
END_TEST

/* A share of what a mark reads, and never less than a mark is worth. */
START_TEST(test_quarantine)
{
	struct pacer_settings s = go;

	s.quarantine = 25;
	ck_assert_uint_eq(pacer_quarantine(&s, 0), MB);
	ck_assert_uint_eq(pacer_quarantine(&s, 4 * MB), MB);
	ck_assert_uint_eq(pacer_quarantine(&s, 100 * MB), 25 * MB);
	s.quarantine = 1;
	ck_assert_uint_eq(pacer_quarantine(&s, 1000 * MB), 10 * MB);
	s.quarantine = 1000000;
	ck_assert_uint_eq(pacer_quarantine(&s, GIB), 10000 * GIB);
	ck_assert_uint_gt(pacer_quarantine(&s, UINT64_MAX / 2), NEVER);
}
END_TEST

/* Before any cycle: a heap that is worth one. */
START_TEST(test_first)
{
	struct pacer_settings s = go;

	ck_assert_uint_eq(pacer_first(&s).trigger_bytes, 32 * MB);
	s.percent = 2000;
	ck_assert_uint_eq(pacer_first(&s).trigger_bytes, 80 * MB);
	s.limit = 16 * MB;
	ck_assert_uint_eq(pacer_first(&s).trigger_bytes, 16 * MB);
	s.limit = OPTION_OFF;
	s.percent = OPTION_OFF;
	ck_assert_uint_gt(pacer_first(&s).trigger_bytes, NEVER);
	ck_assert_uint_eq(pacer_first(&s).latest_ns, 0);
	s.interval_ns = 5;
	ck_assert_uint_eq(pacer_first(&s).latest_ns, 5);
	s.limit = 64 * MB;
	ck_assert_uint_eq(pacer_first(&s).trigger_bytes, 64 * MB);
}
END_TEST

/* Early enough for what the program allocates meanwhile, but not too early. */
START_TEST(test_trigger)
{
	struct pacer_cycle c = { .live_bytes = 100 * MB,
				 .used_bytes = 100 * MB,
				 .wall_ns = 100 * NSEC_PER_MSEC };
	uint64_t last = UINT64_MAX;

	/* Slow: 95 percent of the way. */
	ck_assert_uint_eq(pacer_plan(&go, &c).trigger_bytes, 195 * MB);
	/* 150 MB a second: 15 MB while a cycle runs. */
	c.rate = 150 * MB;
	ck_assert_uint_eq(pacer_plan(&go, &c).trigger_bytes, 185 * MB);
	/* Too fast for anything: at 70 percent of the way. */
	c.rate = 100 * GIB;
	ck_assert_uint_eq(pacer_plan(&go, &c).trigger_bytes, 170 * MB);
	for (c.rate = 0; c.rate < 2 * GIB; c.rate += 10 * MB) {
		uint64_t trigger = pacer_plan(&go, &c).trigger_bytes;

		expect(trigger <= last);
		last = trigger;
	}
}
END_TEST

/* A program that does not leak is looked at less and less, to a point. */
START_TEST(test_clean)
{
	struct pacer_cycle c = { .live_bytes = 100 * MB,
				 .used_bytes = 100 * MB };
	uint64_t last = 0;

	for (c.clean_cycles = 0; c.clean_cycles < 100; c.clean_cycles++) {
		uint64_t goal = pacer_plan(&go, &c).goal_bytes;

		expect(goal >= last && goal <= 500 * MB);
		last = goal;
	}
	ck_assert_uint_eq(last, 500 * MB);
	c.clean_cycles = 1;
	ck_assert_uint_eq(pacer_plan(&go, &c).goal_bytes, 200 * MB);
	c.clean_cycles = UINT32_MAX;
	ck_assert_uint_eq(pacer_plan(&go, &c).goal_bytes, 500 * MB);
}
END_TEST

/* Much garbage that waits out its grace: soon again. */
START_TEST(test_pending)
{
	struct pacer_cycle c = { .live_bytes = 100 * MB,
				 .used_bytes = 160 * MB,
				 .pending_bytes = 60 * MB };
	uint64_t soon = pacer_plan(&go, &c).trigger_bytes;
	struct pacer_settings off = go;

	ck_assert_uint_gt(soon, c.used_bytes);
	ck_assert_uint_lt(soon, 170 * MB);
	/* A little waits for growth. */
	c.pending_bytes = MB;
	c.used_bytes = 101 * MB;
	ck_assert_uint_eq(pacer_plan(&go, &c).trigger_bytes, 195 * MB);
	/* Nor does who wants no cycles get them. */
	c.pending_bytes = 60 * MB;
	off.percent = OPTION_OFF;
	ck_assert_uint_gt(pacer_plan(&off, &c).trigger_bytes, NEVER);
}
END_TEST

/*
 * While a cycle runs the heap may grow to the goal, and by what three cycles
 * in a row may lose of the way to it: one that is reclaimed next, one that is
 * condemned, one that nobody knows of yet.
 */
START_TEST(test_growth)
{
	struct pacer_settings s = { .percent = 100, .limit = OPTION_OFF,
				    .grace = 1 };
	struct pacer_cycle c = { .live_bytes = 300 * MB,
				 .used_bytes = 400 * MB };

	ck_assert_uint_eq(pacer_plan(&s, &c).ceiling_bytes, 600 * MB);
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 100 * MB);
	/* What is held besides leaves less, but most of the way. */
	c.overhead_bytes = 60 * MB;
	ck_assert_uint_eq(pacer_plan(&s, &c).ceiling_bytes, 600 * MB);
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 80 * MB);
	c.overhead_bytes = GIB;
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 75 * MB);
	c.overhead_bytes = 0;
	/* More grace, less each time; but the program gets on. */
	s.grace = 4;
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 50 * MB);
	s.grace = 1000;
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 300 * MB / 32);
	s.grace = 1;
	s.percent = 0;
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 300 * MB / 32);
	c.live_bytes = 0;
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 256 * KIB);
	/* At the limit there is no way to share. */
	s.percent = 100;
	s.limit = 350 * MB;
	c.live_bytes = 320 * MB;
	c.overhead_bytes = 20 * MB;
	ck_assert_uint_eq(pacer_plan(&s, &c).ceiling_bytes, 350 * MB);
	ck_assert_uint_eq(pacer_plan(&s, &c).growth_bytes, 10 * MB);
	/* Nobody who wants no cycles is slowed for them. */
	s.limit = s.percent = OPTION_OFF;
	ck_assert_uint_gt(pacer_plan(&s, &c).ceiling_bytes, NEVER);
}
END_TEST

/* After an abandoned cycle: not at once, and later each time. */
START_TEST(test_retry)
{
	static const struct {
		unsigned failures;
		uint64_t wall_ms, wait_ms;
	} table[] = {
		{ 1, 0, 10 }, { 2, 0, 20 }, { 4, 1, 80 }, { 1, 100, 100 },
		{ 3, 100, 400 }, { 1, 3000, 3000 }, { 2, 3000, 6000 },
		{ 5, 3000, 48000 }, { 6, 3000, 60000 }, { 1, 90000, 60000 },
		{ 17, 0, 60000 }, { UINT32_MAX, 3000, 60000 },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		ck_assert_uint_eq(pacer_retry(table[i].failures,
					      table[i].wall_ms *
					      NSEC_PER_MSEC),
				  table[i].wait_ms * NSEC_PER_MSEC);
}
END_TEST

/* Near the limit cycles come sooner; at most half of the time is theirs. */
START_TEST(test_limit)
{
	struct pacer_settings s = { .percent = 100, .limit = 150 * MB };
	struct pacer_cycle c = { .live_bytes = 100 * MB,
				 .used_bytes = 100 * MB,
				 .cpu_ns = 7000 };
	struct pacer_plan plan = pacer_plan(&s, &c);

	ck_assert_uint_eq(plan.goal_bytes, 150 * MB);
	ck_assert_uint_le(plan.trigger_bytes, 150 * MB);
	ck_assert_uint_gt(plan.trigger_bytes, 100 * MB);
	ck_assert_uint_eq(plan.earliest_ns, 7000);
	/* What the heap occupies besides counts too. */
	c.overhead_bytes = 20 * MB;
	ck_assert_uint_eq(pacer_plan(&s, &c).goal_bytes, 130 * MB);
	/* Far away it changes nothing. */
	s.limit = GIB;
	plan = pacer_plan(&s, &c);
	ck_assert_uint_eq(plan.goal_bytes, 200 * MB);
	ck_assert_uint_eq(plan.earliest_ns, 0);
	/* It cannot be kept: the program must still get on. */
	s.limit = 50 * MB;
	plan = pacer_plan(&s, &c);
	ck_assert_uint_gt(plan.trigger_bytes, c.used_bytes);
	ck_assert_uint_eq(plan.earliest_ns, 7000);
	/* Alone, without percent. */
	s.percent = OPTION_OFF;
	s.limit = 150 * MB;
	ck_assert_uint_eq(pacer_plan(&s, &c).goal_bytes, 130 * MB);
}
END_TEST

START_TEST(test_interval)
{
	struct pacer_settings s = go;
	struct pacer_cycle c = { .live_bytes = MB, .used_bytes = MB };

	ck_assert_uint_eq(pacer_plan(&s, &c).latest_ns, 0);
	s.interval_ns = 120 * NSEC_PER_SEC;
	ck_assert_uint_eq(pacer_plan(&s, &c).latest_ns, 120 * NSEC_PER_SEC);
	s.percent = OPTION_OFF;
	ck_assert_uint_eq(pacer_plan(&s, &c).latest_ns, 120 * NSEC_PER_SEC);
}
END_TEST

/* Whatever is put in: a cycle never follows another without any growth. */
START_TEST(test_anything)
{
	uint64_t state = unit_seed(1);

	for (unsigned n = 0; n < 300000; n++) {
		struct pacer_settings s = {
			.percent = n % 5 == 0 ? OPTION_OFF
				   : unit_random(&state, 1000001),
			.limit = n % 3 == 0 ? unit_random_size(&state, GIB)
				 : OPTION_OFF,
		};
		struct pacer_cycle c = {
			.live_bytes = unit_random_size(&state, 1ul << 46),
			.root_bytes = unit_random_size(&state, 1ul << 46),
			.pending_bytes = unit_random_size(&state, 1ul << 40),
			.overhead_bytes = unit_random_size(&state, GIB),
			.wall_ns = unit_random_size(&state, 1ul << 45),
			.cpu_ns = unit_random_size(&state, 1ul << 45),
			.rate = unit_random_size(&state, 1ul << 45),
			.clean_cycles = (unsigned)unit_random(&state, 100),
		};
		struct pacer_plan plan;

		c.used_bytes = c.live_bytes +
			       unit_random_size(&state, 1ul << 40);
		plan = pacer_plan(&s, &c);
		expect(plan.trigger_bytes >= c.used_bytes + 256 * KIB);
		expect(plan.goal_bytes >= c.live_bytes || s.limit < GIB);
		expect(plan.ceiling_bytes >= plan.goal_bytes);
		expect(plan.growth_bytes >= 256 * KIB);
		expect(s.percent != OPTION_OFF || s.limit != OPTION_OFF ||
		       plan.goal_bytes > NEVER);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pacer");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "goal", test_goal }, { "first", test_first },
		{ "quarantine", test_quarantine },
		{ "trigger", test_trigger }, { "clean", test_clean },
		{ "pending", test_pending }, { "growth", test_growth },
		{ "retry", test_retry }, { "limit", test_limit },
		{ "interval", test_interval }, { "anything", test_anything },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		unit_case(suite, cases[i].name, cases[i].test);
	return unit_run(suite);
}
