/*
 * guards.c - guard pages inside blocks: coroutine stacks that a program keeps
 * in its heap, as many do.
 *
 *	guards BLOCKS ROUNDS
 *
 * Blocks are made, their first page is closed, they hold the only pointer to
 * another block behind it, and go, some with their guard still closed.  The
 * page must stay closed all the time.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE	4096
#define STACK	(256 * 1024)

static sigjmp_buf back;
static char **volatile keep;

static void
go_back(int sig)
{
	siglongjmp(back, sig);
}

static int
is_closed(volatile char *page)
{
	if (sigsetjmp(back, 1) != 0)
		return 1;
	(void)*page;
	return 0;
}

static void
die(const char *what)
{
	fprintf(stderr, "guards: %s\n", what);
	_exit(1);
}

static char *
make(unsigned n)
{
	char *stack, *held = malloc(100 + n % 400);

	if (posix_memalign((void **)&stack, PAGE, STACK) != 0)
		die("no memory");
	memset(stack, 1, STACK);
	memset(held, (int)n, 100);
	*(char **)(stack + STACK / 2) = held;
	if (mprotect(stack, PAGE, PROT_NONE) != 0)
		die("mprotect");
	return stack;
}

int
main(int argc, char **argv)
{
	unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
	char **stacks = calloc(count, sizeof(*stacks));

	signal(SIGSEGV, go_back);
	for (unsigned n = 0; n < count * rounds; n++) {
		char *stack = stacks[n % count];

		if (stack != NULL) {
			char *held = *(char **)(stack + STACK / 2);

			if (held[99] != (char)(n - count))
				die("a block in use was changed");
			if (!is_closed(stack))
				die("a guard page was opened");
			free(held);
			if (n % 3 != 0 && mprotect(stack, PAGE, PROT_READ |
						   PROT_WRITE) != 0)
				die("mprotect");
			free(stack);
		}
		stacks[n % count] = make(n);
	}
	puts("done");
	/* The rest is held by the table until the process ends. */
	keep = stacks;
	return 0;
}
