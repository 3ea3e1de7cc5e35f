#!/bin/sh
# cxx.sh - C++: operators, exceptions, threads, and names in the report.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

for case in forms aligned_forms too_large new_handler exceptions containers \
    array; do
	same surface_cxx $case
	ends 0
	quiet
done
same own_new
ends 0
quiet

same surface_cxx lost_by_new
ends 0
leaks 11 1163
kind Direct 11 1163
chain Direct 10 1040 \
	"in void space::lose<lost_twice>\\(int\\) [^ ]*/surface_cxx\\.cc:$(
	    line surface_cxx.cc new)\$" \
	"in lose_by_new\\(\\) [^ ]*/surface_cxx\\.cc:[0-9]+\$"
chain Direct 1 123 "in lose_by_new\\(\\) [^ ]*/surface_cxx\\.cc:$(
    line surface_cxx.cc array)\$"
finish
