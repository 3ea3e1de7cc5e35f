/*
 * malloc.c - the C allocation functions.
 *
 * Only arguments, errno and the choice between our heap and the next
 * allocator are decided here.  Behaviour is glibc's: a failure sets ENOMEM, a
 * success leaves errno alone, malloc(0) is unique, realloc(p, 0) frees.
 *
 * A pointer that is not ours belongs to whoever comes next; in a process in
 * which we stand down everything new does too.
 */
#include "preload/next.h"
#include "preload/preload.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Not in the headers of every libc we build with. */
PUBLIC void cfree(void *);
PUBLIC void free_sized(void *, size_t);
PUBLIC void free_aligned_sized(void *, size_t, size_t);

NEXT_DEFINE(malloc);
NEXT_DEFINE(calloc);
NEXT_DEFINE(realloc);
NEXT_DEFINE(free);
NEXT_DEFINE(memalign);
NEXT_DEFINE(malloc_usable_size);

/* is_active - do we serve new requests?  Starts us if nobody has. */
ALWAYS_INLINE bool
is_active(void)
{
	if (likely(bilge_mode == BILGE_ACTIVE))
		return true;
	if (bilge_mode == BILGE_UNBORN)
		process_begin();
	return bilge_mode == BILGE_ACTIVE;
}

ALWAYS_INLINE void *
or_enomem(void *block)
{
	if (unlikely(block == NULL))
		errno = ENOMEM;
	return block;
}

static NOINLINE void *
malloc_slower(size_t size, const void *caller)
{
	if (likely(size < heap_fast_end))
		return or_enomem(heap_alloc_claiming(size));
	if (unlikely(!is_active()))
		return NEXT(malloc)(size);
	return or_enomem(bilge_alloc(size, false, caller));
}

/* Apart from the rest: nothing is to be saved on the stack here. */
static NOINLINE void *
malloc_slow(size_t size, const void *caller)
{
	void *block = bilge_alloc_quick(size, false, caller);

	return likely(block != NULL) ? block : malloc_slower(size, caller);
}

PUBLIC void *
malloc(size_t size)
{
	void *block;

	if (likely(heap_alloc_fast(size, &block)))
		return block;
	return malloc_slow(size, __builtin_return_address(0));
}

PUBLIC void *
calloc(size_t count, size_t size)
{
	size_t total;

	if (unlikely(__builtin_mul_overflow(count, size, &total)))
		return or_enomem(NULL);
	if (unlikely(!is_active()))
		return NEXT(calloc)(count, size);
	return or_enomem(bilge_alloc(total, true,
				     __builtin_return_address(0)));
}

/* gcc wants to be told that an alias is no less than its target. */
#if defined(__GNUC__) && !defined(__clang__)
#define OWN_COPY	copy(malloc)
#else
#define OWN_COPY
#endif

/* Another name for ours: is the program's malloc this one? */
extern __typeof__(malloc) own_malloc
	__attribute__((alias("malloc"), visibility("hidden"), OWN_COPY));

void
free_elsewhere(void *block)
{
	/* Owner thread. */
	static __thread bool is_looking;

	/*
	 * dlsym frees the text of an earlier error, if there is one, before
	 * it looks anything up: that block is lost rather than looked up for.
	 */
	if (is_looking)
		return;
	is_looking = true;
	NEXT(free)(block);
	is_looking = false;
}

void
free_slow(void *block, const char *function, const void *caller)
{
	if (block != NULL && !bilge_free(block, function, caller))
		free_elsewhere(block);
}

PUBLIC void
free(void *block)
{
	free_as(block, "free");
}

PUBLIC void
cfree(void *block)
{
	free_as(block, "cfree");
}

PUBLIC void
free_sized(void *block, size_t size)
{
	(void)size;
	free_as(block, "free_sized");
}

PUBLIC void
free_aligned_sized(void *block, size_t alignment, size_t size)
{
	(void)alignment;
	(void)size;
	free_as(block, "free_aligned_sized");
}

static void *
resize_as(void *block, size_t size, const char *function, const void *caller)
{
	bool foreign;
	void *moved;

	if (block == NULL && unlikely(!is_active()))
		return NEXT(malloc)(size);
	if (block == NULL)
		return or_enomem(bilge_alloc(size, false, caller));
	if (size == 0) {
		free_as(block, function);
		return NULL;
	}
	moved = bilge_resize(block, size, &foreign, function, caller);
	if (unlikely(foreign))
		return NEXT(realloc)(block, size);
	return or_enomem(moved);
}

PUBLIC void *
realloc(void *block, size_t size)
{
	return resize_as(block, size, "realloc",
			 __builtin_return_address(0));
}

PUBLIC void *
reallocarray(void *block, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return or_enomem(NULL);
	return resize_as(block, total, "reallocarray",
			 __builtin_return_address(0));
}

/* round_alignment - to the next power of two, as glibc's memalign does. */
static size_t
round_alignment(size_t alignment)
{
	size_t power = SLOT_ALIGN;

	while (power < alignment)
		power *= 2;
	return power;
}

static void *
align_for(size_t alignment, size_t size, const void *caller)
{
	if (unlikely(!is_active()))
		return NEXT(memalign)(alignment, size);
	if (alignment > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	return or_enomem(bilge_alloc_aligned(size, round_alignment(alignment),
					     caller));
}

PUBLIC void *
memalign(size_t alignment, size_t size)
{
	return align_for(alignment, size, __builtin_return_address(0));
}

PUBLIC void *
aligned_alloc(size_t alignment, size_t size)
{
	return align_for(alignment, size, __builtin_return_address(0));
}

PUBLIC int
posix_memalign(void **ret, size_t alignment, size_t size)
{
	int saved = errno;
	void *block;

	if (alignment % sizeof(void *) != 0 || !bits_is_power_of_two(alignment))
		return EINVAL;
	block = align_for(alignment, size, __builtin_return_address(0));
	errno = saved;
	if (block == NULL)
		return ENOMEM;
	*ret = block;
	return 0;
}

PUBLIC void *
valloc(size_t size)
{
	return align_for(ARCH_PAGE_SIZE, size, __builtin_return_address(0));
}

PUBLIC void *
pvalloc(size_t size)
{
	if (size > PTRDIFF_MAX)
		return or_enomem(NULL);
	return align_for(ARCH_PAGE_SIZE, ALIGN_UP(size, ARCH_PAGE_SIZE),
			 __builtin_return_address(0));
}

PUBLIC size_t
malloc_usable_size(void *block)
{
	if (block == NULL)
		return 0;
	if (arena_contains((uintptr_t)block))
		return heap_usable_size(block);
	return NEXT(malloc_usable_size)(block);
}

/* --------------------------------------------------------------- statistics */

PUBLIC int
malloc_trim(size_t pad)
{
	(void)pad;
	return is_active() && heap_trim() > 0;
}

PUBLIC int
mallopt(int parameter, int value)
{
	/* Accepted, as glibc accepts what it knows; nothing to tune here. */
	(void)parameter;
	(void)value;
	return 1;
}

PUBLIC struct mallinfo2
mallinfo2(void)
{
	struct heap_statistics s = heap_statistics();
	size_t held = s.used_bytes - MIN(s.quarantined_bytes, s.used_bytes);

	return (struct mallinfo2){
		.arena = s.mapped_bytes,
		.ordblks = s.free_slots,
		.hblks = s.large_blocks,
		.hblkhd = s.large_bytes,
		.uordblks = held,
		.fordblks = s.mapped_bytes - held,
		.keepcost = s.dirty_bytes,
	};
}

PUBLIC struct mallinfo
mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();

	return (struct mallinfo){
		.arena = (int)m.arena,
		.ordblks = (int)m.ordblks,
		.hblks = (int)m.hblks,
		.hblkhd = (int)m.hblkhd,
		.uordblks = (int)m.uordblks,
		.fordblks = (int)m.fordblks,
		.keepcost = (int)m.keepcost,
	};
}

PUBLIC void
malloc_stats(void)
{
	struct mallinfo2 m = mallinfo2();

	fprintf(stderr, "Arena 0:\nsystem bytes     = %10zu\n"
		"in use bytes     = %10zu\nTotal (incl. mmap):\n"
		"system bytes     = %10zu\nin use bytes     = %10zu\n"
		"max mmap regions = %10zu\nmax mmap bytes   = %10zu\n",
		m.arena, m.uordblks, m.arena, m.uordblks, m.hblks, m.hblkhd);
}

PUBLIC int
malloc_info(int options_given, FILE *stream)
{
	struct mallinfo2 m = mallinfo2();

	if (options_given != 0)
		return EINVAL;
	fprintf(stream, "<malloc version=\"1\">\n"
		"<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
		"<system type=\"current\" size=\"%zu\"/>\n"
		"<system type=\"max\" size=\"%zu\"/>\n"
		"<aspace type=\"total\" size=\"%zu\"/>\n"
		"<aspace type=\"mprotect\" size=\"%zu\"/>\n</malloc>\n",
		m.ordblks, m.fordblks, m.hblks, m.hblkhd, m.arena,
		arena_peak_bytes(), m.arena, m.arena);
	return 0;
}
