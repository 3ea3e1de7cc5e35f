/*
 * sizeclass.h - which slot size serves which request.  Pure; any context.
 *
 * Slots are multiples of 16 bytes: one class per 16 bytes up to 128, then
 * eight per doubling, so that at most 12.5 % of a slot is lost.
 */
#ifndef BILGE_SIZECLASS_H
#define BILGE_SIZECLASS_H

#include "base/bits.h"

#define SLOT_ALIGN	16u
#define SLOT_SIZE_MAX	(128 * KIB)
#define UNIT_SHIFT	16
#define UNIT_SIZE	((size_t)1 << UNIT_SHIFT)

/* 8 linear classes and 8 for each doubling from 128 bytes to 128 KiB. */
#define CLASS_COUNT	(8u + 8u * 10u)
/* A large block's span belongs to no class. */
#define CLASS_LARGE	CLASS_COUNT

/* Requests up to here are looked up by sixteenths instead of computed. */
#define CLASS_TABLE_MAX	(32 * KIB)

/* The table has classes times this: how far apart a cache has its claims. */
#define CLASS_STRIDE	64u

extern uint16_t sizeclass_table[CLASS_TABLE_MAX / SLOT_ALIGN + 1] HIDDEN;
extern uint32_t sizeclass_slot_size[CLASS_COUNT];

/* sizeclass_init - fill the tables.  Context: early. */
void sizeclass_init(void);

/* sizeclass_compute - class of 1 <= size <= SLOT_SIZE_MAX. */
ALWAYS_INLINE unsigned
sizeclass_compute(size_t size)
{
	unsigned shift;

	if (size <= 128)
		return size == 0 ? 0 : (unsigned)((size - 1) / SLOT_ALIGN);
	/* The class is the top bit and the three bits below it. */
	size--;
	shift = bits_log2(size) - 3;
	return 8 + (shift - 4) * 8 + ((unsigned)(size >> shift) & 7);
}

/* sizeclass_lookup - of size <= CLASS_TABLE_MAX, the class * CLASS_STRIDE. */
ALWAYS_INLINE size_t
sizeclass_lookup(size_t size)
{
	return sizeclass_table[(size + SLOT_ALIGN - 1) / SLOT_ALIGN];
}

ALWAYS_INLINE unsigned
sizeclass_of(size_t size)
{
	return size <= CLASS_TABLE_MAX
	       ? (unsigned)sizeclass_lookup(size) / CLASS_STRIDE
	       : sizeclass_compute(size);
}

/*
 * sizeclass_span_units - units of a span of this class: at least eight slots.
 */
ALWAYS_INLINE unsigned
sizeclass_span_units(unsigned class)
{
	size_t bytes = (size_t)sizeclass_slot_size[class] * 8;

	return (unsigned)((bytes + UNIT_SIZE - 1) >> UNIT_SHIFT);
}

#endif
