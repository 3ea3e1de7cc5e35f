/*
 * sizeclass.c - which slot size serves which request.
 *
 * Owns two tables, filled once and never written again.
 */
#include "heap/sizeclass.h"

uint16_t sizeclass_table[CLASS_TABLE_MAX / SLOT_ALIGN + 1];
uint32_t sizeclass_slot_size[CLASS_COUNT];

void
sizeclass_init(void)
{
	for (unsigned class = 0; class < 8; class++)
		sizeclass_slot_size[class] = (class + 1) * SLOT_ALIGN;
	for (unsigned class = 8; class < CLASS_COUNT; class++)
		sizeclass_slot_size[class] =
			(8 + (class - 8) % 8 + 1) << (4 + (class - 8) / 8);
	for (unsigned i = 0; i < ARRAY_LEN(sizeclass_table); i++)
		sizeclass_table[i] = (uint16_t)(CLASS_STRIDE *
			sizeclass_compute(i * SLOT_ALIGN));
}
