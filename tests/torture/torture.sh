#!/bin/sh
# torture.sh - every way of holding a pointer, on one thread and on many.
#
# A victim says what it lost; the record must say just that, at each check,
# and nothing must be said on standard error.
#
#   TORTURE_WAYS='NAME ...' sh torture.sh     these only
#   TORTURE_SEATS=N                           instead of 64 threads
set -eu

: "${PRELOAD_LIB:?}" "${TOP_BUILDDIR:?}"

victims=$TOP_BUILDDIR/tests/torture
TORTURE_LIB=$victims/$(basename "$(dirname "$PRELOAD_LIB")")/lib.so
export TORTURE_LIB
LC_ALL=C
export LC_ALL
unset LD_PRELOAD TORTURE_NOW
ulimit -c 0
many=${TORTURE_SEATS:-64}
failures=0
tried=0
work=$(mktemp -d "$victims/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# settings WAY: what has to be set for it.
settings()
{
	case $1 in
	tagged_high) echo BILGE_TAG_MASK=ff00000000000000 ;;
	esac
}

# reported: the sums of each check of the record, one a line.
reported()
{
	sed -n 's/^{"event":"leak".*"kind":"\([a-z]*\)","bytes":\([0-9]*\),"blocks":\([0-9]*\),.*/\1 \3 \2/p
	    s/^{"event":"\(end\|misuse\)".*/\1/p' "$work"/record* |
	awk '$1 == "end" {
		print "direct", b["direct"] + 0, s["direct"] + 0,
		    "indirect", b["indirect"] + 0, s["indirect"] + 0
		split("", b); split("", s); next }
	    NF == 1 { print; next }
	    { b[$1] += $2; s[$1] += $3 }'
}

# try PROGRAM WAY SEATS keep|drop [NAME=VALUE ...]
try()
{
	program=$1 way=$2 seats=$3 mode=$4
	shift 4
	tried=$((tried + 1))
	status=0
	rm -f "$work"/record*
	# shellcheck disable=SC2046 # settings are words without blanks
	(exec timeout -k 5 60 env LD_PRELOAD="$PRELOAD_LIB" \
	    BILGE_REPORT=none BILGE_RECORD="$work/record" \
	    TORTURE_SCRATCH="$work" $(settings "$way") "$@" \
	    "$victims/$program" "$way" "$seats" "$mode" \
	    >"$work/out" 2>"$work/err" </dev/null) 2>/dev/null || status=$?
	reported >"$work/reported" 2>&1 || :
	if [ "$status" = 0 ] && [ ! -s "$work/err" ] &&
	    [ -s "$work/reported" ] &&
	    [ "$(sort -u "$work/reported")" = "$(cat "$work/out")" ]; then
		return
	fi
	failures=$((failures + 1))
	echo "FAIL: $program $way $seats $mode $*: status $status"
	sed 's/^/    lost:     /' "$work/out"
	sed 's/^/    reported: /' "$work/reported"
	head -n 20 "$work/err" | sed 's/^/    said:     /'
}

for program in torture torture_cxx; do
	"$victims/$program" >"$work/ways"
	while read -r way where; do
		case " ${TORTURE_WAYS:-$way} " in
		*" $way "*) ;;
		*) continue ;;
		esac
		case $where in
		main|both)
			try $program "$way" 0 keep
			try $program "$way" 0 drop ;;
		esac
		case $where in
		alone)
			try $program "$way" 1 keep
			try $program "$way" 1 drop ;;
		threads|both)
			try $program "$way" 1 keep
			try $program "$way" "$many" keep TORTURE_NOW=1
			try $program "$way" "$many" drop ;;
		esac
	done <"$work/ways"
done
echo "$tried runs, $failures wrong"
[ "$failures" = 0 ]
