/*
 * stop.c - stopping and restarting every thread of the program.
 *
 * Owns the list of threads of the current stop.  The kernel's list of tasks
 * decides who must stand, the registry only says which of them are mutators:
 * a thread made by raw clone is stopped like any other.
 *
 * Always true:
 *   T1  the world counts as stopped only when a whole reading of the task
 *       list showed no thread that is not parked or gone;
 *   T2  the stopper holds RANK_MUTATORS meanwhile: no thread comes or goes
 *       unseen.
 *
 * Not here: what a thread does to stand still (park.c).
 */
#include "world/stop.h"

#include "base/arch.h"
#include "base/panic.h"
#include "base/fmt.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ENTRIES_MAX	65536u
/* How long to wait before asking whether the missing are gone. */
#define PATIENCE_NS	(2 * NSEC_PER_MSEC)

static struct {
	/* Fixed by stop_set_signal(). */
	int sig;

	/* Guarded by RANK_CYCLE. */
	struct park_entry *entries;
	size_t count;
	size_t committed;
	uint32_t epoch;
	size_t gone;
	int pid;
	int self;
	bool is_proc_foreign;	/* /proc is an outer pid namespace's */
} stop;

void
stop_set_signal(int sig)
{
	stop.sig = sig;
	mutator_set_stop_signal(sig);
}

static void
handle_stop_signal(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	park_enter_signal(context);
}

/* ----------------------------------------------------------- who must stand */

static bool is_task_gone(int task);
static int tid_of(int task);

/* is_listed - a tid that is gone may be taken by a new thread. */
static bool
is_listed(int task)
{
	bool was_gone = false;

	for (size_t i = 0; i < stop.count; i++) {
		if (stop.entries[i].task != task)
			continue;
		if (!stop.entries[i].is_gone)
			return true;
		was_gone = true;
	}
	return was_gone && is_task_gone(task);
}

static struct park_entry *
add_entry(int task)
{
	int tid = tid_of(task);
	struct park_entry *e;
	struct mutator *m;
	size_t committed;

	if (stop.count == ENTRIES_MAX)
		return NULL;
	if (stop.entries == NULL)
		stop.entries = meta_reserve(ENTRIES_MAX *
					    sizeof(*stop.entries));
	if (stop.entries == NULL)
		return NULL;
	committed = meta_commit(stop.entries, stop.committed,
				(stop.count + 1) * sizeof(*e),
				ENTRIES_MAX * sizeof(*e));
	if (committed == 0)
		return NULL;
	stop.committed = committed;
	e = &stop.entries[stop.count];
	memset(e, 0, sizeof(*e));
	m = mutator_find_locked(tid);
	e->tid = tid;
	e->task = task;
	e->park = m != NULL ? &m->park : &e->own;
	stop.count++;
	if (tid == 0) {
		e->is_gone = true;
		stop.gone++;
	}
	return e;
}

/* One entry of a directory; the kernel's struct linux_dirent64. */
struct directory_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

static int
parse_tid(const char *name)
{
	int tid = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		tid = tid * 10 + (*name - '0');
	return *name == '\0' ? tid : 0;
}

/*
 * list_new_threads - read the task list and add who is not known yet.
 * Returns: how many were added, or -errno.
 */
static int
list_new_threads(void)
{
	char buffer[4096] __attribute__((aligned(8)));
	int fd = sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY, 0);
	int added = 0;
	long n;

	if (fd < 0)
		return fd;
	while ((n = sys_getdents(fd, buffer, sizeof(buffer))) > 0) {
		struct directory_entry *d;

		for (long at = 0; at < n; at += d->size) {
			int task;

			d = (struct directory_entry *)(buffer + at);
			task = parse_tid(d->name);
			if (task == 0 || is_listed(task))
				continue;
			if (add_entry(task) == NULL) {
				sys_close(fd);
				return -ENOMEM;
			}
			added++;
		}
	}
	sys_close(fd);
	return n < 0 ? (int)n : added;
}

/* --------------------------------------------------------------- signalling */

static void
signal_entry(struct park_entry *e)
{
	int error;

	if (e->tid == stop.self || e->is_gone)
		return;
	do
		error = sys_tgkill(stop.pid, e->tid, stop.sig);
	while (error == -EAGAIN && sys_sched_yield() == 0);
	if (error == -ESRCH) {
		e->is_gone = true;
		stop.gone++;
	}
}

/* task_line - a line of /proc/self/task/TASK/status after its key. */
static bool
task_line(int task, const char *key, char *ret_value, size_t size)
{
	char path[64], text[2048], *line;
	struct fmt f;
	long n;
	int fd;

	fmt_init(&f, path, sizeof(path));
	fmt_print(&f, "/proc/self/task/%d/status", task);
	fd = sys_open(fmt_end(&f), O_RDONLY, 0);
	if (fd < 0)
		return false;
	n = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, key);
	if (line == NULL)
		return false;
	line += strlen(key);
	while (*line == ' ' || *line == '\t')
		line++;
	fmt_init(&f, ret_value, size);
	while (*line != '\n' && *line != '\0')
		fmt_char(&f, *line++);
	fmt_end(&f);
	return true;
}

/*
 * is_proc_foreign - is /proc that of an outer pid namespace?  It is for a
 * child of unshare(CLONE_NEWPID) that mounts none of its own.
 */
static bool
is_proc_foreign(void)
{
	char name[16];
	long n = sys_readlink("/proc/self", name, sizeof(name) - 1);

	if (n <= 0)
		return false;
	name[n] = '\0';
	return parse_tid(name) != stop.pid;
}

/* tid_of - what a task of /proc is called by itself.  0: it is gone. */
static int
tid_of(int task)
{
	char tids[256];
	const char *last = tids;

	if (!stop.is_proc_foreign)
		return task;
	/* One for each namespace, the innermost last. */
	if (!task_line(task, "NSpid:", tids, sizeof(tids)))
		return 0;
	for (const char *p = tids; *p != '\0'; p++)
		if (*p == '\t')
			last = p + 1;
	return parse_tid(last);
}

static bool
is_task_gone(int task)
{
	char state[32];

	/* A main thread that called pthread_exit stays as a zombie. */
	return !task_line(task, "State:", state, sizeof(state)) ||
	       state[0] == 'Z' || state[0] == 'X';
}

static bool
is_signal_blocked(int task)
{
	char mask[32];
	size_t digit = 16 - 1 - (size_t)(stop.sig - 1) / 4;

	if (!task_line(task, "SigBlk:", mask, sizeof(mask)) ||
	    strlen(mask) != 16)
		return false;
	return ((mask[digit] <= '9' ? mask[digit] - '0'
				    : mask[digit] - 'a' + 10) >>
		((stop.sig - 1) % 4)) & 1;
}

/* drop_gone - look whether those we wait for still exist. */
static void
drop_gone(void)
{
	for (size_t i = 0; i < stop.count; i++) {
		struct park_entry *e = &stop.entries[i];

		if (e->tid == stop.self || e->is_gone ||
		    load_relaxed(&e->park->epoch) == stop.epoch)
			continue;
		if (is_task_gone(e->task)) {
			e->is_gone = true;
			stop.gone++;
		}
	}
}

static bool
wait_until_all_stand(uint64_t end_ns)
{
	for (;;) {
		size_t want = stop.count - stop.gone - 1;

		if (park_wait((uint32_t)want, PATIENCE_NS))
			return true;
		if (sys_monotonic_ns() > end_ns)
			return false;
		drop_gone();
	}
}

static void
explain(struct stop_failure *ret)
{
	ret->what = "it did not answer the stop signal";
	for (size_t i = 0; i < stop.count; i++) {
		const struct park_entry *e = &stop.entries[i];

		if (e->tid == stop.self || e->is_gone ||
		    load_relaxed(&e->park->epoch) == stop.epoch)
			continue;
		ret->tid = e->tid;
		ret->is_blocked = is_signal_blocked(e->task);
		if (ret->is_blocked)
			ret->what = "it blocks the stop signal";
	}
}

static void
enter_self(uintptr_t own_sp)
{
	for (size_t i = 0; i < stop.count; i++) {
		struct park *park = stop.entries[i].park;

		if (stop.entries[i].tid != stop.self)
			continue;
		park->sp = park->frame = own_sp;
		park->tp = arch_thread_pointer();
	}
}

int
stop_begin(uint64_t limit_ns, uintptr_t own_sp, bool is_last,
	   struct stop_failure *ret)
{
	uint64_t end_ns = sys_monotonic_ns() + limit_ns;
	size_t signalled = 0;
	int added;

	*ret = (struct stop_failure){ .what = "out of memory" };
	sys_sigaction(stop.sig, handle_stop_signal,
		      SA_SIGINFO | SA_RESTART | SA_ONSTACK);
	mutator_lock();						/* T2 */
	stop.pid = sys_getpid();
	stop.self = sys_gettid();
	stop.is_proc_foreign = is_proc_foreign();
	stop.count = 0;
	stop.gone = 0;
	stop.epoch = park_stop_begin(is_last);
	do {
		added = list_new_threads();
		if (added < 0)
			break;
		park_list(stop.entries, stop.count);
		for (; signalled < stop.count; signalled++)
			signal_entry(&stop.entries[signalled]);
		if (!wait_until_all_stand(end_ns)) {
			explain(ret);
			added = -ETIMEDOUT;
			break;
		}
	} while (added > 0);					/* T1 */
	if (added < 0) {
		if (added != -ETIMEDOUT && added != -ENOMEM)
			ret->what = "/proc/self/task cannot be read";
		park_stop_end();
		mutator_unlock();
		return added;
	}
	enter_self(own_sp);
	return 0;
}

void
stop_end(void)
{
	park_stop_end();
	mutator_unlock();
}

void
stop_leave(void)
{
	park_stop_leave();
	mutator_unlock();
}

const struct park_entry *
stop_threads(size_t *ret_count)
{
	*ret_count = stop.count;
	return stop.entries;
}
