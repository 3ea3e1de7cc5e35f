/*
 * victimlib.c - a library that victims load while they run.
 */
#include "victim.h"

EXPORT void *lib_global = &lib_global;
EXPORT uintptr_t lib_late;	/* hidden: freed by the destructor */
EXPORT size_t lib_lose_late;	/* bytes the destructor loses */

static __thread char lib_tls_filler[1000];
static __thread void *lib_tls;

EXPORT void **lib_tls_place(void);

EXPORT void **
lib_tls_place(void)
{
	use(lib_tls_filler);
	return &lib_tls;
}

static __attribute__((destructor)) void
lib_fini(void)
{
	if (lib_late != 0)
		free(reveal(lib_late));
	if (lib_lose_late != 0)
		lose_block(lib_lose_late);
}

/* A function of Lua's: it takes nothing, returns nothing, and forgets. */
EXPORT int lib_lua_lose(void *state);

EXPORT int
lib_lua_lose(void *state)
{
	(void)state;
	memset(use(malloc(2000)), 1, 2000);
	scrub_registers();
	return 0;
}
