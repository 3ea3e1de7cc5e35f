/*
 * render.c - have the command turn a record into a report.
 *
 * Owns the command's path.  Children are made like vfork's, so that a large
 * process is not copied.  A child without an exit signal is shown to the
 * program neither by SIGCHLD nor by wait(); but exec gives it one again.  So
 * there are two: one that stays unseen, waits, and passes the status on, and
 * its child, which runs the command.
 */
#include "report/render.h"

#include "base/arch.h"
#include "base/fmt.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Fixed by render_init(). */
static char command[PATH_MAX];

static bool
try_path(const char *directory, const char *rest)
{
	struct fmt f;

	fmt_init(&f, command, sizeof(command));
	fmt_print(&f, "%s%s", directory, rest);
	fmt_end(&f);
	if (f.length < sizeof(command) && sys_access(command, X_OK) == 0)
		return true;
	command[0] = '\0';
	return false;
}

void
render_init(const char *library, const char *installed)
{
	/* From preload/.libs in the build tree, or lib/bilge installed. */
	static const char *const beside[] = {
		"/../../tools/bilge", "/../../bin/bilge",
	};
	char directory[PATH_MAX], *slash;
	struct fmt f;

	fmt_init(&f, directory, sizeof(directory));
	fmt_text(&f, library);
	fmt_end(&f);
	slash = strrchr(directory, '/');
	if (slash != NULL && f.length < sizeof(directory)) {
		*slash = '\0';
		for (size_t i = 0; i < ARRAY_LEN(beside); i++)
			if (try_path(directory, beside[i]))
				return;
	}
	try_path(installed, "");
}

/*
 * copy_environment - without what is meant for the loader: the command must
 * run neither under us nor with the program's libraries.
 */
static char **
copy_environment(char *const *environment, size_t *ret_size)
{
	size_t count = 0, kept = 0;
	char **copy;

	while (environment != NULL && environment[count] != NULL)
		count++;
	*ret_size = (count + 1) * sizeof(*copy);
	copy = meta_map(*ret_size);
	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (strncmp(environment[i], "LD_", 3) != 0)
			copy[kept++] = environment[i];
	copy[kept] = NULL;
	return copy;
}

bool
render_report(int record_fd, int report_fd, char *const *environment)
{
	static char name[] = "bilge", verb[] = "report", from[] = "-";
	char *arguments[] = { name, verb, from, NULL };
	uint64_t no_signals = 0;
	size_t size;
	char **copy;
	int status;
	long pid;

	if (command[0] == '\0')
		return false;
	copy = copy_environment(environment, &size);
	if (copy == NULL)
		return false;
	sys_lseek(record_fd, 0, SEEK_SET);
	pid = arch_vfork(0);
	if (pid == 0) {
		/* Its own dispositions: an ignored SIGCHLD loses the status. */
		sys_sigaction(SIGCHLD, NULL, 0);
		pid = arch_vfork(SIGCHLD);
		if (pid == 0) {
			/* They are 2 or above it: neither is overwritten. */
			if (sys_dup3(record_fd, 0, 0) == 0 &&
			    sys_dup3(report_fd, 1, 0) == 1) {
				sys_close_range(3, UINT_MAX);
				sys_sigprocmask(SIG_SETMASK, &no_signals,
						NULL);
				sys_execve(command, arguments, copy);
			}
			sys_exit_group(125);
		}
		if (pid < 0 || sys_wait((int)pid, &status) != 0 ||
		    !WIFEXITED(status))
			sys_exit_group(125);
		sys_exit_group(WEXITSTATUS(status));
	}
	if (pid > 0 && sys_wait((int)pid, &status) != 0)
		status = -1;
	meta_unmap(copy, size);
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
