/*
 * plugin.c - a library that is opened and closed all the time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT void *plugin_keep(size_t size);
EXPORT void plugin_drop(void *block);
EXPORT void plugin_lose(size_t size);

static __thread void *in_tls;

struct kept {
	void *other;
	char data[200];
};

static void *
make(size_t size)
{
	void *block = malloc(size);

	if (block == NULL)
		abort();
	memset(block, 0, size);
	return block;
}

void *
plugin_keep(size_t size)
{
	struct kept *kept = make(sizeof *kept);

	in_tls = make(size);
	kept->other = make(size);
	return kept;
}

void
plugin_drop(void *block)
{
	struct kept *kept = block;

	free(kept->other);
	free(kept);
	free(in_tls);
	in_tls = NULL;
}

void
plugin_lose(size_t size)
{
	char below[65536];

	make(size);
	memset(below, 0, sizeof below);
	__asm__ volatile("" : : "r"(below) : "memory");
}
