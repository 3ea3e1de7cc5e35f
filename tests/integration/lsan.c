/*
 * lsan.c - programs annotated for LeakSanitizer.
 */
#include <sys/mman.h>

#include "victim.h"

void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));
void __lsan_ignore_object(const void *) __attribute__((weak));
void __lsan_register_root_region(const void *, size_t)
    __attribute__((weak));
void __lsan_unregister_root_region(const void *, size_t)
    __attribute__((weak));
void __lsan_do_leak_check(void) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static NOINLINE void
lose_pair(void)
{
	void **outer = malloc(100);

	memset(outer, 0, 100);
	outer[3] = malloc(200);
	use(outer);
}

/* Nothing allocated in between is a leak, nor what it points at. */
static int
disabled(const char *arg)
{
	if (__lsan_disable != NULL)
		__lsan_disable();
	lose_pair();
	if (__lsan_disable != NULL)
		__lsan_disable();
	if (__lsan_enable != NULL)
		__lsan_enable();
	lose_pair();
	if (__lsan_enable != NULL)
		__lsan_enable();
	return 0;
}

static int
enabled_again(const char *arg)
{
	disabled("");
	lose_block(77);
	return 0;
}

static NOINLINE void
lose_ignored(void)
{
	void **outer = malloc(100);

	memset(outer, 0, 100);
	outer[3] = malloc(200);
	if (__lsan_ignore_object != NULL)
		__lsan_ignore_object(outer);
	use(outer);
}

static int
ignored(const char *arg)
{
	lose_ignored();
	lose_block(77);
	return 0;
}

static NOINLINE void
put(void **place, uintptr_t hidden)
{
	*place = reveal(hidden);
}

/* For BILGE_ROOTS=segments, where a mapping is no root by itself. */
static int
region(const char *arg)
{
	void **map = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	if (__lsan_register_root_region != NULL)
		__lsan_register_root_region(map, 4096);
	put(&map[100], hidden_block(300));
	put(&map[4096], hidden_block(400));
	if (strcmp(arg, "drop") == 0 && __lsan_unregister_root_region != NULL)
		__lsan_unregister_root_region(map, 4096);
	return 0;
}

/* One report, when asked for, and the end. */
static int
check(const char *arg)
{
	lose_block(100);
	if (__lsan_do_leak_check != NULL)
		__lsan_do_leak_check();
	puts("checked");
	fflush(stdout);
	return 0;
}

static int
check_clean(const char *arg)
{
	if (__lsan_do_leak_check != NULL)
		__lsan_do_leak_check();
	puts("checked");
	return 0;
}

static int
check_recoverably(const char *arg)
{
	int before = 0, after = 1;

	if (__lsan_do_recoverable_leak_check != NULL)
		before = __lsan_do_recoverable_leak_check();
	lose_block(100);
	if (__lsan_do_recoverable_leak_check != NULL)
		after = __lsan_do_recoverable_leak_check();
	printf("%d %d\n", before != 0, after != 0);
	fflush(stdout);
	_exit(0);
}

static int
all_there(const char *arg)
{
	return !(__lsan_disable && __lsan_enable && __lsan_ignore_object &&
	    __lsan_register_root_region && __lsan_unregister_root_region &&
	    __lsan_do_leak_check && __lsan_do_recoverable_leak_check);
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "disabled", disabled },
		{ "enabled_again", enabled_again },
		{ "ignored", ignored },
		{ "region", region },
		{ "check", check },
		{ "check_clean", check_clean },
		{ "check_recoverably", check_recoverably },
		{ "all_there", all_there },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
