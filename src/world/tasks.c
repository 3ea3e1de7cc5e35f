/*
 * tasks.c - what /proc says of this process's threads.
 *
 * Owns the open task list and the knowledge whose numbers it has: where /proc
 * is an outer pid namespace's, a task has another number than the tid by which
 * its thread knows itself.
 *
 * Always true: a task that cannot be looked at is not taken for gone (M3).
 *
 * For the stopper, which holds RANK_CYCLE: it allocates nothing and takes no
 * lock.
 *
 * Not here: who must stand still (stop.c).
 */
#include "world/tasks.h"

#include "base/fmt.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define TASKS	"/proc/self/task"

/* Of the kernel's st_nlink of a task list: "." and "..". */
#define LINKS_OF_EMPTY	2

/* Guarded by RANK_CYCLE. */
static struct {
	int fd;			/* the task list, open: descriptor or -errno */
	int pid;
	bool was_seen;		/* is is_foreign known for this stop? */
	bool is_foreign;	/* /proc is an outer pid namespace's */
} tasks = { .fd = -EBADF };

void
tasks_open(int pid)
{
	tasks.fd = sys_open(TASKS, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	tasks.pid = pid;
	tasks.was_seen = false;
}

void
tasks_close(void)
{
	if (tasks.fd >= 0)
		sys_close(tasks.fd);
}

/* ----------------------------------------------------------------- one task */

/* task_file - read a file of a task.  Returns: its length or -errno. */
static long
task_file(int task, const char *name, char *text, size_t size)
{
	char path[64];
	struct fmt f;
	long n;
	int fd;

	fmt_init(&f, path, sizeof(path));
	fmt_print(&f, TASKS "/%d/%s", task, name);
	fd = sys_open(fmt_end(&f), O_RDONLY, 0);
	if (fd < 0)
		return fd;
	n = sys_read(fd, text, size - 1);
	sys_close(fd);
	text[MAX(n, 0)] = '\0';
	return n;
}

static int
parse_tid(const char *name)
{
	int tid = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		tid = tid * 10 + (*name - '0');
	return *name == '\0' ? tid : 0;
}

/* parse_number - the next word of a text, 0x or not. */
static uint64_t
parse_number(const char **text, unsigned base)
{
	const char *p = *text;
	uint64_t value = 0;

	while (*p == ' ')
		p++;
	if (p[0] == '0' && p[1] == 'x')
		p += 2;
	for (; *p > ' '; p++)
		value = value * base +
			(unsigned)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	*text = p;
	return value;
}

/*
 * task_line - a line of /proc/self/task/TASK/status after its key.
 * Returns: 0; -ENOENT or -ESRCH, the task is gone; another -errno.
 */
static int
task_line(int task, const char *key, char *ret_value, size_t size)
{
	char text[2048], *line;
	long n = task_file(task, "status", text, sizeof(text));
	struct fmt f;

	if (n < 0)
		return (int)n;
	line = strstr(text, key);
	if (line == NULL)
		return -ENODATA;
	line += strlen(key);
	while (*line == ' ' || *line == '\t')
		line++;
	fmt_init(&f, ret_value, size);
	while (*line != '\n' && *line != '\0')
		fmt_char(&f, *line++);
	fmt_end(&f);
	return 0;
}

/* It is foreign to a child of unshare(CLONE_NEWPID) that mounts none. */
void
tasks_look(void)
{
	char name[16];
	long n;

	if (tasks.was_seen)
		return;
	n = sys_readlink("/proc/self", name, sizeof(name) - 1);
	name[MAX(n, 0)] = '\0';
	tasks.is_foreign = n > 0 && parse_tid(name) != tasks.pid;
	tasks.was_seen = true;
}

bool
tasks_are_foreign(void)
{
	return tasks.is_foreign;
}

int
tasks_tid_of(int task)
{
	char tids[256];
	const char *last = tids;

	if (!tasks.is_foreign)
		return task;
	/* One for each namespace, the innermost last. */
	if (task_line(task, "NSpid:", tids, sizeof(tids)) != 0)
		return 0;
	for (const char *p = tids; *p != '\0'; p++)
		if (*p == '\t')
			last = p + 1;
	return parse_tid(last);
}

bool
tasks_is_gone(int task)
{
	char state[32];
	int error = task_line(task, "State:", state, sizeof(state));

	/* M3: one that cannot be looked at may be there. */
	return error == -ENOENT || error == -ESRCH ||
	       (error == 0 && (state[0] == 'Z' || state[0] == 'X'));
}

uint64_t
tasks_blocked(int task)
{
	char mask[32];
	const char *p = mask;

	return task_line(task, "SigBlk:", mask, sizeof(mask)) == 0
	       ? parse_number(&p, 16) : 0;
}

bool
tasks_call(int task, struct task_call *ret)
{
	char text[256];
	const char *p = text;

	if (task_file(task, "syscall", text, sizeof(text)) <= 0 ||
	    text[0] < '0' || text[0] > '9')
		return false;
	ret->number = parse_number(&p, 10);
	for (unsigned i = 0; i < ARRAY_LEN(ret->arguments); i++)
		ret->arguments[i] = parse_number(&p, 16);
	ret->sp = parse_number(&p, 16);
	return true;
}

/* -------------------------------------------------------------- all of them */

int
tasks_list(int (*visit)(int task))
{
	char buffer[4096] __attribute__((aligned(8)));
	int added = 0, error;
	long n = 0;

	if (tasks.fd < 0)
		return tasks.fd;
	tasks_look();
	error = (int)sys_lseek(tasks.fd, 0, SEEK_SET);
	while (error >= 0 && (n = sys_getdents(tasks.fd, buffer,
					       sizeof(buffer))) > 0) {
		struct sys_entry *d;

		for (long at = 0; at < n && error >= 0; at += d->size) {
			int task;

			d = (struct sys_entry *)(buffer + at);
			task = parse_tid(d->name);
			if (task != 0)
				error = visit(task);
			added += error > 0;
		}
	}
	return error < 0 ? error : n < 0 ? (int)n : added;
}

long
tasks_count(void)
{
	struct stat st;
	int error = sys_fstat(tasks.fd, &st);

	return error != 0 ? error : (long)st.st_nlink - LINKS_OF_EMPTY;
}
