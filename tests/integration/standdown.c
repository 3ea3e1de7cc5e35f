/*
 * standdown.c - a plain program, built in the ways in which bilge must not
 * touch it: statically linked, with its own malloc (OWN_MALLOC), with a
 * sanitizer.  It says whether the kernel calls it privileged.
 */
#include <sys/auxv.h>

#include "victim.h"

#ifdef OWN_MALLOC
/* As small as an allocator can be: nothing is ever freed. */
static _Alignas(16) char memory[16 << 20];
static size_t used;
static int calls;

EXPORT void *
malloc(size_t size)
{
	char *block = memory + used + 16;

	calls++;
	memcpy(memory + used, &size, sizeof size);
	used += 16 + (size + 15) / 16 * 16;
	return used <= sizeof memory ? block : NULL;
}

EXPORT void
free(void *block)
{
}

EXPORT void *
calloc(size_t count, size_t size)
{
	return malloc(count * size);
}

EXPORT void *
realloc(void *block, size_t size)
{
	void *again = malloc(size);
	size_t kept;

	if (block != NULL) {
		memcpy(&kept, (char *)block - 16, sizeof kept);
		memcpy(again, block, kept < size ? kept : size);
	}
	return again;
}
#endif

int
main(void)
{
	char *text = strdup("plain");

	text = realloc(text, 100000);
	CHECK(text != NULL && strcmp(text, "plain") == 0);
	puts(text);
	free(text);
	printf("privileged %lu\n", getauxval(AT_SECURE));
#ifdef OWN_MALLOC
	printf("own malloc %s\n", calls >= 2 ? "used" : "not used");
	lose_block(100);
#endif
	return 3;
}
