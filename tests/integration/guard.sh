#!/bin/sh
# guard.sh - no place is taken while anything points at it, then it is again.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# Many cycles, each mark checked by a second one.
often="BILGE_FREE=guard BILGE_QUARANTINE=1 BILGE_CPU=100 BILGE_VERIFY=1"

# The attack is one: without the guard it takes places of every holder and size.
run BILGE_FREE=now BILGE_LEAKS=ignore guard attack
for holder in register 'stack of a thread' 'TLS of a thread' stack TLS \
    'data segment' bss block 'interior pointer' 'past the end' \
    'moved by realloc' mapping; do
	[ "$(grep -c "^taken: .* held in: $holder$" "$out")" -ge 30 ] ||
		fail "too few places held in $holder are taken"
done
[ "$(sed -n 's/^taken: \([0-9]*\) .*/\1/p' "$out" | sort -u | wc -l)" = 92 ] ||
	fail "not places of all sizes are taken"

for barrier in uffd mprotect stop; do
	for leaks in ignore report reclaim; do
		rm -f "$work/record"
		run $often BILGE_BARRIER=$barrier BILGE_LEAKS=$leaks \
		    BILGE_RECORD="$work/record" guard attack
		ends 0
		quiet
		[ "$(cat "$out")" = 'held: 1104' ] ||
			fail "a place was taken, or too few are taken again"
		grep -q '"event":"end".*"cycles":{"count":[0-9][0-9]' \
		    "$work/record" || fail "there were not ten cycles"
	done
done

# Resident KiB at the peak, of 1 GiB that two threads allocated and freed, with
# no pointer left; mostly it is 50000, but a cycle takes its time on a machine
# that does other things as well.
for barrier in uffd mprotect stop; do
	for leaks in ignore report reclaim; do
		run BILGE_FREE=guard BILGE_BARRIER=$barrier \
		    BILGE_LEAKS=$leaks guard pairs 1024
		ends 0
		quiet
		[ "$(cat "$out")" -lt 200000 ] ||
			fail "$(cat "$out") KiB at the peak"
	done
done

# What a thread handles signals on, the stop's with them, is nobody else's.
run guard keeps_signal_stack
ends 0
quiet
run BILGE_FREE=guard BILGE_QUARANTINE=1 BILGE_CPU=100 guard keeps_signal_stack
ends 0
quiet
finish
