/*
 * record.c - the machine-readable account of one process.
 *
 * Owns the record's file.  Its descriptor is kept out of the program's way
 * and checked before each use: a program that closes everything, or puts a
 * file of its own in our place, does not find our lines in it.
 *
 * State is guarded by record.lock (RANK_RECORD); a line is written whole
 * unless it is longer than the buffer.
 */
#include "report/record.h"

#include "base/fmt.h"
#include "base/lock.h"
#include "base/panic.h"
#include "base/sys.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "heap/span.h"
#include "report/depot.h"
#include "report/modules.h"
#include "settings/options.h"
#include "settings/stats.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct record file;
	char path[PATH_MAX];
	dev_t device;
	ino_t inode;
	bool is_forked;		/* a child that has written nothing yet */
	uint64_t start_ns;
	char buffer[4096];
} record = {
	.lock = LOCK_INIT(RANK_RECORD),
	.file = { .fd = -1, .is_file = true },
};

/* ----------------------------------------------------------------- the file */

bool
record_expand(const char *path, char *ret_path, size_t size)
{
	char exe[PATH_MAX], *name;
	struct fmt f;
	long n;

	fmt_init(&f, ret_path, size);
	for (; *path != '\0'; path++) {
		if (*path != '%' || path[1] == '\0') {
			fmt_char(&f, *path);
			continue;
		}
		switch (*++path) {
		case 'p':
			fmt_number(&f, (uint64_t)sys_getpid());
			break;
		case 'e':
			n = sys_readlink("/proc/thread-self/exe", exe,
					 sizeof(exe) - 1);
			exe[n > 0 ? n : 0] = '\0';
			name = strrchr(exe, '/');
			fmt_text(&f, name != NULL ? name + 1 : exe);
			break;
		case 't':
			fmt_number(&f, sys_realtime_ns() / NSEC_PER_SEC);
			break;
		default:
			fmt_char(&f, *path);
			break;
		}
	}
	fmt_end(&f);
	return f.length < size;
}

static bool
is_the_file(int fd)
{
	struct stat st;

	return fd >= 0 && sys_fstat(fd, &st) == 0 &&
	       st.st_dev == record.device && st.st_ino == record.inode;
}

static bool
is_still_ours(void)
{
	return is_the_file(record.file.fd);
}

static void
adopt_fd(int fd)
{
	struct stat st;

	record.file.fd = fd = sys_keep_high(fd);
	if (sys_fstat(fd, &st) == 0) {
		record.device = st.st_dev;
		record.inode = st.st_ino;
	}
}

/* reopen - the program closed our descriptor: go on at the file's end. */
static void
reopen(void)
{
	int fd = sys_open(record.path, O_WRONLY | O_APPEND, 0);

	record.file.fd = -1;
	if (fd < 0)
		return;
	sys_flock(fd, LOCK_EX | LOCK_NB);
	adopt_fd(fd);
}

/* open_from_afar - the file, for a thread with descriptors of its own. */
static int
open_from_afar(void)
{
	int fd = sys_program_fd(record.file.fd);

	if (is_the_file(fd))
		return fd;
	if (fd >= 0)
		sys_close(fd);
	return sys_open(record.path, O_WRONLY | O_APPEND, 0);
}

void
record_open(void)
{
	int fd;

	record.file.fd = -1;
	record.file.modules_said = 0;
	record.start_ns = sys_realtime_ns();
	if (strcmp(options->record, "none") == 0)
		return;
	if (!record_expand(options->record, record.path, PATH_MAX - 16)) {
		say("the path of BILGE_RECORD is too long; no record is kept");
		return;
	}
	fd = sys_open(record.path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd >= 0 && sys_flock(fd, LOCK_EX | LOCK_NB) != 0) {
		struct fmt f;

		sys_close(fd);
		fmt_init(&f, record.path, PATH_MAX);
		f.length = strlen(record.path);
		fmt_print(&f, ".%d", sys_getpid());
		fmt_end(&f);
		fd = sys_open(record.path, O_WRONLY | O_CREAT | O_APPEND,
			      0666);
		if (fd >= 0)
			sys_flock(fd, LOCK_EX | LOCK_NB);
	}
	if (fd < 0) {
		say("the record %s cannot be written (error %d)", record.path,
		    -fd);
		return;
	}
	sys_ftruncate(fd, 0);
	adopt_fd(fd);
}

bool
record_open_memory(struct record *other)
{
	int fd = sys_keep_high(sys_memfd_create("bilge-record",
						1u /* MFD_CLOEXEC */));

	if (fd < 0)
		return false;
	*other = (struct record){ .fd = fd };
	return true;
}

/* ---------------------------------------------------------------- one event */

static void
flush_event(struct fmt *f)
{
	struct event *e = (struct event *)f;

	if (sys_write_all(e->fd, f->text, f->length) != 0)
		e->record->has_failed = true;
	f->length = 0;
}

static void write_start(struct record *r);

bool
record_begin_event(struct event *e, struct record *r, const char *name)
{
	ASSERT(lock_is_mine(&record.lock));
	if (r->is_file && record.is_forked) {
		/* Most children exec before they have anything to tell. */
		record.is_forked = false;
		record_open();
		write_start(r);
	}
	e->is_lent = r->is_file && r->fd >= 0 && sys_has_own_files();
	if (r->is_file && r->fd >= 0 && !e->is_lent && !is_still_ours())
		reopen();
	e->fd = e->is_lent ? open_from_afar() : r->fd;
	if (e->fd < 0)
		return false;
	fmt_init(&e->fmt, record.buffer, sizeof(record.buffer));
	e->fmt.flush = flush_event;
	e->record = r;
	fmt_print(&e->fmt, "{\"event\":\"%s\"", name);
	return true;
}

void
record_end_event(struct event *e)
{
	fmt_text(&e->fmt, "}\n");
	flush_event(&e->fmt);
	if (e->is_lent)
		sys_close(e->fd);
}

void
record_put_time(struct fmt *f, const char *key, uint64_t ns)
{
	fmt_print(f, ",\"%s\":\"", key);
	fmt_utc(f, ns);
	fmt_char(f, '"');
}

/* goes_somewhere - is it written, or will its file be opened when it is? */
static bool
goes_somewhere(const struct record *r)
{
	return r->fd >= 0 || (r->is_file && record.is_forked);
}

static void
put_number(struct fmt *f, const char *key, uint64_t n)
{
	fmt_print(f, ",\"%s\":%lu", key, (unsigned long)n);
}

static void
write_module(struct record *r, uint32_t id)
{
	const struct module *m = modules_get(id);
	struct event e;

	if (!record_begin_event(&e, r, "module"))
		return;
	put_number(&e.fmt, "id", id);
	fmt_text(&e.fmt, ",\"path\":");
	fmt_json(&e.fmt, m->path);
	fmt_print(&e.fmt, ",\"base\":\"%p\",\"start\":\"%p\",\"end\":\"%p\"",
		  (void *)m->bias, (void *)m->start, (void *)m->end);
	fmt_text(&e.fmt, ",\"build_id\":\"");
	for (unsigned i = 0; i < m->build_id_size; i++)
		fmt_print(&e.fmt, "%02x", (unsigned)m->build_id[i]);
	fmt_char(&e.fmt, '"');
	record_end_event(&e);
}

void
record_say_modules(struct record *r)
{
	uint32_t count = modules_count();

	while (r->modules_said < count)
		write_module(r, r->modules_said++);
}

static void
put_stack(struct fmt *f, const char *key, const uintptr_t *frames,
	  uint32_t count)
{
	fmt_print(f, ",\"%s\":[", key);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t id = modules_lookup(frames[i] - 1);
		const char *symbol;

		fmt_print(f, "%s{\"address\":\"%p\"", i == 0 ? "" : ",",
			  (void *)frames[i]);
		if (id == MODULE_NONE) {
			fmt_text(f, ",\"module\":null}");
			continue;
		}
		fmt_print(f, ",\"module\":%u,\"offset\":\"%p\"", id,
			  (void *)(frames[i] - modules_get(id)->bias));
		symbol = modules_symbol(modules_get(id), frames[i] - 1);
		if (symbol != NULL) {
			fmt_text(f, ",\"symbol\":");
			fmt_json(f, symbol);
		}
		fmt_char(f, '}');
	}
	fmt_char(f, ']');
}

static void
put_frames(struct fmt *f, const uintptr_t *frames, uint32_t count)
{
	put_stack(f, "frames", frames, count);
}

/* put_site - the call stack of a site; none is an empty one. */
static void
put_site(struct fmt *f, const char *key, uint32_t site)
{
	const struct stack *stack = depot_stack(site);

	put_stack(f, key, stack != NULL ? stack->frames : NULL,
		  stack != NULL ? stack->count : 0);
}

/* note_modules - see to it that all modules of these frames are known. */
static void
note_modules(const uintptr_t *frames, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (modules_lookup(frames[i] - 1) == MODULE_NONE)
			modules_find(frames[i] - 1);
}

/* ------------------------------------------------------------------- events */

/* put_arguments - /proc/thread-self/cmdline as a JSON array. */
static void
put_arguments(struct fmt *f)
{
	int fd = sys_open("/proc/thread-self/cmdline", O_RDONLY, 0);
	size_t size = 4096, filled = 0;
	char *text = meta_map(size), *larger;
	long n;

	fmt_text(f, ",\"argv\":[");
	while (fd >= 0 && text != NULL &&
	       (n = sys_read(fd, text + filled, size - 1 - filled)) > 0) {
		filled += (size_t)n;
		if (filled < size - 1)
			continue;
		larger = meta_map(2 * size);
		if (larger == NULL)
			break;
		memcpy(larger, text, filled);
		meta_unmap(text, size);
		text = larger;
		size *= 2;
	}
	for (size_t at = 0; at < filled; at += strlen(text + at) + 1) {
		if (at > 0)
			fmt_char(f, ',');
		fmt_json(f, text + at);
	}
	fmt_char(f, ']');
	if (text != NULL)
		meta_unmap(text, size);
	if (fd >= 0)
		sys_close(fd);
}

static void
write_start(struct record *r)
{
	char exe[PATH_MAX];
	struct event e;
	long n;

	if (!record_begin_event(&e, r, "start"))
		return;
	n = sys_readlink("/proc/thread-self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	fmt_text(&e.fmt, ",\"schema\":\"bilge-1\"");
	record_put_time(&e.fmt, "time", record.start_ns);
	put_number(&e.fmt, "pid", (uint64_t)sys_getpid());
	fmt_text(&e.fmt, ",\"exe\":");
	fmt_json(&e.fmt, exe);
	put_arguments(&e.fmt);
	fmt_text(&e.fmt, ",\"settings\":");
	options_print_json(&e.fmt);
	fmt_print(&e.fmt, ",\"barrier\":\"%s\"", stats.barrier_foreseen);
	record_end_event(&e);
}

static void
write_leak(struct record *r, const struct leak_group *g, uint64_t now)
{
	const struct stack *stack = depot_stack(g->site);
	struct event e;

	if (!goes_somewhere(r))
		return;
	if (stack != NULL)
		note_modules(stack->frames, stack->count);
	record_say_modules(r);
	if (!record_begin_event(&e, r, "leak"))
		return;
	record_put_time(&e.fmt, "time", now);
	put_number(&e.fmt, "site", g->site);
	fmt_print(&e.fmt, ",\"kind\":\"%s\"",
		  g->is_direct ? "direct" : "indirect");
	put_number(&e.fmt, "bytes", g->bytes);
	put_number(&e.fmt, "blocks", g->blocks);
	record_put_time(&e.fmt, "first_seen",
			g->first_ns != 0 ? g->first_ns : now);
	put_number(&e.fmt, "reclaimed_bytes", g->reclaimed_bytes);
	put_frames(&e.fmt, stack != NULL ? stack->frames : NULL,
		   stack != NULL ? stack->count : 0);
	record_end_event(&e);
}

static void
put_quantiles(struct fmt *f, const char *key, const struct histogram *h,
	      bool with_count)
{
	fmt_print(f, ",\"%s\":{", key);
	if (with_count)
		fmt_print(f, "\"count\":%lu,", (unsigned long)h->count);
	fmt_print(f, "\"p50\":%lu,\"p99\":%lu,\"max\":%lu}",
		  (unsigned long)histogram_quantile(h, 500),
		  (unsigned long)histogram_quantile(h, 990),
		  (unsigned long)h->max);
}

static void
write_end(struct record *r, int exit_status, bool is_checked)
{
	const struct leak_stats *l = &stats.leak;
	const struct cycle_stats *c = &stats.cycle;
	struct event e;
	struct fmt *f = &e.fmt;

	if (!record_begin_event(&e, r, "end"))
		return;
	record_put_time(f, "time", sys_realtime_ns());
	if (exit_status < 0)
		fmt_text(f, ",\"exit_status\":null");
	else
		put_number(f, "exit_status", (uint64_t)exit_status);
	fmt_print(f, ",\"checked\":%s", is_checked ? "true" : "false");
	put_number(f, "leaked_bytes", l->direct_bytes + l->indirect_bytes);
	put_number(f, "leaked_blocks", l->direct_blocks + l->indirect_blocks);
	put_number(f, "direct_bytes", l->direct_bytes);
	put_number(f, "direct_blocks", l->direct_blocks);
	put_number(f, "indirect_bytes", l->indirect_bytes);
	put_number(f, "indirect_blocks", l->indirect_blocks);
	put_number(f, "reclaimed_bytes", stats.reclaimed_bytes);
	put_number(f, "reclaimed_blocks", stats.reclaimed_blocks);
	put_number(f, "resurrected_blocks", load_relaxed(&stats.resurrected));
	put_number(f, "misuses", load_relaxed(&stats.misuses));
	put_number(f, "quarantined_bytes", stats.quarantined_bytes);
	put_number(f, "heap_bytes", arena_used_bytes());
	put_number(f, "heap_peak_bytes", arena_peak_bytes());
	fmt_print(f, ",\"cycles\":{\"count\":%lu,\"abandoned\":%lu,"
		  "\"barrier\":\"%s\"", (unsigned long)c->count,
		  (unsigned long)c->abandoned, stats.barrier);
	put_number(f, "marked_bytes", c->marked_bytes);
	put_number(f, "dirty_pages", c->dirty_pages);
	put_quantiles(f, "pause_ns", &c->pause_ns, true);
	put_quantiles(f, "stop_ns", &c->stop_ns, false);
	put_number(f, "exit_pause_ns", c->exit_pause_ns);
	put_number(f, "cpu_ns", c->cpu_ns);
	put_number(f, "verified", c->verified);
	fmt_char(f, '}');
	record_end_event(&e);
}

void
record_start(struct record *other)
{
	lock_acquire(&record.lock);
	if (other != NULL)
		write_start(other);
	else
		write_start(&record.file);
	lock_release(&record.lock);
}

void
record_leaks(struct record *other, const struct leak_group *groups,
	     size_t count)
{
	uint64_t now = sys_realtime_ns();

	lock_acquire(&record.lock);
	for (size_t i = 0; i < count; i++) {
		write_leak(&record.file, &groups[i], now);
		if (other != NULL)
			write_leak(other, &groups[i], now);
	}
	lock_release(&record.lock);
}

static void
note_site(uint32_t site)
{
	const struct stack *stack = depot_stack(site);

	if (stack != NULL)
		note_modules(stack->frames, stack->count);
}

static void
write_overwritten(struct record *r, const void *argument)
{
	const struct overwrite *o = argument;
	struct event e;

	note_site(o->site);
	note_site(o->freed_site);
	record_say_modules(r);
	if (!record_begin_event(&e, r, "misuse"))
		return;
	record_put_time(&e.fmt, "time", sys_realtime_ns());
	fmt_print(&e.fmt, ",\"function\":\"\",\"address\":\"%p\","
		  "\"what\":\"write after free\"", (void *)o->address);
	put_number(&e.fmt, "size", o->size);
	put_number(&e.fmt, "at", o->offset);
	put_site(&e.fmt, "frames", o->site);
	put_site(&e.fmt, "freed_by", o->freed_site);
	record_end_event(&e);
}

void
record_overwritten(struct record *other, const struct overwrite *overwrite)
{
	if (other == NULL) {
		record_write(write_overwritten, overwrite);
		return;
	}
	lock_acquire(&record.lock);
	write_overwritten(other, overwrite);
	lock_release(&record.lock);
}

static void
write_quarantined(struct record *r, const void *argument)
{
	const struct leak_group *g = argument;
	struct event e;

	if (!goes_somewhere(r))
		return;
	note_site(g->site);
	record_say_modules(r);
	if (!record_begin_event(&e, r, "quarantined"))
		return;
	record_put_time(&e.fmt, "time", sys_realtime_ns());
	put_number(&e.fmt, "site", g->site);
	put_number(&e.fmt, "bytes", g->bytes);
	put_number(&e.fmt, "blocks", g->blocks);
	put_site(&e.fmt, "frames", g->site);
	record_end_event(&e);
}

void
record_quarantined(struct record *other, const struct leak_group *groups,
		   size_t count)
{
	lock_acquire(&record.lock);
	for (size_t i = 0; i < count; i++) {
		write_quarantined(&record.file, &groups[i]);
		if (other != NULL)
			write_quarantined(other, &groups[i]);
	}
	lock_release(&record.lock);
}

/* What the writer of a "resurrected" event is given. */
struct resurrection {
	uint32_t site;
	uintptr_t address;
	const char *how;
	uintptr_t pc;
};

static void
write_resurrected(struct record *r, const void *argument)
{
	const struct resurrection *a = argument;
	const struct stack *stack = depot_stack(a->site);
	/* As a return address, which is what frames are. */
	const uintptr_t after = a->pc + 1;
	struct event e;

	if (stack != NULL)
		note_modules(stack->frames, stack->count);
	if (a->pc != 0)
		note_modules(&after, 1);
	record_say_modules(r);
	if (!record_begin_event(&e, r, "resurrected"))
		return;
	record_put_time(&e.fmt, "time", sys_realtime_ns());
	put_number(&e.fmt, "site", a->site);
	fmt_print(&e.fmt, ",\"address\":\"%p\",\"how\":\"%s\"",
		  (void *)a->address, a->how);
	if (a->pc != 0)
		put_stack(&e.fmt, "touched_by", &after, 1);
	put_frames(&e.fmt, stack != NULL ? stack->frames : NULL,
		   stack != NULL ? stack->count : 0);
	record_end_event(&e);
}

void
record_resurrected(uint32_t site, uintptr_t address, const char *how,
		   uintptr_t pc)
{
	const struct resurrection r = { site, address, how, pc };

	record_write(write_resurrected, &r);
}

void
record_misuse(const char *function, const void *address, const char *what,
	      const uintptr_t *frames, uint32_t count)
{
	struct event e;

	lock_acquire(&record.lock);
	if (goes_somewhere(&record.file)) {
		note_modules(frames, count);
		record_say_modules(&record.file);
	}
	if (record_begin_event(&e, &record.file, "misuse")) {
		record_put_time(&e.fmt, "time", sys_realtime_ns());
		fmt_text(&e.fmt, ",\"function\":");
		fmt_json(&e.fmt, function);
		fmt_print(&e.fmt, ",\"address\":\"%p\"", (void *)address);
		fmt_print(&e.fmt, ",\"what\":\"%s\"", what);
		put_frames(&e.fmt, frames, count);
		record_end_event(&e);
	}
	lock_release(&record.lock);
}

void
record_leaks_to(struct record *r, const struct leak_group *groups,
		size_t count)
{
	uint64_t now = sys_realtime_ns();

	lock_acquire(&record.lock);
	for (size_t i = 0; i < count; i++)
		write_leak(r, &groups[i], now);
	lock_release(&record.lock);
}

void
record_end_to(struct record *r, int exit_status)
{
	lock_acquire(&record.lock);
	write_end(r, exit_status, false);
	lock_release(&record.lock);
}

void
record_end(struct record *other, int exit_status, bool is_checked)
{
	lock_acquire(&record.lock);
	write_end(&record.file, exit_status, is_checked);
	if (other != NULL)
		write_end(other, exit_status, is_checked);
	lock_release(&record.lock);
}

bool
record_is_kept(void)
{
	bool result;

	lock_acquire(&record.lock);
	result = goes_somewhere(&record.file);
	lock_release(&record.lock);
	return result;
}

void
record_write(void (*write)(struct record *, const void *),
	     const void *argument)
{
	lock_acquire(&record.lock);
	if (goes_somewhere(&record.file))
		write(&record.file, argument);
	lock_release(&record.lock);
}

void
record_fork_lock(void)
{
	lock_acquire(&record.lock);
}

void
record_fork_unlock(bool in_child)
{
	if (!in_child) {
		lock_release(&record.lock);
		return;
	}
	lock_reset(&record.lock);
	/* The file is the parent's; so is the lock on it, while we keep it. */
	if (record.file.fd < 0)
		return;
	if (is_still_ours())
		sys_close(record.file.fd);
	record.file.fd = -1;
	record.file.modules_said = 0;
	record.is_forked = true;
}
