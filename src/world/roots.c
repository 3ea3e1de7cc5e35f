/*
 * roots.c - all memory outside the heap that may hold pointers.
 *
 * Owns the choice of what is read: every mapping of the process that is
 * writable or was written, less our own memory.  Of it, stacks and what else
 * is threads' alone are found apart (stacks.c): they are read only while the
 * world stands.
 *
 * Always true:
 *   O5  every word of the program's memory that it wrote and uses is in a
 *       range, or in an area of threads, or in both;
 *   O6  what comes after roots_list() is found by roots_scan_again(), whatever
 *       threads and mappings have come, gone or changed places meanwhile.
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
#include "world/kernelrefs.h"
#include "world/stacks.h"
#include "world/stop.h"

#include <errno.h>
#include <string.h>

#define EXCLUDED_MAX	8
#define REGISTERED_MAX	1024
/* Four times the mappings a process may have (vm.max_map_count). */
#define RANGES_MAX	((size_t)4 * 65536)

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
	struct maps maps;
	void (*scan)(uintptr_t, uintptr_t);
	struct root_range *list;	/* of roots_list(), ascending */
	size_t list_count;
	size_t list_committed;
	int list_error;
	size_t list_at;		/* where roots_scan_again() is */
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

/* ---------------------------------------------------- parts of the mappings */

/* What to do with each part of the mappings; what is NULL is not done. */
struct walk {
	bool with_mappings;
	/* A writable part that is not threads' alone. */
	void (*range)(const struct root_range *);
	/* What threads have in a mapping.  World stopped. */
	void (*scan)(uintptr_t, uintptr_t);
};

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

/* Read whole, where the kernel does not tell which pages were written. */
#define READ_ONLY_MAX	MIB

/*
 * was_written - may a mapping that is read-only have been written?  What was
 * made so by mprotect(2) still holds its pointers: relocated data of a loaded
 * object, tables that a program sealed, code with addresses in it.
 */
static bool
was_written(const struct mapping *m)
{
	/* [vvar] is the kernel's, and not all of it can be read. */
	if (!m->readable || has_prefix(m->path, "[v"))
		return false;
	/* Of files that others share: memory, not databases and fonts. */
	if (m->shared)
		return m->inode == 0 || has_prefix(m->path, "/memfd:") ||
		       has_prefix(m->path, "/dev/shm/") ||
		       has_prefix(m->path, "/dev/zero") ||
		       has_prefix(m->path, "/SYSV");
	return m->inode == 0 || pages_can_tell() ||
	       (!m->executable && m->end - m->start <= READ_ONLY_MAX);
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

static enum pages_kind
kind_of(const struct mapping *m)
{
	if (m->inode == 0 && !m->shared)
		return PAGES_ANONYMOUS;
	return m->shared ? PAGES_SHARED_FILE : PAGES_PRIVATE_FILE;
}

/* walk_ranges - what lies around the areas of threads. */
static void
walk_ranges(struct mapping m, const struct stack_area *areas, unsigned count,
	    const struct walk *walk)
{
	uintptr_t at = m.start;

	if (!walk->with_mappings && !cut_to_segment(&m))
		return;
	for (unsigned i = 0; i <= count; i++) {
		struct root_range range = {
			.start = at,
			.end = i < count ? MIN(areas[i].start, m.end) : m.end,
			.kind = kind_of(&m),
		};

		if (range.start < range.end) {
			range.has_thread = stacks_has_thread(range.start,
							     range.end);
			walk->range(&range);
		}
		if (i < count)
			at = MAX(at, areas[i].end);
	}
}

static void
walk_piece(const struct mapping *m, const struct walk *walk)
{
	struct stack_area areas[STACK_AREAS_MAX];
	unsigned count = stacks_areas(m, areas);

	if (walk->scan != NULL)
		stacks_scan(m, areas, count, walk->scan);
	if (walk->range != NULL)
		walk_ranges(*m, areas, count, walk);
}

/* own_memory - the index-th range of ours.  Returns: false after the last. */
static bool
own_memory(unsigned index, struct range *ret)
{
	if (index == 0) {
		ret->start = arena_view.base;
		ret->end = arena_view.base + arena_view.size;
		return true;
	}
	if (--index < roots.excluded_count) {
		*ret = roots.excluded[index];
		return true;
	}
	return meta_piece(index - roots.excluded_count, &ret->start,
			  &ret->end);
}

/* walk_mapping - the pieces of a mapping that are not ours. */
static void
walk_mapping(const struct mapping *m, const struct walk *walk)
{
	struct mapping piece = *m;

	while (piece.start < m->end) {
		struct range own;
		uintptr_t next = m->end;

		piece.end = m->end;
		for (unsigned i = 0; own_memory(i, &own); i++) {
			if (own.end <= piece.start || own.start >= piece.end)
				continue;
			piece.end = MAX(own.start, piece.start);
			next = own.end;
		}
		if (piece.start < piece.end)
			walk_piece(&piece, walk);
		piece.start = next;
	}
}

static int
walk_mappings(const struct walk *walk)
{
	uintptr_t own_sp = arch_stack_pointer();
	bool saw_own_stack = false;
	struct mapping m;
	int error = maps_open(&roots.maps);

	if (error != 0)
		return error;
	while (maps_next(&roots.maps, &m)) {
		saw_own_stack |= own_sp >= m.start && own_sp < m.end;
		if ((m.writable || was_written(&m)) && !is_device(&m))
			walk_mapping(&m, walk);
	}
	maps_close(&roots.maps);
	/* A view that lacks the ground we stand on is not of this process. */
	return saw_own_stack ? 0 : -ESRCH;
}

/* ----------------------------------------------------------------- the list */

static void
add_range(const struct root_range *range)
{
	size_t size = (roots.list_count + 1) * sizeof(*range);

	if (size > roots.list_committed) {
		size_t committed = roots.list == NULL ? 0
			: meta_commit(roots.list, roots.list_committed, size,
				      RANGES_MAX * sizeof(*range));

		if (committed == 0) {
			roots.list_error = -ENOMEM;
			return;
		}
		roots.list_committed = committed;
	}
	roots.list[roots.list_count++] = *range;
}

int
roots_list(bool with_mappings)
{
	const struct walk walk = { with_mappings, add_range, NULL };
	int error = stacks_look_running();

	if (roots.list == NULL)
		roots.list = meta_reserve(RANGES_MAX * sizeof(*roots.list));
	roots.list_count = 0;
	roots.list_error = 0;
	if (error == 0)
		error = walk_mappings(&walk);
	return error != 0 ? error : roots.list_error;
}

void
roots_for_each_range(void (*visit)(const struct root_range *, void *),
		     void *argument)
{
	for (size_t i = 0; i < roots.list_count; i++)
		visit(&roots.list[i], argument);
}

/* ----------------------------------------------------------------- scanning */

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	(void)argument;
	roots.scan(start, end);
}

static void
scan_range(const struct root_range *range)
{
	pages_for_each_touched(range->start, range->end, range->kind,
			       scan_part, NULL);
}

/* scan_unlisted - both the mappings and the list ascend. */
static void
scan_unlisted(const struct root_range *range)
{
	struct root_range rest = *range;

	while (rest.start < rest.end) {
		const struct root_range *listed = &roots.list[roots.list_at];

		if (roots.list_at == roots.list_count) {
			scan_range(&rest);
			return;
		}
		if (listed->end <= rest.start) {
			roots.list_at++;
			continue;
		}
		if (listed->start > rest.start) {
			struct root_range new = rest;

			new.end = MIN(listed->start, rest.end);
			scan_range(&new);
		}
		rest.start = listed->end;
	}
}

/* scan_registered - what the program named may have been unmapped since. */
static void
scan_registered(const struct range *r)
{
	uintptr_t at = ALIGN_UP(r->start, sizeof(uintptr_t));

	while (at < r->end) {
		uintptr_t next = MIN(ALIGN_DOWN(at, ARCH_PAGE_SIZE) +
				     ARCH_PAGE_SIZE, r->end);

		if (sys_is_readable(at))
			roots.scan(at, next);
		at = next;
	}
}

/* task_with_files - one that has the program's descriptors; 0: the caller. */
static int
task_with_files(void)
{
	size_t count;
	const struct park_entry *e = stop_threads(&count);

	for (size_t i = 0; sys_has_own_files() && i < count; i++)
		if (!e[i].is_gone)
			return e[i].task != 0 ? e[i].task : e[i].tid;
	return 0;
}

static int
scan_world(bool with_mappings, void (*range)(const struct root_range *),
	   void (*scan)(uintptr_t, uintptr_t))
{
	const struct walk walk = { with_mappings, range, scan };
	int error = stacks_look();

	if (error != 0)
		return error;
	kernelrefs_use_task(task_with_files());
	if (!kernelrefs_scan(scan))
		return -ENOMEM;
	roots.scan = scan;
	for (unsigned i = 0; i < roots.registered_count; i++)
		scan_registered(&roots.registered[i]);
	if (!with_mappings)
		scan(roots.loader.start, roots.loader.end);
	stacks_scan_rest(scan);
	return walk_mappings(&walk);
}

int
roots_scan(bool with_mappings, void (*scan)(uintptr_t, uintptr_t))
{
	return scan_world(with_mappings, scan_range, scan);
}

int
roots_scan_threads(bool with_mappings, void (*scan)(uintptr_t, uintptr_t))
{
	return scan_world(with_mappings, NULL, scan);
}

int
roots_scan_again(bool with_mappings, void (*scan)(uintptr_t, uintptr_t))
{
	roots.list_at = 0;
	return scan_world(with_mappings, scan_unlisted, scan);
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
	kernelrefs_prepare();
	return stacks_prepare();
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
