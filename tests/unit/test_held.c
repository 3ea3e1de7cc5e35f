/*
 * test_held.c - what holds each block: collected when asked for, bounded, and
 * never at the cost of the check itself.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/cycle.h"
#include "heap/meta.h"
#include "report/held.h"
#include "report/modules.h"

#include <pthread.h>
#include <string.h>

#define LOST_SITE	101
#define LIVE_SITE	100
#define LIVE		500

/* Nobody in this file reads it. */
static void *volatile live[LIVE];

static NOINLINE void
fill(void)
{
	for (unsigned i = 0; i < LIVE; i++) {
		live[i] = heap_alloc(100 + i, true);
		expect(live[i] != NULL);
		heap_note(live[i], 100 + i, LIVE_SITE);
	}
}

/* A direct leak that holds two more. */
static NOINLINE void
lose(void)
{
	uintptr_t *head = heap_alloc(64, true), *next = heap_alloc(32, true);
	void *last = heap_alloc(16, true);

	next[2] = (uintptr_t)last;
	head[5] = (uintptr_t)next;
	heap_note(last, 16, LOST_SITE);
	heap_note(next, 32, LOST_SITE);
	heap_note(head, 64, LOST_SITE);
}

START_TEST(test_not_asked)
{
	fill();
	lose();
	unit_scrub();
	ck_assert_int_eq(unit_cycle_check(), 0);
	ck_assert_ptr_null(held_get());
	cycle_end();
	held_request(0);
	ck_assert_int_eq(unit_cycle_check(), 0);
	ck_assert_ptr_null(held_get());
	cycle_end();
}
END_TEST

static size_t
count_live(const struct held *h)
{
	size_t count = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct held_block *b = &h->blocks[i];

		if (b->site != LIVE_SITE)
			continue;
		/* A global is found before what may be left on stacks. */
		expect(b->word >= (uintptr_t)live &&
		       b->word < (uintptr_t)(live + LIVE));
		expect(*(uintptr_t *)b->word == b->block);
		expect(b->size == 100 + (b->word - (uintptr_t)live) / 8);
		count++;
	}
	return count;
}

START_TEST(test_all)
{
	size_t room = 0;

	fill();
	lose();
	for (unsigned n = 0; n < 3; n++) {
		const struct held *h;

		unit_scrub();
		held_request(10000);
		ck_assert_int_eq(unit_cycle_check(), 0);
		h = held_get();
		ck_assert_ptr_nonnull(h);
		ck_assert_uint_eq(count_live(h), LIVE);
		ck_assert(!h->is_cut && !h->lost_is_cut);
		/* The head, and each leak after the one that holds it. */
		ck_assert_uint_eq(h->lost_count, 3);
		ck_assert_uint_eq(h->lost[0].word, 0);
		ck_assert_uint_eq(h->lost[0].size, 64);
		ck_assert_uint_eq(h->lost[1].word, h->lost[0].block + 40);
		ck_assert_uint_eq(h->lost[2].word, h->lost[1].block + 16);
		ck_assert_uint_eq(h->lost[2].size, 16);
		cycle_end();
		/* One request is one account; what it took is given back. */
		ck_assert_ptr_null(held_get());
		ck_assert(n == 0 || meta_room() == room);
		room = meta_room();
		ck_assert_int_eq(unit_cycle_check(), 0);
		ck_assert_ptr_null(held_get());
		cycle_end();
	}
}
END_TEST

START_TEST(test_cut)
{
	const struct held *h;

	fill();
	lose();
	unit_scrub();
	held_request(2);
	ck_assert_int_eq(unit_cycle_check(), 0);
	h = held_get();
	ck_assert_uint_eq(h->count, 2);
	ck_assert_uint_eq(h->lost_count, 2);
	ck_assert(h->is_cut && h->lost_is_cut);
	cycle_end();
}
END_TEST

/* Too much was asked for: there is no account, and a check all the same. */
START_TEST(test_no_memory)
{
	size_t count;

	fill();
	lose();
	unit_scrub();
	held_request(SIZE_MAX / 128);
	ck_assert_int_eq(unit_cycle_check(), 0);
	ck_assert_ptr_null(held_get());
	leaks_groups(&count);
	ck_assert_uint_eq(count, 2);
	cycle_end();
}
END_TEST

/* ----------------------------------------------------------------- threads */

static _Atomic bool is_ready, is_over;
static _Atomic int thread_tid;
static uintptr_t secret;

static void *
stand(void *argument)
{
	/* Neither code nor stack: it must not leave the process. */
	volatile uintptr_t data[4] = { secret, secret, secret, secret };

	heap_thread_begin(true);
	store_release(&thread_tid, sys_gettid());
	store_release(&is_ready, true);
	while (!load_acquire(&is_over))
		expect(data[1] == secret);
	heap_thread_end(false);
	return argument;
}

START_TEST(test_threads)
{
	const struct held_thread *found = NULL;
	const struct held *h;
	pthread_t thread;

	secret = UINT64_C(0x5ec2e75ec2e75ec2);
	expect(pthread_create(&thread, NULL, stand, NULL) == 0);
	while (!load_acquire(&is_ready))
		continue;
	held_request(100);
	ck_assert_int_eq(unit_cycle_check(), 0);
	h = held_get();
	ck_assert_uint_eq(h->thread_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct held_thread *t = &h->threads[i];

		ck_assert(t->has_registers && t->word_count > 0);
		ck_assert(modules_is_code(t->registers[16]));
		ck_assert_uint_lt(t->sp, t->stack_end);
		if (t->tid == load_relaxed(&thread_tid))
			found = t;
		for (size_t w = 0; w < t->word_count; w++) {
			const struct held_word *word =
				&h->words[t->first_word + w];

			expect(word->at >= t->registers[ARCH_REGISTER_SP] &&
			       word->at < t->stack_end);
			expect(word->value != secret);
		}
		for (size_t r = 0; r < ARCH_REGISTERS; r++)
			expect(t->registers[r] != secret);
	}
	ck_assert_ptr_nonnull(found);
	ck_assert_uint_eq(found->registers[ARCH_REGISTER_SP], found->sp);
	cycle_end();
	store_release(&is_over, true);
	pthread_join(thread, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("held");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "not_asked", test_not_asked }, { "all", test_all },
		{ "cut", test_cut }, { "no_memory", test_no_memory },
		{ "threads", test_threads },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			unit_core_defaults, NULL);
	return unit_run(suite);
}
