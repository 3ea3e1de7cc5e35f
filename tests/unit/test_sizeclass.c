/*
 * test_sizeclass.c - which slot size serves which request: all of them.
 */
#include "unit.h"

static void
setup(void)
{
	sizeclass_init();
}

START_TEST(test_classes)
{
	for (unsigned class = 0; class < CLASS_COUNT; class++) {
		size_t slot = sizeclass_slot_size[class];
		size_t bytes = sizeclass_span_units(class) * UNIT_SIZE;

		expect(slot % SLOT_ALIGN == 0);
		expect(class == 0 || slot > sizeclass_slot_size[class - 1]);
		/* Few enough slots for a span's fields, and at least eight. */
		expect(bytes / slot >= 8 && bytes / slot <= 4096);
		/* span_slot_of() is exact for offsets below 2^20. */
		expect(bytes <= UINT64_C(1) << 20);
		/* No whole unit is left over. */
		expect(bytes - bytes / slot * slot < UNIT_SIZE);
	}
	ck_assert_uint_eq(sizeclass_slot_size[0], SLOT_ALIGN);
	ck_assert_uint_eq(sizeclass_slot_size[CLASS_COUNT - 1], SLOT_SIZE_MAX);
}
END_TEST

START_TEST(test_every_size)
{
	for (size_t size = 0; size <= SLOT_SIZE_MAX; size++) {
		unsigned class = sizeclass_of(size);
		size_t slot;

		expect(class < CLASS_COUNT && class == sizeclass_compute(size));
		slot = sizeclass_slot_size[class];
		expect(slot >= size);
		/* The class is the smallest that is large enough. */
		expect(class == 0 || sizeclass_slot_size[class - 1] < size);
		/* At most 12.5 % is lost, or what alignment takes. */
		expect(slot - MAX(size, 1u) < MAX(SLOT_ALIGN, slot / 8));
		/* The slack fits where it is noted. */
		expect(slot - size <= SPAN_SLACK_MAX);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sizeclass");

	tcase_add_checked_fixture(unit_case(suite, "classes", test_classes),
				  setup, NULL);
	tcase_add_checked_fixture(unit_case(suite, "sizes", test_every_size),
				  setup, NULL);
	return unit_run(suite);
}
