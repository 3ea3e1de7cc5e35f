/*
 * kernelrefs.c - addresses that only the kernel holds for the program.
 *
 * Owns a table of what the program has given to the kernel and may get back:
 * a set with counts, open to all threads.  It errs on the side of keeping: an
 * address leaves it when the program got it back, or when the kernel shows
 * all that it holds of a kind and this is not among it.
 *
 * Always true:
 *   E1  an address is in the table, or in a register or on the stack of the
 *       thread that gives it to the kernel or takes it back;
 *   E2  what cannot be noted for want of memory is not forgotten: is_short
 *       stays set, and no mark is complete any more;
 *   E3  what was noted after a question to the kernel began is not dropped by
 *       its answer: the answer may be older.
 *
 * State is guarded by table.lock (RANK_KERNELREFS), with signals masked: what
 * is noted here is given to the kernel by functions that a handler may call.
 *
 * Not here: what the kernel holds for a single thread (park.c); asynchronous
 * input and output of libc's, which is done by threads and found on their heap.
 */
#include "world/kernelrefs.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/fmt.h"
#include "base/lock.h"
#include "base/sys.h"
#include "heap/arena.h"
#include "heap/meta.h"
#include "settings/options.h"
#include "world/mutator.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY_MIN	((size_t)512)
#define CAPACITY_MAX	((size_t)1 << 22)
#define KINDS		((size_t)KERNELREF_MESSAGE + 1)
/* A count that was ever so large is not trusted to come back to 0. */
#define COUNT_MAX	UINT16_MAX

/* What is known of the address in the same place. */
struct reference {
	uint64_t key;
	uint32_t asked;		/* the question it was noted or seen after */
	uint16_t kind;
	uint16_t count;
};

static struct {
	/* Guarded by lock.  The addresses lie apart, to be scanned at once. */
	struct lock lock;
	uintptr_t *addresses;		/* 0: free */
	struct reference *references;
	size_t capacity;		/* a power of two, or 0 */
	size_t used;
	uint32_t asked;			/* questions to the kernel so far */
	bool is_short;			/* E2 */
	/* Atomic: relaxed, a hint for those who hold no lock. */
	_Atomic size_t of_kind[KINDS];
} table = { .lock = LOCK_INIT(RANK_KERNELREFS) };

/* is_ours - an address of the heap, with or without a tag. */
static bool
is_ours(uintptr_t address)
{
	return arena_contains(address) ||
	       arena_contains(address & ~options->tag_mask);
}

/* -------------------------------------------------------------------- table */

static size_t
place_of(enum kernelref kind, uint64_t key, uintptr_t address)
{
	return bits_mix(address + bits_mix(key * KINDS + kind)) &
	       (table.capacity - 1);
}

static size_t
after(size_t i)
{
	return (i + 1) & (table.capacity - 1);
}

/* find_locked - its place, or the free one where it would be. */
static size_t
find_locked(enum kernelref kind, uint64_t key, uintptr_t address)
{
	size_t i = place_of(kind, key, address);

	for (; table.addresses[i] != 0; i = after(i))
		if (table.addresses[i] == address &&
		    table.references[i].kind == kind &&
		    table.references[i].key == key)
			break;
	return i;
}

static bool
grow_locked(void)
{
	size_t old = table.capacity;
	size_t capacity = old == 0 ? CAPACITY_MIN : 2 * old;
	uintptr_t *addresses = table.addresses;
	struct reference *references = table.references;
	size_t one = sizeof(*addresses) + sizeof(*references);
	void *memory = capacity > CAPACITY_MAX ? NULL
					       : meta_map(capacity * one);

	if (memory == NULL)
		return false;
	table.references = memory;
	table.addresses = (void *)(table.references + capacity);
	table.capacity = capacity;
	for (size_t i = 0; i < old; i++) {
		size_t to;

		if (addresses[i] == 0)
			continue;
		to = find_locked(references[i].kind, references[i].key,
				 addresses[i]);
		table.addresses[to] = addresses[i];
		table.references[to] = references[i];
	}
	if (old != 0)
		meta_unmap(references, old * one);
	return true;
}

static void
note_locked(enum kernelref kind, uint64_t key, uintptr_t address)
{
	struct reference *r;
	size_t i;

	if (table.used >= table.capacity / 2 && !grow_locked() &&
	    table.used + 1 >= table.capacity) {
		table.is_short = true;				/* E2 */
		return;
	}
	i = find_locked(kind, key, address);
	r = &table.references[i];
	if (table.addresses[i] == 0) {
		table.addresses[i] = address;
		*r = (struct reference){ .key = key, .kind = kind };
		table.used++;
		atomic_fetch_add_explicit(&table.of_kind[kind], 1,
					  memory_order_relaxed);
	}
	r->asked = table.asked;
	if (r->count < COUNT_MAX)
		r->count++;
}

/* remove_locked - and close the gap, so that probing never meets one. */
static void
remove_locked(size_t gap)
{
	atomic_fetch_sub_explicit(&table.of_kind[table.references[gap].kind],
				  1, memory_order_relaxed);
	table.used--;
	for (size_t i = after(gap); table.addresses[i] != 0; i = after(i)) {
		const struct reference *r = &table.references[i];
		size_t home = place_of(r->kind, r->key, table.addresses[i]);

		/* Does its home lie behind the gap?  Then it stays. */
		if (((i - home) & (table.capacity - 1)) <
		    ((i - gap) & (table.capacity - 1)))
			continue;
		table.addresses[gap] = table.addresses[i];
		table.references[gap] = table.references[i];
		gap = i;
	}
	table.addresses[gap] = 0;
}

/*
 * enter, leave - a handler that interrupts us may come here again, and must not
 * wait for what it interrupted.
 */
static uint64_t
enter(void)
{
	uint64_t mask;

	mutator_mask_signals(&mask);
	mutator_hold();
	lock_acquire(&table.lock);
	return mask;
}

static void
leave(uint64_t mask)
{
	lock_release(&table.lock);
	mutator_release();
	mutator_unmask_signals(mask);
}

void
kernelrefs_note(enum kernelref kind, uint64_t key, uintptr_t address)
{
	uint64_t mask;

	if (!is_ours(address))
		return;
	mask = enter();
	note_locked(kind, key, address);
	leave(mask);
	arch_pin(address);					/* E1 */
}

void
kernelrefs_drop(enum kernelref kind, uint64_t key, uintptr_t address)
{
	uint64_t mask;
	size_t i;

	if (!is_ours(address) || !kernelrefs_has(kind))
		return;
	mask = enter();
	i = find_locked(kind, key, address);
	if (table.addresses[i] != 0 &&
	    table.references[i].count < COUNT_MAX &&
	    --table.references[i].count == 0)
		remove_locked(i);
	leave(mask);
	arch_pin(address);					/* E1 */
}

/* is_among - is it a signal of this set? */
static bool
is_among(uint64_t set, uint64_t sig)
{
	return sig - 1 < WORD_BITS && bits_has(set, (unsigned)(sig - 1));
}

/*
 * drop_where_locked - all of a kind, and of a key or of any, that were noted
 * or seen before a question, less the signals that are held.  Removing moves
 * others into the gap, which is therefore looked at again.
 */
static void
drop_where_locked(enum kernelref kind, const uint64_t *key, uint64_t held,
		  uint32_t asked)
{
	for (size_t i = 0; i < table.capacity;) {
		const struct reference *r = &table.references[i];

		if (table.addresses[i] != 0 && r->kind == kind &&
		    (key == NULL || r->key == *key) &&
		    !is_among(held, r->key) && r->asked < asked)
			remove_locked(i);
		else
			i++;
	}
}

void
kernelrefs_drop_all(enum kernelref kind, uint64_t key)
{
	uint64_t mask;

	if (!kernelrefs_has(kind))
		return;
	mask = enter();
	drop_where_locked(kind, &key, 0, UINT32_MAX);
	leave(mask);
}

bool
kernelrefs_has(enum kernelref kind)
{
	return load_relaxed(&table.of_kind[kind]) > 0;
}

/* ------------------------------------------------------ what /proc can tell */

/* ask - a question to the kernel begins (E3). */
static uint32_t
ask(void)
{
	uint64_t mask = enter();
	uint32_t asked = ++table.asked;

	leave(mask);
	return asked;
}

/* seen - the kernel holds it, whoever gave it and how. */
static void
seen(enum kernelref kind, uintptr_t address)
{
	uint64_t mask;
	size_t i;

	if (!is_ours(address))
		return;
	mask = enter();
	i = table.capacity == 0 ? 0 : find_locked(kind, 0, address);
	if (table.capacity != 0 && table.addresses[i] != 0)
		table.references[i].asked = table.asked;
	else
		note_locked(kind, 0, address);
	leave(mask);
}

static void
answered(enum kernelref kind, uint64_t held, uint32_t asked)
{
	uint64_t mask = enter();

	drop_where_locked(kind, NULL, held, asked);
	leave(mask);
}

static uintptr_t
parse_hex(const char *p)
{
	uintptr_t n = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	for (;; p++) {
		unsigned char c = (unsigned char)*p;

		if (c >= '0' && c <= '9')
			n = n * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n * 16 + (c - 'a' + 10);
		else
			return n;
	}
}

/*
 * read_lines - call visit for every line of a file of /proc.
 * Returns: false when it cannot be read to its end.
 */
static bool
read_lines(const char *path, void (*visit)(const char *, void *),
	   void *argument)
{
	char text[4096];
	size_t filled = 0;
	int fd = sys_open(path, O_RDONLY, 0);
	long n;

	if (fd < 0)
		return false;
	while ((n = sys_read(fd, text + filled,
			     sizeof(text) - 1 - filled)) > 0) {
		char *line = text, *end;

		filled += (size_t)n;
		text[filled] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			*end = '\0';
			visit(line, argument);
			line = end + 1;
		}
		filled -= (size_t)(line - text);
		memmove(text, line, filled);
		if (filled == sizeof(text) - 1)
			break;
	}
	sys_close(fd);
	return n == 0;
}

/* "tfd:        6 events:       19 data:        123456789  pos:0 ino:…" */
static void
visit_watched(const char *line, void *argument)
{
	const char *data = strstr(line, " data:");

	(void)argument;
	if (strncmp(line, "tfd:", 4) == 0 && data != NULL)
		seen(KERNELREF_EPOLL, parse_hex(data + strlen(" data:")));
}

/*
 * Guarded by RANK_CYCLE: the folder in /proc of a task that has the program's
 * descriptors; the collector's thread may have others.
 */
static char refs_task[40] = "/proc/thread-self";
static bool refs_task_is_own = true;

void
kernelrefs_use_task(int task)
{
	struct fmt f;

	refs_task_is_own = task == 0;
	fmt_init(&f, refs_task, sizeof(refs_task));
	if (task == 0)
		fmt_text(&f, "/proc/thread-self");
	else
		fmt_print(&f, "/proc/self/task/%d", task);
	fmt_end(&f);
}

/* is_epoll - is the descriptor one of a set of epoll(7)? */
static bool
is_epoll(const char *name)
{
	static const char kind[] = "anon_inode:[eventpoll]";
	char path[64], target[sizeof(kind)];
	struct fmt f;

	fmt_init(&f, path, sizeof(path));
	fmt_print(&f, "%s/fd/%s", refs_task, name);
	return sys_readlink(fmt_end(&f), target, sizeof(target)) ==
	       (long)sizeof(kind) - 1 &&
	       memcmp(target, kind, sizeof(kind) - 1) == 0;
}

static bool
visit_descriptor(const char *name)
{
	char path[64];
	struct fmt f;

	if (*name == '.' || !is_epoll(name))
		return true;
	fmt_init(&f, path, sizeof(path));
	fmt_print(&f, "%s/fdinfo/%s", refs_task, name);
	return read_lines(fmt_end(&f), visit_watched, NULL) ||
	       !is_epoll(name);		/* it was closed meanwhile */
}

/* visit_names - the names in a folder of /proc, until one is refused. */
static bool
visit_names(const char *path, bool (*visit)(const char *))
{
	char buffer[4096] __attribute__((aligned(8)));
	int fd = sys_open(path, O_RDONLY | O_DIRECTORY, 0);
	bool is_good = fd >= 0;
	long n = 0;

	while (is_good && (n = sys_getdents(fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n && is_good;) {
			const struct sys_entry *e =
				(const struct sys_entry *)(buffer + at);

			is_good = visit(e->name);
			at += e->size;
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return is_good && n == 0;
}

static void
ask_epoll(void)
{
	uint32_t asked = ask();
	char path[64];
	struct fmt f;

	/* Before the first stop none is known: nothing is dropped. */
	if (refs_task_is_own && sys_has_own_files())
		return;
	fmt_init(&f, path, sizeof(path));
	fmt_print(&f, "%s/fd", refs_task);
	if (visit_names(fmt_end(&f), visit_descriptor))
		answered(KERNELREF_EPOLL, 0, asked);
}

/* "signal: 10/000000000abcdef0" */
static void
visit_timer(const char *line, void *argument)
{
	const char *value = strchr(line, '/');

	(void)argument;
	if (strncmp(line, "signal:", 7) == 0 && value != NULL)
		seen(KERNELREF_TIMER, parse_hex(value + 1));
}

static void
ask_timers(void)
{
	uint32_t asked = ask();

	if (read_lines("/proc/self/timers", visit_timer, NULL))
		answered(KERNELREF_TIMER, 0, asked);
}

static uint64_t pending;	/* Guarded by RANK_CYCLE */

/* "SigPnd:	0000000000000000", and "ShdPnd:", of all threads together. */
static void
visit_status(const char *line, void *argument)
{
	unsigned *found = argument;

	if (strncmp(line, "SigPnd:", 7) != 0 &&
	    strncmp(line, "ShdPnd:", 7) != 0)
		return;
	++*found;
	pending |= parse_hex(line + 7);
}

static bool
visit_task(const char *name)
{
	unsigned found = 0;
	char path[64];
	struct fmt f;

	if (*name == '.')
		return true;
	fmt_init(&f, path, sizeof(path));
	fmt_print(&f, "/proc/self/task/%s/status", name);
	if (read_lines(fmt_end(&f), visit_status, &found) && found == 2)
		return true;
	/* What was pending for a thread that ended is gone with it. */
	return sys_access(path, F_OK) == -ENOENT;
}

static void
ask_signals(void)
{
	uint32_t asked;

	if (!kernelrefs_has(KERNELREF_SIGNAL))
		return;
	asked = ask();
	pending = 0;
	if (visit_names("/proc/self/task", visit_task))
		answered(KERNELREF_SIGNAL, pending, asked);
}

void
kernelrefs_prepare(void)
{
	ask_epoll();
	ask_timers();
	ask_signals();
}

bool
kernelrefs_scan(void (*scan)(uintptr_t, uintptr_t))
{
	if (table.used > 0)
		scan((uintptr_t)table.addresses,
		     (uintptr_t)(table.addresses + table.capacity));
	return !table.is_short;
}

void
kernelrefs_fork_lock(void)
{
	lock_acquire(&table.lock);
}

void
kernelrefs_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&table.lock);
	else
		lock_release(&table.lock);
}
