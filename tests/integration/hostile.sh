#!/bin/sh
# hostile.sh - programs that take something from themselves while cycles run.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

afloat="BILGE_LEAKS=reclaim BILGE_INTERVAL=50ms BILGE_VERIFY=1
	BILGE_REPORT=none BILGE_RECORD=$work/record"

# goes_on CASE [ARG]: as without bilge, and there were cycles.
goes_on()
{
	rm -f "$work"/record*
	run $afloat hostile "$@"
	ends 0
	grep -q '"event":"cycle"' "$work/record" || fail "no cycle ran"
}

for case in drops_rights no_threads closes_all unshares forks daemonizes huge_pages \
    "filters kill" "filters errno" "filters trap" "filters kill0"; do
	# shellcheck disable=SC2086 # a case and its argument
	goes_on $case
	quiet
done

afloat="$afloat BILGE_INTERVAL=1ms BILGE_BARRIER=stop"
goes_on execs
quiet
afloat="$afloat BILGE_INTERVAL=50ms BILGE_BARRIER=auto"

# Nothing is claimed where nothing can be known; that is said more and more
# seldom.
goes_on loses_proc
[ ! -s "$err" ] || grep -q 'abandoned: /proc/self/maps cannot' "$err" ||
	fail "another reason"
[ "$(wc -l <"$err")" -le 12 ] || fail "too many lines"
finish
