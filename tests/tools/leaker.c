/*
 * leaker.c - leaker [STATUS [none]]: loses three blocks of 100 bytes, unless
 * told to lose none, and exits with STATUS.
 */
#include <stdlib.h>
#include <string.h>

static void *volatile last;

__attribute__((noinline)) static void
lose(void)
{
	for (int i = 0; i < 3; i++) {
		last = malloc(100);
		last = NULL;
	}
}

/* So deep that no address of a block is left on the stack in use. */
__attribute__((noinline)) static void
wipe(void)
{
	volatile char stack[4096];

	memset((char *)stack, 0, sizeof(stack));
}

int
main(int argc, char **argv)
{
	if (argc < 3)
		lose();
	wipe();
	return argc > 1 ? atoi(argv[1]) : 0;
}
