#!/bin/sh
# loader.sh - libraries come and go in threads while checks run.
#
# STRESS_SECONDS=N runs longer.  No check may fail, be abandoned or find a leak
# before the end; what is lost then, in libraries that are gone, is named.
set -eu

: "${PRELOAD_LIB:?}" "${TOP_BUILDDIR:?}"

seconds=${STRESS_SECONDS:-5}
work=$(mktemp -d "$TOP_BUILDDIR/tests/stress/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
plugin=$TOP_BUILDDIR/tests/stress/$(basename "$(dirname \
    "$PRELOAD_LIB")")/plugin.so
for i in 1 2 3 4 5 6; do
	cp "$plugin" "$work/plugin$i.so"
done
status=0

# loader NAME=VALUE ...
loader()
{
	echo "$*"
	timeout -k 5 $((seconds + 60)) env LD_PRELOAD="$PRELOAD_LIB" "$@" \
	    "$TOP_BUILDDIR/tests/stress/loader" "$seconds" 4 \
	    "$work"/plugin?.so >"$work/out" 2>"$work/err" || {
		echo "FAIL: status $?"
		status=1
	}
	cat "$work/out"
	# One report, of what each library lost; a stale word may keep some.
	if [ "$(grep -c '^==[0-9]*==ERROR: bilge: ' "$work/err")" != 1 ] ||
	    grep -q '^bilge:' "$work/err" ||
	    ! grep -Eq '^ +#1 0x[0-9a-f]+ in plugin_lose ' "$work/err" ||
	    ! grep -Eq '^SUMMARY: bilge: [0-9]+ byte.* in [1-6] all' \
		"$work/err"; then
		echo "FAIL: the report is not as expected"
		head -n 40 "$work/err"
		status=1
	fi
}

loader BILGE_ROOTS=all
loader BILGE_ROOTS=segments
exit "$status"
