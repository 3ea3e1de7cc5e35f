/*
 * bits.h - arithmetic on bits and sizes.  Pure, inline, usable anywhere.
 */
#ifndef BILGE_BITS_H
#define BILGE_BITS_H

#include "base/base.h"

#define WORD_BITS	64u

/* Round up or down to a power of two. */
#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN_UP(x, a)		ALIGN_DOWN((x) + ((a) - 1), (a))

ALWAYS_INLINE bool
bits_is_power_of_two(size_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

/* bits_ctz - index of the lowest 1; x is not 0. */
ALWAYS_INLINE unsigned
bits_ctz(uint64_t x)
{
	return (unsigned)__builtin_ctzll(x);
}

/* bits_log2 - index of the highest 1; x is not 0. */
ALWAYS_INLINE unsigned
bits_log2(uint64_t x)
{
	return 63u - (unsigned)__builtin_clzll(x);
}

/*
 * bits_count - how many bits are 1.  The processors we build for need not have
 * an instruction for it, and the compiler would call libgcc ("Hacker's
 * Delight", 5-1).
 */
ALWAYS_INLINE unsigned
bits_count(uint64_t x)
{
	x -= (x >> 1) & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) +
	    ((x >> 2) & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)((x * UINT64_C(0x0101010101010101)) >> 56);
}

/* bits_has - is bit i set?  i < 64. */
ALWAYS_INLINE bool
bits_has(uint64_t x, unsigned i)
{
	return (x >> i) & 1;
}

/* bits_below - the n lowest bits, 0 <= n <= 64. */
ALWAYS_INLINE uint64_t
bits_below(unsigned n)
{
	return n >= WORD_BITS ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

/* bits_mix - spread a word over 64 bits (finaliser of MurmurHash3). */
ALWAYS_INLINE uint64_t
bits_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

#endif
