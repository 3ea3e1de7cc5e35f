/*
 * random.h - the choices of the stress programs; a seed repeats them.
 */
#ifndef STRESS_RANDOM_H
#define STRESS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The finaliser of MurmurHash3. */
static inline uint64_t
mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

static inline size_t
pick(uint64_t *state, size_t limit)
{
	*state = mix(*state + 1);
	return (*state >> 8) % limit;
}

#endif
