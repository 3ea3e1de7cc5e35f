/*
 * process.c - the beginning and the end of the process, and fork.
 *
 * The object is marked to be initialised first (-z initfirst): what other
 * libraries allocate in their constructors has a call stack, and our exit
 * handler, registered before any other, runs after all others and after the
 * destructors of all libraries.
 */
#include "preload/preload.h"
#include "preload/next.h"
#include "settings/options.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

NEXT_DEFINE(_exit);
NEXT_DEFINE(_Exit);
NEXT_DEFINE(quick_exit);
NEXT_DEFINE(clock_gettime);

/* Of the linker: where this object begins and ends. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

/* Status given to quick_exit, which its handlers are not told. */
static int quick_status;

/*
 * Bound by the loader, like all we look at before we begin: a sanitizer's
 * runtime intercepts libc, and is not ready when we run.
 */
extern void __asan_init(void) __attribute__((weak));
extern void __lsan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __hwasan_init(void) __attribute__((weak));
extern __typeof__(malloc) own_malloc __attribute__((visibility("hidden")));

/*
 * glibc's own, all weak: another libc's loader, musl's, refuses to start a
 * program whose preloaded object lacks a symbol.  at_quick_exit and
 * pthread_atfork would bring strong references to the same functions.
 */
extern const char *gnu_get_libc_version(void) __attribute__((weak));
extern int on_exit(void (*)(int, void *), void *) __attribute__((weak));
extern int __cxa_at_quick_exit(void (*)(void *), void *)
	__attribute__((weak));
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void),
			     void *) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

/* dynamic_value - of this object's dynamic section, relocated. */
static uintptr_t
dynamic_value(ElfW(Sxword) tag)
{
	for (const ElfW(Dyn) *d = _DYNAMIC; d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return d->d_un.d_ptr;
	return 0;
}

static bool
is_malloc(const char *name)
{
	/* Not strcmp: see above. */
	for (const char *m = "malloc"; *m != '\0'; m++, name++)
		if (*name != *m)
			return false;
	return *name == '\0';
}

/*
 * bound_malloc - where the program's calls of malloc go.  The symbol's address
 * does not tell: in a program that is not position-independent it is that of
 * its own stub.  Our own import for calls is bound as everybody's.
 */
static const void *
bound_malloc(void)
{
	const ElfW(Rela) *r = (const void *)dynamic_value(DT_JMPREL);
	uintptr_t end = (uintptr_t)r + dynamic_value(DT_PLTRELSZ);
	const ElfW(Sym) *symbols = (const void *)dynamic_value(DT_SYMTAB);
	const char *strings = (const void *)dynamic_value(DT_STRTAB);

	for (; (uintptr_t)r < end; r++)
		if (is_malloc(strings +
			      symbols[ELF64_R_SYM(r->r_info)].st_name))
			return *(void **)((uintptr_t)__ehdr_start +
					  r->r_offset);
	return NULL;
}

/* why_not - the reason to stand down in this process; NULL: there is none. */
static const char *
why_not(void)
{
	if (gnu_get_libc_version == NULL)
		return "the program's libc is not glibc";
	if (getauxval(AT_SECURE) != 0)
		return "the program runs with raised privileges";
	if (__asan_init != NULL || __lsan_init != NULL ||
	    __tsan_init != NULL || __msan_init != NULL ||
	    __hwasan_init != NULL)
		return "the program holds a sanitizer runtime";
	if (bound_malloc() != (const void *)own_malloc)
		return "the program has its own malloc";
	return NULL;
}

void
process_begin(void)
{
	if (why_not() != NULL)
		bilge_mode = BILGE_PASSIVE;
	else
		bilge_begin();
}

static void
check_at_exit(int status, void *unused)
{
	int wanted = bilge_exit_check(status);

	(void)unused;
	/* Called in exit(), exit() goes on with the handlers left. */
	if (wanted != status)
		exit(wanted);
}

static void
check_at_quick_exit(void *unused)
{
	int wanted = bilge_exit_check(quick_status);

	(void)unused;
	if (wanted != quick_status)
		NEXT(_exit)(wanted);
}

/* find_data - our writable segment, for leaving it out of the roots. */
static int
find_data(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct bilge_host *host = argument;

	(void)size;
	if (info->dlpi_addr != (uintptr_t)__ehdr_start)
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || (p->p_flags & PF_W) == 0)
			continue;
		host->data_start = info->dlpi_addr + p->p_vaddr;
		host->data_end = host->data_start + p->p_memsz;
	}
	return 1;
}

/* find_libc - its mapping: the first of the loader's list to hold a symbol. */
static int
find_libc(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct bilge_host *host = argument;
	uintptr_t symbol = (uintptr_t)gnu_get_libc_version;
	uintptr_t start = UINTPTR_MAX, end = 0;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD)
			continue;
		start = MIN(start, info->dlpi_addr + p->p_vaddr);
		end = MAX(end, info->dlpi_addr + p->p_vaddr + p->p_memsz);
	}
	if (symbol < start || symbol >= end)
		return 0;
	host->libc_start = start;
	host->libc_end = end;
	return 1;
}

/* find_harmless - functions of libc whose blocks only the program writes. */
static void
find_harmless(struct bilge_host *host)
{
	static const char *const names[ARRAY_LEN(host->harmless)] = {
		"strdup", "strndup", "getdelim", "wcsdup",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const ElfW(Sym) *symbol = NULL;
		void *found = dlsym(RTLD_NEXT, names[i]);
		Dl_info info;

		if (found == NULL ||
		    dladdr1(found, &info, (void **)&symbol,
			    RTLD_DL_SYMENT) == 0 || symbol == NULL)
			continue;
		host->harmless[i][0] = (uintptr_t)found;
		host->harmless[i][1] = symbol->st_size;
	}
}

/* drop_preload - BILGE_CHILDREN=0: what this program starts runs without us. */
static void
drop_preload(const char *library, char **environment)
{
	static const char name[] = "LD_PRELOAD=";
	size_t length = strlen(library);

	/* In place: libc has not yet made it its own. */
	for (char **e = environment; *e != NULL; e++) {
		char *value = *e + sizeof(name) - 1, *at;

		if (strncmp(*e, name, sizeof(name) - 1) != 0)
			continue;
		at = strstr(value, library);
		if (at == NULL)
			return;
		memmove(at, at + length, strlen(at + length) + 1);
		while (*at == ':' || *at == ' ')
			memmove(at, at + 1, strlen(at));
		for (; *value == 0 && *e != NULL; e++)
			e[0] = e[1];
		return;
	}
}

__attribute__((constructor)) static void
start(int argc, char **argv, char **environment)
{
	struct bilge_host host = {
		.command = BILGE_COMMAND,
		.code_start = (uintptr_t)__ehdr_start,
		.code_end = (uintptr_t)_end,
		.thread_found = threads_found,
		.open_library = loader_open,
	};
	int saved_errno = errno;
	const char *reason = why_not();
	Dl_info self;

	if (reason != NULL) {
		bilge_start(&host, reason);
		return;
	}
	host.read_clock = NEXT(clock_gettime);
	host.library = dladdr(__ehdr_start, &self) != 0 ? self.dli_fname : "";
	dl_iterate_phdr(find_data, &host);
	dl_iterate_phdr(find_libc, &host);
	find_harmless(&host);
	bilge_start(&host, NULL);
	if (bilge_mode == BILGE_ACTIVE) {
		if (!options->children)
			drop_preload(host.library, environment);
		threads_init();
		__register_atfork(bilge_fork_prepare, bilge_fork_parent,
				  bilge_fork_child, &__dso_handle);
		on_exit(check_at_exit, NULL);
		__cxa_at_quick_exit(check_at_quick_exit, &__dso_handle);
	}
	errno = saved_errno;
}

PUBLIC void
_exit(int status)
{
	NEXT(_exit)(bilge_exit_check(status));
	__builtin_unreachable();
}

PUBLIC void
_Exit(int status)
{
	NEXT(_Exit)(bilge_exit_check(status));
	__builtin_unreachable();
}

PUBLIC void
quick_exit(int status)
{
	quick_status = status;
	NEXT(quick_exit)(status);
	__builtin_unreachable();
}
