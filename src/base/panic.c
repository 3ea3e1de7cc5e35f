/*
 * panic.c - what the library says on standard error, and how it dies.
 *
 * Owns the crash hook.  Nothing here allocates, locks or reads errno.
 */
#include "base/panic.h"

#include "base/fmt.h"
#include "base/sys.h"

#include <signal.h>

/* World at start: set once by bilge_start(), before there are threads. */
static void (*crash_hook)(const char *message);

void
panic_set_hook(void (*hook)(const char *message))
{
	crash_hook = hook;
}

static void
write_line(const char *format, va_list ap, char *line, size_t size)
{
	struct fmt f;

	/* One byte is kept for the newline of a line that was cut. */
	fmt_init(&f, line, size - 1);
	fmt_text(&f, "bilge: ");
	fmt_vprint(&f, format, ap);
	fmt_end(&f);
	f.length = MIN(f.length, f.size - 1);
	line[f.length] = '\n';
	sys_write_stderr(line, f.length + 1);
	line[f.length] = '\0';
}

void
say(const char *format, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, format);
	write_line(format, ap, line, sizeof(line));
	va_end(ap);
}

/*
 * die_by_abort - end as abort(3) does, without its locks: SIGABRT to this
 * thread, and if a handler returned or the signal is ignored, once more with
 * the default action.
 */
static _Noreturn void
die_by_abort(void)
{
	uint64_t abrt = UINT64_C(1) << (SIGABRT - 1);

	sys_sigprocmask(SIG_UNBLOCK, &abrt, NULL);
	sys_tgkill(sys_getpid(), sys_gettid(), SIGABRT);
	sys_sigaction(SIGABRT, NULL, 0);
	sys_tgkill(sys_getpid(), sys_gettid(), SIGABRT);
	sys_exit_group(127);
}

_Noreturn void
panic(const char *format, ...)
{
	static atomic_flag hook_ran = ATOMIC_FLAG_INIT;
	char line[512];
	va_list ap;

	va_start(ap, format);
	write_line(format, ap, line, sizeof(line));
	va_end(ap);
	if (crash_hook != NULL && !atomic_flag_test_and_set(&hook_ran))
		crash_hook(line);
	die_by_abort();
}
