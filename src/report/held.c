/*
 * held.c - what holds each block.
 *
 * Owns the account of one cycle: blocks with the words through which they were
 * reached, and where the threads stood, so that the command can name a word
 * on a stack by its function.  Stacks are not unwound here: of a stopped
 * thread that may be anywhere, a wrong guess would read memory that is not
 * there.  Its registers are noted, and of its stack those words that a call
 * chain is made of, return addresses and saved frame pointers; nothing else
 * that stands there leaves the process.
 *
 * Always true:
 *   D1  memory is taken before the world is stopped (M4) and is bounded;
 *   D2  held_get() tells of a cycle that was complete, or nothing.
 */
#include "report/held.h"

#include "base/bits.h"
#include "base/maps.h"
#include "base/sys.h"
#include "heap/meta.h"
#include "report/modules.h"
#include "world/stop.h"

#include <string.h>

#define THREADS_MAX	4096u
#define WORDS_MAX	65536u
/* Of one stack: the frames nearest to where the thread stands. */
#define THREAD_WORDS_MAX 4096u
#define THREAD_BYTES_MAX (512 * KIB)

/* Guarded by RANK_CYCLE; the request by who is about to begin a cycle. */
static struct {
	size_t request;
	bool is_complete;
	struct held now;
	struct maps maps;
	uintptr_t code_start;	/* all modules lie within */
	uintptr_t code_end;
} held;

void
held_request(size_t limit)
{
	held.request = limit;
}

void
held_release(void)
{
	struct held *h = &held.now;

	/* In the reverse order of taking: the range shrinks again. */
	if (h->words != NULL)
		meta_unmap(h->words, WORDS_MAX * sizeof(*h->words));
	if (h->threads != NULL)
		meta_unmap(h->threads, THREADS_MAX * sizeof(*h->threads));
	if (h->lost != NULL)
		meta_unmap(h->lost, h->limit * sizeof(*h->lost));
	if (h->blocks != NULL)
		meta_unmap(h->blocks, h->limit * sizeof(*h->blocks));
	memset(h, 0, sizeof(*h));
	held.is_complete = false;
}

size_t
held_prepare(void)
{
	struct held *h = &held.now;

	held_release();
	if (held.request == 0)
		return 0;
	h->limit = held.request;
	held.request = 0;
	h->blocks = meta_map(h->limit * sizeof(*h->blocks));
	h->lost = meta_map(h->limit * sizeof(*h->lost));
	h->threads = meta_map(THREADS_MAX * sizeof(*h->threads));
	h->words = meta_map(WORDS_MAX * sizeof(*h->words));
	if (h->blocks == NULL || h->lost == NULL || h->threads == NULL ||
	    h->words == NULL)
		held_release();
	return h->limit;
}

bool
held_is_prepared(void)
{
	return held.now.blocks != NULL;
}

/* ------------------------------------------------------------------ blocks */

static bool
note(struct held_block *list, size_t *count, struct block b, uintptr_t word)
{
	if (*count == held.now.limit)
		return false;
	list[(*count)++] = (struct held_block){
		.block = span_slot_addr(b.span, b.slot),
		.word = word,
		.size = span_requested(b.span, b.slot),
		.site = span_site(b.span, b.slot),
	};
	return true;
}

bool
held_reach(struct block b, uintptr_t word)
{
	if (note(held.now.blocks, &held.now.count, b, word))
		return true;
	held.now.is_cut = true;
	return false;
}

void
held_note_lost(struct block b, uintptr_t word)
{
	if (held.now.lost != NULL &&
	    !note(held.now.lost, &held.now.lost_count, b, word))
		held.now.lost_is_cut = true;
}

/* ----------------------------------------------------------------- threads */

static void
find_code(void)
{
	held.code_start = UINTPTR_MAX;
	held.code_end = 0;
	for (uint32_t i = 0; i < modules_count(); i++) {
		const struct module *m = modules_get(i);

		held.code_start = MIN(held.code_start, m->start);
		held.code_end = MAX(held.code_end, m->end);
	}
}

static bool
is_code(uintptr_t value)
{
	return value >= held.code_start && value < held.code_end &&
	       modules_is_code(value);
}

__attribute__((no_sanitize("address")))
static void
note_stack(struct held_thread *t)
{
	struct held *h = &held.now;
	uintptr_t start = t->registers[ARCH_REGISTER_SP];
	uintptr_t at = ALIGN_UP(start, sizeof(uintptr_t));
	uintptr_t end = MIN(t->stack_end, at + THREAD_BYTES_MAX);

	t->first_word = h->word_count;
	for (; at + sizeof(uintptr_t) <= end && h->word_count < WORDS_MAX &&
	     t->word_count < THREAD_WORDS_MAX; at += sizeof(uintptr_t)) {
		uintptr_t value = *(const uintptr_t *)at;

		if ((value <= at || value >= t->stack_end) && !is_code(value))
			continue;
		h->words[h->word_count++] = (struct held_word){ at, value };
		t->word_count++;
	}
}

static void
note_thread(const struct park_entry *e, size_t tls_bytes)
{
	struct held_thread *t = &held.now.threads[held.now.thread_count++];
	const void *context = e->park->context;
	uintptr_t parts[ARCH_CONTEXT_PARTS][2];
	unsigned count = park_parts(e->park, parts);

	*t = (struct held_thread){
		.tid = e->tid,
		.task = e->task != 0 ? e->task : e->tid,
		.tp = e->park->tp,
		.tls_start = e->park->tp - tls_bytes,
		.tls_end = e->park->tp + ARCH_TCB_SIZE,
		.sp = e->park->sp,
		.frame = e->park->frame,
		.frame_end = count == 0 ? e->park->frame : parts[count - 1][1],
	};
	/* Who stood still by itself: they are not known by name. */
	if (context != NULL)
		arch_context_registers(context, t->registers);
	t->has_registers = context != NULL;
}

/*
 * drop_registers - keep those that a call chain needs: the program's data
 * stays in the process.
 */
static void
drop_registers(struct held_thread *t)
{
	for (unsigned i = 0; i < ARCH_REGISTERS; i++) {
		uintptr_t value = t->registers[i];

		if ((value < t->registers[ARCH_REGISTER_SP] ||
		     value >= t->stack_end) && !is_code(value))
			t->registers[i] = 0;
	}
}

/* find_stacks - a mapping, and whose stack ends where in it. */
static void
find_stacks(const struct mapping *m)
{
	for (size_t i = 0; i < held.now.thread_count; i++) {
		struct held_thread *t = &held.now.threads[i];

		if (t->sp < m->start || t->sp >= m->end || !m->readable)
			continue;
		t->stack_end = m->end;
		if (t->tp > t->sp && t->tp < m->end)
			t->stack_end = t->tp;
	}
}

NOINLINE void
held_collect_stopped(void)
{
	struct held *h = &held.now;
	size_t count, tls_bytes = modules_static_tls_max();
	const struct park_entry *e = stop_threads(&count);
	int own_tid = sys_gettid();	/* others may share its descriptor */
	uintptr_t own[ARCH_REGISTERS] = { 0 };
	struct mapping m;

	if (h->blocks == NULL)
		return;
	/* Good for as long as this function's frame is there. */
	arch_save_registers(own);
	find_code();
	for (size_t i = 0; i < count && h->thread_count < THREADS_MAX; i++)
		if (!e[i].is_gone)
			note_thread(&e[i], tls_bytes);
	if (maps_open(&held.maps) != 0)
		return;
	while (maps_next(&held.maps, &m))
		find_stacks(&m);
	maps_close(&held.maps);
	for (size_t i = 0; i < h->thread_count; i++) {
		struct held_thread *t = &h->threads[i];
		struct block b;

		/* A coroutine's stack is a block: it ends where that ends. */
		if (arena_contains(t->sp))
			t->stack_end = candidate_find(t->sp, &b)
				? span_slot_addr(b.span, b.slot) +
				  span_slot_bytes(b.span) : 0;
		if (t->tid == own_tid) {
			memcpy(t->registers, own, sizeof(own));
			t->has_registers = true;
		}
		t->has_registers &= t->stack_end != 0;
		if (!t->has_registers)
			continue;
		drop_registers(t);
		note_stack(t);
	}
	held.is_complete = true;				/* D2 */
}

const struct held *
held_get(void)
{
	return held.is_complete ? &held.now : NULL;
}
