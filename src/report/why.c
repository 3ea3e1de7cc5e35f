/*
 * why.c - what holds each block, as events of a record.
 *
 * Owns the form of these events (why.h).  Numbers are written without quotes
 * here, unlike other addresses: they are distances, small enough for JSON, and
 * there are very many of them.
 */
#include "report/why.h"

#include "base/fmt.h"
#include "base/maps.h"
#include "base/sys.h"
#include "heap/meta.h"
#include "report/depot.h"
#include "report/modules.h"
#include "report/record.h"

#include <fcntl.h>

/* Of an allocation's call stack: enough to find the program's own code. */
#define CALLS_MAX	8u

#define BLOCKS_PER_EVENT	1024u
#define MAPPINGS_MAX		4096u

/* Guarded by RANK_RECORD. */
static struct maps maps;

static void
put_address(struct fmt *f, const char *before, uintptr_t address)
{
	fmt_print(f, "%s\"%p\"", before, (void *)address);
}

static void
put_bool(struct fmt *f, const char *key, bool value)
{
	fmt_print(f, ",\"%s\":%s", key, value ? "true" : "false");
}

static void
write_why(struct record *r, const struct held *h)
{
	uintptr_t start, end;
	struct event e;

	if (!record_begin_event(&e, r, "why"))
		return;
	record_put_time(&e.fmt, "time", sys_realtime_ns());
	fmt_print(&e.fmt, ",\"limit\":%zu", h->limit);
	put_address(&e.fmt, ",\"base\":", arena_view.base);
	put_address(&e.fmt, ",\"end\":", arena_end());
	fmt_text(&e.fmt, ",\"own\":[");
	for (unsigned i = 0; meta_piece(i, &start, &end); i++) {
		put_address(&e.fmt, i == 0 ? "[" : ",[", start);
		put_address(&e.fmt, ",", end);
		fmt_char(&e.fmt, ']');
	}
	fmt_print(&e.fmt, "],\"blocks\":%zu", h->count);
	put_bool(&e.fmt, "cut", h->is_cut);
	fmt_print(&e.fmt, ",\"lost\":%zu", h->lost_count);
	put_bool(&e.fmt, "lost_cut", h->lost_is_cut);
	fmt_print(&e.fmt, ",\"red_zone\":%u", (unsigned)ARCH_RED_ZONE);
	record_end_event(&e);
}

/* ----------------------------------------------------------------- threads */

/* put_name - what the thread calls itself. */
static void
put_name(struct fmt *f, int task)
{
	char path[64], name[32];
	struct fmt p;
	long n = 0;
	int fd;

	fmt_init(&p, path, sizeof(path));
	fmt_print(&p, "/proc/self/task/%d/comm", task);
	fd = sys_open(fmt_end(&p), O_RDONLY, 0);
	if (fd >= 0) {
		n = sys_read(fd, name, sizeof(name) - 1);
		sys_close(fd);
	}
	if (n > 0 && name[n - 1] == '\n')
		n--;
	name[MAX(n, 0)] = '\0';
	fmt_text(f, ",\"name\":");
	fmt_json(f, name);
}

static void
write_thread(struct record *r, const struct held *h,
	     const struct held_thread *t)
{
	struct event e;
	struct fmt *f = &e.fmt;

	if (!record_begin_event(&e, r, "thread"))
		return;
	fmt_print(f, ",\"tid\":%d", t->tid);
	put_name(f, t->task);
	put_address(f, ",\"tp\":", t->tp);
	put_address(f, ",\"tls\":[", t->tls_start);
	put_address(f, ",", t->tls_end);
	put_address(f, "],\"sp\":", t->sp);
	if (t->stack_end != 0)
		put_address(f, ",\"stack_end\":", t->stack_end);
	else
		fmt_text(f, ",\"stack_end\":null");
	put_address(f, ",\"frame\":[", t->frame);
	put_address(f, ",", t->frame_end);
	fmt_char(f, ']');
	fmt_text(f, ",\"registers\":");
	if (t->has_registers) {
		for (unsigned i = 0; i < ARCH_REGISTERS; i++)
			put_address(f, i == 0 ? "[" : ",", t->registers[i]);
		fmt_char(f, ']');
	} else {
		fmt_text(f, "null");
	}
	fmt_text(f, ",\"words\":[");
	for (size_t i = 0; i < t->word_count; i++) {
		const struct held_word *w = &h->words[t->first_word + i];

		put_address(f, i == 0 ? "" : ",", w->at);
		put_address(f, ",", w->value);
	}
	fmt_char(f, ']');
	record_end_event(&e);
}

/* ---------------------------------------------------------------- mappings */

static void
write_mappings(struct record *r)
{
	struct mapping m;
	size_t count = 0;
	struct event e;

	if (maps_open(&maps) != 0)
		return;
	if (record_begin_event(&e, r, "mappings")) {
		fmt_text(&e.fmt, ",\"list\":[");
		while (maps_next(&maps, &m) && count < MAPPINGS_MAX) {
			if (!m.readable || !m.writable)
				continue;
			put_address(&e.fmt, count++ == 0 ? "[" : ",[",
				    m.start);
			put_address(&e.fmt, ",", m.end);
			fmt_char(&e.fmt, ',');
			fmt_json(&e.fmt, m.path);
			fmt_char(&e.fmt, ']');
		}
		fmt_char(&e.fmt, ']');
		record_end_event(&e);
	}
	maps_close(&maps);
}

/* ------------------------------------------------------------------- sites */

static void
write_site(struct record *r, uint32_t site)
{
	const struct stack *stack = depot_stack(site);
	struct event e;

	if (stack == NULL || !record_begin_event(&e, r, "site"))
		return;
	fmt_print(&e.fmt, ",\"site\":%u,\"calls\":[", site);
	for (uint32_t i = 0; i < stack->count && i < CALLS_MAX; i++) {
		uint32_t id = modules_lookup(stack->frames[i] - 1);
		uintptr_t bias = 0;

		if (id != MODULE_NONE)
			bias = modules_get(id)->bias;
		fmt_print(&e.fmt, "%s%d,%lu", i == 0 ? "" : ",",
			  id == MODULE_NONE ? -1 : (int)id,
			  (unsigned long)(stack->frames[i] - bias));
	}
	fmt_char(&e.fmt, ']');
	record_end_event(&e);
}

static uint32_t
largest_site(const struct held_block *list, size_t count)
{
	uint32_t largest = 0;

	for (size_t i = 0; i < count; i++)
		largest = MAX(largest, list[i].site);
	return largest;
}

/* write_sites - each once; `seen` has one bit a site. */
static void
write_sites(struct record *r, const struct held_block *list, size_t count,
	    uint64_t *seen)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t site = list[i].site;
		uint64_t bit = UINT64_C(1) << (site % WORD_BITS);

		if (seen[site / WORD_BITS] & bit)
			continue;
		seen[site / WORD_BITS] |= bit;
		write_site(r, site);
	}
}

static void
write_all_sites(struct record *r, const struct held *h)
{
	uint32_t largest = MAX(largest_site(h->blocks, h->count),
			       largest_site(h->lost, h->lost_count));
	size_t size = (largest / WORD_BITS + 1) * sizeof(uint64_t);
	uint64_t *seen = meta_map(size);

	/* Without memory blocks keep their numbers and lack their calls. */
	if (seen == NULL)
		return;
	write_sites(r, h->blocks, h->count, seen);
	write_sites(r, h->lost, h->lost_count, seen);
	meta_unmap(seen, size);
}

/* ------------------------------------------------------------------ blocks */

static void
put_distance(struct fmt *f, uintptr_t address)
{
	if (address < arena_view.base)
		fmt_char(f, '-');
	fmt_number(f, address < arena_view.base ? arena_view.base - address
						: address - arena_view.base);
}

static void
write_blocks(struct record *r, const char *name,
	     const struct held_block *list, size_t count)
{
	struct event e;

	if (!record_begin_event(&e, r, name))
		return;
	fmt_text(&e.fmt, ",\"blocks\":[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fmt_char(&e.fmt, ',');
		put_distance(&e.fmt, list[i].block);
		fmt_char(&e.fmt, ',');
		fmt_number(&e.fmt, list[i].size);
		fmt_char(&e.fmt, ',');
		fmt_number(&e.fmt, list[i].site);
		fmt_char(&e.fmt, ',');
		if (list[i].word != 0)
			put_distance(&e.fmt, list[i].word);
		else
			fmt_text(&e.fmt, "null");
	}
	fmt_char(&e.fmt, ']');
	record_end_event(&e);
}

static void
write_list(struct record *r, const char *name, const struct held_block *list,
	   size_t count)
{
	for (size_t at = 0; at < count; at += BLOCKS_PER_EVENT)
		write_blocks(r, name, list + at,
			     MIN(count - at, (size_t)BLOCKS_PER_EVENT));
}

static void
write_all(struct record *r, const void *argument)
{
	const struct held *h = argument;

	write_why(r, h);
	record_say_modules(r);
	for (size_t i = 0; i < h->thread_count; i++)
		write_thread(r, h, &h->threads[i]);
	write_mappings(r);
	write_all_sites(r, h);
	write_list(r, "held", h->blocks, h->count);
	write_list(r, "lost", h->lost, h->lost_count);
}

void
why_write(const struct held *held)
{
	record_write(write_all, held);
}
