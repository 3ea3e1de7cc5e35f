/*
 * panic.h - what the library says on standard error, and how it dies.
 *
 * Every message of the library is one line that begins "bilge: ", written by
 * one write(2), and is listed in bilge(7), DIAGNOSTICS.
 *
 * Defaults: any context.
 */
#ifndef BILGE_PANIC_H
#define BILGE_PANIC_H

#include "base/base.h"

/* say - one line to standard error.  The program goes on. */
void say(const char *format, ...) PRINTF(1, 2);

/* panic - one line to standard error, then abort as the C library does. */
_Noreturn void panic(const char *format, ...) PRINTF(1, 2) COLD;

/*
 * panic_set_hook - called once by panic() before it aborts, to bring what is
 * known into the record.
 */
void panic_set_hook(void (*hook)(const char *message));

/* REQUIRE - always on: memory is corrupt or the program broke a rule. */
#define REQUIRE(x) \
	(likely(x) ? (void)0 : panic("internal error: %s (%s:%u)", #x, \
				     __FILE__, (unsigned)__LINE__))

/* ASSERT - in debug builds: we broke a rule of our own. */
#ifdef BILGE_DEBUG
#define ASSERT(x)	REQUIRE(x)
#else
#define ASSERT(x)	((void)sizeof(x))
#endif

#endif
