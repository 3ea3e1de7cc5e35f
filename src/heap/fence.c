/*
 * fence.c - units of the heap that the program cannot touch just now.
 *
 * Owns the protection of the heap's pages and the record of it: one byte and
 * one count a unit.
 *
 * Always true:
 *   F1  a unit that is not noted as open was shut by us.  One that is noted as
 *       open can be touched, with one exception: a thread that found it
 *       read-only, and opens it only after others have done so and it was
 *       shut again, may note it as open just before it is protected;
 *   F2  shutting notes first and protects then; opening makes it accessible
 *       first and notes then.  So a unit noted as read-only was not written
 *       since it was noted, except by threads inside fence_fault(), and there
 *       are none while the world stands;
 *   F3  a unit that is lent or given is open;
 *   F4  units in free runs are open.
 *
 * All is guarded by fence.lock (RANK_FENCE) but the states, which fence_fault()
 * changes from a signal handler: from anything to open, never otherwise.
 */
#include "heap/fence.h"

#include "base/lock.h"
#include "base/panic.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <errno.h>
#include <sys/mman.h>

/* Of a unit's count: it is given.  What is below counts the lenders. */
#define GIVEN	(1u << 31)

bool fence_is_on;
bool fence_lends;
_Atomic size_t fence_count;

static struct {
	struct lock lock;
	/* Fixed by fence_start(). */
	uintptr_t base;
	size_t units_max;
	/* Atomic: changed under the lock, and by fence_fault(); see F2. */
	_Atomic uint8_t *states;
	/* Atomic: changed under the lock, read by anyone. */
	_Atomic uint32_t *loans;
	/* Atomic: entries of both that may be read; only grows. */
	_Atomic size_t units;
	_Atomic bool has_failed;

	/* Guarded by lock: committed bytes. */
	size_t states_size;
	size_t loans_size;
} fence = { .lock = LOCK_INIT(RANK_FENCE) };

int
fence_start(uintptr_t base, size_t size, bool lends)
{
	fence.base = base;
	fence.units_max = size >> UNIT_SHIFT;
	fence.states = meta_reserve(fence.units_max);
	fence.loans = meta_reserve(fence.units_max * sizeof(*fence.loans));
	if (fence.states == NULL || fence.loans == NULL)
		return -ENOMEM;
	fence_lends = lends;
	fence_is_on = true;
	return 0;
}

/* unit_of - SIZE_MAX where there is no entry. */
static size_t
unit_of(uintptr_t addr)
{
	size_t unit = (addr - fence.base) >> UNIT_SHIFT;

	return unit < load_acquire(&fence.units) ? unit : SIZE_MAX;
}

static uintptr_t
address_of(size_t unit)
{
	return fence.base + (unit << UNIT_SHIFT);
}

/* cover_locked - entries for all units before this one. */
static bool
cover_locked(size_t units)
{
	size_t size;

	ASSERT(lock_is_mine(&fence.lock));
	if (units <= load_relaxed(&fence.units))
		return true;
	if (units > fence.units_max)
		return false;
	size = meta_commit(fence.states, fence.states_size, units,
			   fence.units_max);
	if (size == 0)
		return false;
	fence.states_size = size;
	size = meta_commit(fence.loans, fence.loans_size,
			   units * sizeof(*fence.loans),
			   fence.units_max * sizeof(*fence.loans));
	if (size == 0)
		return false;
	fence.loans_size = size;
	/* release: the tables are there. */
	store_release(&fence.units, units);
	return true;
}

/* ------------------------------------------------------------------ opening */

/* note_open - F2.  A unit that another thread opened meanwhile counts once. */
static void
note_open(size_t unit)
{
	if (atomic_exchange_explicit(&fence.states[unit], FENCE_OPEN,
				     memory_order_acq_rel) != FENCE_OPEN)
		atomic_fetch_sub_explicit(&fence_count, 1,
					  memory_order_relaxed);
}

/* open_units - Context: signal. */
static void
open_units(size_t unit, size_t end)
{
	if (sys_mprotect(address_of(unit), (end - unit) << UNIT_SHIFT,
			 PROT_READ | PROT_WRITE) != 0) {
		/* A mapping would have to be split: all at once needs none. */
		store_relaxed(&fence.has_failed, true);
		unit = 0;
		end = load_relaxed(&fence.units);
		sys_mprotect(fence.base, end << UNIT_SHIFT,
			     PROT_READ | PROT_WRITE);
	}
	for (; unit < end; unit++)
		note_open(unit);
}

/* open_all - the meant units of [unit, end), those side by side at once. */
static void
open_all(size_t unit, size_t end, bool (*is_meant)(enum fence_state))
{
	size_t first = end;

	for (; unit < end; unit++) {
		if (is_meant(load_relaxed(&fence.states[unit]))) {
			first = MIN(first, unit);
		} else if (first < end) {
			open_units(first, unit);
			first = end;
		}
	}
	if (first < end)
		open_units(first, end);
}

static bool
is_shut(enum fence_state state)
{
	return state != FENCE_OPEN;
}

static bool
is_read_only(enum fence_state state)
{
	return state == FENCE_READ_ONLY;
}

static bool
is_closed(enum fence_state state)
{
	return state == FENCE_CLOSED;
}

/* clip - the units of an address range that have entries. */
static void
clip(uintptr_t start, uintptr_t end, size_t *ret_unit, size_t *ret_end)
{
	size_t units = load_acquire(&fence.units);

	*ret_unit = MIN((start - fence.base) >> UNIT_SHIFT, units);
	*ret_end = MIN((end - fence.base + UNIT_SIZE - 1) >> UNIT_SHIFT,
		       units);
}

void
fence_open(uintptr_t start, uintptr_t end)
{
	size_t unit, last;

	if (!fence_is_on)
		return;
	lock_acquire(&fence.lock);
	clip(start, end, &unit, &last);
	open_all(unit, last, is_shut);
	lock_release(&fence.lock);
}

void
fence_open_read_only(uintptr_t start, uintptr_t end)
{
	size_t unit, last;

	lock_acquire(&fence.lock);
	clip(start, end, &unit, &last);
	/* Not all at once: the program may have protected some of it itself. */
	open_all(unit, last, is_read_only);
	lock_release(&fence.lock);
}

enum fence_state
fence_state(uintptr_t addr)
{
	size_t unit = fence_is_on ? unit_of(addr) : SIZE_MAX;

	return unit == SIZE_MAX ? FENCE_OPEN
				: load_relaxed(&fence.states[unit]);
}

enum fence_state
fence_fault(uintptr_t addr, uintptr_t start, uintptr_t end)
{
	size_t unit = unit_of(addr), last;
	enum fence_state state;

	if (unit == SIZE_MAX)
		return FENCE_OPEN;
	state = load_acquire(&fence.states[unit]);
	clip(start, end, &unit, &last);
	if (state != FENCE_OPEN)
		open_all(unit, last, state == FENCE_CLOSED ? is_closed
							   : is_read_only);
	return state;
}

void
fence_reopen(uintptr_t addr)
{
	size_t unit = unit_of(addr);

	if (unit != SIZE_MAX)
		open_units(unit, unit + 1);			/* F1 */
}

/* ----------------------------------------------------------------- shutting */

static bool
can_shut(size_t unit, bool (*may_shut)(uintptr_t))
{
	return load_relaxed(&fence.states[unit]) == FENCE_OPEN &&
	       load_relaxed(&fence.loans[unit]) == 0 &&		/* F3 */
	       (may_shut == NULL || may_shut(address_of(unit)));
}

static int
shut_units(size_t unit, size_t end, enum fence_state state)
{
	int error;

	for (size_t u = unit; u < end; u++) {			/* F2 */
		atomic_fetch_add_explicit(&fence_count, 1,
					  memory_order_relaxed);
		store_release(&fence.states[u], state);
	}
	error = sys_mprotect(address_of(unit), (end - unit) << UNIT_SHIFT,
			     state == FENCE_CLOSED ? PROT_NONE : PROT_READ);
	if (error != 0)
		open_units(unit, end);
	return error;
}

int
fence_shut(uintptr_t start, uintptr_t end, enum fence_state state,
	   bool (*may_shut)(uintptr_t))
{
	size_t unit = (start - fence.base) >> UNIT_SHIFT;
	size_t last = (end - fence.base) >> UNIT_SHIFT, first = last;
	int error = 0;

	if (!fence_is_on)
		return -ENOSYS;
	lock_acquire(&fence.lock);
	if (!cover_locked(last))
		error = -ENOMEM;
	for (; error == 0 && unit < last; unit++) {
		if (can_shut(unit, may_shut)) {
			first = MIN(first, unit);
		} else if (first < last) {
			error = shut_units(first, unit, state);
			first = last;
		}
	}
	if (error == 0 && first < last)
		error = shut_units(first, last, state);
	lock_release(&fence.lock);
	return error;
}

/* ------------------------------------------------------------------ lending */

static void
lend(uintptr_t addr, bool for_good)
{
	size_t unit = (addr - fence.base) >> UNIT_SHIFT;

	lock_acquire(&fence.lock);
	if (cover_locked(unit + 1)) {
		uint32_t loans = load_relaxed(&fence.loans[unit]);

		store_relaxed(&fence.loans[unit],
			      for_good ? loans | GIVEN : loans + 1);
		if (is_shut(load_relaxed(&fence.states[unit])))
			open_units(unit, unit + 1);		/* F3 */
	}
	lock_release(&fence.lock);
}

void
fence_lend(uintptr_t addr)
{
	lend(addr, false);
}

void
fence_give(uintptr_t addr)
{
	lend(addr, true);
}

void
fence_return(uintptr_t addr)
{
	size_t unit = unit_of(addr);

	lock_acquire(&fence.lock);
	/* It may have become free in between: the program freed its buffer. */
	if (unit != SIZE_MAX &&
	    (load_relaxed(&fence.loans[unit]) & ~GIVEN) != 0)
		store_relaxed(&fence.loans[unit],
			      load_relaxed(&fence.loans[unit]) - 1);
	lock_release(&fence.lock);
}

bool
fence_is_given(uintptr_t addr)
{
	size_t unit = unit_of(addr);

	return unit != SIZE_MAX &&
	       (load_relaxed(&fence.loans[unit]) & GIVEN) != 0;
}

void
fence_forget(uintptr_t start, uintptr_t end)
{
	size_t unit, last;

	if (!fence_is_on)
		return;
	lock_acquire(&fence.lock);
	clip(start, end, &unit, &last);
	open_all(unit, last, is_shut);				/* F4 */
	for (; unit < last; unit++)
		store_relaxed(&fence.loans[unit], 0);
	lock_release(&fence.lock);
}

bool
fence_has_failed(void)
{
	return atomic_exchange_explicit(&fence.has_failed, false,
					memory_order_relaxed);
}

/* --------------------------------------------------------------------- fork */

void
fence_fork_lock(void)
{
	lock_acquire(&fence.lock);
}

void
fence_fork_unlock(bool in_child)
{
	if (!in_child) {
		lock_release(&fence.lock);
		return;
	}
	lock_reset(&fence.lock);
	if (!fence_is_on)
		return;
	/* Whoever waited for a touch is not here. */
	fence_open(fence.base, address_of(load_relaxed(&fence.units)));
	for (size_t u = 0; u < load_relaxed(&fence.units); u++)
		store_relaxed(&fence.loans[u],
			      load_relaxed(&fence.loans[u]) & GIVEN);
}
