/*
 * squad.c - more hands while the world stands.
 *
 * Owns the round of work.  Members are the crew's, with numbers from 1 on.
 *
 * Always true:
 *   D1  between two rounds every member sleeps, or is about to: none touches
 *       what a round worked on.
 *
 * Atomics: [B] release as a round begins pairs with acquire as a member sees
 * it; [D] release as a member is done pairs with acquire as the caller counts
 * it.
 */
#include "collect/squad.h"

#include "base/arch.h"
#include "base/sys.h"
#include "collect/work.h"
#include "world/crew.h"

/* More than that only wait for memory. */
#define HANDS_MAX	8u

static struct {
	/* Guarded by RANK_CYCLE; fixed during a round. */
	void (*job)(unsigned);		/* NULL: it is over */
	unsigned size;			/* the caller counts */
	/* Atomic: changes as a round begins. */
	_Atomic uint32_t round;
	/* Atomic: how many of its members are not done. */
	_Atomic uint32_t busy;
} squad = { .size = 1 };

static void
serve(void *argument)
{
	unsigned member = (unsigned)(uintptr_t)argument;
	uint32_t seen = 0, round;

	for (;;) {
		/* acquire [B] */
		while ((round = load_acquire(&squad.round)) == seen)
			sys_futex_wait(&squad.round, seen, 0);
		seen = round;
		if (squad.job == NULL)
			break;
		squad.job(member);
		/* release [D] */
		if (atomic_fetch_sub_explicit(&squad.busy, 1,
					      memory_order_release) == 1)
			sys_futex_wake(&squad.busy, 1);
	}
	work_count_helper();
}

static void
begin_round(void (*job)(unsigned))
{
	squad.job = job;
	store_relaxed(&squad.busy, squad.size - 1);
	/* release [B] */
	atomic_fetch_add_explicit(&squad.round, 1, memory_order_release);
	sys_futex_wake(&squad.round, UINT32_MAX >> 1);
}

void
squad_begin(void)
{
	unsigned wanted = MIN(sys_cpu_count(), HANDS_MAX);

	/* Nobody runs: members begin with the round before the first. */
	store_relaxed(&squad.round, 0);
	for (squad.size = 1; squad.size < wanted; squad.size++)
		if (crew_start(squad.size, serve,
			       (void *)(uintptr_t)squad.size) != 0)
			break;
}

void
squad_run(void (*job)(unsigned member))
{
	uint32_t busy;

	if (squad.size > 1)
		begin_round(job);
	job(0);
	/* acquire [D] */
	while (squad.size > 1 && (busy = load_acquire(&squad.busy)) != 0)
		sys_futex_wait(&squad.busy, busy, 0);
}

void
squad_end(void)
{
	if (squad.size > 1)
		begin_round(NULL);
	while (squad.size > 1)
		crew_join(--squad.size);
}

void
squad_fork_child(void)
{
	squad.size = 1;
}
