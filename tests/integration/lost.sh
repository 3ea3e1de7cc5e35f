#!/bin/sh
# lost.sh - 165 lost blocks are found, no more and no less, with their names.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

at()
{
	echo "in $1 [^ ]*/lost\.c:$(line lost.c "$2")\$"
}

same lost
ends 0
leaks 165 13935
kind Direct 121 11727
kind Indirect 44 2208
chain Direct 100 10000 "$(at lose_plain plain)" \
	"$(at lose_everything everything)" "$(at main main)"
chain Direct 1 48 "$(at node_create node)" "$(at lose_list list)" \
	"in lose_everything " "$(at main main)"
chain Indirect 29 1392 "$(at node_create node)" "$(at lose_list list)" \
	"in lose_everything " "$(at main main)"
group Direct 1 40
group Direct 1 64
group Direct 1 45
kind_of_ring=$(awk '/^[DI][a-z]+ leak/ { kind = $1; blocks = $7 }
    /in lose_ring/ { sum[kind] += blocks }
    END { print sum["Direct"], sum["Indirect"] }' "$err")
[ "$kind_of_ring" = "1 9" ] || fail "ring: $kind_of_ring"
chain Direct 17 1530 "in [A-Z_]*strdup" "$(at lose_text strdup)" \
	"$(at thread_main thread)"
# Code without debug information is named by module, offset and build id.
grep -qE '\(libc\.so\.6\+0x[0-9a-f]+\) \(BuildId: [0-9a-f]{40}\)$' "$err" ||
	grep -q 'strdup\.c' "$err" || fail "no frame of the C library"

# Direct before indirect, and the largest first.
awk '/^[DI][a-z]+ leak of/ {
    if ($1 == "Direct" && seen["Indirect"]) exit 1
    if (seen[$1] && $4 > last) exit 1
    seen[$1] = 1; last = $4 }' "$err" || fail "not in order"

# Not one frame is ours.
says 0 'libbilge'

# Fewer frames, or none: the numbers stay.
run BILGE_DEPTH=2 lost
leaks 165 13935
kind Direct 121 11727
chain Direct 100 10000 "$(at lose_plain plain)" "in lose_everything "
says 0 '#2'
run BILGE_DEPTH=0 lost
leaks 165 13935
kind Direct 121 11727
kind Indirect 44 2208
says 0 '#0'

# A sample of the call stacks changes no number either.
run BILGE_SAMPLE=1K lost
leaks 165 13935

# Always the same, wherever things come to lie.
for i in 1 2 3 4 5 6 7 8 9 10; do
	run lost
	leaks 165 13935
	kind Direct 121 11727
done
finish
