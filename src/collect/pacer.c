/*
 * pacer.c - when is the next cycle due?
 *
 * The goal is Go's (runtime/mgcpacer.go, "The GC Percent"): what lives, plus
 * PERCENT of what lives and of the roots, at least 4 MiB times PERCENT / 100.
 * A cycle begins early enough to end at the goal, judged by how long the last
 * one took and how fast what the program uses grows.
 *
 * Four things are ours.  A program that frees what it uses grows for reasons
 * of its own: after cycles that found nothing the goal moves away, up to
 * CLEAN_FACTOR_MAX times PERCENT.  Blocks that wait out their grace are garbage
 * that only another cycle frees: where they are much, it comes soon.  A program
 * is slowed for what memory it takes while a cycle runs, not for what it
 * allocates: most of that it frees itself.  And a limit that cannot be kept
 * costs at most half of the time (Go's limiter).
 */
#include "collect/pacer.h"

#include "settings/options.h"

#define GOAL_MIN	(4 * MIB)

/*
 * Before anything is known of a program the first cycle waits for a heap that
 * is worth one: most programs end before, and would run longer for it.
 */
#define FIRST_TRIGGER	(32 * MIB)

/* Of the way to the goal the overhead takes no more than this part. */
#define OVERHEAD_PART	4

/* The goal is approached by no less and no more than this part of the way. */
#define TRIGGER_MIN_PERCENT	70
#define TRIGGER_MAX_PERCENT	95

/* So many clean cycles double the way to the goal once more. */
#define CLEAN_CYCLES		8
#define CLEAN_FACTOR_MAX	4

/* Pending garbage above this part of what lives does not wait for growth. */
#define PENDING_PART		4
/* How much the program may allocate, of what lives, before it goes. */
#define PENDING_GROWTH_PART	32

/* Where no more is left to the goal, a cycle sees this part of what lives. */
#define GROWTH_MIN_PART	32

/* After one that was abandoned: as long as it took, and then twice that. */
#define RETRY_MIN_NS	(10 * NSEC_PER_MSEC)
#define RETRY_MAX_NS	(60 * NSEC_PER_SEC)
#define RETRY_DOUBLINGS	16u

/* Between two cycles that only the limit asks for, as much as one took. */
#define LIMIT_REST(cpu_ns)	(cpu_ns)

/* A quarantine this small costs less than the cycle that would empty it. */
#define QUARANTINE_MIN	MIB

/* a * b / 100, without overflow. */
static uint64_t
percent_of(uint64_t a, uint64_t b)
{
	uint64_t product;

	if (!__builtin_mul_overflow(a, b, &product))
		return product / 100;
	return __builtin_mul_overflow(a / 100, b, &product) ? UINT64_MAX / 4
							    : product;
}

/* growth - bytes from what lives to the goal. */
static uint64_t
growth(const struct pacer_settings *s, const struct pacer_cycle *c)
{
	unsigned factor = 1;

	if (s->percent == OPTION_OFF)
		return UINT64_MAX / 4;
	for (unsigned n = c->clean_cycles;
	     n >= CLEAN_CYCLES && factor < CLEAN_FACTOR_MAX; n -= CLEAN_CYCLES)
		factor *= 2;
	return percent_of(c->live_bytes + c->root_bytes, s->percent * factor);
}

static uint64_t
heap_goal(const struct pacer_settings *s, const struct pacer_cycle *c)
{
	uint64_t least = s->percent == OPTION_OFF ? 0
			 : percent_of(GOAL_MIN, s->percent);

	return MAX(c->live_bytes + growth(s, c), least);
}

/*
 * cycle_growth - the way to the goal, shared: what is lost while a cycle runs
 * is condemned by the next one and reclaimed by the last of grace more, and
 * meanwhile as much is lost again.
 */
static uint64_t
cycle_growth(const struct pacer_settings *s, const struct pacer_cycle *c,
	     uint64_t way)
{
	uint64_t least = MAX(c->live_bytes / GROWTH_MIN_PART, GOAL_MIN / 16);

	return s->percent == OPTION_OFF ? least
					: MAX(way / (s->grace + 2), least);
}

struct pacer_plan
pacer_plan(const struct pacer_settings *s, const struct pacer_cycle *c)
{
	struct pacer_plan plan = { .latest_ns = s->interval_ns };
	uint64_t goal = heap_goal(s, c), way, runway;
	bool is_limited = s->limit != OPTION_OFF &&
			  goal + c->overhead_bytes > s->limit;

	if (is_limited) {
		goal = s->limit > c->overhead_bytes
		       ? s->limit - c->overhead_bytes : 0;
		plan.earliest_ns = LIMIT_REST(c->cpu_ns);
	}
	plan.goal_bytes = goal;
	plan.ceiling_bytes = is_limited ? s->limit : goal;
	/*
	 * Memory is what the goal is about: what free slots and runs hold
	 * counts, as far as some way is left to grow.
	 */
	if (s->percent != OPTION_OFF && goal > c->live_bytes)
		goal -= MIN(c->overhead_bytes, (goal - c->live_bytes) /
					       OVERHEAD_PART);
	way = goal > c->live_bytes ? goal - c->live_bytes : 0;
	plan.growth_bytes = cycle_growth(s, c, is_limited ? 0 : way);
	/* By what it grows while a cycle runs. */
	runway = (uint64_t)((double)c->rate * (double)c->wall_ns / 1e9);
	plan.trigger_bytes = goal > runway ? goal - runway : 0;
	plan.trigger_bytes = MAX(plan.trigger_bytes, c->live_bytes +
				 percent_of(way, TRIGGER_MIN_PERCENT));
	plan.trigger_bytes = MIN(plan.trigger_bytes, c->live_bytes +
				 percent_of(way, TRIGGER_MAX_PERCENT));
	if (c->pending_bytes > c->live_bytes / PENDING_PART &&
	    s->percent != OPTION_OFF)
		plan.trigger_bytes = MIN(plan.trigger_bytes, c->used_bytes +
					 c->live_bytes / PENDING_GROWTH_PART);
	/* Growth, however little, must come before growth is collected. */
	plan.trigger_bytes = MAX(plan.trigger_bytes, c->used_bytes +
				 MAX(c->live_bytes / PENDING_GROWTH_PART,
				     GOAL_MIN / 16));
	return plan;
}

uint64_t
pacer_quarantine(const struct pacer_settings *s, uint64_t bytes)
{
	return MAX(percent_of(bytes, s->quarantine), QUARANTINE_MIN);
}

struct pacer_plan
pacer_first(const struct pacer_settings *s)
{
	const struct pacer_cycle none = { 0 };
	struct pacer_plan plan = pacer_plan(s, &none);

	plan.goal_bytes = MAX(plan.goal_bytes, FIRST_TRIGGER);
	if (s->limit != OPTION_OFF)
		plan.goal_bytes = MIN(plan.goal_bytes, s->limit);
	plan.trigger_bytes = MIN(plan.goal_bytes, UINT64_MAX / 4);
	return plan;
}

uint64_t
pacer_retry(unsigned failures, uint64_t wall_ns)
{
	uint64_t ns = MIN(MAX(wall_ns, RETRY_MIN_NS), RETRY_MAX_NS);

	return MIN(ns << MIN(failures - 1, RETRY_DOUBLINGS), RETRY_MAX_NS);
}
