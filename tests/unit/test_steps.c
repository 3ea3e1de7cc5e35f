/*
 * test_steps.c - what a stop or a signal handler finds at each instruction.
 *
 * A function of the heap runs one instruction at a time.  Before each of them
 * the rules must hold:
 *
 *   H1  a slot that is taken is a block the test knows of, or its address is
 *       in a register or on the stack;
 *   H2  where that is not so, the thread is inside mutator_hold();
 *   a slot that nobody holds has no site: with one it would be a block, that
 *   may be found lost, as soon as it is taken;
 *
 * and wherever signals are not blocked, a handler that allocates and frees
 * finds a heap that works.
 */
#include "unit.h"

#include "collect/candidate.h"
#include "heap/quarantine.h"
#include "world/mutator.h"

#include <string.h>

#define KNOWN	20000
#define RED_ZONE 128

/* All blocks that the test holds, hidden and sorted by nothing. */
static struct hidden known[KNOWN];
static size_t known_count;

/* What the function that is stepped through works on. */
static struct {
	struct hidden block;
	size_t size;
	size_t alignment;
	bool zero;
	volatile bool is_mine;	/* block is known: the call is still to come */
	uintptr_t stack_end;
} job;

static size_t instructions;	/* at which the rules were looked at */
static size_t held;		/* instructions inside mutator_hold() */

static void
know(struct hidden block)
{
	expect(known_count < KNOWN);
	known[known_count++] = block;
}

/* ------------------------------------------------------------ being visible */

static bool
is_block_of(uintptr_t word, const struct span *span, uint32_t slot)
{
	struct block b;

	return candidate_find(word, &b) && b.span == span && b.slot == slot;
}

UNIT_SCANS static bool
is_visible(const ucontext_t *context, const struct span *span, uint32_t slot)
{
	static const int registers[] = {
		REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP,
		REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14,
		REG_R15,
	};
	const greg_t *gregs = context->uc_mcontext.gregs;
	uintptr_t sp = (uintptr_t)gregs[REG_RSP] - RED_ZONE;

	for (size_t i = 0; i < ARRAY_LEN(registers); i++)
		if (is_block_of((uintptr_t)gregs[registers[i]], span, slot))
			return true;
	for (sp = ALIGN_UP(sp, 8); sp < job.stack_end; sp += 8)
		if (is_block_of(*(const uintptr_t *)sp, span, slot))
			return true;
	return false;
}

static bool
is_known(const struct span *span, uint32_t slot)
{
	void *block = (void *)(span_is_large(span) ? span_base(span)
			       : span_slot_addr(span, slot));

	for (size_t i = 0; i < known_count; i++)
		if (unit_reveal(known[i]) == block)
			return true;
	return job.is_mine && unit_reveal(job.block) == block;
}

static size_t taken_slots;

/* in_use - taken, and not held back: what is in quarantine is nobody's. */
static uint64_t
in_use(const struct span *span, uint32_t word)
{
	return candidate_taken(span, word) &
	       ~load_relaxed(&span->quarantined[word]);
}

static void
count_taken(struct span *span, void *argument)
{
	(void)argument;
	for (uint32_t w = 0; w < span->words; w++)
		taken_slots += bits_count(in_use(span, w));
}

static void
check_visible(struct span *span, void *argument)
{
	const ucontext_t *context = argument;

	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t taken = in_use(span, w);

		for (; taken != 0; taken &= taken - 1) {
			uint32_t slot = w * WORD_BITS + bits_ctz(taken);

			if (is_known(span, slot) ||
			    is_visible(context, span, slot))
				continue;
			dprintf(2, "before the instruction at %#lx\n",
				(unsigned long)
				context->uc_mcontext.gregs[REG_RIP]);
			expect(!"a block is invisible");	/* H1 */
		}
	}
}

static void
check_sites(struct span *span, void *argument)
{
	(void)argument;
	if (span->site == NULL || span_is_large(span))
		return;
	for (uint32_t slot = 0; slot < span->slot_count; slot++)
		expect(span_site(span, slot) == SITE_NONE ||
		       candidate_is_taken(span, slot));
}

static void
look(const ucontext_t *context)
{
	arena_for_each_span(check_sites, NULL);
	if (mutator_self->park.hold != 0) {			/* H2 */
		held++;
		return;
	}
	instructions++;
	/* A quick look first: all that is taken may be known. */
	taken_slots = 0;
	arena_for_each_span(count_taken, NULL);
	if (taken_slots != known_count + job.is_mine)
		arena_for_each_span(check_visible,
				    (void *)(uintptr_t)context);
}

/* ----------------------------------------------------- what is stepped over */

/* allocate - as preload/malloc.c and bilge.c do it. */
ALWAYS_INLINE void *
allocate(size_t size, bool zero)
{
	size_t dirty;
	void *block;

	if (size < heap_noted_end &&
	    heap_alloc_noted(size, SITE_UNKNOWN, &block, &dirty))
		return zero && dirty != 0 ? span_clear_slot(block, dirty) : block;
	if (!zero && heap_alloc_fast(size, &block))
		return block;
	block = heap_alloc(size, zero);
	heap_note(block, size, SITE_UNKNOWN);
	return block;
}

static NOINLINE void
run_alloc(void)
{
	void *block = job.alignment > SLOT_ALIGN
		? heap_alloc_aligned(job.size, job.alignment)
		: allocate(job.size, job.zero);

	know(unit_hide(block));
	arch_pin(block);
}

/* take_over - the only copy there is, in the caller's register. */
ALWAYS_INLINE void *
take_over(void)
{
	void *block = unit_reveal(job.block);

	arch_pin(block);
	job.is_mine = false;
	return block;
}

static NOINLINE void
run_free(void)
{
	void *block = take_over();

	if (!heap_free_fast(block))
		heap_free(block);
}

static NOINLINE void
run_resize(void)
{
	void *moved;

	heap_resize(take_over(), job.size, &moved);
	know(unit_hide(moved));
	/* The copy on the stack lives on until here. */
	__asm__ volatile("" : : "m"(moved) : "memory");
}

/* hand_over - the n-th of the known blocks becomes the job's. */
static void
hand_over(size_t n)
{
	job.block = known[n];
	known[n] = known[--known_count];
	job.is_mine = true;
}

static NOINLINE void
step(void (*run)(void))
{
	job.stack_end = (uintptr_t)__builtin_frame_address(0);
	unit_step(run, look);
}

/* expect_noted - of the block that is known latest. */
static void
expect_noted(size_t size)
{
	uintptr_t block = (uintptr_t)unit_reveal(known[known_count - 1]);
	const struct span *span = arena_span_of(block);
	uint32_t slot = span_is_large(span) ? 0 : span_slot_of(span, block);

	if (span->site == NULL)
		return;
	expect(span_site(span, slot) == SITE_UNKNOWN);
	expect(span_requested(span, slot) == size);
}

static void
step_alloc(size_t size, size_t alignment, bool zero)
{
	job.size = size;
	job.alignment = alignment;
	job.zero = zero;
	step(run_alloc);
	if (alignment <= SLOT_ALIGN)
		expect_noted(size);
}

/* step_free - the n-th of the known blocks. */
static void
step_free(size_t n)
{
	hand_over(n);
	step(run_free);
}

static void
step_resize(size_t n, size_t size)
{
	hand_over(n);
	job.size = size;
	step(run_resize);
}

static void
know_blocks(size_t count, size_t size)
{
	while (count-- > 0)
		know(unit_hidden_block(size));
}

/* begin - with sites and a pad, or without: then allocation is inlined. */
static void
begin(int way)
{
	unit_heap(way == 0, way == 0);
	/* What begins at the heap's first address is always visible. */
	know_blocks(3, 32);
}

static size_t guarded;		/* blocks in quarantine */

static void
teardown(void)
{
	ck_assert_uint_eq(unit_check_heap(), known_count + guarded);
	ck_assert_uint_gt(instructions, 0);
	printf("%zu instructions, %zu more in slow paths\n", instructions,
	       held);
}

START_TEST(test_fast)
{
	begin(_i);
	for (unsigned i = 0; i < 40; i++)
		step_alloc(32, 0, i % 2);
	ck_assert_uint_eq(held, 0);
	/* Of the claimed word, and of others. */
	know_blocks(300, 32);
	for (unsigned i = 0; i < 40; i++)
		step_free(i * 5);
	for (unsigned i = 0; i < 40; i++)
		step_free(known_count - 1);
	for (unsigned i = 0; i < 20; i++)
		step_resize(i, 20);
	ck_assert_uint_gt(instructions, 2000);
}
END_TEST

/* The first of a class, a new word, a new span; the last of a span. */
START_TEST(test_slow)
{
	begin(_i);
	step_alloc(500, 0, false);
	for (unsigned i = 0; i < 140; i++)
		step_alloc(600, 0, i % 2);
	for (unsigned i = 0; i < 10; i++)
		step_alloc(100 * KIB, 0, true);
	while (known_count > 3)
		step_free(3);
	ck_assert_uint_gt(held, 1000);
}
END_TEST

/* Copying and clearing take a step a byte or word: large blocks do neither. */
START_TEST(test_large)
{
	begin(_i);
	for (unsigned i = 0; i < 4; i++) {
		step_alloc((i + 9) * 64 * KIB, 0, true);
		step_alloc(5000, 16 * KIB, false);
		step_alloc(100, 512 * KIB, false);
	}
	while (known_count > 3)
		step_free(3);
}
END_TEST

START_TEST(test_resize)
{
	begin(_i);
	know_blocks(20, 100);
	for (size_t size = 1; size < 6 * KIB; size = size * 2 + 3)
		step_resize(5, size);
	/* To a large one, in place, by moving its pages, and back. */
	step_resize(5, 600 * KIB);
	step_resize(known_count - 1, 900 * KIB);
	know_blocks(1, 200 * KIB);
	step_resize(known_count - 2, 3 * MIB);
	step_resize(known_count - 1, 600 * KIB);
	for (size_t size = 5 * KIB; size > 0; size /= 3)
		step_resize(known_count - 1, size);
}
END_TEST

/* Of spans that are another cache's, and that this one adopts. */
START_TEST(test_others)
{
	struct cache *own, *other;

	begin(_i);
	own = cache_self;
	know_blocks(200, 80);
	other = cache_attach();
	mutator_self->cache = cache_self = other;
	for (unsigned i = 0; i < 30; i++)
		step_free(10 + i);
	know_blocks(2, 80);
	/* Our own cache again: it drains what came back. */
	mutator_self->cache = cache_self = own;
	cache_detach(other);
	for (unsigned i = 0; i < 100; i++)
		step_alloc(80, 0, false);
}
END_TEST

/* Where freed blocks are cleared and held back. */
START_TEST(test_guarded)
{
	static const size_t sizes[] = { 16, 80, 600, 5000, 100 * KIB,
					600 * KIB };

	quarantine_start();
	begin(_i);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		know_blocks(2, sizes[i]);
		step_free(known_count - 1);
		step_free(known_count - 1);
		guarded += 2;
	}
}
END_TEST

/* ------------------------------------------------ a handler at each of them */

static struct hidden given[4];	/* what handlers allocate and free */
static size_t handled, steps;

static void
handler_free(struct hidden *block)
{
	unsigned char *p = unit_reveal(*block);

	if (block->word == 0)
		return;
	for (unsigned i = 0; i < 24; i++)
		expect(p[i] == 0xc3);
	expect(heap_free_fast(p) || heap_free(p) == HEAP_DONE);
	block->word = 0;
}

/* What malloc, realloc and free in a handler come down to. */
static void
handle(const ucontext_t *context)
{
	struct hidden *block = &given[handled % ARRAY_LEN(given)];
	size_t size = handled % 5 == 0 ? 150 * KIB : job.size;
	void *p, *moved;

	if (unit_signals_are_blocked(context))
		return;
	/*
	 * Eight instructions in a row are left in peace now and then: what
	 * is tried again until nobody came in between would never end.
	 */
	if (steps++ / 8 % 16 == 0)
		return;
	handled++;
	handler_free(block);
	size = MAX(size, 24u);
	p = allocate(size, handled % 2);
	expect(p != NULL);
	memset(p, 0xc3, 24);
	if (handled % 7 == 0) {
		expect(heap_resize(p, size + 100, &moved) == HEAP_DONE);
		p = moved;
	}
	*block = unit_hide(p);
}

static void
step_handled(void (*run)(void))
{
	unit_step(run, handle);
}

static unsigned char *
newest(void)
{
	return unit_reveal(known[known_count - 1]);
}

/*
 * in_handler - as if a handler had interrupted the use of our own cache, so
 * that a nested one is used, and handlers of the handler use the next.
 */
static void (*inner)(void);

static void
in_handler(void)
{
	struct cache *own = cache_self;

	cache_enter(own);
	inner();
	cache_leave(own);
}

START_TEST(test_nested_handlers)
{
	begin(0);
	for (unsigned i = 0; i < 60; i++) {
		job.size = 1000 + i % 3 * 500;
		inner = run_alloc;
		step_handled(in_handler);
		memset(newest(), 1, job.size);
		if (i % 4 != 3)
			continue;
		hand_over(3);
		inner = run_free;
		step_handled(in_handler);
	}
	ck_assert_uint_gt(handled, 1000);
	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		handler_free(&given[i]);
	instructions = handled;
}
END_TEST

START_TEST(test_handlers)
{
	static const struct {
		size_t size;
		unsigned rounds;
	} table[] = { { 32, 60 }, { 1000, 30 }, { 40000, 4 }, { 140000, 3 } };
	size_t size = table[_i / 2].size;

	begin(_i % 2);
	job.size = size;
	for (unsigned i = 0; i < table[_i / 2].rounds; i++) {
		job.zero = i % 2;
		step_handled(run_alloc);
		if (job.zero)
			for (size_t at = 0; at < size; at++)
				expect(newest()[at] == 0);
		memset(newest(), (int)i, size);
		if (i % 10 == 3) {
			hand_over(known_count - 1);
			job.size = size + size / 2;
			step_handled(run_resize);
			job.size = size;
			for (size_t at = 0; at < size; at++)
				expect(newest()[at] == (i & 255));
		}
		if (i % 3 == 1) {
			hand_over(3);
			step_handled(run_free);
		}
	}
	ck_assert_uint_gt(handled, 100);
	for (size_t i = 0; i < ARRAY_LEN(given); i++)
		handler_free(&given[i]);
	/* All that was given is there, once. */
	for (size_t i = 0; i < known_count; i++)
		memset(unit_reveal(known[i]), (int)i, 24);
	for (size_t i = 0; i < known_count; i++)
		expect(*(unsigned char *)unit_reveal(known[i]) == (i & 255));
	instructions = handled;
}
END_TEST

/* ------------------------------------------- a thread's first allocation */

static size_t chance, chances;	/* the one at which the handler comes */

static void
handle_once(const ucontext_t *context)
{
	if (unit_signals_are_blocked(context) || chances++ != chance)
		return;
	handled++;
	given[0] = unit_hide(heap_alloc(1000, false));
}

static size_t detached;

static void
count_detached(struct mutator *m)
{
	if (m->cache == NULL)
		return;
	detached++;
	cache_detach(m->cache);
}

/* A handler may be the first: the thread registers once, with one cache. */
START_TEST(test_first)
{
	unit_heap(1, true);
	mutator_set_hook(count_detached);
	job.size = 1000;
	for (chance = 0; chance == 0 || chance < chances; chance++) {
		size_t alive = 0;

		heap_thread_end(false);
		expect(mutator_self == NULL);
		chances = detached = 0;
		given[0].word = 0;
		unit_step(run_alloc, handle_once);
		expect(detached == 0);
		/* Not where this one needed fewer than the last. */
		if (given[0].word != 0)
			know(given[0]);
		/* Never another thread's: or, as in a handler, nobody's. */
		expect(cache_self == mutator_self->cache ||
		       cache_self == &cache_nobody);
		mutator_lock();
		for (struct mutator *m = mutator_first_locked(); m != NULL;
		     m = m->next)
			alive += m->state == MUTATOR_ALIVE;
		expect(mutator_find_locked(mutator_self->tid) ==
		       mutator_self);
		mutator_unlock();
		expect(alive == 1);
		know_blocks(3, 1000);
		for (size_t i = 0; i < known_count; i++)
			memset(unit_reveal(known[i]), (int)i, 24);
		for (size_t i = 0; i < known_count; i++)
			expect(*(unsigned char *)unit_reveal(known[i]) ==
			       (i & 255));
		expect(unit_check_heap() == known_count);
	}
	ck_assert_uint_gt(handled, 100);
	instructions = handled;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("steps");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "fast", test_fast }, { "slow", test_slow },
		{ "large", test_large }, { "resize", test_resize },
		{ "others", test_others }, { "guarded", test_guarded },
	};
	TCase *handlers = unit_case(suite, "handlers", NULL);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		TCase *tcase = unit_case(suite, cases[i].name, NULL);

		tcase_add_checked_fixture(tcase, NULL, teardown);
		tcase_add_loop_test(tcase, cases[i].test, 0, 2);
	}
	tcase_add_checked_fixture(handlers, NULL, teardown);
	tcase_add_loop_test(handlers, test_handlers, 0, 8);
	tcase_add_test(handlers, test_nested_handlers);
	tcase_add_test(handlers, test_first);
	return unit_run(suite);
}
