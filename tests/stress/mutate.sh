#!/bin/sh
# mutate.sh - a collector that runs all the time, under each barrier.
#
#	mutate.sh [BARRIER ...]
#
# Runs mutate.c in reclaim mode with a cycle every 20 ms, every mark verified,
# without grace and with it.  The program must end well, nothing may be said, and
# leaks must have been reclaimed.  Then once more with what is freed guarded, and
# a cycle for each MiB of that: in reclaim mode as well, and alone.
#
# MUTATE_SECONDS=N is for how long each of the runs lasts (default 3), TEST_SEED=N
# repeats the threads' choices (not how they interleave).  An hour for each
# barrier, a quarter of it for each way:
#
#	MUTATE_SECONDS=900 make check TESTS=tests/stress/mutate.sh
set -eu

: "${PRELOAD_LIB:?}" "${TOP_BUILDDIR:?}"

victim=$TOP_BUILDDIR/tests/stress/mutate
seconds=${MUTATE_SECONDS:-3}
seed=${TEST_SEED:-$(date +%s)$$}
status=0
for name in $(env | sed -n 's/^\(BILGE_[A-Z_]*\)=.*/\1/p'); do
	unset "$name"
done
ulimit -c 0

work=$(mktemp -d "$TOP_BUILDDIR/tests/stress/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

wrong()
{
	echo "FAIL: $*"
	head -n 40 "$work/err"
	status=1
}

# number TEXT: what follows it in the summary at the end of the record.
number()
{
	sed -n "s/.*\"event\":\"end\".*$1\([0-9]*\).*/\1/p" "$work/record"
}

# mutate NAME=VALUE ...
mutate()
{
	echo "TEST_SEED=$seed $*"
	rm -f "$work/record"
	timeout -k 5 $((seconds + 120)) env LD_PRELOAD="$PRELOAD_LIB" \
	    BILGE_VERIFY=1 BILGE_REPORT=none BILGE_RECORD="$work/record" "$@" \
	    "$victim" "$seconds" "$seed" $arguments 2>"$work/err" ||
		wrong "status $?"
	seed=$((seed + 1))
	[ ! -s "$work/err" ] || wrong "it said:"
	# Few, so that a machine that is busy with other things manages too.
	cycles=$(number '"cycles":{"count":')
	[ "${cycles:-0}" -gt 1 ] || wrong "${cycles:-no} cycles"
}

# reclaim NAME=VALUE ...
reclaim()
{
	arguments=
	mutate BILGE_LEAKS=reclaim BILGE_INTERVAL=20ms BILGE_PERCENT=20 "$@"
	reclaimed=$(number '"reclaimed_bytes":')
	[ "${reclaimed:-0}" -gt 0 ] || wrong "nothing was reclaimed"
	# No error: stale words on a stack may keep a block for a while.
	resurrected=$(number '"resurrected_blocks":')
	echo "$cycles cycles, $reclaimed bytes reclaimed," \
	    "$resurrected blocks resurrected"
}

# guard NAME=VALUE ... - nobody takes what is lost: less of it.
guard()
{
	arguments='4 10'
	mutate BILGE_LEAKS=ignore BILGE_CPU=100 "$@"
	echo "$cycles cycles"
}

for barrier in ${*:-uffd mprotect stop}; do
	reclaim BILGE_BARRIER="$barrier" BILGE_GRACE=0
	reclaim BILGE_BARRIER="$barrier" BILGE_GRACE=1
	guarded="BILGE_FREE=guard BILGE_QUARANTINE=1 BILGE_BARRIER=$barrier"
	# shellcheck disable=SC2086 # settings are words without blanks
	reclaim $guarded
	# shellcheck disable=SC2086
	guard $guarded
done
exit "$status"
