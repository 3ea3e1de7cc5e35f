/*
 * modules.c - the loaded objects that code addresses lie in.
 *
 * Owns the list of modules, which only grows: a frame of a library that was
 * closed keeps its name.
 *
 * Always true:
 *   N1  an entry below modules.count is complete and its Fixed part does not
 *       change;
 *   N2  at most one loaded entry covers an address;
 *   N3  what is noted was read while the object was there: any thread may
 *       close it meanwhile, and another may come to its place.  Nothing of it
 *       is read later but through read_object(), or by who runs in it.
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
#define PHDRS_MAX	64

/* What glibc adds to static TLS for libraries opened later, and for itself. */
#define STATIC_TLS_SURPLUS (8 * KIB)

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

/*
 * Guarded by modules.lock: an object while it is noted.  Not on the stack, of
 * which a signal handler that allocates may have little.
 */
static struct {
	char path[PATH_MAX];
	ElfW(Phdr) headers[PHDRS_MAX];
	char notes[1024] __attribute__((aligned(4)));
} scratch;

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

/*
 * read_object - copy of an object that another thread may be closing.
 * Returns: bytes copied, fewer where it is gone.
 */
static size_t
read_object(uintptr_t from, void *to, size_t size)
{
	long n = sys_copy_from(from, to, size);

	if (n >= 0 || n == -EFAULT)
		return n < 0 ? 0 : (size_t)n;
	/* No /proc: most likely it is there. */
	memcpy(to, (const void *)from, size);
	return size;
}

static void
read_build_id(struct module *m, const ElfW(Phdr) *note)
{
	char *notes = scratch.notes;
	size_t end = read_object(m->bias + note->p_vaddr, notes,
				 MIN(note->p_memsz, sizeof(scratch.notes)));

	for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= end;) {
		const ElfW(Nhdr) *n = (const void *)(notes + at);
		size_t name = at + sizeof(*n);
		size_t data = name + ALIGN_UP((size_t)n->n_namesz, 4);

		if (data + n->n_descsz > end)
			return;
		if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
		    memcmp(notes + name, "GNU", 4) == 0) {
			m->build_id_size = MIN(n->n_descsz, BUILD_ID_MAX);
			memcpy(m->build_id, notes + data,
			       m->build_id_size);
			return;
		}
		at = data + ALIGN_UP((size_t)n->n_descsz, 4);
	}
}

/* read_path - Returns: false when there is none that can be read. */
static bool
read_path(uintptr_t from)
{
	char *path = scratch.path;
	size_t size = from == 0 ? 0 : read_object(from, path, PATH_MAX);

	if (from != 0 && memchr(path, '\0', size) == NULL)
		return false;
	if (from == 0 || *path == '\0') {
		long n = sys_readlink("/proc/thread-self/exe", path,
				      PATH_MAX - 1);

		path[n > 0 ? n : 0] = '\0';
	}
	return true;
}

/*
 * read_headers - the object's program headers.  In a copy of our own: it is
 * looked at when the object may be gone.
 */
static bool
read_headers(struct module *m)
{
	ElfW(Phdr) *headers = scratch.headers;
	ElfW(Ehdr) header;

	if (read_object(m->start, &header, sizeof(header)) != sizeof(header))
		return false;
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_phnum > PHDRS_MAX)
		return true;		/* an object without */
	if (read_object(m->start + header.e_phoff, headers, header.e_phnum *
			sizeof(*headers)) != header.e_phnum * sizeof(*headers))
		return false;
	m->phdr = headers;
	m->phnum = header.e_phnum;
	for (unsigned i = 0; i < m->phnum; i++)
		if (headers[i].p_type == PT_NOTE && m->build_id_size == 0)
			read_build_id(m, &headers[i]);
	return true;
}

static bool
is_same_object(const struct module *a, const struct module *b)
{
	return a->start == b->start && a->end == b->end &&
	       a->bias == b->bias && a->phnum == b->phnum &&
	       a->build_id_size == b->build_id_size &&
	       memcmp(a->build_id, b->build_id, a->build_id_size) == 0 &&
	       strcmp(a->path, b->path) == 0;
}

/* find_gone_locked - the same object that was here before, or MODULE_NONE. */
static uint32_t
find_gone_locked(const struct module *m)
{
	for (uint32_t i = load_relaxed(&modules.count); i-- > 0;)
		if (!load_relaxed(&modules.list[i].is_loaded) &&
		    is_same_object(&modules.list[i], m))
			return i;
	return MODULE_NONE;
}

static void *
copy(const void *from, size_t size)
{
	void *to = meta_alloc(size);

	return to == NULL ? NULL : memcpy(to, from, size);
}

/* append_locked - what found says now belongs to us. */
static uint32_t
append_locked(const struct module *found)
{
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
	memcpy(m, found, sizeof(*m));
	m->path = copy(found->path, strlen(found->path) + 1);
	if (m->phnum > 0)
		m->phdr = copy(found->phdr, m->phnum * sizeof(*m->phdr));
	if (m->path == NULL || (m->phnum > 0 && m->phdr == NULL))
		return MODULE_NONE;
	/* release [N] */
	store_release(&modules.count, index + 1);
	return index;
}

/* is_still - does the loader say the same of this object as before? */
static bool
is_still(const struct module *m)
{
	struct dl_find_object found;

	return modules.find_object((void *)m->start, &found) == 0 &&
	       found.dlfo_link_map == m->link_map &&
	       (uintptr_t)found.dlfo_map_start == m->start &&
	       (uintptr_t)found.dlfo_map_end == m->end;
}

/* note_locked - note what the loader said, unless it is gone by now (N3). */
static uint32_t
note_locked(const struct dl_find_object *found)
{
	struct link_map map;
	struct module m = {
		.start = (uintptr_t)found->dlfo_map_start,
		.end = (uintptr_t)found->dlfo_map_end,
		.link_map = found->dlfo_link_map,
		.path = scratch.path,
	};
	uint32_t index;

	if (read_object((uintptr_t)m.link_map, &map, sizeof(map)) !=
	    sizeof(map))
		return MODULE_NONE;
	m.bias = map.l_addr;
	if (!read_path((uintptr_t)map.l_name) || !read_headers(&m) ||
	    !is_still(&m))
		return MODULE_NONE;
	store_relaxed(&m.is_loaded, true);
	index = find_gone_locked(&m);
	if (index == MODULE_NONE)
		return append_locked(&m);
	modules.list[index].link_map = m.link_map;
	store_relaxed(&modules.list[index].is_loaded, true);
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
	lock_acquire(&modules.lock);
	for (uint32_t i = load_relaxed(&modules.count); i-- > 0;) {
		struct module *m = &modules.list[i];

		if (!load_relaxed(&m->is_loaded) || is_still(m))
			continue;
		store_relaxed(&m->is_loaded, false);
		modules.closed++;
		any = true;
	}
	lock_release(&modules.lock);
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

size_t
modules_static_tls_max(void)
{
	size_t bytes = STATIC_TLS_SURPLUS;

	for (uint32_t i = 0; i < modules_count(); i++)
		bytes += modules_tls_bytes(modules_get(i));
	return bytes;
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
