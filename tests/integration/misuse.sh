#!/bin/sh
# misuse.sh - a wrong free is named in one line, then the program is aborted.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# wrong FUNCTION KIND CASE [ARG]
wrong()
{
	function=$1
	kind=$2
	shift 2
	run misuse "$@"
	ends 134
	one_line "$kind"
	grep -q "$function" "$err" || fail "$function is not named"
	grep -q "$(cat "$out")" "$err" || fail "the address is not named"
}

for size in 1 16 100 1000 5000 40000 100000 5000000; do
	wrong free double freed_twice $size
done
wrong free double freed_twice_later
wrong free double freed_twice_elsewhere
wrong free double freed_elsewhere_first
for size in 100 1000 5000 40000 100000 5000000; do
	wrong free 'invalid|not a block|inside' inside $size
done
wrong free 'invalid|not a block|inside' inside_oddly
wrong free 'invalid|not a block' stack
wrong free 'invalid|not a block' global
wrong realloc 'free' realloc_freed
wrong realloc 'invalid|not a block|inside' realloc_inside

same misuse null
ends 0
quiet

# It goes into the record as well.
run BILGE_RECORD="$work/record" misuse freed_twice 100
grep -q '"event": *"misuse"' "$work/record" || fail "not in the record"
finish
