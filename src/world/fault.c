/*
 * fault.c - SIGSEGV: touches of what fence.c has shut, and the program's own.
 *
 * Owns the signal once fault_install() has taken it, and the disposition that
 * the program believes to be in force.
 *
 * The handler may run on any thread, also one that is not libc's: it reads no
 * thread-local storage, takes no lock and calls only the kernel.  All signals
 * are blocked meanwhile, the stop signal too (F2 of fence.c).
 *
 * What is not ours is passed on as the kernel would: the program's mask, its
 * stack (our handler is on the alternate one exactly when the program's would
 * be), the original siginfo and context.  A default action is taken by the
 * kernel itself: the signal is made the default's, and comes again.
 *
 * Always true:
 *   G1  ours.current is a whole disposition: it is written into a place that
 *       no reader uses, then published; a reader would have to sleep while the
 *       program changes its mind PLACES times.
 *
 * Atomics: release [G] at ours.current publishes a place.
 */
#include "world/fault.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "heap/fence.h"
#include "heap/span.h"

#include <errno.h>

#define PLACES	64u

/* Touches that are kept until the next cycle; more are rare. */
#define TOUCHES	64u

static struct {
	struct lock lock;
	/* Guarded by lock. */
	bool is_installed;
	/* Atomic: the next place to be used; see G1. */
	_Atomic uint32_t next;
	/* Atomic. */
	_Atomic(const struct sys_action *) current;
	struct sys_action places[PLACES];
	_Atomic size_t group;

	/* Atomic: slots are taken by adding, and 0 until they are filled. */
	_Atomic uint32_t touches;
	_Atomic uintptr_t touched[TOUCHES][2];
	/* Guarded by RANK_CYCLE. */
	uint32_t taken;
} ours = { .lock = LOCK_INIT(RANK_FAULT), .group = 1 };

static void
publish(const struct sys_action *action)
{
	uint32_t place = atomic_fetch_add_explicit(&ours.next, 1,
						   memory_order_relaxed);

	ours.places[place % PLACES] = *action;
	/* release [G] */
	store_release(&ours.current, &ours.places[place % PLACES]);
}

/* ------------------------------------------------------------------ touches */

void
fault_note_touch(uintptr_t addr, uintptr_t pc)
{
	uint32_t slot = atomic_fetch_add_explicit(&ours.touches, 1,
						  memory_order_relaxed);

	store_relaxed(&ours.touched[slot % TOUCHES][1], pc);
	store_release(&ours.touched[slot % TOUCHES][0], addr);
}

bool
fault_take_touch(struct fault_touch *ret)
{
	uint32_t slot;

	if (ours.taken == load_relaxed(&ours.touches))
		return false;
	slot = ours.taken % TOUCHES;
	ret->addr = load_acquire(&ours.touched[slot][0]);
	ret->pc = load_relaxed(&ours.touched[slot][1]);
	store_relaxed(&ours.touched[slot][0], 0);
	if (ret->addr != 0)
		ours.taken++;
	return ret->addr != 0;
}

/* ------------------------------------------------------------------ faults */

void
fault_set_group(size_t units)
{
	store_relaxed(&ours.group, units);
}

/* can_touch - now, when another thread may have opened the unit. */
static bool
can_touch(uintptr_t addr, bool is_write)
{
	return is_write ? sys_is_writable(ALIGN_DOWN(addr, 4))
			: sys_is_readable(ALIGN_DOWN(addr, 8));
}

/* find_range - what is opened together: a large block, or a group of units. */
static void
find_range(uintptr_t addr, const struct span *span, uintptr_t *ret_start,
	   uintptr_t *ret_end)
{
	size_t size = load_relaxed(&ours.group) << UNIT_SHIFT;

	if (span != NULL && span_is_large(span)) {
		*ret_start = span->run;
		*ret_end = span_end(span);
	} else {
		*ret_start = addr - (addr - arena_view.base) % size;
		*ret_end = *ret_start + size;
	}
}

/* is_ours - was it a touch of what we had shut?  It can be touched now. */
static bool
is_ours(const siginfo_t *info, const void *context)
{
	uintptr_t addr = (uintptr_t)info->si_addr, start, end;
	bool is_write = arch_context_is_write(context);
	const struct span *span;

	if (info->si_code != SEGV_ACCERR || !arena_contains(addr))
		return false;
	span = arena_span_of(addr);
	find_range(addr, span, &start, &end);
	switch (fence_fault(addr, start, end)) {
	case FENCE_READ_ONLY:
		return is_write;
	case FENCE_CLOSED:
		fault_note_touch(addr, arch_context_pc(context));
		return true;
	case FENCE_OPEN:
		break;
	}
	if (can_touch(addr, is_write))
		return true;
	/* The program itself protects only what it has whole pages of. */
	if (!is_write || span == NULL || span->slot_size >= ARCH_PAGE_SIZE ||
	    span_is_large(span) || fence_state(addr) != FENCE_OPEN)
		return false;
	fence_reopen(addr);
	return true;
}

/* take_default - let the kernel do what it would have done. */
static void
take_default(int sig, const siginfo_t *info)
{
	static const struct sys_action action = { .handler = NULL };

	sys_sigaction_exchange(sig, &action, NULL);
	/* A fault comes again by itself. */
	if (info->si_code <= 0)
		sys_sigqueue_self(sig, info);
}

static void
pass_on(int sig, siginfo_t *info, void *context)
{
	/* acquire [G] */
	struct sys_action action = *load_acquire(&ours.current);
	uintptr_t handler = (uintptr_t)action.handler;
	bool is_sent = info->si_code <= 0;
	uint64_t mask;

	if (handler == (uintptr_t)SIG_IGN && is_sent)
		return;
	if (handler == (uintptr_t)SIG_IGN || handler == (uintptr_t)SIG_DFL) {
		take_default(sig, info);
		return;
	}
	if ((action.flags & SA_RESETHAND) != 0) {
		struct sys_action reset = { .flags = action.flags };

		publish(&reset);
	}
	mask = arch_context_mask(context) | action.mask;
	if ((action.flags & SA_NODEFER) == 0)
		mask |= UINT64_C(1) << (sig - 1);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	action.handler(sig, info, context);
}

static void
handle(int sig, siginfo_t *info, void *context)
{
	if (!is_ours(info, context))
		pass_on(sig, info, context);
}

/* ------------------------------------------------------------- dispositions */

/* install_locked - with the flags that the program's own would have. */
static int
install_locked(void)
{
	unsigned long flags = load_relaxed(&ours.current)->flags;

	return sys_sigaction(SIGSEGV, handle, SA_SIGINFO |
			     (int)(flags & (SA_ONSTACK | SA_RESTART)));
}

int
fault_install(void)
{
	struct sys_action now;
	int error;

	lock_acquire(&ours.lock);
	error = sys_sigaction_exchange(SIGSEGV, NULL, &now);
	if (error == 0 && now.handler == handle) {
		/* Still ours. */
	} else if (error == 0 && ours.is_installed) {
		error = -EBUSY;
	} else if (error == 0) {
		now.flags &= ~SYS_SA_RESTORER;
		publish(&now);
		error = install_locked();
		ours.is_installed = error == 0;
	}
	lock_release(&ours.lock);
	return error;
}

bool
fault_exchange(const struct sys_action *action, struct sys_action *ret_old)
{
	struct sys_action old;

	lock_acquire(&ours.lock);
	if (!ours.is_installed)
		return false;
	old = *load_relaxed(&ours.current);
	if (action != NULL) {
		publish(action);
		install_locked();
	}
	if (ret_old != NULL)
		*ret_old = old;
	return true;
}

void
fault_exchange_end(void)
{
	lock_release(&ours.lock);
}

void
fault_fork_lock(void)
{
	lock_acquire(&ours.lock);
}

void
fault_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&ours.lock);
	else
		lock_release(&ours.lock);
}
