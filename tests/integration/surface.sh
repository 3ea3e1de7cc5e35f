#!/bin/sh
# surface.sh - the allocation functions keep the promises that glibc's keep.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

for case in basic no_size too_large overflow zeroed resize resize_large \
    aligned aligned_oddly pages usable errno_kept answers newer threads; do
	same surface $case
	ends 0
	quiet
done

# What newer C libraries have is there under this one too.
run surface newer all
ends 0
quiet

same surface statistics
ends 0
[ -s "$err" ] || fail "malloc_stats said nothing"

# The same where nothing is ever reported.
for case in basic zeroed resize aligned usable threads; do
	run BILGE_LEAKS=ignore surface $case
	ends 0
	quiet
done
finish
