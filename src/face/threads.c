/*
 * threads.c - what the program's threads tell us of themselves.
 *
 * Owns nothing: it passes on that threads begin and end (mutator.c), where
 * stacks are (stacks.c), and where a thread stands while a child of vfork(2)
 * runs on its stack (park.h).
 *
 * Always true: a child of vfork(2) changes nothing about the thread that it
 * looks like.
 */
#include "face/threads.h"

#include "base/sys.h"
#include "face/process.h"
#include "heap/heap.h"
#include "world/mutator.h"
#include "world/stacks.h"
#include "world/unwind.h"

#include <string.h>

/* A child of vfork has our memory: it is not the thread it looks like. */
static struct mutator *
true_self(void)
{
	struct mutator *m = mutator_self;

	return m != NULL && m->tid == sys_gettid() ? m : NULL;
}

void
bilge_thread_begin(bool has_own_stack)
{
	if (bilge_mode == BILGE_ACTIVE)
		heap_thread_begin(has_own_stack);
}

void
bilge_thread_end(bool keep_result)
{
	/* It takes libunwind's lock: nobody may be stopped with that. */
	mutator_hold();
	unwind_thread_end();
	mutator_release();
	heap_thread_end(keep_result);
}

int
bilge_thread_tid(uintptr_t thread_pointer)
{
	return mutator_tid_of(thread_pointer);
}

void
bilge_thread_joined(uintptr_t thread_pointer, int tid)
{
	mutator_joined(thread_pointer, tid);
}

void
bilge_thread_detached(uintptr_t thread_pointer)
{
	mutator_detached(thread_pointer);
}

/* ------------------------------------------------------------------- stacks */

/* The kernel keeps at least 128 MiB free below the first stack. */
#define FIRST_STACK_MAX	(64 * MIB)

bool
bilge_is_on_stack(uintptr_t start, uintptr_t end, uintptr_t main_end)
{
	uintptr_t sp = arch_stack_pointer();
	const struct mutator *m = mutator_self;

	if (m == NULL || start - sp > 64 * KIB)
		return false;
	if (m->has_own_stack)
		return end <= m->tp && !m->has_inner_stack;
	return end <= main_end && main_end - sp < FIRST_STACK_MAX;
}

void
bilge_signal_stack(uintptr_t start)
{
	if (mutator_self == NULL && arena_contains(start))
		bilge_thread_begin(false);
	if (true_self() != NULL)
		heap_signal_stack(start);
}

void
bilge_stack_made(uintptr_t start, uintptr_t main_end)
{
	stacks_note(start, main_end);
}

/* ------------------------------------------------------------ system calls */

struct ended *
bilge_ended_calls(void)
{
	return mutator_self != NULL ? &mutator_self->park.ended : NULL;
}

void
bilge_vfork_begin(const uintptr_t *registers, uintptr_t sp)
{
	struct mutator *m = true_self();

	if (m == NULL)
		return;
	memcpy(m->park.registers, registers, sizeof(m->park.registers));
	m->park.is_vfork = true;
	m->park.spawn_sp = sp;
}

uintptr_t
bilge_spawn_begin(uintptr_t sp)
{
	struct mutator *m = true_self();
	uintptr_t outer;

	if (m == NULL)
		return 0;
	/* Of another, in whose middle a handler runs. */
	outer = m->park.is_vfork ? 0 : m->park.spawn_sp;
	memset(m->park.registers, 0, sizeof(m->park.registers));
	m->park.is_vfork = false;
	m->park.spawn_sp = sp;
	return outer;
}

void
bilge_spawn_end(uintptr_t outer)
{
	struct mutator *m = true_self();

	if (m != NULL)
		m->park.spawn_sp = outer;
}
