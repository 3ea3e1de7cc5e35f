/*
 * depot.c - call stacks, each kept once.
 *
 * Owns every call stack that was kept.  They lie in one table that only grows;
 * an id is a stack's place in it, in 16-byte steps, so that 32 bits reach
 * 64 GiB of stacks.
 *
 * Always true:
 *   D1  a stack reachable from a bucket is complete and never changes;
 *   D2  no two stacks in the table have the same frames.
 *
 * Readers take no lock.  Adding is guarded by depot.lock (RANK_DEPOT).
 * Atomics: release [D] at a bucket publishes the stack to acquire [D].
 */
#include "report/depot.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/lock.h"
#include "heap/meta.h"
#include "heap/span.h"

#include <errno.h>
#include <string.h>

/* Of the address space that metadata may take. */
#define TABLE_PART	8
#define TABLE_SIZE_MAX	(16 * GIB)
#define BUCKET_BITS	16u

uintptr_t depot_start;
_Atomic(const struct stack *) depot_lately[1u << DEPOT_LATELY_BITS];

static struct {
	/* Fixed by depot_init(). */
	char *table;
	_Atomic(struct stack *) *buckets;

	/* Guarded by lock. */
	struct lock lock;
	size_t size;
	size_t used;
	size_t committed;
} depot = { .lock = LOCK_INIT(RANK_DEPOT) };

int
depot_init(void)
{
	depot.buckets = meta_alloc(sizeof(*depot.buckets) << BUCKET_BITS);
	if (depot.buckets == NULL)
		return -ENOMEM;
	depot.size = MIN(ALIGN_DOWN(meta_room() / TABLE_PART, ARCH_PAGE_SIZE),
			 TABLE_SIZE_MAX);
	depot.table = meta_reserve(depot.size);
	depot_start = (uintptr_t)depot.table;
	depot.used = SITE_FIRST * DEPOT_STEP;
	return depot.table == NULL ? -ENOMEM : 0;
}

static uint64_t
hash_frames(const uintptr_t *frames, uint32_t count)
{
	/* Two independent lanes: the multiplications overlap. */
	uint64_t a = count, b = UINT64_C(0x9e3779b97f4a7c15);
	uint32_t i;

	for (i = 0; i + 1 < count; i += 2) {
		a = (a ^ frames[i]) * UINT64_C(0xff51afd7ed558ccd);
		b = (b ^ frames[i + 1]) * UINT64_C(0xc4ceb9fe1a85ec53);
		a ^= a >> 32;
		b ^= b >> 32;
	}
	if (i < count)
		a ^= frames[i];
	return bits_mix(a ^ (b << 1));
}

static uint32_t
find(uint64_t hash, const uintptr_t *frames, uint32_t count)
{
	/* acquire [D] */
	struct stack *s = load_acquire(
		&depot.buckets[hash & (bits_below(BUCKET_BITS))]);

	for (; s != NULL; s = load_relaxed(&s->next))
		if (s->hash == hash && s->count == count &&
		    memcmp(s->frames, frames, count * sizeof(*frames)) == 0)
			break;
	if (s == NULL)
		return 0;
	if (count == 1)
		/* release [D] */
		store_release(&depot_lately[depot_place(*frames)], s);
	return depot_id(s);
}

uint32_t
depot_find(const uintptr_t *frames, uint32_t count)
{
	return find(hash_frames(frames, count), frames, count);
}

static struct stack *
add_locked(uint64_t hash, const uintptr_t *frames, uint32_t count)
{
	_Atomic(struct stack *) *bucket =
		&depot.buckets[hash & bits_below(BUCKET_BITS)];
	size_t size = ALIGN_UP(sizeof(struct stack) +
			       count * sizeof(*frames), DEPOT_STEP);
	size_t committed = meta_commit(depot.table, depot.committed,
				       depot.used + size, depot.size);
	struct stack *s;

	if (committed == 0)
		return NULL;
	depot.committed = committed;
	s = (struct stack *)(depot.table + depot.used);
	depot.used += size;
	s->hash = hash;
	s->count = count;
	memcpy(s->frames, frames, count * sizeof(*frames));
	store_relaxed(&s->next, load_relaxed(bucket));
	/* release [D] */
	store_release(bucket, s);				/* D1 */
	return s;
}

uint32_t
depot_intern(const uintptr_t *frames, uint32_t count)
{
	uint64_t hash = hash_frames(frames, count);
	struct stack *s;
	uint32_t id;

	lock_acquire(&depot.lock);
	id = find(hash, frames, count);				/* D2 */
	if (id == 0) {
		s = add_locked(hash, frames, count);
		id = s != NULL ? depot_id(s) : SITE_UNKNOWN;
	}
	lock_release(&depot.lock);
	return id;
}

const struct stack *
depot_stack(uint32_t id)
{
	if (id < SITE_FIRST)
		return NULL;
	return (const struct stack *)(depot.table + (size_t)id * DEPOT_STEP);
}

void
depot_shrink(size_t size)
{
	lock_acquire(&depot.lock);
	size = MAX(size, depot.committed);
	if (size < depot.size) {
		meta_release(depot.table + size, depot.size - size);
		depot.size = size;
	}
	lock_release(&depot.lock);
}

void
depot_fork_lock(void)
{
	lock_acquire(&depot.lock);
}

void
depot_fork_unlock(bool in_child)
{
	if (in_child)
		lock_reset(&depot.lock);
	else
		lock_release(&depot.lock);
}
