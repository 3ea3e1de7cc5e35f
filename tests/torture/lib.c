/*
 * lib.c - a library that victims load while they run.
 */
#include "torture.h"

EXPORT void *torture_data[SEATS_MAX] = { torture_data };
EXPORT void *torture_bss[SEATS_MAX];
EXPORT void **torture_tls(void);

static __thread char filler[1000];
static __thread void *held;

void **
torture_tls(void)
{
	use(filler);
	return &held;
}
