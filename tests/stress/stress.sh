#!/bin/sh
# stress.sh - everything at once, for a while, from a new seed each time.
#
# Then, for half as long under each barrier, with what is freed guarded, every
# mark verified.
#
# STRESS_SECONDS=N runs longer, TEST_SEED=N repeats the threads' choices (not
# how they interleave).
set -eu

: "${PRELOAD_LIB:?}" "${TOP_BUILDDIR:?}"

victim=$TOP_BUILDDIR/tests/stress/stress
seconds=${STRESS_SECONDS:-10}
seed=${TEST_SEED:-$(date +%s)$$}
status=0

# stress NAME=VALUE ...: nothing may be said, and all must be well.
stress()
{
	echo "TEST_SEED=$seed $*"
	said=$(timeout -k 5 $((seconds + 60)) env LD_PRELOAD="$PRELOAD_LIB" \
	    "$@" "$victim" "$seconds" "$seed" 2>&1 >&3) || {
		echo "FAIL: status $?"
		status=1
	}
	[ -z "$said" ] || {
		printf '%s\n' "$said" | head -n 40
		status=1
	}
	seed=$((seed + 1))
}

exec 3>&1
stress BILGE_DEPTH=8
stress BILGE_LEAKS=ignore
seconds=$(((seconds + 1) / 2))
for barrier in uffd mprotect stop; do
	stress BILGE_FREE=guard BILGE_QUARANTINE=1 BILGE_VERIFY=1 \
	    BILGE_BARRIER=$barrier
done
exit "$status"
