/*
 * modules.c - the loaded objects that code addresses lie in.
 *
 * Owns the list of modules, which only grows: a frame of a library that was
 * closed keeps its name.
 *
 * Always true:
 *   N1  an entry below modules.count is complete and its Fixed part does not
 *       change;
 *   N2  at most one loaded entry covers an address.
 *
 * Adding is guarded by modules.lock (RANK_MODULES); readers take no lock.
 * Atomics: release [N] at modules.count publishes an entry.
 */
#include "report/modules.h"

#include "base/bits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

#define MODULES_MAX	16384u

static struct {
	/* Fixed by modules_init(). */
	int (*find_object)(void *, struct dl_find_object *);
	uintptr_t loader;		/* an address in the dynamic loader */
	struct module *list;

	/* Guarded by lock. */
	struct lock lock;
	size_t committed;
	unsigned long closed;		/* how many were found gone */
	/* Atomic: [N] */
	_Atomic uint32_t count;
} modules = { .lock = LOCK_INIT(RANK_MODULES) };

int
modules_init(void)
{
	modules.list = meta_reserve(MODULES_MAX * sizeof(*modules.list));
	if (modules.list == NULL)
		return -ENOMEM;
	/* glibc 2.35; by name, so that the library needs libc only. */
	*(void **)&modules.find_object = dlsym(RTLD_DEFAULT,
					       "_dl_find_object");
	modules.loader = getauxval(AT_BASE);
	/* Run as a command, the loader has no base of its own to tell. */
	if (modules.loader == 0)
		modules.loader = (uintptr_t)dlsym(RTLD_DEFAULT,
						  "__tls_get_addr");
	return modules.find_object != NULL ? 0 : -ENOSYS;
}

static void
read_build_id(struct module *m, const ElfW(Phdr) *note)
{
	uintptr_t p = m->bias + note->p_vaddr;
	uintptr_t end = p + note->p_memsz;

	while (p + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *n = (const void *)p;
		uintptr_t name = p + sizeof(*n);
		uintptr_t data = name + ALIGN_UP((uintptr_t)n->n_namesz, 4);

		if (data + n->n_descsz > end)
			return;
		if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
		    memcmp((const void *)name, "GNU", 4) == 0) {
			m->build_id_size = MIN(n->n_descsz, BUILD_ID_MAX);
			memcpy(m->build_id, (const void *)data,
			       m->build_id_size);
			return;
		}
		p = data + ALIGN_UP((uintptr_t)n->n_descsz, 4);
	}
}

static char *
copy_path(const char *path)
{
	char exe[PATH_MAX];
	size_t size;
	char *copy;

	if (path == NULL || *path == '\0') {
		long n = sys_readlink("/proc/thread-self/exe", exe,
				      sizeof(exe) - 1);

		exe[n > 0 ? n : 0] = '\0';
		path = exe;
	}
	size = strlen(path) + 1;
	copy = meta_alloc(size);
	return copy == NULL ? NULL : memcpy(copy, path, size);
}

/* note_locked - append what the loader said. */
static uint32_t
note_locked(const struct dl_find_object *found)
{
	const struct link_map *map = found->dlfo_link_map;
	const ElfW(Ehdr) *header = found->dlfo_map_start;
	uint32_t index = load_relaxed(&modules.count);
	struct module *m = &modules.list[index];
	size_t committed;

	if (index == MODULES_MAX)
		return MODULE_NONE;
	committed = meta_commit(modules.list, modules.committed,
				(index + 1) * sizeof(*m),
				MODULES_MAX * sizeof(*m));
	if (committed == 0)
		return MODULE_NONE;
	modules.committed = committed;
	m->bias = map->l_addr;
	m->start = (uintptr_t)found->dlfo_map_start;
	m->end = (uintptr_t)found->dlfo_map_end;
	m->link_map = map;
	m->path = copy_path(map->l_name);
	if (m->path == NULL)
		return MODULE_NONE;
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) == 0) {
		m->phdr = (const void *)(m->start + header->e_phoff);
		m->phnum = header->e_phnum;
	}
	for (unsigned i = 0; i < m->phnum; i++)
		if (m->phdr[i].p_type == PT_NOTE && m->build_id_size == 0)
			read_build_id(m, &m->phdr[i]);
	store_relaxed(&m->is_loaded, true);
	/* release [N] */
	store_release(&modules.count, index + 1);
	return index;
}

static bool
covers(const struct module *m, uintptr_t addr)
{
	return addr >= m->start && addr < m->end;
}

static uint32_t
lookup(uintptr_t addr, bool also_gone)
{
	/* acquire [N] */
	for (uint32_t i = load_acquire(&modules.count); i-- > 0;)
		if (covers(&modules.list[i], addr) &&
		    (also_gone || load_relaxed(&modules.list[i].is_loaded)))
			return i;
	return MODULE_NONE;
}

uint32_t
modules_lookup(uintptr_t addr)
{
	uint32_t index = lookup(addr, false);

	return index != MODULE_NONE ? index : lookup(addr, true);
}

uint32_t
modules_find(uintptr_t addr)
{
	uint32_t index = lookup(addr, false);
	struct dl_find_object found;

	if (index != MODULE_NONE || modules.find_object == NULL ||
	    modules.find_object((void *)addr, &found) != 0)
		return index;
	lock_acquire(&modules.lock);
	index = lookup(addr, false);
	if (index == MODULE_NONE)
		index = note_locked(&found);
	lock_release(&modules.lock);
	return index;
}

bool
modules_is_loader(uintptr_t addr)
{
	uint32_t loader = modules_find(modules.loader);

	return loader != MODULE_NONE && covers(modules_get(loader), addr);
}

bool
modules_is_code(uintptr_t addr)
{
	uint32_t index = lookup(addr, false);
	const struct module *m = modules_get(index);

	for (unsigned i = 0; index != MODULE_NONE && i < m->phnum; i++)
		if (m->phdr[i].p_type == PT_LOAD &&
		    (m->phdr[i].p_flags & PF_X) != 0 &&
		    addr - m->bias - m->phdr[i].p_vaddr < m->phdr[i].p_memsz)
			return true;
	return false;
}

struct module *
modules_get(uint32_t index)
{
	return &modules.list[index];
}

uint32_t
modules_count(void)
{
	return load_acquire(&modules.count);
}

bool
modules_closed(void)
{
	bool any = false;

	if (modules.find_object == NULL)
		return false;
	for (uint32_t i = modules_count(); i-- > 0;) {
		struct module *m = &modules.list[i];
		struct dl_find_object found;

		if (!load_relaxed(&m->is_loaded))
			continue;
		if (modules.find_object((void *)m->start, &found) == 0 &&
		    found.dlfo_link_map == m->link_map &&
		    (uintptr_t)found.dlfo_map_end == m->end)
			continue;
		store_relaxed(&m->is_loaded, false);
		modules.closed++;
		any = true;
	}
	return any;
}

static int
visit_one(const struct module *m,
	  int (*visit)(struct dl_phdr_info *, size_t, void *), void *argument)
{
	struct dl_phdr_info info = {
		.dlpi_addr = m->bias,
		.dlpi_name = m->path,
		.dlpi_phdr = m->phdr,
		.dlpi_phnum = (ElfW(Half))m->phnum,
		.dlpi_adds = modules_count(),
		.dlpi_subs = modules.closed,
	};

	return m->phdr == NULL ? 0 : visit(&info, sizeof(info), argument);
}

int
modules_iterate(uintptr_t hint,
		int (*visit)(struct dl_phdr_info *, size_t, void *),
		void *argument)
{
	uint32_t first = modules_find(hint);
	int result = 0;

	if (first != MODULE_NONE)
		result = visit_one(modules_get(first), visit, argument);
	for (uint32_t i = 0; i < modules_count() && result == 0; i++)
		if (i != first && load_relaxed(&modules.list[i].is_loaded))
			result = visit_one(modules_get(i), visit, argument);
	return result;
}

size_t
modules_tls_bytes(const struct module *m)
{
	for (unsigned i = 0; load_relaxed(&m->is_loaded) && i < m->phnum; i++)
		if (m->phdr[i].p_type == PT_TLS)
			return m->phdr[i].p_memsz + m->phdr[i].p_align;
	return 0;
}

/* dynamic_pointer - an address in the dynamic section, relocated or not. */
static uintptr_t
dynamic_pointer(const struct module *m, ElfW(Sxword) tag)
{
	const ElfW(Dyn) *dyn = NULL;

	for (unsigned i = 0; i < m->phnum; i++)
		if (m->phdr[i].p_type == PT_DYNAMIC)
			dyn = (const void *)(m->bias + m->phdr[i].p_vaddr);
	for (; dyn != NULL && dyn->d_tag != DT_NULL; dyn++)
		if (dyn->d_tag == tag)
			return dyn->d_un.d_ptr < m->start && m->bias != 0
			       ? dyn->d_un.d_ptr + m->bias
			       : dyn->d_un.d_ptr;
	return 0;
}

/* symbol_count - how many dynamic symbols, from the GNU hash table. */
static uint32_t
symbol_count(const uint32_t *hash)
{
	uint32_t bucket_count = hash[0], first = hash[1], bloom_words = hash[2];
	const uint32_t *buckets = hash + 4 + bloom_words * 2;
	const uint32_t *chain = buckets + bucket_count;
	uint32_t last = 0;

	for (uint32_t i = 0; i < bucket_count; i++)
		last = MAX(last, buckets[i]);
	if (last < first)
		return first;
	while ((chain[last - first] & 1) == 0)
		last++;
	return last + 1;
}

const char *
modules_symbol(const struct module *m, uintptr_t addr)
{
	const ElfW(Sym) *symbols, *best = NULL;
	const uint32_t *hash;
	const char *strings;
	uint32_t count;

	if (!load_relaxed(&m->is_loaded))
		return NULL;
	symbols = (const void *)dynamic_pointer(m, DT_SYMTAB);
	strings = (const void *)dynamic_pointer(m, DT_STRTAB);
	hash = (const void *)dynamic_pointer(m, DT_GNU_HASH);
	if (symbols == NULL || strings == NULL || hash == NULL)
		return NULL;
	count = symbol_count(hash);
	addr -= m->bias;
	for (uint32_t i = 0; i < count; i++) {
		const ElfW(Sym) *s = &symbols[i];

		if (ELF64_ST_TYPE(s->st_info) == STT_FUNC &&
		    s->st_shndx != SHN_UNDEF && addr >= s->st_value &&
		    addr < s->st_value + s->st_size)
			best = s;
	}
	return best == NULL ? NULL : strings + best->st_name;
}

void
modules_fork_lock(void)
{
	lock_acquire(&modules.lock);
}

void
modules_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&modules.lock);
	else
		lock_release(&modules.lock);
}
