/*
 * test_mutator.c - the registry of the program's threads.
 */
#include "unit.h"

#include "base/sys.h"
#include "heap/meta.h"
#include "world/mutator.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cache *ended_cache;
static unsigned ended_count;

static void
hook(struct mutator *m)
{
	if (m->cache == NULL)
		return;
	ended_cache = m->cache;
	ended_count++;
}

static void
setup(void)
{
	ck_assert_int_eq(meta_init(64 * MIB), 0);
	mutator_set_stop_signal(SIGSTKFLT);
	mutator_set_hook(hook);
}

/* Two threads take turns: the number of the step that comes next. */
static _Atomic uint32_t turn;

static void
wait_for(uint32_t step)
{
	while (load_acquire(&turn) != step)
		sched_yield();
}

static size_t
count_mutators(enum mutator_state state)
{
	size_t count = 0;

	mutator_lock();
	for (struct mutator *m = mutator_first_locked(); m != NULL; m = m->next)
		count += m->state == state;
	mutator_unlock();
	return count;
}

static struct mutator *
find(int tid)
{
	struct mutator *m;

	mutator_lock();
	m = mutator_find_locked(tid);
	mutator_unlock();
	return m;
}

START_TEST(test_self)
{
	struct mutator *m;

	ck_assert_ptr_null(mutator_self);
	m = mutator_register(false);
	ck_assert_ptr_nonnull(m);
	ck_assert_ptr_eq(mutator_self, m);			/* R1 */
	ck_assert_int_eq(m->tid, sys_gettid());
	ck_assert_uint_eq(m->tp, (uintptr_t)pthread_self());
	ck_assert(!m->has_own_stack);
	ck_assert_ptr_eq(find(m->tid), m);
	ck_assert_ptr_null(find(m->tid + 1));
	mutator_end(false);
	ck_assert_ptr_null(mutator_self);
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 0);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 0);
	/* A second time is nothing. */
	mutator_end(true);
	ck_assert_uint_eq(ended_count, 0);
}
END_TEST

static struct thread {
	struct mutator *mutator;
	uintptr_t tp;
	int tid;
} other;

static void *
live(void *keep_result)
{
	other.mutator = mutator_register(true);
	other.tid = sys_gettid();
	other.tp = (uintptr_t)pthread_self();
	other.mutator->cache = (struct cache *)&other;
	store_release(&turn, 1);
	wait_for(2);
	mutator_end(keep_result != NULL);
	store_release(&turn, 3);
	wait_for(4);
	return NULL;
}

static pthread_t
begin_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	store_release(&turn, 0);
	expect(pthread_create(&thread, NULL, run, argument) == 0);
	wait_for(1);
	return thread;
}

static void
go_on(uint32_t step)
{
	store_release(&turn, step);
	wait_for(step + 1);
}

/* The descriptor stays a root until somebody has taken the result. */
START_TEST(test_joined)
{
	pthread_t thread;

	mutator_register(false);
	thread = begin_thread(live, &other);
	ck_assert_ptr_eq(find(other.tid), other.mutator);
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 2);
	go_on(2);
	ck_assert_ptr_null(find(other.tid));
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 1);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 1);
	ck_assert_ptr_eq(ended_cache, &other);
	ck_assert_uint_eq(ended_count, 1);
	store_release(&turn, 4);
	pthread_join(thread, NULL);
	mutator_joined(other.tp, other.tid);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 0);
	mutator_joined(other.tp, other.tid);
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 1);
}
END_TEST

/* Detached before or after its end, or never awaited: nothing is kept. */
START_TEST(test_detached)
{
	pthread_t thread;

	mutator_register(false);
	thread = begin_thread(live, &other);
	mutator_detached(other.tp);
	ck_assert_ptr_eq(find(other.tid), other.mutator);
	go_on(2);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 0);
	store_release(&turn, 4);
	pthread_join(thread, NULL);
	thread = begin_thread(live, &other);
	go_on(2);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 1);
	mutator_detached(other.tp);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 0);
	store_release(&turn, 4);
	pthread_join(thread, NULL);
	thread = begin_thread(live, NULL);
	go_on(2);
	ck_assert_uint_eq(count_mutators(MUTATOR_ENDED), 0);
	store_release(&turn, 4);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 1);
}
END_TEST

static void *
vanish(void *argument)
{
	other.mutator = mutator_register(true);
	other.mutator->cache = (struct cache *)&other;
	other.tid = sys_gettid();
	return argument;
}

static void
await_end_of(int tid)
{
	while (sys_tgkill(sys_getpid(), tid, 0) == 0)
		sched_yield();
}

/* A thread that never says goodbye is found gone by its tid. */
START_TEST(test_reap)
{
	pthread_t thread;

	mutator_register(false);
	expect(pthread_create(&thread, NULL, vanish, NULL) == 0);
	pthread_join(thread, NULL);
	await_end_of(other.tid);
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 2);
	mutator_lock();
	mutator_reap_locked();
	mutator_unlock();
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 1);
	ck_assert_ptr_eq(ended_cache, &other);
	ck_assert_ptr_eq(find(sys_gettid()), mutator_self);
}
END_TEST

/* Many of them: the registry does not grow for ever. */
START_TEST(test_reap_by_itself)
{
	mutator_register(false);
	for (unsigned i = 0; i < 1000; i++) {
		pthread_t thread;

		expect(pthread_create(&thread, NULL, vanish, NULL) == 0);
		pthread_join(thread, NULL);
		expect(count_mutators(MUTATOR_ALIVE) < 200);
	}
	ck_assert_uint_gt(ended_count, 800);
}
END_TEST

static bool
is_dead_stack(uintptr_t tp)
{
	const uintptr_t *tps;
	bool found = false;
	size_t count;

	mutator_lock();
	count = mutator_dead_stacks_locked(&tps);
	for (size_t i = 0; i < count; i++)
		found |= tps[i] == tp;
	mutator_unlock();
	return found;
}

/* libc keeps stacks of ended threads: a new thread makes one alive again. */
START_TEST(test_dead_stacks)
{
	pthread_t thread;
	uintptr_t before;

	mutator_register(false);
	thread = begin_thread(live, NULL);
	ck_assert(!is_dead_stack(other.tp));
	go_on(2);
	ck_assert(is_dead_stack(other.tp));
	store_release(&turn, 4);
	pthread_join(thread, NULL);
	before = other.tp;
	thread = begin_thread(live, NULL);
	if (other.tp == before)
		ck_assert(!is_dead_stack(before));
	go_on(2);
	store_release(&turn, 4);
	pthread_join(thread, NULL);
	/* The main thread's is not libc's: it never counts. */
	before = mutator_self->tp;
	mutator_end(false);
	ck_assert(!is_dead_stack(before));
}
END_TEST

START_TEST(test_hold)
{
	mutator_register(false);
	mutator_hold();
	mutator_hold();
	ck_assert_uint_eq(mutator_self->park.hold, 2);
	mutator_release();
	ck_assert_uint_eq(mutator_self->park.hold, 1);
	/* A stop that is over by now: the thread does not stand for it. */
	mutator_self->park.is_noted = 1;
	mutator_release();
	ck_assert_uint_eq(mutator_self->park.hold, 0);
	ck_assert_uint_eq(mutator_self->park.is_noted, 0);
	mutator_end(false);
	/* Nobody yet: nothing to hold. */
	mutator_hold();
	mutator_release();
}
END_TEST

START_TEST(test_masks)
{
	uint64_t outer, inner, inside;

	mutator_mask_signals(&outer);
	mutator_mask_signals(&inner);
	sys_sigprocmask(SIG_BLOCK, NULL, &inside);
	ck_assert_uint_ne(inside & UINT64_C(1) << (SIGALRM - 1), 0);
	ck_assert_uint_ne(inside & UINT64_C(1) << (SIGTERM - 1), 0);
	/* Stops and faults come through. */
	ck_assert_uint_eq(inside & UINT64_C(1) << (SIGSTKFLT - 1), 0);
	ck_assert_uint_eq(inside & UINT64_C(1) << (SIGSEGV - 1), 0);
	mutator_unmask_signals(inner);
	sys_sigprocmask(SIG_BLOCK, NULL, &inside);
	ck_assert_uint_eq(inside, inner);
	mutator_unmask_signals(outer);
	sys_sigprocmask(SIG_BLOCK, NULL, &inside);
	ck_assert_uint_eq(inside, outer);
}
END_TEST

/* Only the caller lives on in the child. */
START_TEST(test_fork)
{
	pthread_t thread;
	int status;
	pid_t child;

	mutator_register(false);
	thread = begin_thread(live, &other);
	mutator_fork_lock();
	child = fork();
	mutator_fork_unlock(child == 0);
	if (child == 0) {
		expect(count_mutators(MUTATOR_ALIVE) == 1);
		expect(mutator_self->tid == sys_gettid());
		expect(find(sys_gettid()) == mutator_self);
		expect(find(other.tid) == NULL);
		/* And others may come. */
		expect(pthread_create(&thread, NULL, vanish, NULL) == 0);
		pthread_join(thread, NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(count_mutators(MUTATOR_ALIVE), 2);
	go_on(2);
	store_release(&turn, 4);
	pthread_join(thread, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mutator");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "self", test_self }, { "joined", test_joined },
		{ "detached", test_detached }, { "reap", test_reap },
		{ "reap_by_itself", test_reap_by_itself },
		{ "dead_stacks", test_dead_stacks }, { "hold", test_hold },
		{ "masks", test_masks }, { "fork", test_fork },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
