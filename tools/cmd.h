/*
 * cmd.h - what every part of the command shares: statuses, messages, memory.
 *
 * Messages go to standard error, one line each, and begin with "bilge: ".
 * Standard output belongs to what the user asked for.
 */
#ifndef BILGE_CMD_H
#define BILGE_CMD_H

#include <stddef.h>

/* Exit statuses of the command itself; they are part of bilge(1). */
enum status {
	STATUS_OK = 0,
	STATUS_NO = 1,			/* doctor: it cannot run */
	STATUS_USAGE = 2,
	STATUS_LEAKS = 23,		/* check */
	STATUS_FAILED = 125,		/* bilge could not do its work */
	STATUS_NOT_EXECUTABLE = 126,
	STATUS_NOT_FOUND = 127,
	STATUS_SIGNALED = 128,		/* plus the signal */
};

/* The subcommands.  argv[0] is "bilge NAME"; the result is the status. */
int run_main(int argc, char **argv);
int check_main(int argc, char **argv);
int report_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int settings_main(int argc, char **argv);

/* cmd_warn - one line on standard error. */
void cmd_warn(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* cmd_die - one line on standard error, and the end with this status. */
_Noreturn void cmd_die(enum status status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * cmd_common_option - answer --help ('h') and --version ('V'), and getopt's
 * own complaint ('?') with the status of wrong usage.  Does not return.
 */
_Noreturn void cmd_common_option(int option, const char *help);

/* cmd_number - text as a decimal number in [min, max], or wrong usage. */
long cmd_number(const char *option, const char *text, long min, long max);

/* Memory or the end of the command; the caller frees. */
void *cmd_alloc(size_t size);			/* cleared */
void *cmd_realloc(void *old, size_t size);
char *cmd_printf(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#endif
