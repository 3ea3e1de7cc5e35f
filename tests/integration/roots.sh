#!/bin/sh
# roots.sh - every place that may hold the only pointer to a block.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# Held: nothing is said.  Let go: one leak; nothing else kept it.
for place in data bss structure function_static library mapping \
    sealed_mapping shared_mapping mapping_end mapping_beside_hole chain large_block ring \
    aligned_block interior interior_last main_stack inner_stack \
    inner_signal_stack; do
	run roots "$place" keep
	ends 0
	quiet
	run roots "$place" drop
	ends 0
	leaks 1 4242
done
# A coroutine's stack, found by a stack pointer that glibc has mangled.
run roots jump_buffer keep
quiet
run roots jump_buffer drop
leaks 2 102674
run roots interior_large keep
quiet
run roots interior_large drop
leaks 1 10485760

# Only segments, stacks, registers and TLS.
for place in data bss library chain main_stack; do
	run BILGE_ROOTS=segments roots "$place" keep
	quiet
	run BILGE_ROOTS=segments roots "$place" drop
	leaks 1 4242
done
# Wherever a mapping comes to lie: beside a data segment it is none.
for place in mapping shared_mapping mapping_end; do
	for i in 1 2 3 4 5 6 7 8; do
		run BILGE_ROOTS=segments roots "$place" keep
		leaks 1 4242
	done
done

# One past the end belongs to the block, unless told otherwise.
for size in 1 16 24 64 100 128 1024 4096 32768 65536 1048576; do
	run roots past_end "$size"
	quiet
done
for size in 16 64 128 1024 4096 65536 1048576; do
	run BILGE_PAST_END=0 roots past_end "$size"
	leaks 1 "$size"
done

# Tags in the high byte hide a pointer, unless they are known.
run roots tagged
leaks 1 4242
for mask in ff00000000000000 0xff00000000000000 7f00000000000000; do
	run BILGE_TAG_MASK=$mask roots tagged
	quiet
done
run BILGE_TAG_MASK=0f00000000000000 roots tagged
leaks 1 4242
finish
