/*
 * roots.c - all memory outside the heap that may hold pointers.
 *
 * Owns the choice of what is read: every writable mapping of the process,
 * less our own memory and less what is dead: stacks below their stack
 * pointers, and the stacks of ended threads that libc keeps for new ones.
 * Registers are in the frames in which threads stand still, on their stacks.
 *
 * Always true:
 *   O1  nothing is left out because it is unknown: a stack is cut only where
 *       the registry knows that it is libc's, with a guard page below;
 *   O2  a dead stack is recognised by its descriptor's own words, so that
 *       memory put to another use is read like any other.
 */
#include "world/roots.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/maps.h"
#include "base/sys.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "report/modules.h"
#include "world/pages.h"
#include "world/stop.h"

#include <errno.h>
#include <string.h>

#define EXCLUDED_MAX	8
#define REGISTERED_MAX	1024
#define HOLES_MAX	64

/* What glibc adds to static TLS for libraries opened later, and for itself. */
#define STATIC_TLS_SURPLUS (8 * KIB)

/* The largest signal frame: AVX-512 and AMX state take 11 KiB. */
#define SIGNAL_FRAME_MAX (16 * KIB)

struct range {
	uintptr_t start;
	uintptr_t end;
};

static struct {
	/* Fixed. */
	struct range excluded[EXCLUDED_MAX];
	unsigned excluded_count;

	/* Guarded by lock; read while stopped: every holder is in hold. */
	struct lock lock;
	struct range registered[REGISTERED_MAX];
	unsigned registered_count;

	struct range loader;	/* what ld.so allocated before there was us */
	/* Guarded by RANK_CYCLE. */
	size_t tls_bytes;	/* static TLS below a thread pointer, at most */
	struct maps maps;
	void (*scan)(uintptr_t, uintptr_t);
} roots = { .lock = LOCK_INIT(RANK_ROOTS) };

void
roots_exclude(uintptr_t start, uintptr_t end)
{
	if (roots.excluded_count < EXCLUDED_MAX)
		roots.excluded[roots.excluded_count++] =
			(struct range){ start, end };
}

void
roots_note_loader(void)
{
	uintptr_t tp = arch_thread_pointer();
	struct mapping m;

	if (maps_open(&roots.maps) != 0)
		return;
	while (maps_next(&roots.maps, &m))
		if (tp >= m.start && tp < m.end)
			roots.loader = (struct range){ m.start, m.end };
	maps_close(&roots.maps);
}

bool
roots_register(uintptr_t start, size_t size)
{
	bool done = false;

	lock_acquire(&roots.lock);
	if (roots.registered_count < REGISTERED_MAX) {
		roots.registered[roots.registered_count++] =
			(struct range){ start, start + size };
		done = true;
	}
	lock_release(&roots.lock);
	return done;
}

bool
roots_unregister(uintptr_t start, size_t size)
{
	bool done = false;

	lock_acquire(&roots.lock);
	for (unsigned i = 0; i < roots.registered_count && !done; i++) {
		struct range *r = &roots.registered[i];

		if (r->start != start || r->end != start + size)
			continue;
		*r = roots.registered[--roots.registered_count];
		done = true;
	}
	lock_release(&roots.lock);
	return done;
}

/* -------------------------------------------------- holes: what is not read */

/* The holes of one mapping; few: a mapping is rarely more than one stack. */
struct holes {
	struct range list[HOLES_MAX];
	unsigned count;
};

static void
add_hole(struct holes *holes, const struct mapping *m, uintptr_t start,
	 uintptr_t end)
{
	start = MAX(start, m->start);
	end = MIN(end, m->end);
	/* Without room for one more, more is read: never less (O1). */
	if (start < end && holes->count < HOLES_MAX)
		holes->list[holes->count++] = (struct range){ start, end };
}

static bool
is_within(const struct mapping *m, uintptr_t addr)
{
	return addr >= m->start && addr < m->end;
}

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	(void)argument;
	roots.scan(start, end);
}

static void
scan_around_holes(const struct mapping *m, const struct holes *holes)
{
	enum pages_kind kind = m->inode == 0 ? PAGES_ANONYMOUS
			     : m->shared ? PAGES_SHARED_FILE
					 : PAGES_PRIVATE_FILE;
	uintptr_t at = m->start;

	while (at < m->end) {
		uintptr_t next = m->end, after = m->end;
		bool inside = false;

		for (unsigned i = 0; i < holes->count; i++) {
			const struct range *h = &holes->list[i];

			if (at >= h->start && at < h->end) {
				at = h->end;
				inside = true;
				break;
			}
			if (h->start > at && h->start < next) {
				next = h->start;
				after = h->end;
			}
		}
		if (inside)
			continue;
		pages_for_each_touched(at, next, kind, scan_part, NULL);
		at = after;
	}
}

/* is_stack_of - may everything below sp in this mapping be left out? (O1) */
static bool
is_stack_of(const struct mapping *m, const struct park_entry *e)
{
	const struct mutator *t;

	if (!is_within(m, e->park->sp))
		return false;
	if (strcmp(m->path, "[stack]") == 0)
		return true;
	t = mutator_find_locked(e->tid);
	return t != NULL && t->has_own_stack && is_within(m, t->tp) &&
	       t->tp > e->park->sp;
}

static void
add_thread_holes(struct holes *holes, const struct mapping *m)
{
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	for (size_t i = 0; i < count; i++, e++) {
		uintptr_t low = MIN(e->park->sp - ARCH_RED_ZONE,
				    e->park->frame);

		/* Its registers lie on another stack: that is read anyway. */
		if (!is_within(m, e->park->frame))
			low = e->park->sp - ARCH_RED_ZONE;
		if (!e->is_gone && is_stack_of(m, e))
			add_hole(holes, m, m->start, low);
	}
}

static bool
is_thread_pointer_in_use(uintptr_t tp)
{
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	for (size_t i = 0; i < count; i++, e++)
		if (!e->is_gone && e->park->tp == tp)
			return true;
	return false;
}

static void
add_dead_stack_holes(struct holes *holes, const struct mapping *m)
{
	const uintptr_t *tps;
	size_t count = mutator_dead_stacks_locked(&tps);

	for (size_t i = 0; i < count; i++) {
		uintptr_t tp = tps[i];

		if (tp == 0 || !is_within(m, tp) ||
		    !is_within(m, tp + ARCH_TCB_SIZE - 1))
			continue;
		if (*(uintptr_t *)(tp + ARCH_TCB_TCB) != tp ||	/* O2 */
		    *(uintptr_t *)(tp + ARCH_TCB_SELF) != tp ||
		    is_thread_pointer_in_use(tp))
			continue;
		add_hole(holes, m, m->start, tp + ARCH_TCB_SIZE);
		/* The next thread on this stack takes over its DTV. */
		roots.scan(tp + ARCH_TCB_DTV, tp + ARCH_TCB_DTV +
					      sizeof(uintptr_t));
	}
}

static void
add_own_holes(struct holes *holes, const struct mapping *m)
{
	uintptr_t start, end;

	for (unsigned i = 0; meta_piece(i, &start, &end); i++)
		add_hole(holes, m, start, end);
	add_hole(holes, m, arena_view.base, arena_view.base + arena_view.size);
	for (unsigned i = 0; i < roots.excluded_count; i++)
		add_hole(holes, m, roots.excluded[i].start,
			 roots.excluded[i].end);
}

/* ----------------------------------------------------------------- mappings */

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Reading the memory of a device may do anything. */
static bool
is_device(const struct mapping *m)
{
	return has_prefix(m->path, "/dev/") &&
	       !has_prefix(m->path, "/dev/shm/") &&
	       !has_prefix(m->path, "/dev/zero");
}

/*
 * scan_threads_in - of a mapping that is no segment, read what belongs to
 * threads: a program's mapping may lie next to a stack and be merged with it.
 */
static void
scan_threads_in(const struct mapping *m)
{
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	for (size_t i = 0; i < count; i++, e++) {
		const struct park *p = e->park;
		uintptr_t end = m->end;

		if (e->is_gone)
			continue;
		if (is_within(m, p->tp))
			roots.scan(MAX(p->tp - roots.tls_bytes, m->start),
				   MIN(p->tp + ARCH_TCB_SIZE, m->end));
		if (is_within(m, p->frame))
			roots.scan(p->frame,
				   MIN(p->frame + SIGNAL_FRAME_MAX, m->end));
		if (is_stack_of(m, e) && is_within(m, p->tp))
			end = p->tp;
		if (is_within(m, p->sp))
			roots.scan(MAX(p->sp - ARCH_RED_ZONE, m->start), end);
	}
}

/*
 * cut_to_segment - leave of a mapping what belongs to a loaded object: its
 * data, or bss, which the kernel may have merged with what lies behind it.
 */
static bool
cut_to_segment(struct mapping *m)
{
	uint32_t index = modules_lookup(m->start);
	const struct module *object;

	if (index == MODULE_NONE)
		return false;
	object = modules_get(index);
	if (!load_relaxed(&object->is_loaded))
		return false;
	m->end = MIN(m->end, object->end);
	return true;
}

static int
scan_mappings(bool with_mappings)
{
	uintptr_t own_sp = arch_stack_pointer();
	bool saw_own_stack = false;
	struct mapping m;
	int error = maps_open(&roots.maps);

	if (error != 0)
		return error;
	while (maps_next(&roots.maps, &m)) {
		struct holes holes = { .count = 0 };

		saw_own_stack |= is_within(&m, own_sp);
		if (!m.readable || !m.writable || is_device(&m))
			continue;
		if (!with_mappings && !cut_to_segment(&m)) {
			scan_threads_in(&m);
			continue;
		}
		add_own_holes(&holes, &m);
		add_thread_holes(&holes, &m);
		add_dead_stack_holes(&holes, &m);
		scan_around_holes(&m, &holes);
	}
	maps_close(&roots.maps);
	/* A view that lacks the ground we stand on is not of this process. */
	return saw_own_stack ? 0 : -ESRCH;
}

static uintptr_t
arena_end(void)
{
	return arena_view.base + load_relaxed(&arena_view.frontier);
}

/* scan_result - an ended thread's result waits in its descriptor. */
static void
scan_result(const struct mutator *t)
{
	uintptr_t last = t->tp + ARCH_TCB_SIZE - sizeof(uintptr_t);

	/* It may have been joined in a way we did not see, and be unmapped. */
	if (sys_is_readable(t->tp) && sys_is_readable(last) &&
	    *(uintptr_t *)(t->tp + ARCH_TCB_SELF) == t->tp)
		roots.scan(t->tp, t->tp + ARCH_TCB_SIZE);
}

/* scan_threads - what no mapping shows: stacks and registers in the heap. */
static void
scan_threads(void)
{
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	for (size_t i = 0; i < count; i++, e++) {
		const struct park *p = e->park;

		if (e->is_gone)
			continue;
		/* An alternate stack may be a block: the frame on it counts. */
		if (arena_contains(p->frame))
			roots.scan(p->frame,
				   MIN(p->frame + SIGNAL_FRAME_MAX,
				       arena_end()));
		/* So may a coroutine's stack; it is kept whole by its sp. */
		if (arena_contains(p->sp))
			roots.scan((uintptr_t)&p->sp, (uintptr_t)(&p->sp + 1));
	}
	for (struct mutator *t = mutator_first_locked(); t != NULL;
	     t = t->next)
		if (t->state == MUTATOR_ENDED)
			scan_result(t);
}

int
roots_prepare(void)
{
	struct mapping m;
	int error = maps_open(&roots.maps);

	if (error != 0)
		return error;
	while (maps_next(&roots.maps, &m))
		if (m.inode != 0)
			modules_find(m.start);
	maps_close(&roots.maps);
	roots.tls_bytes = STATIC_TLS_SURPLUS;
	for (uint32_t i = 0; i < modules_count(); i++)
		roots.tls_bytes += modules_tls_bytes(modules_get(i));
	return 0;
}

int
roots_scan(bool with_mappings, void (*scan)(uintptr_t, uintptr_t))
{
	roots.scan = scan;
	for (unsigned i = 0; i < roots.registered_count; i++)
		scan(roots.registered[i].start, roots.registered[i].end);
	if (!with_mappings)
		scan(roots.loader.start, roots.loader.end);
	scan_threads();
	return scan_mappings(with_mappings);
}

void
roots_fork_lock(void)
{
	lock_acquire(&roots.lock);
}

void
roots_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&roots.lock);
	else
		lock_release(&roots.lock);
}
