/*
 * arena.c - address space, in runs of 64 KiB units.
 *
 * Owns the heap's reserved range, the span table and the free runs.  It knows
 * nothing of slots or blocks.
 *
 * Always true:
 *   A1  every unit below the frontier is in exactly one run, and every run is
 *       in use or free; a free run is dirty (may hold memory) or zero (holds
 *       none and reads as zero);
 *   A2  two neighbouring free runs are never of one kind: freeing merges;
 *   A3  everything from the frontier on is inaccessible or was never touched;
 *   A4  the span table's entries of a used run name its span, all others are
 *       NULL; the run table's first and last entry of a free run name it, and
 *       no entry of a used run names any.
 *
 * State is guarded by arena.lock (RANK_ARENA).  A run that is being given
 * back to the kernel is in nobody's list meanwhile, so that the lock is not
 * held across madvise.
 *
 * Not here: cutting runs into slots (span.c).
 */
#include "heap/arena.h"

#include "base/arch.h"
#include "base/lock.h"
#include "base/panic.h"
#include "base/sys.h"
#include "heap/fence.h"
#include "heap/meta.h"

#include <errno.h>
#include <sys/mman.h>

/* Smallest range worth having; a program with less address space runs alone. */
#define RANGE_MIN	(16 * MIB)

/* Memory is made accessible in steps of this size, or as much as is asked. */
#define COMMIT_STEP	(4 * MIB)

/*
 * How long a free run keeps its memory.  Short enough that an idle server
 * shrinks within a second, long enough that a loop which frees and allocates
 * a span does not fault its pages in again each time.
 */
#define DECAY_NS	(500 * NSEC_PER_MSEC)

/* A run this large goes back at once: glibc's largest mmap threshold. */
#define AT_ONCE_UNITS	(32 * MIB >> UNIT_SHIFT)

/* One list per power of two of units. */
#define BIN_COUNT	32

/* A bin holds runs of [2^b, 2^(b+1)) units: how many to try for a fit. */
#define FIT_TRIES	16

struct run {
	uintptr_t start;
	size_t units;
	uint64_t freed_ns;	/* coarse monotonic time; dirty runs */
	bool zero;
	struct run *next, *prev;	/* in its bin */
	struct run *newer, *older;	/* dirty runs by age */
};

struct arena_view arena_view;

static struct {
	/* Guarded by lock. */
	struct lock lock;
	size_t accessible;		/* bytes from base */
	struct run **runs;		/* one entry a unit */
	size_t table_bytes;		/* committed of each of both tables */
	size_t table_size;
	struct run bins[2][BIN_COUNT];	/* list heads: dirty, zero */
	uint32_t bin_bits[2];		/* which are not empty */
	struct run *oldest, *newest;	/* dirty runs */
	struct run *spare;		/* unused struct runs, by next */
	size_t dirty_units;
	size_t free_units;
	size_t peak_bytes;		/* in use at once */
} arena = { .lock = LOCK_INIT(RANK_ARENA) };

static size_t
unit_of(uintptr_t addr)
{
	return (addr - arena_view.base) >> UNIT_SHIFT;
}

static void
set_run(const struct run *run, struct run *value)
{
	size_t unit = unit_of(run->start);

	arena.runs[unit] = value;
	arena.runs[unit + run->units - 1] = value;
}

static size_t
frontier_units(void)
{
	return load_relaxed(&arena_view.frontier) >> UNIT_SHIFT;
}

/*
 * A word with a small number in its lower half and, in the upper one, what is
 * left of a pointer, looks like one into the first megabytes behind a multiple
 * of 4 GiB.  The range begins behind that, where there is space enough.
 */
#define HALF_WORD	((uintptr_t)4 * GIB)
#define SMALL_NUMBERS	(256 * MIB)

static size_t
slack_of(size_t size)
{
	return size >= 64 * GIB ? HALF_WORD + SMALL_NUMBERS : UNIT_SIZE;
}

int
arena_init(size_t size)
{
	for (; size >= RANGE_MIN; size /= 2) {
		size_t slack = slack_of(size);
		long start = sys_mmap(0, size + slack, PROT_NONE,
				      MAP_PRIVATE | MAP_ANONYMOUS |
				      MAP_NORESERVE, -1, 0);

		if (start < 0)
			continue;
		arena_view.base = slack == UNIT_SIZE
			? ALIGN_UP((uintptr_t)start, UNIT_SIZE)
			: ALIGN_UP((uintptr_t)start, HALF_WORD) +
			  SMALL_NUMBERS;
		/* What lies around it counts against RLIMIT_AS too. */
		if (arena_view.base > (uintptr_t)start)
			sys_munmap((uintptr_t)start,
				   arena_view.base - (uintptr_t)start);
		if ((uintptr_t)start + slack > arena_view.base)
			sys_munmap(arena_view.base + size,
				   (uintptr_t)start + slack - arena_view.base);
		arena_view.size = size;
		arena.table_size = (size >> UNIT_SHIFT) * sizeof(void *);
		arena_view.table = meta_reserve(arena.table_size);
		arena.runs = meta_reserve(arena.table_size);
		if (arena_view.table == NULL || arena.runs == NULL)
			return -ENOMEM;
		for (unsigned zero = 0; zero < 2; zero++)
			for (unsigned b = 0; b < BIN_COUNT; b++) {
				struct run *head = &arena.bins[zero][b];

				head->next = head->prev = head;
			}
		return 0;
	}
	return -ENOMEM;
}

void
arena_shrink(size_t size)
{
	size_t table;

	lock_acquire(&arena.lock);
	size = MAX(ALIGN_UP(size, COMMIT_STEP), arena.accessible);
	if (size < arena_view.size) {
		sys_munmap(arena_view.base + size, arena_view.size - size);
		arena_view.size = size;
		table = MAX((size >> UNIT_SHIFT) * sizeof(void *),
			    arena.table_bytes);
		meta_release((char *)arena_view.table + table,
			     arena.table_size - table);
		meta_release((char *)arena.runs + table,
			     arena.table_size - table);
		arena.table_size = ALIGN_UP(table, ARCH_PAGE_SIZE);
	}
	lock_release(&arena.lock);
}

/* ------------------------------------------------------- lists of free runs */

static unsigned
bin_of(size_t units)
{
	return MIN(bits_log2(units), BIN_COUNT - 1u);
}

static struct run *
run_create_locked(uintptr_t start, size_t units, bool zero)
{
	struct run *run = arena.spare;

	ASSERT(lock_is_mine(&arena.lock));
	if (run != NULL)
		arena.spare = run->next;
	else
		run = meta_alloc(sizeof(*run));
	if (run == NULL)
		return NULL;
	run->start = start;
	run->units = units;
	run->zero = zero;
	run->freed_ns = 0;
	return run;
}

static void
run_destroy_locked(struct run *run)
{
	run->next = arena.spare;
	arena.spare = run;
}

static void
run_link_locked(struct run *run)
{
	unsigned b = bin_of(run->units);
	struct run *head = &arena.bins[run->zero][b];

	/* Last in, first out: the pages freed last are the warmest. */
	run->next = head->next;
	run->prev = head;
	head->next->prev = run;
	head->next = run;
	arena.bin_bits[run->zero] |= 1u << b;
	set_run(run, run);					/* A4 */
	arena.free_units += run->units;
	if (run->zero)
		return;
	arena.dirty_units += run->units;
	run->newer = NULL;
	run->older = arena.newest;
	if (arena.newest != NULL)
		arena.newest->newer = run;
	else
		arena.oldest = run;
	arena.newest = run;
}

static void
run_unlink_locked(struct run *run)
{
	unsigned b = bin_of(run->units);
	struct run *head = &arena.bins[run->zero][b];

	run->next->prev = run->prev;
	run->prev->next = run->next;
	if (head->next == head)
		arena.bin_bits[run->zero] &= ~(1u << b);
	set_run(run, NULL);					/* A4 */
	arena.free_units -= run->units;
	if (run->zero)
		return;
	arena.dirty_units -= run->units;
	if (run->newer != NULL)
		run->newer->older = run->older;
	else
		arena.newest = run->older;
	if (run->older != NULL)
		run->older->newer = run->newer;
	else
		arena.oldest = run->newer;
}

/* free_run_at - the free run that owns a unit, NULL when none does. */
static struct run *
free_run_at(size_t unit)
{
	return unit < frontier_units() ? arena.runs[unit] : NULL;
}

/*
 * absorb_locked - add a free neighbour to a run.  The age of the larger part
 * counts: a large idle run must not stay young for ever because small ones
 * come and go at its edge.
 */
static void
absorb_locked(struct run *run, struct run *neighbour)
{
	run_unlink_locked(neighbour);
	if (neighbour->units > run->units)
		run->freed_ns = neighbour->freed_ns;
	run->units += neighbour->units;
	run_destroy_locked(neighbour);
}

/* run_insert_locked - make a run free and merge it with its likes (A2). */
static void
run_insert_locked(struct run *run)
{
	struct run *before = NULL, *after;
	size_t unit = unit_of(run->start);

	if (unit > 0)
		before = free_run_at(unit - 1);
	after = free_run_at(unit + run->units);
	if (before != NULL && before->zero == run->zero) {
		run->start = before->start;
		absorb_locked(run, before);
	}
	if (after != NULL && after->zero == run->zero)
		absorb_locked(run, after);
	run_link_locked(run);
}

/* ------------------------------------------------------------------- taking */

static struct run *
find_in_bin(struct run *head, size_t units)
{
	unsigned tries = 0;

	for (struct run *r = head->next; r != head && tries < FIT_TRIES;
	     r = r->next, tries++)
		if (r->units >= units)
			return r;
	return NULL;
}

static struct run *
find_locked(size_t units, bool zero)
{
	unsigned b = bin_of(units);
	struct run *run = find_in_bin(&arena.bins[zero][b], units);
	uint32_t larger;

	if (run != NULL || b == BIN_COUNT - 1)
		return run;
	larger = arena.bin_bits[zero] & ~((2u << b) - 1);
	return larger == 0 ? NULL : arena.bins[zero][bits_ctz(larger)].next;
}

/*
 * grow_locked - move the frontier.
 * Returns:  the address of the new units, 0 when there is no memory.
 */
static uintptr_t
grow_locked(size_t units)
{
	size_t old = load_relaxed(&arena_view.frontier);
	size_t size = units << UNIT_SHIFT;
	size_t needed = ((old + size) >> UNIT_SHIFT) * sizeof(void *);
	size_t table;

	if (size > arena_view.size - old)
		return 0;
	table = meta_commit(arena_view.table, arena.table_bytes, needed,
			    arena.table_size);
	if (table == 0 || meta_commit(arena.runs, arena.table_bytes, needed,
				      arena.table_size) == 0)
		return 0;
	arena.table_bytes = table;
	if (old + size > arena.accessible) {
		size_t step = MAX(old + size - arena.accessible, COMMIT_STEP);

		step = MIN(step, arena_view.size - arena.accessible);
		if (sys_mprotect(arena_view.base + arena.accessible, step,
				 PROT_READ | PROT_WRITE) != 0) {
			/* Overcommit is strict: ask for no more than needed. */
			step = old + size - arena.accessible;
			if (sys_mprotect(arena_view.base + arena.accessible,
					 step, PROT_READ | PROT_WRITE) != 0)
				return 0;
		}
		arena.accessible += step;
	}
	/* relaxed: nobody has an address beyond it yet. */
	store_relaxed(&arena_view.frontier, old + size);
	return arena_view.base + old;
}

/*
 * take_from_free_locked - cut units off a free run's front.
 */
static uintptr_t
take_from_free_locked(struct run *run, size_t units)
{
	uintptr_t start = run->start;

	run_unlink_locked(run);
	if (run->units == units) {
		run_destroy_locked(run);
	} else {
		run->start += units << UNIT_SHIFT;
		run->units -= units;
		run_link_locked(run);
	}
	return start;
}

static void decay(void);

uintptr_t
arena_take(size_t units, bool *ret_zero)
{
	struct run *run;
	uintptr_t start;

	lock_acquire(&arena.lock);
	run = find_locked(units, false);
	if (run == NULL)
		run = find_locked(units, true);
	if (run != NULL) {
		*ret_zero = run->zero;
		start = take_from_free_locked(run, units);
	} else {
		*ret_zero = true;
		start = grow_locked(units);
	}
	arena.peak_bytes = MAX(arena.peak_bytes, arena_used_bytes());
	lock_release(&arena.lock);
	decay();
	return start;
}

void
arena_assign(uintptr_t start, size_t units, struct span *span)
{
	size_t unit = unit_of(start);

	/* release: a collector that finds the span finds it complete (S4). */
	for (size_t i = 0; i < units; i++)
		store_release(&arena_view.table[unit + i], span);
}

bool
arena_extend(uintptr_t start, size_t units, size_t more, struct span *span)
{
	uintptr_t end = start + (units << UNIT_SHIFT);
	bool done = false;
	struct run *run;

	lock_acquire(&arena.lock);
	run = free_run_at(unit_of(end));
	if (run != NULL && run->units >= more) {
		take_from_free_locked(run, more);
		done = true;
	} else if (unit_of(end) == frontier_units()) {
		done = grow_locked(more) != 0;
	}
	if (done) {
		arena_assign(end, more, span);
		arena.peak_bytes = MAX(arena.peak_bytes, arena_used_bytes());
	}
	lock_release(&arena.lock);
	return done;
}

/* ------------------------------------------------------------------- giving */

/*
 * purge - give one run, which is in no list, back to the kernel and insert
 * it as a zero run.
 * Returns: false when the kernel would not have it: locked memory (mlockall).
 */
static bool
purge(struct run *run)
{
	int error = sys_madvise(run->start, run->units << UNIT_SHIFT,
				MADV_DONTNEED);

	lock_acquire(&arena.lock);
	run->zero = error == 0;
	run->freed_ns = sys_coarse_ns();
	run_insert_locked(run);
	lock_release(&arena.lock);
	return error == 0;
}

static void
give(uintptr_t start, size_t units, bool is_cold)
{
	struct run *run;

	/* All under the lock: a fork sees a run's entries, or none. */
	lock_acquire(&arena.lock);
	/* First: who shuts units looks at these entries. */
	arena_assign(start, units, NULL);
	fence_forget(start, start + (units << UNIT_SHIFT));
	run = run_create_locked(start, units, false);
	if (run != NULL && !is_cold) {
		run->freed_ns = sys_coarse_ns();
		run_insert_locked(run);
		run = NULL;
	}
	/* Without memory for its record a run is lost: address space only. */
	lock_release(&arena.lock);
	if (run != NULL)
		purge(run);
	decay();
}

void
arena_give(uintptr_t start, size_t units)
{
	give(start, units, units >= AT_ONCE_UNITS);
}

void
arena_give_cold(uintptr_t start, size_t units)
{
	give(start, units, true);
}

size_t
arena_trim(uint64_t idle_ns)
{
	uint64_t now = sys_coarse_ns();
	size_t bytes = 0;

	for (;;) {
		struct run *run;

		lock_acquire(&arena.lock);
		run = arena.oldest;
		if (run != NULL && now >= run->freed_ns &&
		    now - run->freed_ns >= idle_ns)
			run_unlink_locked(run);
		else
			run = NULL;
		lock_release(&arena.lock);
		if (run == NULL)
			return bytes;
		bytes += run->units << UNIT_SHIFT;
		if (!purge(run))
			return bytes;
	}
}

/* decay - drop what has been free for long, now and then. */
static void
decay(void)
{
	/* Atomic: relaxed, a hint only; two threads may both look. */
	static _Atomic uint64_t next_ns;
	uint64_t now;

	if (arena.oldest == NULL)
		return;
	now = sys_coarse_ns();
	if (now < load_relaxed(&next_ns))
		return;
	store_relaxed(&next_ns, now + DECAY_NS / 8);
	arena_trim(DECAY_NS);
}

size_t
arena_dirty_bytes(void)
{
	return arena.dirty_units << UNIT_SHIFT;
}

size_t
arena_used_bytes(void)
{
	return load_relaxed(&arena_view.frontier) -
	       (arena.free_units << UNIT_SHIFT);
}

size_t
arena_peak_bytes(void)
{
	return arena.peak_bytes;
}

void
arena_for_each_span(void (*visit)(struct span *, void *), void *argument)
{
	size_t end = frontier_units();
	struct span *last = NULL;

	for (size_t unit = 0; unit < end; unit++) {
		struct span *span = load_relaxed(&arena_view.table[unit]);

		if (span != NULL && span != last) {
			last = span;
			visit(span, argument);
		}
	}
}

void
arena_for_each_span_back(void (*visit)(struct span *, void *), void *argument)
{
	struct span *last = NULL;

	for (size_t unit = frontier_units(); unit-- > 0;) {
		struct span *span = load_relaxed(&arena_view.table[unit]);

		if (span != NULL && span != last) {
			last = span;
			visit(span, argument);
		}
	}
}

void
arena_fork_lock(void)
{
	lock_acquire(&arena.lock);
}

void
arena_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&arena.lock);
	else
		lock_release(&arena.lock);
}

#ifdef BILGE_DEBUG
bool
arena_is_valid(void)
{
	size_t end = frontier_units(), free_units = 0;
	struct run *last = NULL;

	for (size_t unit = 0; unit < end;) {
		struct run *run = free_run_at(unit);

		if (run == NULL) {
			last = NULL;
			unit++;
			continue;
		}
		if (unit_of(run->start) != unit ||		   /* A4 */
		    free_run_at(unit + run->units - 1) != run ||
		    (last != NULL && last->zero == run->zero))	   /* A2 */
			return false;
		free_units += run->units;
		unit += run->units;
		last = run;
	}
	return free_units == arena.free_units;
}
#endif
