/*
 * test_panic.c - what the library says on standard error, and how it dies.
 */
#include "unit.h"

#include "base/panic.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char *shared;	/* what a child leaves for its parent */

static void
say_some(void)
{
	say("thread %d: %s", 17, "it did not answer");
	say("100%%");
}

static void
say_much(void)
{
	char text[2000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	say("%s", text);
}

START_TEST(test_say)
{
	const char *text = unit_capture(say_some);

	ck_assert_str_eq(text, "bilge: thread 17: it did not answer\n"
			       "bilge: 100%\n");
	/* A line that is too long is cut, and still a line. */
	text = unit_capture(say_much);
	ck_assert_uint_lt(strlen(text), 600);
	ck_assert_uint_gt(strlen(text), 500);
	ck_assert_str_eq(text + strlen(text) - 2, "x\n");
	ck_assert_uint_eq(unit_count(text, "\n"), 1);
}
END_TEST

/* status_of - how a child that runs this function ends. */
static int
status_of(void (*run)(void))
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		run();
		_exit(0);
	}
	expect(child > 0 && waitpid(child, &status, 0) == child);
	return status;
}

static void
hook(const char *message)
{
	strcat(shared, message);
}

static void
die(void)
{
	panic_set_hook(hook);
	panic("free(): double free %p", (void *)0x1230);
}

static void
die_ignoring(void)
{
	signal(SIGABRT, SIG_IGN);
	panic("ignored");
}

static void
return_from_abort(int sig)
{
	(void)sig;
	strcat(shared, "handled");
}

static void
die_handling(void)
{
	signal(SIGABRT, return_from_abort);
	panic("handled");
}

static void
die_blocking(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	panic("blocked");
}

static void
panic_in_hook(const char *message)
{
	hook(message);
	panic("again");
}

static void
die_twice(void)
{
	panic_set_hook(panic_in_hook);
	panic("once");
}

static void
fail_requirement(void)
{
	REQUIRE(1 + 1 == 3);
}

static int status;
static void (*running)(void);

static void
run_child(void)
{
	shared[0] = '\0';
	status = status_of(running);
}

static const char *
text_of(void (*run)(void))
{
	const char *text;

	running = run;
	text = unit_capture(run_child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	return text;
}

START_TEST(test_panic)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_str_eq(text_of(die), "bilge: free(): double free 0x1230\n");
	/* The hook gets the line as it was printed, but for its newline. */
	ck_assert_str_eq(shared, "bilge: free(): double free 0x1230");
	ck_assert_str_eq(text_of(die_ignoring), "bilge: ignored\n");
	ck_assert_str_eq(text_of(die_handling), "bilge: handled\n");
	ck_assert_str_eq(shared, "handled");
	ck_assert_str_eq(text_of(die_blocking), "bilge: blocked\n");
	/* The hook runs once, whatever it does. */
	ck_assert_str_eq(text_of(die_twice), "bilge: once\nbilge: again\n");
	ck_assert_str_eq(shared, "bilge: once");
	ck_assert_uint_eq(unit_count(text_of(fail_requirement),
				     "bilge: internal error: 1 + 1 == 3 ("), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("panic");

	unit_case(suite, "say", test_say);
	unit_case(suite, "panic", test_panic);
	return unit_run(suite);
}
