/*
 * stacks.c - what belongs to threads: registers, stacks, thread-local storage.
 *
 * Owns the table of spots: the addresses by which threads are found in the
 * mappings.  A thread's descriptor lies at its thread pointer, its registers
 * in the frame in which it stands still, and its stack begins at its stack
 * pointer.
 *
 * Always true:
 *   O1  nothing is left out because it is unknown: a stack is cut at a stack
 *       pointer only where the registry knows that it is libc's, with a guard
 *       page below, or where it is the process's first;
 *   O2  a dead stack is recognised by its descriptor's own words, so that
 *       memory put to another use is read like any other;
 *   O3  a stack is cut only when its own thread stands on it, and at the
 *       lowest stack pointer of all that stand there: another thread may run
 *       on a part of it while the frames below are in use;
 *   O4  a stack of which a part was ever made an alternate or a coroutine's
 *       stack is not cut: the thread may stand there, above frames in use.
 *
 * Not here: memory that is no thread's (roots.c).
 */
#include "world/stacks.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "report/modules.h"
#include "world/pages.h"
#include "world/stop.h"

#include <errno.h>
#include <string.h>

/* Three a thread and the dead stacks. */
#define SPOTS_MAX	((size_t)3 * 65536 + DEAD_STACKS_MAX)
/* Threads that may come between stacks_prepare() and the stop. */
#define SPOTS_SPARE	((size_t)1024)

/* In the order in which spots of one address are told. */
enum spot_kind {
	SPOT_OWN,		/* thread pointer on a stack of libc's */
	SPOT_TLS,		/* thread pointer elsewhere */
	SPOT_DEAD,		/* of a thread that ended */
	SPOT_SP,
	SPOT_FRAME,
};

struct spot {
	uintptr_t at;
	uint32_t kind;
	uint32_t thread;	/* its place in the stop's list */
};

#define NO_THREAD	UINT32_MAX

/* Guarded by RANK_CYCLE. */
static struct {
	struct spot *spots;
	size_t committed;
	size_t count;
	bool is_stopped;
	size_t tls_bytes;	/* static TLS below a thread pointer, at most */
	size_t below;		/* see stacks_keep_below() */
	uintptr_t (*dead)[2];	/* see stacks_for_each_dead() */
	size_t dead_count;
	size_t dead_committed;
} stacks;

static bool
has_room(size_t count)
{
	size_t size = count * sizeof(*stacks.spots), committed;

	if (stacks.spots == NULL)
		stacks.spots = meta_reserve(SPOTS_MAX * sizeof(*stacks.spots));
	if (stacks.spots == NULL || count > SPOTS_MAX)
		return false;
	committed = meta_commit(stacks.spots, stacks.committed, size,
				SPOTS_MAX * sizeof(*stacks.spots));
	stacks.committed = MAX(committed, stacks.committed);
	return committed != 0;
}

void
stacks_keep_below(size_t size)
{
	stacks.below = size;
}

int
stacks_prepare(void)
{
	stacks.tls_bytes = modules_static_tls_max();
	return has_room(stacks.count + DEAD_STACKS_MAX + SPOTS_SPARE)
	       ? 0 : -ENOMEM;
}

/* -------------------------------------------------------------------- spots */

static bool
add_spot(enum spot_kind kind, uintptr_t at, uint32_t thread)
{
	if (stacks.count * sizeof(struct spot) + sizeof(struct spot) >
	    stacks.committed && !has_room(stacks.count + 1))
		return false;
	stacks.spots[stacks.count++] = (struct spot){
		.at = at, .kind = kind, .thread = thread,
	};
	return true;
}

static bool
is_before(const struct spot *a, const struct spot *b)
{
	return a->at != b->at ? a->at < b->at : a->kind < b->kind;
}

/* sift - let the spot at `i` sink to its place in a heap of `count`. */
static void
sift(size_t i, size_t count)
{
	struct spot moved = stacks.spots[i];

	for (size_t child; (child = 2 * i + 1) < count; i = child) {
		if (child + 1 < count && is_before(&stacks.spots[child],
						   &stacks.spots[child + 1]))
			child++;
		if (!is_before(&moved, &stacks.spots[child]))
			break;
		stacks.spots[i] = stacks.spots[child];
	}
	stacks.spots[i] = moved;
}

/* sort_spots - ascending.  Thousands of threads must not take long. */
static void
sort_spots(void)
{
	for (size_t i = stacks.count / 2; i-- > 0;)
		sift(i, stacks.count);
	for (size_t last = stacks.count; last-- > 1;) {
		struct spot largest = stacks.spots[0];

		stacks.spots[0] = stacks.spots[last];
		stacks.spots[last] = largest;
		sift(0, last);
	}
}

/* first_spot - index of the first one at or above an address. */
static size_t
first_spot(uintptr_t at)
{
	size_t low = 0, high = stacks.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (stacks.spots[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
add_dead_stacks(void)
{
	const uintptr_t *tps;
	size_t count = mutator_dead_stacks_locked(&tps);

	for (size_t i = 0; i < count; i++)
		if (tps[i] != 0 && !add_spot(SPOT_DEAD, tps[i], NO_THREAD))
			return false;
	return true;
}

static const struct mutator *
mutator_of(const struct park_entry *e)
{
	return e->park == &e->own ? NULL : (const struct mutator *)e->park;
}

static bool
add_descriptor(const struct mutator *m, uintptr_t tp, uint32_t thread)
{
	if (m == NULL)
		return add_spot(SPOT_TLS, tp, thread);
	/* A thread may have moved its thread pointer; its stack stays. */
	return add_spot(m->has_own_stack ? SPOT_OWN : SPOT_TLS, m->tp,
			thread) &&
	       (m->tp == tp || add_spot(SPOT_TLS, tp, thread));
}

int
stacks_look(void)
{
	size_t count;
	const struct park_entry *entries = stop_threads(&count);

	stacks.count = stacks.dead_count = 0;
	stacks.is_stopped = true;
	for (uint32_t i = 0; i < count; i++) {
		const struct park_entry *e = &entries[i];
		const struct park *p = e->park;

		if (e->is_gone)
			continue;
		if (!add_descriptor(mutator_of(e), p->tp, i) ||
		    !add_spot(SPOT_SP, p->sp, i) ||
		    !add_spot(SPOT_FRAME, p->frame, i))
			return -ENOMEM;
	}
	if (!add_dead_stacks())
		return -ENOMEM;
	sort_spots();
	return 0;
}

/* look_locked - as far as the registry knows. */
static bool
look_locked(void)
{
	for (const struct mutator *m = mutator_first_locked(); m != NULL;
	     m = m->next)
		if (m->state == MUTATOR_ALIVE &&
		    !add_descriptor(m, m->tp, NO_THREAD))
			return false;
	return add_dead_stacks();
}

int
stacks_look_running(void)
{
	bool done;

	stacks.count = 0;
	stacks.is_stopped = false;
	mutator_lock();
	done = look_locked();
	mutator_unlock();
	sort_spots();
	return done ? 0 : -ENOMEM;
}

void
stacks_note(uintptr_t start, uintptr_t main_end)
{
	struct mutator *m = mutator_self;
	uintptr_t sp = arch_stack_pointer(), end;

	if (m == NULL)
		return;
	end = m->has_own_stack ? m->tp : main_end;
	/* Where its own stack begins is not known if it stands elsewhere. */
	if (start < end && (start > sp || sp >= end))
		m->has_inner_stack = true;
}

/* -------------------------------------------------------------------- areas */

/* park_of - how the thread of a spot stands. */
static const struct park *
park_of(const struct spot *s)
{
	size_t count;

	return stop_threads(&count)[s->thread].park;
}

/*
 * lowest_of - where a thread's stack begins.  Who stops the others and stands
 * in a call has no red zone: below are the frames that read this, with what
 * they have found.
 */
static uintptr_t
lowest_of(const struct spot *s)
{
	const struct park *p = park_of(s);

	return p->sp == p->frame ? s->at : s->at - ARCH_RED_ZONE;
}

/*
 * lowest_in_use - of a stack whose thread stands on it, where what is in use
 * begins (O3).
 */
static uintptr_t
lowest_in_use(uintptr_t start, uintptr_t end)
{
	uintptr_t low = end;

	for (size_t i = first_spot(start); i < stacks.count; i++) {
		const struct spot *s = &stacks.spots[i];

		if (s->at >= end)
			break;
		if (s->kind == SPOT_FRAME)
			low = MIN(low, s->at);
		if (s->kind == SPOT_SP)
			low = MIN(low, lowest_of(s));
	}
	return low - start > stacks.below ? low - stacks.below : start;
}

/* is_occupied - does a thread stand there? */
static bool
is_occupied(uintptr_t start, uintptr_t end)
{
	for (size_t i = first_spot(start); i < stacks.count; i++) {
		const struct spot *s = &stacks.spots[i];

		if (s->at >= end)
			return false;
		if (s->kind == SPOT_FRAME || s->kind == SPOT_SP)
			return true;
	}
	return false;
}

/*
 * cutting_pointer - the stack pointer of a thread, at which its stack may be
 * cut if it is there; 0: it may not be cut.
 */
static uintptr_t
cutting_pointer(const struct park_entry *e)
{
	const struct mutator *m = mutator_of(e);

	return e->is_gone || (m != NULL && m->has_inner_stack)
	       ? 0 : e->park->sp;				/* O4 */
}

/* main_cutting_pointer - of the process's first thread. */
static uintptr_t
main_cutting_pointer(void)
{
	int pid = sys_getpid();
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	/* The kernel lists it first. */
	for (size_t i = 0; stacks.is_stopped && i < count; i++)
		if (e[i].tid == pid)
			return cutting_pointer(&e[i]);
	return 0;
}

/* first_stack - the whole mapping is the stack of the process's beginning. */
static void
first_stack(const struct mapping *m, struct stack_area *ret)
{
	uintptr_t sp = main_cutting_pointer();

	*ret = (struct stack_area){ m->start, m->end, m->start, 0 };
	if (sp >= m->start && sp < m->end)
		ret->live = lowest_in_use(m->start, m->end);
}

/*
 * is_descriptor - is what lies at a thread pointer still libc's (O2)?  While
 * the world is running it may vanish at any time.
 */
static bool
is_descriptor(uintptr_t tp)
{
	uintptr_t words[ARCH_TCB_SELF / sizeof(uintptr_t) + 1];
	long n = (long)sizeof(words);

	/* Stopped, it stays: far cheaper than to go through /proc. */
	if (stacks.is_stopped && sys_is_readable(tp) &&
	    sys_is_readable(tp + ARCH_TCB_SELF))
		memcpy(words, (const void *)tp, sizeof(words));
	else
		n = sys_copy_from(tp, words, sizeof(words));
	return n == (long)sizeof(words) &&
	       words[ARCH_TCB_TCB / sizeof(uintptr_t)] == tp &&
	       words[ARCH_TCB_SELF / sizeof(uintptr_t)] == tp;
}

/*
 * area_of - the area that a descriptor's spot stands for, above `start`.
 * Returns: false when it stands for none.
 */
static bool
area_of(const struct spot *s, uintptr_t start, const struct mapping *m,
	struct stack_area *ret)
{
	uintptr_t end = ALIGN_UP(s->at + ARCH_TCB_SIZE, ARCH_PAGE_SIZE);
	uintptr_t sp;
	size_t count;

	*ret = (struct stack_area){ start, MIN(end, m->end), start, 0 };
	if (s->at < start || end > m->end)
		return false;
	switch (s->kind) {
	case SPOT_OWN:
		sp = s->thread == NO_THREAD
		     ? 0 : cutting_pointer(&stop_threads(&count)[s->thread]);
		if (sp >= start && sp < s->at)
			ret->live = lowest_in_use(start, ret->end);
		return true;
	case SPOT_TLS:
		ret->start = ALIGN_DOWN(s->at - stacks.tls_bytes,
					ARCH_PAGE_SIZE);
		ret->live = ret->start = MAX(ret->start, start);
		return true;
	case SPOT_DEAD:
		if (!is_descriptor(s->at) || is_occupied(start, ret->end))
			return false;
		ret->live = stacks.below == 0 ? ret->end
			: s->at - MIN(stacks.below, s->at - start);
		/* The next thread on this stack takes over its DTV. */
		ret->dtv = s->at + ARCH_TCB_DTV;
		return true;
	default:
		return false;
	}
}

unsigned
stacks_areas(const struct mapping *m, struct stack_area *ret)
{
	uintptr_t start = m->start;
	unsigned count = 0;

	if (strcmp(m->path, "[stack]") == 0) {
		first_stack(m, ret);
		return 1;
	}
	for (size_t i = first_spot(start);
	     i < stacks.count && count < STACK_AREAS_MAX; i++) {
		const struct spot *s = &stacks.spots[i];

		if (s->at >= m->end)
			break;
		if (area_of(s, start, m, &ret[count]))
			start = ret[count++].end;
	}
	return count;
}

bool
stacks_has_thread(uintptr_t start, uintptr_t end)
{
	size_t i = first_spot(start);

	return i < stacks.count && stacks.spots[i].at < end;
}

/* ----------------------------------------------------------------- scanning */

struct scan {
	void (*scan)(uintptr_t, uintptr_t);
};

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	((struct scan *)argument)->scan(start, end);
}

static void
scan_touched(uintptr_t start, uintptr_t end, const struct mapping *m,
	     struct scan *scan)
{
	if (start < end)
		pages_for_each_touched(start, end, m->inode == 0
				       ? PAGES_ANONYMOUS : PAGES_SHARED_FILE,
				       scan_part, scan);
}

/* scan_registers - of a thread, where they are apart from its stack. */
static void
scan_registers(const struct park *p, void (*scan)(uintptr_t, uintptr_t))
{
	uintptr_t parts[ARCH_CONTEXT_PARTS][2];
	unsigned count = park_parts(p, parts);

	for (unsigned i = 0; i < count; i++)
		scan(parts[i][0], parts[i][1]);
}

/*
 * is_framed - does the signal frame of a spot lie below whom it interrupted,
 * the next spot, on the same stack?  Nothing is between them but what earlier
 * calls have left, as the kernel aligns its frames.
 */
static bool
is_framed(size_t i)
{
	const struct spot *s = &stacks.spots[i];
	const void *context;

	if (s->kind != SPOT_FRAME || i + 1 == stacks.count ||
	    s[1].kind != SPOT_SP || s[1].thread != s->thread)
		return false;
	context = park_of(s)->context;
	return context != NULL && !arch_context_is_apart(context);
}

/* scan_area - from where it is in use. */
static void
scan_area(const struct stack_area *area, const struct mapping *m,
	  struct scan *scan)
{
	uintptr_t at = area->live;

	for (size_t i = first_spot(at); i < stacks.count &&
	     stacks.spots[i].at < area->end && stacks.below == 0; i++) {
		const struct spot *s = &stacks.spots[i];

		if (!is_framed(i) || s[1].at >= area->end)
			continue;
		scan_touched(at, s->at, m, scan);
		scan_registers(park_of(s), scan->scan);
		at = lowest_of(&s[1]);
	}
	scan_touched(at, area->end, m, scan);
}

static bool
is_in_area(uintptr_t at, const struct stack_area *areas, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (at >= areas[i].start && at < areas[i].end)
			return true;
	return false;
}

/*
 * scan_outside - threads that stand elsewhere: all from the lowest stack
 * pointer to the mapping's end may be in use.
 */
static void
scan_outside(const struct mapping *m, const struct stack_area *areas,
	     unsigned count, struct scan *scan)
{
	uintptr_t low = m->end;

	for (size_t i = first_spot(m->start); i < stacks.count; i++) {
		const struct spot *s = &stacks.spots[i];

		if (s->at >= m->end)
			break;
		if (s->kind == SPOT_SP && !is_in_area(s->at, areas, count))
			low = MIN(low, MAX(lowest_of(s), m->start));
		if (s->kind == SPOT_FRAME && s->at < low &&
		    !is_in_area(s->at, areas, count))
			scan_registers(park_of(s), scan->scan);
	}
	scan_touched(low, m->end, m, scan);
}

/* note_dead - without memory for it a little more may seem to come back. */
static void
note_dead(uintptr_t start, uintptr_t end)
{
	size_t limit = SPOTS_MAX * sizeof(*stacks.dead), committed;

	if (stacks.below == 0 || start >= end)
		return;
	if (stacks.dead == NULL)
		stacks.dead = meta_reserve(limit);
	if (stacks.dead == NULL)
		return;
	committed = meta_commit(stacks.dead, stacks.dead_committed,
				(stacks.dead_count + 1) * sizeof(*stacks.dead),
				limit);
	if (committed == 0)
		return;
	stacks.dead_committed = committed;
	stacks.dead[stacks.dead_count][0] = start;
	stacks.dead[stacks.dead_count][1] = end;
	stacks.dead_count++;
}

void
stacks_for_each_dead(void (*visit)(uintptr_t, uintptr_t))
{
	for (size_t i = 0; i < stacks.dead_count; i++)
		visit(stacks.dead[i][0], stacks.dead[i][1]);
}

void
stacks_scan(const struct mapping *m, const struct stack_area *areas,
	    unsigned count, void (*visit)(uintptr_t, uintptr_t))
{
	struct scan scan = { visit };

	for (unsigned i = 0; i < count; i++) {
		scan_area(&areas[i], m, &scan);
		note_dead(areas[i].start, areas[i].live);
		if (areas[i].dtv != 0)
			visit(areas[i].dtv, areas[i].dtv + sizeof(uintptr_t));
	}
	scan_outside(m, areas, count, &scan);
}

void
stacks_scan_rest(void (*scan)(uintptr_t, uintptr_t))
{
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	for (size_t i = 0; i < count; i++, e++) {
		const struct park *p = e->park;

		if (e->is_gone)
			continue;
		scan((uintptr_t)p->held, (uintptr_t)(p->held +
						     ARRAY_LEN(p->held)));
		/* No mapping has them; an alternate stack may be a block. */
		if (e->is_away || arena_contains(p->frame))
			scan_registers(p, scan);
		/* So may a coroutine's stack; it is kept whole by its sp. */
		if (arena_contains(p->sp))
			scan((uintptr_t)&p->sp, (uintptr_t)(&p->sp + 1));
	}
	/*
	 * An ended thread's result waits in its descriptor.  It may have been
	 * joined in a way we did not see, and be unmapped.
	 */
	for (struct mutator *t = mutator_first_locked(); t != NULL;
	     t = t->next) {
		/* Whoever will free it has it from here. */
		if (t->freed_stack != 0)
			scan((uintptr_t)&t->freed_stack,
			     (uintptr_t)(&t->freed_stack + 1));
		if (t->state == MUTATOR_ENDED && is_descriptor(t->tp) &&
		    sys_is_readable(t->tp + ARCH_TCB_SIZE - sizeof(uintptr_t)))
			scan(t->tp, t->tp + ARCH_TCB_SIZE);
	}
}
