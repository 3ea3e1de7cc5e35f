#!/bin/sh
# forks.sh - children by fork, vfork, spawn and clone.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

same forks beside_threads 1000
ends 0
quiet
for case in threads_vanish grandchildren by_thread child_threads spawned \
    piped; do
	same forks $case
	ends 0
	quiet
done

# One report each, of the process that lost it.
for case in child_loses parent_loses vforked cloned daemon_of_old; do
	same forks $case
	ends 0
	leaks 1 100
done
run BILGE_RECORD="$work/%p" forks child_loses
reporter=$(sed -n 's/^==\([0-9]*\)==ERROR.*/\1/p' "$err")
grep -q "\"pid\": *${reporter}[,}]" "$work/$reporter" ||
	fail "no record of the child $reporter"
[ "$(ls "$work" | grep -c '^[0-9]*$')" = 2 ] ||
	fail "expected two records: $(ls "$work")"
finish
