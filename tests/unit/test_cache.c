/*
 * test_cache.c - claimed words, spans of several threads, threads that end.
 *
 * Threads hand blocks to each other through a shared board; each block says
 * in its first words how large it is and what the rest of it holds.  Whoever
 * takes it from the board checks it and frees it, mostly another than the one
 * that allocated it.
 */
#include "unit.h"

#include "collect/candidate.h"
#include "collect/marker.h"
#include "heap/meta.h"
#include "world/mutator.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define BOARD		512
#define THREADS		4
#define GENERATIONS	40
#define OPERATIONS	4000

struct note {
	size_t size;
	uint64_t seed;
};

static _Atomic(struct note *) board[BOARD];

/* ------------------------------------------------------------- the exchange */

static struct note *
write_note(uint64_t *state)
{
	size_t size = sizeof(struct note) +
		(unit_random(state, 60) == 0 ? unit_random(state, 300 * KIB)
					     : unit_random_size(state, 4096));
	struct note *note = heap_alloc(size, false);

	expect(note != NULL);
	heap_note(note, size, SITE_UNKNOWN);
	note->size = size;
	note->seed = *state;
	memset(note + 1, (int)(note->seed & 255), size - sizeof(*note));
	return note;
}

static void
read_note(const struct note *note)
{
	const unsigned char *text = (const unsigned char *)(note + 1);
	size_t size = note->size - sizeof(*note);

	expect(note->size <= MIB);
	for (size_t i = 0; i < size; i += i < 64 ? 1 : 61)
		expect(text[i] == (note->seed & 255));
	expect(size == 0 || text[size - 1] == (note->seed & 255));
}

static void
drop_note(struct note *note)
{
	if (note == NULL)
		return;
	read_note(note);
	memset(note, 0xdb, sizeof(*note));
	expect(heap_free(note) == HEAP_DONE);
}

static struct note *
exchange(size_t place, struct note *note)
{
	return atomic_exchange_explicit(&board[place], note,
					memory_order_acq_rel);
}

static void
clear_board(void)
{
	for (size_t i = 0; i < BOARD; i++)
		drop_note(exchange(i, NULL));
}

static void *
trade(void *argument)
{
	uint64_t state = unit_seed((unsigned)(uintptr_t)argument);
	struct note *mine[16] = { NULL };

	expect(heap_thread_begin(true));
	for (unsigned i = 0; i < OPERATIONS; i++) {
		struct note **note = &mine[unit_random(&state, 16)];
		size_t place = unit_random(&state, BOARD);

		if (*note == NULL)
			*note = write_note(&state);
		else if (unit_random(&state, 2) == 0)
			*note = exchange(place, *note);
		if (unit_random(&state, 3) == 0) {
			drop_note(*note);
			*note = NULL;
		}
	}
	/* Some are left to others, some are lost with the thread's stack. */
	for (size_t i = 0; i < 16; i++)
		drop_note(exchange(i, mine[i]));
	heap_thread_end(false);
	return NULL;
}

static _Atomic bool traders_are_done;

static void *
reap_along(void *unused)
{
	while (!load_relaxed(&traders_are_done)) {
		cache_reap();
		sched_yield();
	}
	return unused;
}

/* Generations of threads: spans are adopted, reaped, caches used again. */
START_TEST(test_exchange)
{
	pthread_t threads[THREADS], reaper;
	uintptr_t number = 1;
	size_t used = 0;

	unit_heap(1, true);
	expect(pthread_create(&reaper, NULL, reap_along, NULL) == 0);
	for (size_t i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, trade,
				      (void *)number++) == 0);
	for (size_t n = 0; n < GENERATIONS; n++) {
		size_t i = n % THREADS;

		pthread_join(threads[i], NULL);
		if (n == GENERATIONS / 4)
			used = heap_statistics().mapped_bytes;
		expect(pthread_create(&threads[i], NULL, trade,
				      (void *)number++) == 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	store_relaxed(&traders_are_done, true);
	pthread_join(reaper, NULL);
	/* What ended threads left is used again, not added to. */
	ck_assert_uint_lt(heap_statistics().mapped_bytes, 3 * used + 16 * MIB);
	clear_board();
	ck_assert_uint_eq(unit_check_heap(), 0);
	ck_assert_uint_eq(heap_statistics().used_slots, 0);
}
END_TEST

/* --------------------------------------------------------- threads that end */

#define MANY	4000

static void *many[MANY + 64];

static void *
allocate_many(void *argument)
{
	expect(heap_thread_begin(true));
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc((size_t)(uintptr_t)argument, false);
	for (size_t i = 0; i < MANY; i += 2)
		expect(heap_free(many[i]) == HEAP_DONE);
	heap_thread_end(false);
	return NULL;
}

static void
run_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	expect(pthread_create(&thread, NULL, run, argument) == 0);
	pthread_join(thread, NULL);
}

/* What an ended thread freed, and what is freed after it, is used first. */
START_TEST(test_adoption)
{
	size_t used;

	unit_heap(0, false);
	run_thread(allocate_many, (void *)200);
	used = arena_used_bytes();
	for (size_t i = 1; i < MANY; i += 4)
		expect(heap_free(many[i]) == HEAP_DONE);
	for (size_t i = 0; i < MANY / 2 + MANY / 4; i++)
		expect(heap_alloc(200, false) != NULL);
	/* A last word of the last span may be ours by then. */
	ck_assert_uint_le(arena_used_bytes(), used + 2 * UNIT_SIZE);
	ck_assert_uint_eq(unit_check_heap(), MANY);
	/* Those it still held can be freed by us, as ours. */
	for (size_t i = 3; i < MANY; i += 4)
		expect(heap_free(many[i]) == HEAP_DONE);
	ck_assert_uint_eq(unit_check_heap(), MANY / 2 + MANY / 4);
}
END_TEST

/* A producer a generation, one consumer: memory stays bounded. */
START_TEST(test_generations)
{
	size_t used = 0;

	unit_heap(0, false);
	for (unsigned n = 0; n < 300; n++) {
		run_thread(allocate_many, (void *)64);
		for (size_t i = 1; i < MANY; i += 2)
			expect(heap_free(many[i]) == HEAP_DONE);
		if (n == 10)
			used = arena_used_bytes();
	}
	ck_assert_uint_le(arena_used_bytes(), used + MIB);
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

static void *
free_many(void *argument)
{
	expect(heap_thread_begin(true));
	for (size_t i = 0; i < (size_t)(uintptr_t)argument; i++)
		expect(heap_free(many[i]) == HEAP_DONE);
	heap_thread_end(false);
	return NULL;
}

/*
 * A span that is listed as returned while it changes hands (C4): listed for
 * the owner that ends, adopted, freed into again, drained by somebody else.
 */
START_TEST(test_listed_for_another)
{
	unit_heap(0, false);
	for (unsigned n = 0; n < 50; n++) {
		run_thread(allocate_many, (void *)500);
		/* Listed with the orphan. */
		for (size_t i = 1; i < MANY; i += 4)
			expect(heap_free(many[i]) == HEAP_DONE);
		/* Adopts spans, and takes the orphaned cache as its own. */
		for (size_t i = 3; i < MANY; i += 4)
			many[i / 4] = many[i];
		run_thread(free_many, (void *)(MANY / 4));
		expect(unit_check_heap() == 0);
		for (size_t i = 0; i < MANY; i++)
			many[i] = heap_alloc(500, false);
		expect(unit_check_heap() == MANY);
		run_thread(free_many, (void *)MANY);
		expect(unit_check_heap() == 0);
	}
}
END_TEST

/* All slots of a full span come back from outside: all are used again. */
START_TEST(test_returned)
{
	size_t used;

	unit_heap(0, false);
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(100, false);
	used = arena_used_bytes();
	for (unsigned n = 0; n < 20; n++) {
		run_thread(free_many, (void *)MANY);
		for (size_t i = 0; i < MANY; i++)
			many[i] = heap_alloc(100, false);
		expect(arena_used_bytes() <= used + UNIT_SIZE);
		expect(unit_check_heap() == MANY);
	}
}
END_TEST

/* Spans whose owner does not come for what was returned are given back. */
START_TEST(test_reaped)
{
	size_t used;

	unit_heap(0, true);
	used = arena_used_bytes();
	for (size_t i = 0; i < MANY; i++) {
		many[i] = heap_alloc(1000, false);
		heap_note(many[i], 1000, SITE_UNKNOWN);
	}
	/* A slot that is held keeps its span. */
	run_thread(free_many, (void *)(MANY - 1));
	ck_assert_uint_ge(arena_used_bytes(), used + MANY * 1000);
	cache_reap();
	ck_assert_uint_le(arena_used_bytes(), used + 3 * UNIT_SIZE);
	ck_assert_uint_eq(unit_check_heap(), 1);
	ck_assert_int_eq(heap_free(many[MANY - 1]), HEAP_DONE);
	ck_assert_uint_eq(unit_check_heap(), 0);
	/* What its owner links or claims stays. */
	cache_reap();
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(1000, false);
	ck_assert_uint_eq(unit_check_heap(), MANY);
}
END_TEST

/* A span that its owner is about to claim from, and one that is visited. */
START_TEST(test_not_reaped)
{
	struct span *span;
	void *p;

	unit_heap(0, false);
	/* Its class's claim, of which nothing is left. */
	span = arena_span_of((uintptr_t)heap_alloc(5000, false));
	for (size_t i = 1; i < span->slot_count; i++)
		expect(arena_span_of((uintptr_t)heap_alloc(5000, false)) ==
		       span);
	for (uint32_t s = 0; s < span->slot_count; s++)
		many[s] = (void *)span_slot_addr(span, s);
	run_thread(free_many, (void *)(uintptr_t)span->slot_count);
	cache_reap();
	ck_assert_ptr_eq(arena_span_of(span_base(span)), span);
	ck_assert_uint_eq(unit_check_heap(), 0);
	p = heap_alloc(5000, false);
	ck_assert_ptr_eq(arena_span_of((uintptr_t)p), span);
	ck_assert_int_eq(heap_free(p), HEAP_DONE);
	ck_assert_uint_eq(unit_check_heap(), 0);
	/* C5 */
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(5000, false);
	span = arena_span_of((uintptr_t)many[MANY / 2]);
	atomic_fetch_add(&span->remote, SPAN_VISITOR);
	run_thread(free_many, (void *)MANY);
	cache_reap();
	ck_assert_ptr_eq(arena_span_of((uintptr_t)many[MANY / 2]), span);
	ck_assert_ptr_null(arena_span_of((uintptr_t)many[MANY / 4]));
	atomic_fetch_sub(&span->remote, SPAN_VISITOR);
	cache_reap();
	ck_assert_ptr_null(arena_span_of((uintptr_t)many[MANY / 2]));
	ck_assert_uint_eq(unit_check_heap(), 0);
}
END_TEST

/* Who takes fresh memory looks now and then whether some was given back. */
START_TEST(test_reaped_in_time)
{
	size_t used;

	unit_heap(0, false);
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(1000, false);
	run_thread(free_many, (void *)MANY);
	used = arena_used_bytes();
	/* Not of a size whose claim would drain what was returned. */
	run_thread(allocate_many, (void *)1800);
	ck_assert_uint_le(arena_used_bytes(), used + MANY * 1000);
	ck_assert_uint_eq(unit_check_heap(), MANY / 2);
}
END_TEST

/*
 * Blocks that come and go at random: memory follows what is left of them, as
 * spans with few free slots are filled and the others become empty.
 */
START_TEST(test_dense)
{
	uint64_t state = unit_seed(0);
	size_t used;

	unit_heap(0, false);
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(4000, false);
	used = arena_used_bytes();
	for (size_t i = 0; i < MANY; i++)
		if (unit_random(&state, 2) == 0) {
			expect(heap_free(many[i]) == HEAP_DONE);
			many[i] = NULL;
		}
	for (size_t n = 0; n < 20 * MANY; n++) {
		size_t i = unit_random(&state, MANY);

		if (many[i] == NULL)
			continue;
		expect(heap_free(many[i]) == HEAP_DONE);
		many[i] = heap_alloc(4000, false);
	}
	ck_assert_uint_lt(arena_used_bytes(), used / 4 * 3);
}
END_TEST

static void *
free_one(void *block)
{
	expect(heap_thread_begin(true));
	expect(heap_free(block) == HEAP_DONE);
	heap_thread_end(false);
	return NULL;
}

/* H5: freeing twice is one bit set twice, and is told. */
START_TEST(test_returned_twice)
{
	struct span *span;
	uint32_t slot;
	void *p;

	unit_heap(0, false);
	p = heap_alloc(40, false);
	span = arena_span_of((uintptr_t)p);
	slot = span_slot_of(span, (uintptr_t)p);
	ck_assert(!cache_is_free(span, slot));
	run_thread(free_one, p);
	ck_assert(cache_is_free(span, slot));
	ck_assert(!cache_return(span, slot / WORD_BITS,
				UINT64_C(1) << slot % WORD_BITS));
	ck_assert_int_eq(heap_free(p), HEAP_DOUBLE_FREE);
	ck_assert_uint_eq(unit_check_heap(), 0);
	/* Given out once at most: as many slots are taken as were asked for. */
	for (size_t i = 0; i < MANY; i++)
		expect(heap_alloc(40, false) != NULL);
	ck_assert_uint_eq(unit_check_heap(), MANY);
}
END_TEST

/* Slots that a cache has claimed are free to everybody else too. */
START_TEST(test_claimed_is_free)
{
	struct span *span;
	void *p;

	unit_heap(0, false);
	p = heap_alloc(40, false);
	span = arena_span_of((uintptr_t)p);
	for (uint32_t s = 0; s < span->slot_count; s++) {
		bool is_p = span_slot_addr(span, s) == (uintptr_t)p;

		expect(cache_is_free(span, s) == !is_p);
		expect(cache_return(span, s / WORD_BITS,
				    UINT64_C(1) << s % WORD_BITS) == is_p);
	}
}
END_TEST

/* Several return slots of one word at once, while the owner merges them. */
static _Atomic unsigned round_begun, round_done;

static void *
return_some(void *argument)
{
	unsigned round = 0;

	expect(heap_thread_begin(true));
	for (;;) {
		while (load_acquire(&round_begun) == round)
			sched_yield();
		round = load_acquire(&round_begun);
		if (round == UINT_MAX)
			break;
		for (size_t i = (size_t)argument; i < MANY; i += THREADS)
			expect(heap_free(many[i]) == HEAP_DONE);
		atomic_fetch_add(&round_done, 1);
	}
	heap_thread_end(false);
	return NULL;
}

START_TEST(test_returned_at_once)
{
	pthread_t threads[THREADS];

	unit_heap(0, false);
	for (uintptr_t i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, return_some,
				      (void *)i) == 0);
	for (unsigned round = 1; round <= 150; round++) {
		for (size_t i = 0; i < MANY; i++)
			many[i] = heap_alloc(32, false);
		store_relaxed(&round_done, 0);
		store_release(&round_begun, round);
		while (load_acquire(&round_done) < THREADS) {
			void *p = heap_alloc(32, false);

			/* Often enough, a new claim: it merges. */
			for (unsigned i = 0; i < 64; i++)
				many[MANY + i] = heap_alloc(32, false);
			for (unsigned i = 0; i < 64; i++)
				expect(heap_free(many[MANY + i]) == HEAP_DONE);
			expect(heap_free(p) == HEAP_DONE);
		}
		expect(unit_check_heap() == 0);
	}
	store_release(&round_begun, UINT_MAX);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

/*
 * A span comes into the list of a cache that does not own it when it is
 * adopted between the two steps of a return: who drains passes it on (C4).
 */
START_TEST(test_passed_on)
{
	struct cache *own, *other;
	struct span *span;
	uint32_t slot;
	void *p;

	unit_heap(0, false);
	own = cache_self;
	other = cache_attach();
	p = heap_alloc(5000, false);
	span = arena_span_of((uintptr_t)p);
	slot = span_slot_of(span, (uintptr_t)p);
	/* What cache_return() does, with an owner that is out of date. */
	atomic_fetch_or(&span->returned[slot / WORD_BITS],
			UINT64_C(1) << slot % WORD_BITS);
	atomic_fetch_or(&span->remote, SPAN_LISTED);
	store_relaxed(&span->fast_owner, NULL);
	span->next_listed = NULL;
	store_release(&other->returned, span);
	mutator_self->cache = cache_self = other;
	expect(heap_alloc(10, false) != NULL);
	ck_assert_ptr_null(load_relaxed(&other->returned));
	ck_assert_ptr_eq(load_relaxed(&own->returned), span);
	ck_assert_uint_eq(unit_check_heap(), 1);
	mutator_self->cache = cache_self = own;
	heap_trim();
	ck_assert_ptr_null(load_relaxed(&own->returned));
	ck_assert_uint_eq(unit_check_heap(), 1);
}
END_TEST

/* An empty span stays while somebody may still touch it (C5). */
START_TEST(test_visited)
{
	struct span *span;
	void *p;

	unit_heap(0, false);
	p = heap_alloc(5000, false);
	span = arena_span_of((uintptr_t)p);
	atomic_fetch_add(&span->remote, SPAN_VISITOR);
	ck_assert_int_eq(heap_free(p), HEAP_DONE);
	heap_trim();
	ck_assert_ptr_eq(arena_span_of((uintptr_t)p), span);
	atomic_fetch_sub(&span->remote, SPAN_VISITOR);
	heap_trim();
	ck_assert_ptr_null(arena_span_of((uintptr_t)p));
}
END_TEST

/* ------------------------------------------------------ what is touched first */

/* A program that needs a block at a time gets few in turn, and soon the same. */
START_TEST(test_windows)
{
	unit_heap(0, false);
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		size_t size = sizeclass_slot_size[class];
		size_t window = MIN(MAX(8 * KIB / size, 2u), WORD_BITS);
		uintptr_t held = (uintptr_t)heap_alloc(size, false);

		for (unsigned i = 0; i < 1000; i++) {
			uintptr_t p = (uintptr_t)heap_alloc(size, false);

			expect(p > held && p < held + window * size);
			expect(heap_free_fast((void *)p));
		}
	}
	ck_assert_uint_eq(unit_check_heap(), CLASS_COUNT);
}
END_TEST

/* The span that it empties again and again stays, whatever else is kept. */
START_TEST(test_emptied)
{
	unit_heap(0, false);
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		size_t size = sizeclass_slot_size[class];
		struct span *span = NULL;

		for (unsigned i = 0; i < 200; i++) {
			void *p = heap_alloc(size, false);

			expect(i == 0 || arena_span_of((uintptr_t)p) == span);
			span = arena_span_of((uintptr_t)p);
			expect(heap_free_fast(p));
			expect(arena_span_of((uintptr_t)p) == span);
		}
	}
	ck_assert_uint_eq(unit_check_heap(), 0);
	heap_trim();
	ck_assert_uint_eq(arena_used_bytes(), 0);
}
END_TEST

/* Virgin slots are zero, and given as such, also where words are shared. */
START_TEST(test_virgin)
{
	unit_heap(0, false);
	for (size_t i = 0; i < MANY; i++) {
		many[i] = heap_alloc(500, true);
		for (size_t at = 0; at < 500; at++)
			expect(((char *)many[i])[at] == 0);
		memset(many[i], 0xa7, 500);
		if (i % 3 == 0)
			expect(heap_free_fast(many[i]));
	}
}
END_TEST

/* ---------------------------------------------------- claimed is black (H3) */

static void
begin_blackening(void)
{
	expect(marker_begin(true));
	marker_whiten();
	marker_blacken_claims();
}

/* Those claimed before the first stop, and those claimed after it. */
START_TEST(test_claims_are_black)
{
	unit_heap(1, true);
	/* Some of each state: in use, claimed, free again. */
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(i % 700, false);
	for (size_t i = 0; i < MANY; i += 3)
		expect(heap_free(many[i]) == HEAP_DONE);
	begin_blackening();
	for (size_t i = 1; i < MANY; i += 3)
		expect(!unit_is_marked((uintptr_t)many[i]));
	for (size_t i = 0; i < 5 * MANY; i++)
		expect(unit_is_marked((uintptr_t)heap_alloc(i % 700, false)));
	for (size_t i = 0; i < 20; i++)
		expect(unit_is_marked((uintptr_t)heap_alloc(i * 20000,
							    i % 2)));
	expect(unit_is_marked((uintptr_t)heap_alloc_aligned(100, 4096)));
	expect(unit_is_marked((uintptr_t)heap_alloc_aligned(100, MIB)));
}
END_TEST

/* Slots that come back from outside, also into the word that is claimed. */
START_TEST(test_returned_is_black)
{
	size_t again = 0;

	unit_heap(1, true);
	for (size_t i = 0; i < MANY; i++)
		many[i] = heap_alloc(100, false);
	run_thread(free_many, (void *)MANY);
	begin_blackening();
	for (size_t n = 0; n < 2 * MANY; n++) {
		void *p = heap_alloc(100, false);

		expect(unit_is_marked((uintptr_t)p));
		for (size_t i = 0; i < MANY; i++)
			again += many[i] == p;
	}
	ck_assert_uint_gt(again, 0);
}
END_TEST

/* A slot that is freed and given out again, all after the first stop. */
START_TEST(test_freed_is_black)
{
	unit_heap(1, true);
	/* Some never used before, some freed before. */
	for (unsigned n = 0; n < 2; n++) {
		for (size_t i = 0; i < MANY; i++)
			many[i] = heap_alloc(i % 50, false);
		for (size_t i = 0; i < MANY && n == 0; i++)
			expect(heap_free(many[i]) == HEAP_DONE);
	}
	begin_blackening();
	for (size_t i = 0; i < MANY; i++) {
		expect(heap_free(many[MANY - 1 - i]) == HEAP_DONE);
		expect(unit_is_marked((uintptr_t)heap_alloc(i % 50, false)));
	}
}
END_TEST

static void *
blacken_elsewhere(void *argument)
{
	(void)argument;
	expect(heap_thread_begin(true));
	for (size_t i = 0; i < MANY; i++)
		expect(unit_is_marked((uintptr_t)heap_alloc(64, false)));
	heap_thread_end(false);
	return NULL;
}

/* A thread that is born during the cycle, and adopts what others left. */
START_TEST(test_adopted_is_black)
{
	unit_heap(1, true);
	run_thread(allocate_many, (void *)64);
	begin_blackening();
	run_thread(blacken_elsewhere, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cache");

	unit_case(suite, "exchange", test_exchange);
	unit_case(suite, "adoption", test_adoption);
	unit_case(suite, "generations", test_generations);
	unit_case(suite, "listed_for_another", test_listed_for_another);
	unit_case(suite, "returned", test_returned);
	unit_case(suite, "reaped", test_reaped);
	unit_case(suite, "reaped_in_time", test_reaped_in_time);
	unit_case(suite, "dense", test_dense);
	unit_case(suite, "not_reaped", test_not_reaped);
	unit_case(suite, "returned_twice", test_returned_twice);
	unit_case(suite, "claimed_is_free", test_claimed_is_free);
	unit_case(suite, "returned_at_once", test_returned_at_once);
	unit_case(suite, "passed_on", test_passed_on);
	unit_case(suite, "visited", test_visited);
	unit_case(suite, "windows", test_windows);
	unit_case(suite, "emptied", test_emptied);
	unit_case(suite, "virgin", test_virgin);
	unit_case(suite, "claims_are_black", test_claims_are_black);
	unit_case(suite, "returned_is_black", test_returned_is_black);
	unit_case(suite, "freed_is_black", test_freed_is_black);
	unit_case(suite, "adopted_is_black", test_adopted_is_black);
	return unit_run(suite);
}
