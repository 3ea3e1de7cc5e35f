#!/bin/sh
# faults.sh - protected pages that nobody notices.
#
# With the mprotect barrier the heap's pages are read-only for part of the time,
# and in reclaim mode, under every barrier, large blocks in their grace cannot
# be touched: the program's own faults, system calls, blocked signals, stacks in
# the heap and forks go on as ever.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

reclaim="BILGE_LEAKS=reclaim BILGE_INTERVAL=10ms BILGE_REPORT=none \
BILGE_RECORD=$work/record"

# shellcheck disable=SC2086 # settings are words without blanks
for case in kernel waiting own blocked stacks forks; do
	run $reclaim BILGE_BARRIER=mprotect faults $case
	ends 0
	quiet
	grep -q '"cycles":{"count":[1-9][0-9]*,.*"barrier":"mprotect"' \
	    "$work/record" || fail "no cycle behind mprotect"
done

# shellcheck disable=SC2086
for case in die die_ignored die_sent; do
	run $reclaim BILGE_BARRIER=mprotect faults $case
	ends 139
done
# shellcheck disable=SC2086
run $reclaim BILGE_BARRIER=mprotect faults die_ignored_sent
ends 0

# Blocks that come back while they cannot be touched.
# shellcheck disable=SC2086
for barrier in uffd mprotect stop; do
	run $reclaim BILGE_GRACE=1000 BILGE_BARRIER=$barrier faults touched
	ends 0
	quiet
	grep -q '"event":"resurrected".*"how":"touched","touched_by":\[{' \
	    "$work/record" || fail "no touch was recorded"
	run $reclaim BILGE_GRACE=1000 BILGE_BARRIER=$barrier faults freed
	ends 0
	quiet
	grep -q '"event":"resurrected".*"how":"freed"' "$work/record" ||
		fail "no free was recorded"
done
finish
