/*
 * base.h - the vocabulary every file may use.
 *
 * Owns nothing.  Three pointer-like types are never mixed in this tree:
 * `void *` is a block given to the program, `struct x *` is our metadata and
 * `uintptr_t` is a word that may or may not be a pointer.
 *
 * Context and safety words used in headers:
 *   early      before bilge_start(): no settings, perhaps no /proc
 *   mutator    a program thread; may be stopped at any instruction
 *   collector  the thread that runs a cycle
 *   stopped    the collector, while every mutator stands still
 *   signal     in the handler of the stop signal
 *   forked     the child, between fork and bilge_fork_child()
 */
#ifndef BILGE_BASE_H
#define BILGE_BASE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#define ALWAYS_INLINE	static inline __attribute__((always_inline))
#define NOINLINE	__attribute__((noinline))
#define COLD		__attribute__((cold, noinline))
#define PRINTF(f, a)	__attribute__((format(printf, f, a)))
#define PUBLIC		__attribute__((visibility("default")))
/* On declarations of what fast paths read: spares them the detour. */
#define HIDDEN		__attribute__((visibility("hidden")))
#define CACHE_ALIGNED	__attribute__((aligned(64)))

#define KIB		((size_t)1 << 10)
#define MIB		((size_t)1 << 20)
#define GIB		((size_t)1 << 30)
#define TIB		((size_t)1 << 40)

#define NSEC_PER_SEC	UINT64_C(1000000000)
#define NSEC_PER_USEC	UINT64_C(1000)
#define NSEC_PER_MSEC	UINT64_C(1000000)

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))

/*
 * Loads and stores of words that only need to be whole: the reason stands at
 * the field's declaration.
 */
#define load_relaxed(p) \
	atomic_load_explicit((p), memory_order_relaxed)
#define store_relaxed(p, v) \
	atomic_store_explicit((p), (v), memory_order_relaxed)
#define load_acquire(p) \
	atomic_load_explicit((p), memory_order_acquire)
#define store_release(p, v) \
	atomic_store_explicit((p), (v), memory_order_release)

#endif
