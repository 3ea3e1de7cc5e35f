/*
 * test_fence.c - units that are shut, and what barriers make of it.
 *
 * Each barrier sees every write, also after a block was moved; what is opened
 * for whoever touches it stays open for him.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/shield.h"
#include "heap/fence.h"
#include "world/fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct barrier *barrier;

static void
begin(const char *choice)
{
	const char *const settings[] = { choice, NULL };

	unit_core(settings);
	ck_assert_int_eq(fence_start(arena_view.base, arena_view.size, true),
			 0);
	barrier = barrier_open();
	ck_assert_str_eq(barrier->name, strchr(choice, '=') + 1);
}

static uintptr_t
heap_end(void)
{
	return arena_view.base + load_relaxed(&arena_view.frontier);
}

struct question {
	uintptr_t addr;
	bool is_dirty;
};

static void
look_for(uintptr_t start, uintptr_t end, void *argument)
{
	struct question *q = argument;

	if (q->addr >= start && q->addr < end)
		q->is_dirty = true;
}

/* is_dirty - makes all clean. */
static bool
is_dirty(const void *at)
{
	struct question q = { (uintptr_t)at, false };

	ck_assert_int_eq(barrier->collect(arena_view.base, heap_end(), true,
					  look_for, &q), 0);
	if (!q.is_dirty && barrier->rest != NULL)
		barrier->rest(look_for, &q);
	return q.is_dirty;
}

static void
arm(void)
{
	ck_assert_int_eq(barrier->track(arena_view.base, arena_view.base +
					arena_view.size), 0);
	is_dirty(NULL);
}

static void
write_to(void *at)
{
	*(volatile char *)at = 1;
}

static void
check_writes(void)
{
	char *a = heap_alloc(100, false), *b = heap_alloc(1000, false);
	char *c = heap_alloc(40000, false), *d = heap_alloc(MIB, false);
	char *blocks[] = { a, b, c, d };

	for (unsigned i = 0; i < ARRAY_LEN(blocks); i++)
		memset(blocks[i], 1, 100);
	arm();
	expect(!is_dirty(a) && !is_dirty(b));
	for (unsigned i = 0; i < ARRAY_LEN(blocks); i++) {
		write_to(blocks[i]);
		expect(is_dirty(blocks[i]));
	}
	expect(!is_dirty(a) && !is_dirty(b));
	/* What is there anew. */
	a = heap_alloc(5000, false);
	memset(a, 1, 5000);
	expect(is_dirty(a));
	barrier->disarm();
	write_to(b);
}

/* A block that was moved by its page tables is dirty, clean as its pages were. */
static void
check_move(void)
{
	char *block = heap_alloc(2 * MIB, false);
	void *moved;

	memset(block, 1, 2 * MIB);
	/* In its way. */
	heap_alloc(MIB, false);
	arm();
	expect(heap_resize(block, 64 * MIB, &moved) == HEAP_DONE);
	expect(moved != block);
	expect(is_dirty(moved) && is_dirty((char *)moved + MIB) ==
	       (barrier->rest != NULL));
	/* It is tracked like the rest from here on. */
	write_to(moved);
	expect(is_dirty(moved));
}

START_TEST(test_uffd)
{
	begin("BILGE_BARRIER=uffd");
	check_writes();
	check_move();
}
END_TEST

START_TEST(test_mprotect)
{
	begin("BILGE_BARRIER=mprotect");
	check_writes();
	check_move();
}
END_TEST

/* ------------------------------------------------------------------ mprotect */

static int
ask_limit(void *at)
{
	return sys_getrlimit(RLIMIT_AS, at);
}

START_TEST(test_lent)
{
	char *a, *other;

	begin("BILGE_BARRIER=mprotect");
	a = heap_alloc(100, true);
	arm();
	/* What all this is about. */
	expect(ask_limit(a) == -14);
	fence_lend((uintptr_t)a);
	expect(ask_limit(a) == 0);
	expect(is_dirty(a));
	/* It is made clean, and stays open: more may come. */
	fence_lend((uintptr_t)a);
	expect(ask_limit(a) == 0);
	fence_return((uintptr_t)a);
	expect(is_dirty(a) && ask_limit(a) == 0 && is_dirty(a));
	fence_return((uintptr_t)a);
	is_dirty(a);
	expect(!is_dirty(a) && ask_limit(a) == -14);
	/* For good, until the unit is another's. */
	fence_give((uintptr_t)a);
	expect(is_dirty(a) && is_dirty(a) && ask_limit(a) == 0);
	other = heap_alloc(200, true);
	is_dirty(other);
	expect(!is_dirty(other));
}
END_TEST

/* A stack is never protected, nor what may be part of one (V1). */
START_TEST(test_stacks)
{
	begin("BILGE_BARRIER=mprotect");
	for (size_t size = 16; size < 2 * MIB; size += size / 3) {
		char *block = heap_alloc(size, true);

		arm();
		if (size + 1 >= 2048)
			expect(fence_state((uintptr_t)block) == FENCE_OPEN);
		else if (size < 1500)
			expect(fence_state((uintptr_t)block) ==
			       FENCE_READ_ONLY);
		memset(block, 1, size);
		barrier->disarm();
	}
}
END_TEST

/* A run that is free, and so the next block there, is open (F4). */
START_TEST(test_freed)
{
	struct span *span;

	begin("BILGE_BARRIER=mprotect");
	span = span_create(4, cache_self, true);
	ck_assert_ptr_nonnull(span);
	arm();
	expect(fence_state(span->run) == FENCE_READ_ONLY);
	span_destroy(span);
	expect(fence_state(span->run) == FENCE_OPEN);
	expect(ask_limit((void *)span->run) == 0);
	/* A collector that had seen the span a moment ago finds it gone. */
	expect(!is_dirty((void *)span->run));
	expect(ask_limit((void *)span->run) == 0);
}
END_TEST

/* F1: noted as open, and read-only all the same. */
START_TEST(test_reopened)
{
	char *block;

	begin("BILGE_BARRIER=mprotect");
	block = heap_alloc(100, true);
	ck_assert_int_eq(sys_mprotect(ALIGN_DOWN((uintptr_t)block, UNIT_SIZE),
				      UNIT_SIZE, PROT_READ), 0);
	write_to(block);
}
END_TEST

static _Atomic bool is_over;
static _Atomic uint64_t *words;
#define WORDS	((size_t)100000)

static void *
write_words(void *argument)
{
	uint64_t x = (uintptr_t)argument;

	while (!is_over) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		words[x >> 33 & 7]++;
		*(volatile char *)unit_reveal(
			((struct hidden *)words)[8 + (x >> 33) % 1000]) = 1;
	}
	return NULL;
}

/* Threads that write the same units while they are shut again and again. */
START_TEST(test_race)
{
	pthread_t threads[3];
	struct hidden *blocks;

	begin("BILGE_BARRIER=mprotect");
	words = calloc(1, WORDS * 8);
	blocks = (struct hidden *)words;
	for (size_t i = 0; i < 1000; i++)
		blocks[8 + i] = unit_hide(heap_alloc(1000, true));
	for (size_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, write_words, (void *)(i + 1));
	for (unsigned round = 0; round < 2000; round++)
		arm();
	is_over = true;
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	barrier->disarm();
	ck_assert_uint_eq(load_relaxed(&fence_count), 0);
}
END_TEST

/* Somebody takes the signal by a system call: the barrier is of no use. */
START_TEST(test_stolen)
{
	static const struct sys_action action = { .handler = NULL };
	char *block;

	begin("BILGE_BARRIER=mprotect");
	block = heap_alloc(100, true);
	arm();
	write_to(block);
	sys_sigaction_exchange(SIGSEGV, &action, NULL);
	expect(barrier->track(arena_view.base, arena_view.base +
			      arena_view.size) < 0);
	barrier_failed();
	write_to(block);
	expect(barrier_open() == &barrier_stop);
}
END_TEST

START_TEST(test_forked)
{
	char *block;
	int status;
	pid_t child;

	begin("BILGE_BARRIER=mprotect");
	block = heap_alloc(100, true);
	arm();
	child = fork();
	if (child == 0) {
		/* As one that nobody announced: it faults, and goes on. */
		write_to(block);
		fence_fork_lock();
		fence_fork_unlock(true);
		_exit(ask_limit(block) != 0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	expect(!is_dirty(block));
}
END_TEST

/* -------------------------------------------------------------------- shield */

START_TEST(test_shield)
{
	char *a = NULL, *b, *small;
	struct block block, other;
	uintptr_t pc = 1;

	begin("BILGE_BARRIER=mprotect");
	a = heap_alloc(MIB, true);
	b = heap_alloc(MIB, true);
	small = heap_alloc(5000, true);
	ck_assert(candidate_locate((uintptr_t)small, &block));
	expect(!shield_raise(&block));
	ck_assert(candidate_locate((uintptr_t)a, &block));
	ck_assert(candidate_locate((uintptr_t)b, &other));
	expect(shield_raise(&block) && shield_raise(&other));
	expect(!sys_is_readable((uintptr_t)a));
	/* Only one of two neighbours is touched. */
	expect(a[MIB / 2] == 0);
	expect(shield_lower(&block, &pc) && pc > 1);
	expect(!shield_lower(&other, &pc));
	expect(b[5] == 0);
	/* Barriers leave it alone. */
	expect(shield_raise(&block));
	arm();
	barrier->disarm();
	expect(!sys_is_readable((uintptr_t)a));
	/* Freed, it is the next one's. */
	expect(heap_free(a) == HEAP_DONE);
	shield_forget();
	expect(heap_alloc(MIB, true) == a);
	expect(ask_limit(a) == 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fence");

	if (barrier_uffd_is_there())
		unit_case(suite, "uffd", test_uffd);
	unit_case(suite, "mprotect", test_mprotect);
	unit_case(suite, "lent", test_lent);
	unit_case(suite, "stacks", test_stacks);
	unit_case(suite, "freed", test_freed);
	unit_case(suite, "reopened", test_reopened);
	unit_case(suite, "race", test_race);
	unit_case(suite, "stolen", test_stolen);
	unit_case(suite, "forked", test_forked);
	unit_case(suite, "shield", test_shield);
	return unit_run(suite);
}
