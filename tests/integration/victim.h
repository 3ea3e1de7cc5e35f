/*
 * victim.h - what the victim programs share.
 *
 * A victim is a program that does one thing wrong (or right) with its memory
 * and knows nothing of bilge.  Each file is one theme, each function one
 * behaviour, chosen by the first argument.
 *
 * A conservative collector keeps whatever a stale copy points at, in a
 * register, a dead stack frame or a buffer.  So a victim carries a pointer
 * it wants to be lost only in hidden form, and scrubs the stack and the
 * registers after it dealt with the plain one.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE	__attribute__((noinline))
#define ALWAYS_INLINE	inline __attribute__((always_inline))
#define UNUSED		__attribute__((unused))
#define EXPORT		__attribute__((visibility("default")))

/* Exact failures, with the place, on standard error. */
#define CHECK(x)							\
	((x) ? (void)0 : victim_fail(__FILE__, __LINE__, #x))

static UNUSED void
victim_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	exit(99);
}

/* The compiler must neither drop the allocation nor know its result. */
static ALWAYS_INLINE void *
use(void *block)
{
	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

/* A size the compiler cannot see through, so that it does not warn of it. */
static ALWAYS_INLINE size_t
opaque(size_t size)
{
	__asm__ volatile("" : "+r"(size));
	return size;
}

static ALWAYS_INLINE uintptr_t
hide(void *block)
{
	return ~(uintptr_t)use(block);
}

static ALWAYS_INLINE void *
reveal(uintptr_t hidden)
{
	return (void *)~hidden;
}

/*
 * Registers that a call need not preserve keep what was last in them: vector
 * registers what memcpy moved, others what some function looked at.
 */
static ALWAYS_INLINE void
scrub_registers(void)
{
	__asm__ volatile(
	    "xorl %%eax, %%eax\n\txorl %%ecx, %%ecx\n\t"
	    "xorl %%edx, %%edx\n\txorl %%esi, %%esi\n\t"
	    "xorl %%edi, %%edi\n\txorl %%r8d, %%r8d\n\t"
	    "xorl %%r9d, %%r9d\n\txorl %%r10d, %%r10d\n\t"
	    "xorl %%r11d, %%r11d"
	    : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
	    "memory");
#define ZERO16(n)	"pxor %%xmm" #n ", %%xmm" #n "\n\t"
#define ZERO512(n)	"vpxorq %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
	__asm__ volatile(
	    ZERO16(0) ZERO16(1) ZERO16(2) ZERO16(3)
	    ZERO16(4) ZERO16(5) ZERO16(6) ZERO16(7)
	    ZERO16(8) ZERO16(9) ZERO16(10) ZERO16(11)
	    ZERO16(12) ZERO16(13) ZERO16(14) ZERO16(15) : : : "memory");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" : : : "memory");
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile(
		    ZERO512(16) ZERO512(17) ZERO512(18) ZERO512(19)
		    ZERO512(20) ZERO512(21) ZERO512(22) ZERO512(23)
		    ZERO512(24) ZERO512(25) ZERO512(26) ZERO512(27)
		    ZERO512(28) ZERO512(29) ZERO512(30) ZERO512(31)
		    : : : "memory");
#undef ZERO16
#undef ZERO512
}

/* Forget what the functions that returned left behind. */
static NOINLINE UNUSED void
scrub(void)
{
	char below[64 * 1024];

	memset(below, 0, sizeof below);
	use(below);
	scrub_registers();
}

/*
 * The block is lost: its only pointer is gone before this returns.  Hidden
 * at once, so that the caller never holds it.
 */
static NOINLINE UNUSED uintptr_t
hidden_block(size_t size)
{
	void *block = malloc(size);

	CHECK(block != NULL);
	memset(block, 0, size);
	return hide(block);
}

static NOINLINE UNUSED void
lose_block(size_t size)
{
	hidden_block(size);
	scrub();
}

struct victim {
	const char *name;
	int (*run)(const char *arg);	/* the program's exit status */
};

static UNUSED int
victim_main(int argc, char **argv, const struct victim *victims)
{
	int status;

	for (; victims->name != NULL; victims++)
		if (argc > 1 && strcmp(argv[1], victims->name) == 0) {
			status = victims->run(argc > 2 ? argv[2] : "");
			scrub();
			return status;
		}
	fprintf(stderr, "%s: no such case: %s\n", argv[0],
	    argc > 1 ? argv[1] : "(none)");
	return 98;
}

#endif
