/*
 * crew.c - the collector's own threads.
 *
 * Owns their stacks and thread areas.  They are made by the system call and
 * not by libc: that can be done anywhere, also deep inside an allocation that
 * libc made with a lock of its own held.
 *
 * Always true:
 *   E1  a member's word is 0 exactly when no thread of it exists: the kernel
 *       writes its tid before it runs and clears it when it has ended;
 *   E2  a member blocks every signal from its first instruction on;
 *   E3  what members open has numbers of their own table of descriptors: the
 *       program's next open(2) gets the lowest of its own.
 *
 * What libc does not know it cannot give a new identity: a member must not be
 * alive across setuid(2) and its kin (preload/privileges.c).
 */
#include "world/crew.h"

#include "base/arch.h"
#include "base/sys.h"
#include "heap/cache.h"
#include "heap/meta.h"
#include "world/stop.h"

#include <errno.h>

/* The collector prints lines and reads /proc with buffers on its stack. */
#define STACK_SIZE	(128 * KIB)
/* Our own thread-local variables, and what the linker puts between them. */
#define OWN_TLS_MAX	(4 * KIB)

/* A tid may be another thread's soon after: it is not asked for for ever. */
#define GONE_TRIES	10000u

static struct member {
	/* Atomic: its tid; see E1. */
	_Atomic uint32_t tid;
	/* Owned by whoever starts and joins it. */
	int born;		/* its tid, also when it has ended */
	void *memory;
	size_t size;
	void (*work)(void *);
	void *argument;
	bool has_own_files;	/* who starts it has, and so it has the same */
} crew[CREW_MAX];

static void
run_member(void *argument)
{
	struct member *m = argument;

	cache_self = &cache_nobody;
	/*
	 * The first one: the others are made by it.  Not under a filter of
	 * system calls, which may kill for one that it does not expect.
	 */
	if (m->has_own_files)
		sys_share_files();
	else if (m == &crew[0] && !sys_is_filtered())
		sys_own_files();
	if (stop_exempt_begin()) {
		m->work(m->argument);
		stop_exempt_end();
	}
}

/* area_size - of a thread area that holds our own thread-local variables. */
static size_t
area_size(void)
{
	uintptr_t tp = arch_thread_pointer();
	size_t below = MAX(tp - (uintptr_t)&cache_self,
			   tp - (uintptr_t)&mutator_self);

	return ALIGN_UP(below + OWN_TLS_MAX + ARCH_TCB_SIZE + 64,
			ARCH_PAGE_SIZE);
}

int
crew_start(unsigned member, void (*work)(void *), void *argument)
{
	const uint64_t all = ~UINT64_C(0);
	struct member *m = &crew[member];
	uintptr_t area;
	uint64_t mask;
	long tid;

	if (m->memory == NULL) {
		m->size = STACK_SIZE + area_size();
		m->memory = meta_map(m->size);
		if (m->memory == NULL)
			return -ENOMEM;
	}
	m->work = work;
	m->argument = argument;
	m->has_own_files = sys_has_own_files();
	area = arch_thread_area_init((char *)m->memory + STACK_SIZE,
				     m->size - STACK_SIZE);
	sys_sigprocmask(SIG_SETMASK, &all, &mask);		/* E2 */
	tid = arch_clone_thread((uintptr_t)m->memory + STACK_SIZE, area,
				&m->tid, run_member, m);
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
	if (tid < 0)
		return (int)tid;
	m->born = (int)tid;
	return 0;
}

bool
crew_is_running(unsigned member)
{
	return load_acquire(&crew[member].tid) != 0;
}

void
crew_join(unsigned member)
{
	struct member *m = &crew[member];

	sys_wait_cleared(&m->tid);				/* E1 */
	/* The process has one thread less a little later. */
	for (unsigned tries = 0; m->born != 0 && tries < GONE_TRIES &&
	     sys_tgkill(sys_getpid(), m->born, 0) == 0; tries++)
		sys_sched_yield();
	m->born = 0;
	if (m->memory != NULL)
		meta_unmap(m->memory, m->size);
	m->memory = NULL;
}

void
crew_fork_child(void)
{
	for (unsigned i = 0; i < CREW_MAX; i++) {
		store_relaxed(&crew[i].tid, 0);
		crew[i].born = 0;
		if (crew[i].memory != NULL)
			meta_unmap(crew[i].memory, crew[i].size);
		crew[i].memory = NULL;
	}
}
