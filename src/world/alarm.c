/*
 * alarm.c - have the program's threads stand still at a time that is known
 * before they go on.
 *
 * Owns the timers: one of the kernel's a thread, that sends it the stop signal.
 *
 * Always true:
 *   I1  a thread stands for an alarm only until a stop begins, the alarms are
 *       closed, or a while has passed: see park.c.
 */
#include "world/alarm.h"

#include "base/sys.h"
#include "settings/options.h"
#include "world/mutator.h"
#include "world/park.h"

/* Setting one takes half a microsecond, with the world stopped. */
#define ALARMS_MAX	64u

/* Guarded by RANK_CYCLE. */
static struct {
	int timers[ALARMS_MAX];
	unsigned count;
} alarms;

void
alarm_open(void)
{
	int self;

	/* A filter of system calls may kill for one that it does not expect. */
	if (sys_is_filtered())
		return;
	mutator_lock();
	self = sys_gettid();
	for (struct mutator *m = mutator_first_locked();
	     m != NULL && alarms.count < ALARMS_MAX; m = m->next) {
		int timer = m->state == MUTATOR_ALIVE && m->tid != self
			? sys_timer_create((int)options->signal, m->tid) : -1;

		if (timer >= 0)
			alarms.timers[alarms.count++] = timer;
	}
	mutator_unlock();
}

void
alarm_set(uint64_t due_ns)
{
	if (alarms.count == 0)
		return;
	park_set_due(due_ns);
	for (unsigned i = 0; i < alarms.count; i++)
		sys_timer_set(alarms.timers[i], due_ns);
}

void
alarm_close(void)
{
	if (alarms.count == 0)
		return;
	park_set_due(0);					/* I1 */
	while (alarms.count > 0)
		sys_timer_delete(alarms.timers[--alarms.count]);
}

void
alarm_fork_child(void)
{
	alarms.count = 0;
	park_set_due(0);
}
