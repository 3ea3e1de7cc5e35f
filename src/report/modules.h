/*
 * modules.h - the loaded objects that code addresses lie in.
 * Defaults: Context: mutator inside mutator_hold(), collector.
 */
#ifndef BILGE_MODULES_H
#define BILGE_MODULES_H

#include "base/base.h"

#include <link.h>

#define BUILD_ID_MAX	20
#define MODULE_NONE	UINT32_MAX

/* An object file in memory.  It stays nameable after it was unloaded. */
struct module {
	/* Fixed. */
	uintptr_t bias;			/* address minus virtual address */
	uintptr_t start;		/* its mapping */
	uintptr_t end;
	const ElfW(Phdr) *phdr;		/* a copy */
	unsigned phnum;
	char *path;
	unsigned build_id_size;
	unsigned char build_id[BUILD_ID_MAX];
	/* Guarded by RANK_MODULES: changes when it is loaded again. */
	const void *link_map;
	/* Atomic: relaxed; false while it is gone. */
	_Atomic bool is_loaded;
};

/*
 * modules_init - get ready.  Context: early.
 * Errors: -ENOMEM; -ENOSYS, the loader cannot be asked.
 */
int modules_init(void);

/*
 * modules_find - the loaded module an address lies in, noted on first sight.
 *
 * The loader is asked in its lock-free way: a thread that holds the loader's
 * lock can be waiting for us.
 *
 * Returns:  its index; MODULE_NONE outside any module.
 */
uint32_t modules_find(uintptr_t addr);

/* modules_lookup - like modules_find(), among those noted, gone ones too. */
uint32_t modules_lookup(uintptr_t addr);

/* modules_is_loader - does an address lie in the dynamic loader's own code? */
bool modules_is_loader(uintptr_t addr);

/* modules_is_code - does an address lie in a loaded module's code? */
bool modules_is_code(uintptr_t addr);

struct module *modules_get(uint32_t index);
uint32_t modules_count(void);

/* modules_closed - an object may have been unloaded.  Returns: were some? */
bool modules_closed(void);

/*
 * modules_iterate - dl_iterate_phdr(3) over the noted modules, lock-free.
 * Units: hint, an address whose module comes first.
 */
int modules_iterate(uintptr_t hint,
		    int (*visit)(struct dl_phdr_info *, size_t, void *),
		    void *argument);

/* modules_tls_bytes - of thread-local storage that a module asks for. */
size_t modules_tls_bytes(const struct module *module);

/* modules_static_tls_max - bytes below a thread pointer, at most. */
size_t modules_static_tls_max(void);

/*
 * modules_symbol - the exported function an address lies in, NULL when none.
 * Cost: linear in the module's exported symbols.
 */
const char *modules_symbol(const struct module *module, uintptr_t addr);

void modules_fork_lock(void);
void modules_fork_unlock(bool in_child);

#endif
