/*
 * stop.c - stopping and restarting every thread of the program.
 *
 * Owns the list of threads of the current stop.  Those of the registry are
 * signalled first, all of them, and then waited for.  The kernel's list of
 * tasks decides who else must stand: a thread made by raw clone is stopped
 * like any other.
 *
 * Always true:
 *   T1  the world counts as stopped only when, after all that were known had
 *       parked or were gone, the kernel counted as many threads as that, or a
 *       whole reading of its task list showed no other;
 *   T2  a thread that has not parked stands still if the kernel says that it
 *       waits for a child in its own memory: before it can run on it finds
 *       the stop signal, or, in posix_spawn(3), libc's code with no pointers
 *       but its own.  Its registers must have been left for us before;
 *   T3  the stopper holds RANK_MUTATORS meanwhile: no thread comes or goes
 *       unseen.
 *
 * Atomics: release [X] at stop.exempt_changes publishes stop.exempt.
 *
 * Not here: what a thread does to stand still (park.c), what /proc says of
 * threads (tasks.c).
 */
#include "world/stop.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"
#include "heap/meta.h"
#include "world/tasks.h"

#include <errno.h>
#include <string.h>

/*
 * vm.max_map_count lets no more than 65530 mappings be, and a stack with its
 * guard is two.  Nobody stops more: the attempt fails.
 */
#define ENTRIES_MAX	32768u

/* The kernel's first real-time signal: from here on each is queued. */
#define SIGNAL_QUEUED_MIN 32

/*
 * How long nobody has to park before it is asked whether the missing exist.
 * A timer that is the next to end costs more than the stop itself: the first
 * wait, for threads that say when they end, is for longer than a tick.
 */
#define PATIENCE_KNOWN_NS (8 * NSEC_PER_MSEC)
#define PATIENCE_MIN_NS	(100 * NSEC_PER_USEC)
#define PATIENCE_MAX_NS	(2 * NSEC_PER_MSEC)

/* Of how many at a time, when /proc has to be read for it. */
#define LOOKS_MAX	16u

/* What libc has on the stack while it makes a child. */
#define SPAWN_FRAMES_MAX (16 * KIB)

static struct {
	/* Fixed by stop_set_signal(). */
	int sig;

	/* Guarded by RANK_CYCLE. */
	struct park_entry *entries;
	size_t count;
	size_t committed;
	size_t signalled;	/* of entries, the first so many */
	uint32_t epoch;
	size_t gone;
	size_t away;		/* at most: some may have parked since */
	bool is_spawning;	/* some thread may be away */
	uint64_t signal_ns;	/* when the first was signalled */
	int pid;
	int self;
	bool has_last_signal;	/* it is ours */
	struct sys_action last_action;	/* whose it was */
	bool is_self_listed;
	bool is_leader_dead;	/* the main thread has ended: a task for ever */

	/* Atomic. */
	_Atomic int exempt[STOP_EXEMPT_MAX];	/* 0: free */
	_Atomic uint32_t exempt_changes;	/* [X] */
} stop;

void
stop_set_signal(int sig)
{
	stop.sig = sig;
	mutator_set_stop_signal(sig);
	ended_set_stop_signal(sig);
}

/*
 * The last signal: glibc's own for setuid(2) and its kin, SIGSETXID.  Its
 * helper thread for timers (SIGEV_THREAD) blocks every signal but this one for
 * as long as it lives.  It is ours only while a stop needs it.
 */
#define LAST_SIGNAL	33

static void
handle_last_signal(int sig, siginfo_t *info, void *context)
{
	if (info->si_code == SI_QUEUE && info->si_value.sival_ptr == &stop)
		park_enter_signal(context);
	else if (sys_is_handler(&stop.last_action))
		stop.last_action.handler(sig, info, context);
}

static void
handle_stop_signal(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	park_enter_signal(context);
}

/* -------------------------------------------------------------- our threads */

static bool
replace_exempt(int from, int to)
{
	bool done = false;

	for (size_t i = 0; i < STOP_EXEMPT_MAX && !done; i++) {
		int seen = from;

		/* relaxed: ordered by [X]. */
		done = atomic_compare_exchange_strong_explicit(&stop.exempt[i],
			&seen, to, memory_order_relaxed, memory_order_relaxed);
	}
	/* release [X] */
	atomic_fetch_add_explicit(&stop.exempt_changes, 1,
				  memory_order_release);
	return done;
}

bool
stop_exempt_begin(void)
{
	return replace_exempt(0, sys_gettid());
}

void
stop_exempt_end(void)
{
	replace_exempt(sys_gettid(), 0);
}

static bool
is_exempt(int tid)
{
	for (size_t i = 0; i < STOP_EXEMPT_MAX; i++)
		if (load_relaxed(&stop.exempt[i]) == tid)
			return true;
	return false;
}

/* count_exempt - other than the stopper. */
static size_t
count_exempt(void)
{
	size_t count = 0;

	for (size_t i = 0; i < STOP_EXEMPT_MAX; i++) {
		int tid = load_relaxed(&stop.exempt[i]);

		count += tid != 0 && tid != stop.self;
	}
	return count;
}

/* ----------------------------------------------------------- who must stand */

/* task_of - the number of an entry in /proc; 0: it is not known yet. */
static int
task_of(const struct park_entry *e)
{
	return tasks_are_foreign() ? e->task : e->tid;
}

/*
 * is_away - does the kernel keep a thread until a child is done with its
 * memory?  It must have left its registers behind for just this call.
 */
static bool
is_away(const struct park *park, int task, uintptr_t *ret_sp)
{
	uintptr_t top = park->spawn_sp;
	struct task_call call;
	uint64_t flags = 0;

	if (top == 0 || task == 0 || !tasks_call(task, &call))
		return false;
	*ret_sp = call.sp;
	/* libc's vfork() has taken its return address from the stack. */
	if (park->is_vfork)
		return call.number == ARCH_SYS_VFORK &&
		       *ret_sp == top + sizeof(uintptr_t);
	if (*ret_sp > top || *ret_sp + SPAWN_FRAMES_MAX < top)
		return false;
	if (call.number == ARCH_SYS_CLONE)
		flags = call.arguments[0];
	else if (call.number == ARCH_SYS_CLONE3 &&
		 call.arguments[0] >= *ret_sp && call.arguments[0] < top)
		flags = *(const uint64_t *)call.arguments[0];
	return (flags & ARCH_VFORK_FLAGS) == ARCH_VFORK_FLAGS;
}

static void
set_gone(struct park_entry *e)
{
	e->is_gone = true;
	stop.gone++;
}

static struct park_entry *
add_entry(int tid, int task, struct mutator *m)
{
	struct park_entry *e;
	size_t size = (stop.count + 1) * sizeof(*e);

	if (stop.count == ENTRIES_MAX)
		return NULL;
	if (stop.entries == NULL)
		stop.entries = meta_reserve(ENTRIES_MAX *
					    sizeof(*stop.entries));
	if (stop.entries == NULL)
		return NULL;
	if (size > stop.committed) {
		size = meta_commit(stop.entries, stop.committed, size,
				   ENTRIES_MAX * sizeof(*e));
		if (size == 0)
			return NULL;
		stop.committed = size;
	}
	e = &stop.entries[stop.count++];
	memset(e, 0, sizeof(*e));
	e->tid = tid;
	e->task = task;
	e->park = m != NULL ? &m->park : &e->own;
	stop.is_self_listed |= tid == stop.self;
	park_add(e);
	return e;
}

/* list_mutators - those that need no asking; and the caller. */
static int
list_mutators(void)
{
	for (struct mutator *m = mutator_first_locked(); m != NULL; m = m->next)
		if (m->state == MUTATOR_ALIVE &&
		    add_entry(m->tid, 0, m) == NULL)
			return -ENOMEM;
	if (!stop.is_self_listed && !is_exempt(stop.self) &&
	    add_entry(stop.self, 0, NULL) == NULL)
		return -ENOMEM;
	return 0;
}

/*
 * list_task - make sure that a task of /proc is known.
 * Returns: 1 when it was not, -ENOMEM.
 */
static int
list_task(int task)
{
	int tid = tasks_tid_of(task);
	struct park_entry *e = park_find(tid);

	if (tid == 0 || is_exempt(tid))
		return 0;
	if (e != NULL && !e->is_gone) {
		e->task = task;
		return 0;
	}
	/* A tid that is gone may be taken by a new thread. */
	if (e != NULL && tasks_is_gone(task))
		return 0;
	e = add_entry(tid, task, mutator_find_locked(tid));
	if (e == NULL)
		return -ENOMEM;
	/* A main thread that called pthread_exit stays as a zombie. */
	if (tid != stop.pid || !tasks_is_gone(task))
		return 1;
	stop.is_leader_dead = true;
	set_gone(e);
	return 0;
}

/* count_listed - those that stand or must, without the caller. */
static size_t
count_listed(void)
{
	return stop.count - stop.gone - stop.is_self_listed;
}

/* count_wanted - how many of them have to park; the away may have. */
static uint32_t
count_wanted(void)
{
	size_t away = 0;

	for (size_t i = 0; stop.away > 0 && i < stop.count; i++)
		away += stop.entries[i].is_away &&
			load_relaxed(&stop.entries[i].park->epoch) !=
			stop.epoch;
	return (uint32_t)(count_listed() - away);
}

/*
 * is_everybody_known - do those that stand, the caller and our own threads make
 * up all that the kernel counts?  Only a thread that runs can make another, so
 * that there never was one if there is none at one moment.
 */
static bool
is_everybody_known(void)
{
	/* acquire [X]: an exempt thread was one from before to after. */
	uint32_t changes = load_acquire(&stop.exempt_changes);
	size_t known = count_listed() + 1 + count_exempt() +
		       stop.is_leader_dead;

	if (tasks_count() != (long)known)
		return false;
	atomic_thread_fence(memory_order_acquire);
	return load_relaxed(&stop.exempt_changes) == changes;
}

/* --------------------------------------------------------------- signalling */

static void
signal_new(uint64_t end_ns)
{
	for (; stop.signalled < stop.count; stop.signalled++) {
		struct park_entry *e = &stop.entries[stop.signalled];
		int error;

		if (e->tid == stop.self || e->is_gone)
			continue;
		/* EAGAIN: a real-time signal, and too many are queued. */
		do
			error = sys_tgkill(stop.pid, e->tid, stop.sig);
		while (error == -EAGAIN && sys_sched_yield() == 0 &&
		       sys_monotonic_ns() < end_ns);
		if (error == -ESRCH)
			set_gone(e);
		stop.is_spawning |= e->park->spawn_sp != 0;
	}
}

static bool
is_missing(const struct park_entry *e)
{
	return e->tid != stop.self && !e->is_gone && !e->is_away &&
	       load_relaxed(&e->park->epoch) != stop.epoch;
}

/* knock - a thread that blocks the stop signal may not block the last one. */
static void
knock(struct park_entry *e)
{
	uint64_t blocked;

	if (e->is_knocked || task_of(e) == 0)
		return;
	blocked = tasks_blocked(task_of(e));
	if (!bits_has(blocked, (unsigned)stop.sig - 1) ||
	    bits_has(blocked, LAST_SIGNAL - 1))
		return;
	if (!stop.has_last_signal) {
		if (sys_sigaction_exchange(LAST_SIGNAL, NULL,
					   &stop.last_action) != 0)
			return;
		stop.has_last_signal = true;
		sys_sigaction(LAST_SIGNAL, handle_last_signal,
			      SA_SIGINFO | SA_RESTART | SA_ONSTACK);
	}
	e->is_knocked = sys_tgqueue(stop.pid, e->tid, LAST_SIGNAL, &stop) == 0;
}

/*
 * signal_again - does a thread that we wait for still exist?  A signal below
 * the real-time ones is lost when one of an alarm is waiting that was set anew
 * since: the kernel drops that one, and it stood for both.
 */
static bool
signal_again(const struct park_entry *e)
{
	return sys_tgkill(stop.pid, e->tid, stop.sig < SIGNAL_QUEUED_MIN
			  ? stop.sig : 0) != -ESRCH;
}

/* drop_gone - look whether those we wait for still exist; in /proc, if long. */
static void
drop_gone(bool is_long)
{
	unsigned looks = 0;
	uintptr_t sp;

	for (size_t i = 0; i < stop.count; i++) {
		struct park_entry *e = &stop.entries[i];

		if (!is_missing(e))
			continue;
		/* One of ours, listed before it could say so, never parks. */
		if (is_exempt(e->tid) || !signal_again(e)) {
			set_gone(e);
		} else if (e->park->spawn_sp != 0 &&
			   is_away(e->park, task_of(e), &sp)) {	/* T2 */
			e->park->sp = sp;
			e->park->tp = mutator_find_locked(e->tid)->tp;
			e->park->frame = (uintptr_t)e->park->registers;
			e->park->context = NULL;
			e->is_away = true;
			stop.away++;
		} else if (is_long && task_of(e) != 0 &&
			   looks++ < LOOKS_MAX && tasks_is_gone(task_of(e))) {
			stop.is_leader_dead |= e->tid == stop.pid;
			set_gone(e);
		} else if (is_long) {
			knock(e);
		}
	}
}

static bool
is_nobody_missing(void)
{
	for (size_t i = 0; i < stop.count; i++)
		if (is_missing(&stop.entries[i]))
			return false;
	return true;
}

static int
wait_until_all_stand(uint64_t patience, uint64_t end_ns)
{
	uint32_t before = 0, now;
	bool is_long;

	for (;;) {
		now = park_wait(count_wanted(), patience);
		/* One that was away may have taken another's place. */
		if (now >= count_wanted() &&
		    (stop.away == 0 || is_nobody_missing()))
			return 0;
		if (sys_monotonic_ns() > end_ns)
			return -ETIMEDOUT;
		is_long = patience >= PATIENCE_MAX_NS;
		if (is_long)
			tasks_look();
		if (is_long && tasks_are_foreign() && tasks_list(list_task) > 0)
			signal_new(end_ns);
		if (now == before)
			drop_gone(is_long);
		before = now;
		patience = MIN(2 * patience, PATIENCE_MAX_NS);
	}
}

static void
explain(struct stop_failure *ret)
{
	ret->what = "it did not answer the stop signal";
	tasks_look();
	for (size_t i = 0; i < stop.count; i++) {
		struct park_entry *e = &stop.entries[i];

		if (!is_missing(e))
			continue;
		ret->tid = e->tid;
		ret->is_blocked = bits_has(tasks_blocked(task_of(e)),
					   (unsigned)stop.sig - 1);
		if (ret->is_blocked)
			ret->what = "it blocks the stop signal";
	}
}

static void
enter_self(uintptr_t own_sp)
{
	struct park_entry *e = park_find(stop.self);

	if (e == NULL)
		return;
	e->park->sp = e->park->frame = own_sp;
	e->park->context = NULL;
	e->park->tp = arch_thread_pointer();
	e->park->held[0] = sys_alternate_stack();
	e->park->held[1] = arch_gs_base();
}

/* stop_all - until T1 holds.  Returns: 0 or -errno. */
static int
stop_all(uint64_t end_ns, struct stop_failure *ret)
{
	uint64_t patience = park_has_due() ? PATIENCE_MIN_NS
					   : PATIENCE_KNOWN_NS;
	int error = list_mutators(), added;

	if (error != 0)
		return error;
	stop.signal_ns = sys_monotonic_ns();
	do {
		signal_new(end_ns);
		park_call_held();
		if (stop.is_spawning)
			patience = PATIENCE_MIN_NS;
		if (wait_until_all_stand(patience, end_ns) != 0) {
			explain(ret);
			return -ETIMEDOUT;
		}
		patience = PATIENCE_MIN_NS;
		if (is_everybody_known())			/* T1 */
			return 0;
		added = tasks_list(list_task);
		if (added < 0 && added != -ENOMEM)
			ret->what = "/proc/self/task cannot be read";
	} while (added > 0);
	return added;						/* T1 */
}

void
stop_end(void)
{
	if (stop.has_last_signal)
		sys_sigaction_exchange(LAST_SIGNAL, &stop.last_action, NULL);
	stop.has_last_signal = false;
	park_stop_end();
	tasks_close();
	mutator_unlock();
}

void
stop_leave(void)
{
	park_stop_leave();
	tasks_close();
	mutator_unlock();
}

int
stop_begin(uint64_t limit_ns, uintptr_t own_sp, bool is_last,
	   struct stop_failure *ret)
{
	int error;

	*ret = (struct stop_failure){ .what = "out of memory" };
	/*
	 * Each time: a program may have reset all signals behind our back, and
	 * would be killed by ours.  It takes a tenth of a microsecond.
	 */
	sys_sigaction(stop.sig, handle_stop_signal,
		      SA_SIGINFO | SA_RESTART | SA_ONSTACK);
	/* Before anybody stands: looking up the path takes its time. */
	stop.pid = sys_getpid();
	tasks_open(stop.pid);
	/* Who has it may stand for an alarm already: all those go on then. */
	if (!mutator_try_lock()) {
		park_set_due(0);
		mutator_lock();					/* T3 */
	}
	stop.self = sys_gettid();
	stop.count = stop.gone = stop.away = stop.signalled = 0;
	stop.is_spawning = false;
	stop.is_self_listed = stop.is_leader_dead = false;
	stop.epoch = park_stop_begin(is_last);
	error = stop_all(sys_monotonic_ns() + limit_ns, ret);
	if (error != 0) {
		stop_end();
		return error;
	}
	enter_self(own_sp);
	return 0;
}

uint64_t
stop_signal_ns(void)
{
	return stop.signal_ns;
}

size_t
stop_standing(void)
{
	return stop.count - stop.gone;
}

const struct park_entry *
stop_threads(size_t *ret_count)
{
	*ret_count = stop.count;
	return stop.entries;
}
