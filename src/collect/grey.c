/*
 * grey.c - what was reached and not scanned yet.
 *
 * Owns the chunks.  They lie in one table that grows while a cycle needs it
 * and is given back to the kernel when the cycle is over.
 *
 * Always true:
 *   L1  a chunk is in exactly one list: a thread's, the pool's or the unused
 *       ones;
 *   L2  nobody waits while the pool has a chunk: who adds one wakes a waiter;
 *   L3  marking together has ended when all who joined wait: then no list has
 *       anything.
 *
 * The pool is guarded by grey.lock (RANK_GREY).
 */
#include "collect/grey.h"

#include "base/lock.h"
#include "base/sys.h"
#include "heap/meta.h"

#include <sys/mman.h>

/* Address space for chunks; a 64th of what metadata has. */
#define TABLE_PART	64
#define TABLE_MIN	(64 * KIB)
#define TABLE_MAX	(4 * GIB)

/* Kept between cycles: enough for a heap without long lists. */
#define KEEP		(256 * KIB)

static struct {
	/* Guarded by lock. */
	struct lock lock;
	struct grey_chunk *table;
	size_t size;			/* bytes of address space */
	size_t committed;
	size_t cut;			/* chunks cut from the table so far */
	struct grey_chunk *full;	/* the pool */
	struct grey_chunk *unused;
	unsigned joined;
	unsigned waiting;
	bool is_stopped;
	/* Atomic: changes when waiters should look again. */
	_Atomic uint32_t turn;
} grey = { .lock = LOCK_INIT(RANK_GREY) };

bool
grey_open(void)
{
	lock_acquire(&grey.lock);
	for (size_t size = MIN(meta_room() / TABLE_PART, TABLE_MAX);
	     grey.table == NULL && size >= TABLE_MIN; size /= 2) {
		grey.size = ALIGN_DOWN(size, sizeof(struct grey_chunk));
		grey.table = meta_reserve(grey.size);
	}
	grey.joined = grey.waiting = 0;
	grey.is_stopped = false;
	lock_release(&grey.lock);
	return grey.table != NULL;
}

void
grey_close(void)
{
	lock_acquire(&grey.lock);
	grey.full = grey.unused = NULL;
	grey.cut = 0;
	/* Without the pages the table reads as zero. */
	if (grey.committed > KEEP)
		sys_madvise((uintptr_t)grey.table + KEEP,
			    grey.committed - KEEP, MADV_DONTNEED);
	lock_release(&grey.lock);
}

static struct grey_chunk *
take_unused_locked(void)
{
	struct grey_chunk *chunk = grey.unused;
	size_t needed = (grey.cut + 1) * sizeof(*chunk);
	size_t committed;

	if (chunk != NULL) {
		grey.unused = chunk->next;
		return chunk;
	}
	committed = meta_commit(grey.table, grey.committed, needed, grey.size);
	if (committed == 0)
		return NULL;
	grey.committed = committed;
	chunk = &grey.table[grey.cut++];
	chunk->used = 0;
	return chunk;
}

/* share_locked - put a full chunk into the pool (L2). */
static void
share_locked(struct grey_chunk *chunk)
{
	chunk->next = grey.full;
	grey.full = chunk;
	if (grey.waiting > 0) {
		atomic_fetch_add_explicit(&grey.turn, 1, memory_order_relaxed);
		sys_futex_wake(&grey.turn, 1);
	}
}

bool
grey_begin_chunk(struct grey *own)
{
	struct grey_chunk *chunk;

	lock_acquire(&grey.lock);
	chunk = own->spare != NULL ? own->spare : take_unused_locked();
	own->spare = NULL;
	if (chunk != NULL && own->top != NULL)
		share_locked(own->top);
	lock_release(&grey.lock);
	if (chunk == NULL)
		return false;
	own->top = chunk;
	return true;
}

bool
grey_take_chunk(struct grey *own)
{
	struct grey_chunk *chunk;

	lock_acquire(&grey.lock);
	chunk = grey.full;
	if (chunk != NULL) {
		grey.full = chunk->next;
		if (own->top != NULL) {
			if (own->spare != NULL) {
				own->spare->next = grey.unused;
				grey.unused = own->spare;
			}
			own->spare = own->top;
		}
		own->top = chunk;
	}
	lock_release(&grey.lock);
	return chunk != NULL;
}

void
grey_give_back(struct grey *own)
{
	if (own->top == NULL || own->top->used == 0)
		return;
	lock_acquire(&grey.lock);
	share_locked(own->top);
	lock_release(&grey.lock);
	own->top = own->spare;
	own->spare = NULL;
}

bool
grey_is_empty(const struct grey *own)
{
	bool is_empty;

	if (own->top != NULL && own->top->used != 0)
		return false;
	lock_acquire(&grey.lock);
	is_empty = grey.full == NULL;
	lock_release(&grey.lock);
	return is_empty;
}

void
grey_join(void)
{
	lock_acquire(&grey.lock);
	grey.joined++;
	lock_release(&grey.lock);
}

void
grey_leave(void)
{
	lock_acquire(&grey.lock);
	grey.joined--;
	lock_release(&grey.lock);
}

static void
wake_all_locked(void)
{
	atomic_fetch_add_explicit(&grey.turn, 1, memory_order_relaxed);
	sys_futex_wake(&grey.turn, UINT32_MAX >> 1);
}

bool
grey_wait(void)
{
	bool has_work;

	lock_acquire(&grey.lock);
	grey.waiting++;
	for (;;) {
		uint32_t turn = load_relaxed(&grey.turn);

		has_work = grey.full != NULL && !grey.is_stopped;
		if (has_work || grey.is_stopped ||
		    grey.waiting == grey.joined)
			break;
		lock_release(&grey.lock);
		sys_futex_wait(&grey.turn, turn, 0);
		lock_acquire(&grey.lock);
	}
	grey.waiting--;
	if (!has_work) {					/* L3 */
		grey.joined--;
		wake_all_locked();
	}
	lock_release(&grey.lock);
	return has_work;
}

void
grey_stop(void)
{
	lock_acquire(&grey.lock);
	grey.is_stopped = true;
	wake_all_locked();
	lock_release(&grey.lock);
}

void
grey_fork_child(void)
{
	lock_reset(&grey.lock);
	grey.full = grey.unused = NULL;
	grey.cut = 0;
	grey.joined = grey.waiting = 0;
}
