/*
 * lsan.c - the interface of LeakSanitizer, so that programs annotated for it
 * work unchanged (sanitizer/lsan_interface.h).
 */
#include "preload/preload.h"
#include "settings/options.h"

#include <stdlib.h>

PUBLIC void __lsan_disable(void);
PUBLIC void __lsan_enable(void);
PUBLIC void __lsan_ignore_object(const void *block);
PUBLIC void __lsan_register_root_region(const void *start, size_t size);
PUBLIC void __lsan_unregister_root_region(const void *start, size_t size);
PUBLIC void __lsan_do_leak_check(void);
PUBLIC int __lsan_do_recoverable_leak_check(void);

/* The status LeakSanitizer ends a program with unless told otherwise. */
#define LEAK_STATUS 23

void
__lsan_disable(void)
{
	bilge_ignore_begin();
}

void
__lsan_enable(void)
{
	bilge_ignore_end();
}

void
__lsan_ignore_object(const void *block)
{
	bilge_ignore_block(block);
}

void
__lsan_register_root_region(const void *start, size_t size)
{
	bilge_root_add(start, size);
}

void
__lsan_unregister_root_region(const void *start, size_t size)
{
	bilge_root_remove(start, size);
}

void
__lsan_do_leak_check(void)
{
	/* As the check at exit, only earlier: it is not repeated there. */
	if (bilge_exit_check_now())
		_Exit(options->exitcode != 0 ? (int)options->exitcode
					     : LEAK_STATUS);
}

int
__lsan_do_recoverable_leak_check(void)
{
	return bilge_check() > 0;
}
