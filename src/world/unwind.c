/*
 * unwind.c - call stacks, through libunwind.  Its only user.
 *
 * libunwind exports _Unwind_*: linked, it would take over the exceptions of
 * every program.  It is opened with RTLD_LOCAL and called through pointers.
 *
 * It was not written to run under malloc in somebody else's program, so some
 * of its calls are redirected in its own import table:
 *
 *   dl_iterate_phdr       waits for the loader's lock, whose holder may wait
 *                         for us: answered from modules.c, lock-free
 *   pthread_key_create,   would be called inside the program's own
 *   pthread_setspecific   pthread_setspecific, when that allocates: the data
 *                         is kept in struct mutator
 *   pthread_mutex_*       go to one recursive lock of ours, which fork can
 *                         take and reset
 *   pipe2, write, read,   test whether an address is readable through a pipe,
 *   syscall, msync,       whose descriptors the program would see: answered
 *   mincore               by sys_is_readable()
 *
 * Always true:
 *   U1  a thread inside libunwind has is_unwinding set and never enters it
 *       again;
 *   U2  whoever waits for mutex.lock waits for a thread that needs nothing of
 *       any other thread.
 */
#include "world/unwind.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "report/depot.h"
#include "report/modules.h"
#include "world/mutator.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Frames of ours above the program's: malloc, bilge_alloc and their kin. */
#define OWN_FRAMES_MAX	(MUTATOR_FRAMES_MAX - DEPOT_DEPTH_MAX)

static struct {
	/* Fixed by unwind_init(). */
	int (*backtrace)(void **, int);
	void (*flush_cache)(void *, uintptr_t, uintptr_t);
	void **local_space;
	void (*destroy_data)(void *);
	uintptr_t own_start;
	uintptr_t own_end;
} library;

static struct {
	struct lock lock;
	/* Guarded by lock; holder is read by anyone, relaxed: is it me? */
	_Atomic int holder;
	unsigned depth;
} mutex = { .lock = LOCK_INIT(RANK_UNWIND) };

/* ------------------------------------------------- what libunwind calls now */

static int
redirect_iterate(int (*visit)(struct dl_phdr_info *, size_t, void *),
		 void *argument)
{
	/*
	 * libunwind's argument begins with the address it looks for.  It is a
	 * hint only: were it something else, no module would be found for it.
	 */
	return modules_iterate(*(uintptr_t *)argument, visit, argument);
}

static int
redirect_mutex_lock(void *ignored)
{
	int tid = sys_gettid();

	(void)ignored;
	if (load_relaxed(&mutex.holder) != tid) {
		lock_acquire(&mutex.lock);
		store_relaxed(&mutex.holder, tid);
	}
	mutex.depth++;
	return 0;
}

static int
redirect_mutex_unlock(void *ignored)
{
	(void)ignored;
	if (--mutex.depth == 0) {
		store_relaxed(&mutex.holder, 0);
		lock_release(&mutex.lock);
	}
	return 0;
}

static int
redirect_key_create(unsigned *ret_key, void (*destroy)(void *))
{
	*ret_key = 0;
	library.destroy_data = destroy;
	return 0;
}

static int
redirect_setspecific(unsigned key, void *data)
{
	(void)key;
	if (mutator_self == NULL)
		return EINVAL;
	mutator_self->unwinder_data = data;
	return 0;
}

static int
redirect_pipe2(int fds[2], int flags)
{
	(void)flags;
	fds[0] = fds[1] = -1;
	return 0;
}

static ssize_t
redirect_write(int fd, const void *from, size_t size)
{
	if (fd >= 0)
		return sys_write(fd, from, size);
	if (sys_is_readable(ALIGN_DOWN((uintptr_t)from, 8)))
		return 1;
	errno = EFAULT;
	return -1;
}

static ssize_t
redirect_read(int fd, void *to, size_t size)
{
	if (fd >= 0)
		return sys_read(fd, to, size);
	errno = EAGAIN;
	return -1;
}

static long
redirect_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	if (number == SYS_write)
		return redirect_write((int)a, (const void *)b, (size_t)c);
	result = arch_syscall(number, a, b, c, d, e, f);
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static int
redirect_mincore(void *addr, size_t size, unsigned char *pages)
{
	memset(pages, 1, (size + ARCH_PAGE_SIZE - 1) / ARCH_PAGE_SIZE);
	return redirect_write(-1, addr, 1) == 1 ? 0 : -1;
}

static int
redirect_msync(void *addr, size_t size, int flags)
{
	(void)size;
	(void)flags;
	return redirect_write(-1, addr, 1) == 1 ? 0 : -1;
}

static const struct {
	const char *name;
	void *target;
} redirects[] = {
	{ "dl_iterate_phdr", redirect_iterate },
	{ "pthread_mutex_lock", redirect_mutex_lock },
	{ "pthread_mutex_unlock", redirect_mutex_unlock },
	{ "pthread_key_create", redirect_key_create },
	{ "pthread_setspecific", redirect_setspecific },
	{ "pipe2", redirect_pipe2 },
	{ "pipe", redirect_pipe2 },
	{ "write", redirect_write },
	{ "syscall", redirect_syscall },
	{ "read", redirect_read },
	{ "mincore", redirect_mincore },
	{ "msync", redirect_msync },
};

/* ------------------------------------------------------------- import table */

static uintptr_t
dynamic_value(const struct link_map *map, ElfW(Sxword) tag)
{
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return d->d_un.d_ptr;
	return 0;
}

static void
patch_slot(uintptr_t slot, void *target)
{
	uintptr_t page = ALIGN_DOWN(slot, ARCH_PAGE_SIZE);
	if (sys_mprotect(page, ARCH_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0)
		__atomic_store_n((void **)slot, target, __ATOMIC_RELAXED);
}

static void
patch_imports(const struct link_map *map, uintptr_t table, size_t size)
{
	const ElfW(Sym) *symbols =
		(const void *)dynamic_value(map, DT_SYMTAB);
	const char *strings = (const void *)dynamic_value(map, DT_STRTAB);
	const ElfW(Rela) *r = (const void *)table;

	for (; (uintptr_t)r < table + size; r++) {
		unsigned long type = ELF64_R_TYPE(r->r_info);
		const char *name = strings +
			symbols[ELF64_R_SYM(r->r_info)].st_name;

		if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(redirects); i++)
			if (strcmp(name, redirects[i].name) == 0)
				patch_slot(map->l_addr + r->r_offset,
					   redirects[i].target);
	}
}

/* seal_relro - make what the loader had made read-only read-only again. */
static void
seal_relro(const struct link_map *map)
{
	const struct module *m;
	uint64_t mask;
	uint32_t index;

	mutator_enter(&mask);
	index = modules_find((uintptr_t)map->l_ld);
	mutator_leave(mask);

	if (index == MODULE_NONE)
		return;
	m = modules_get(index);
	for (unsigned i = 0; i < m->phnum; i++) {
		uintptr_t start = m->bias + m->phdr[i].p_vaddr;
		uintptr_t end = start + m->phdr[i].p_memsz;

		if (m->phdr[i].p_type != PT_GNU_RELRO)
			continue;
		start = ALIGN_DOWN(start, ARCH_PAGE_SIZE);
		end = ALIGN_DOWN(end, ARCH_PAGE_SIZE);
		if (end > start)
			sys_mprotect(start, end - start, PROT_READ);
	}
}

static void
redirect_calls(void *handle)
{
	struct link_map *map;

	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0)
		return;
	patch_imports(map, dynamic_value(map, DT_JMPREL),
		      dynamic_value(map, DT_PLTRELSZ));
	patch_imports(map, dynamic_value(map, DT_RELA),
		      dynamic_value(map, DT_RELASZ));
	seal_relro(map);
}

bool
unwind_init(uintptr_t own_start, uintptr_t own_end,
	    void *(*open)(const char *, int))
{
	int saved_errno = errno;
	void *handle = open("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
	void *warm[4];

	errno = saved_errno;
	if (handle == NULL)
		return false;
	library.own_start = own_start;
	library.own_end = own_end;
	*(void **)&library.flush_cache = dlsym(handle, "unw_flush_cache");
	if (library.flush_cache == NULL)
		*(void **)&library.flush_cache =
			dlsym(handle, "_Ux86_64_flush_cache");
	library.local_space = dlsym(handle, "_ULx86_64_local_addr_space");
	redirect_calls(handle);
	*(void **)&library.backtrace = dlsym(handle, "unw_backtrace");
	if (library.backtrace == NULL)
		return false;
	/* Its one-time set-up happens now and not inside a malloc. */
	library.backtrace(warm, (int)ARRAY_LEN(warm));
	errno = saved_errno;
	return true;
}

uint32_t
unwind_begin(uint32_t frames_max, const uintptr_t **ret_frames)
{
	struct mutator *m = mutator_self;
	uint32_t own = 0;
	int saved_errno, n;

	if (library.backtrace == NULL || m == NULL || m->is_unwinding)
		return 0;
	m->is_unwinding = 1;					/* U1 */
	atomic_signal_fence(memory_order_seq_cst);
	/* libunwind is written against libc: it sets errno. */
	saved_errno = errno;
	n = library.backtrace((void **)m->frames,
			      (int)(frames_max + OWN_FRAMES_MAX));
	errno = saved_errno;
	while ((int)own < n && m->frames[own] - library.own_start <
			       library.own_end - library.own_start)
		own++;
	if ((int)own >= n) {
		unwind_end();
		return 0;
	}
	*ret_frames = m->frames + own;
	return MIN((uint32_t)n - own, frames_max);
}

void
unwind_end(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	mutator_self->is_unwinding = 0;
}

void
unwind_thread_end(void)
{
	struct mutator *m = mutator_self;

	if (m == NULL || m->unwinder_data == NULL ||
	    library.destroy_data == NULL)
		return;
	m->is_unwinding = 1;					/* U1 */
	/* As a key's destructor it asks to be called until the last round. */
	for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS &&
	     m->unwinder_data != NULL; round++) {
		void *data = m->unwinder_data;

		m->unwinder_data = NULL;
		library.destroy_data(data);
	}
	m->unwinder_data = NULL;
}

void
unwind_forget(void)
{
	struct mutator *m = mutator_self;

	if (library.flush_cache == NULL || library.local_space == NULL ||
	    m == NULL || m->is_unwinding)
		return;
	m->is_unwinding = 1;					/* U1 */
	library.flush_cache(*library.local_space, 0, 0);
	m->is_unwinding = 0;
}

void
unwind_fork_lock(void)
{
	redirect_mutex_lock(NULL);
}

void
unwind_fork_unlock(bool in_child)
{
	if (!in_child) {
		redirect_mutex_unlock(NULL);
		return;
	}
	mutex.depth = 0;
	store_relaxed(&mutex.holder, 0);
	lock_reset(&mutex.lock);
}
