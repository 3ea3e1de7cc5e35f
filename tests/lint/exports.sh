#!/bin/sh
# exports.sh - what the library defines is what preload/export.map names.
set -eu
work=$(mktemp -d "${TOP_BUILDDIR:?}/tests/lint.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The names between global: and local:, comments taken out.
tr '\n' ' ' <"${TOP_SRCDIR:?}/preload/export.map" |
    sed -e 's,/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/, ,g' \
	-e 's/.*global://; s/local:.*//' | tr ' \t;' '\n\n\n' |
    sed '/^$/d' | sort >"$work/named"
nm -D --defined-only "${PRELOAD_LIB:?}" | awk '$2 != "A" { print $3 }' |
    sed 's/@.*//' | sort -u >"$work/defined"

[ -s "$work/named" ] || { echo "export.map names nothing"; exit 1; }
if [ -n "$(uniq -d "$work/named")" ]; then
	echo "named twice: $(uniq -d "$work/named")"
	exit 1
fi
diff -u "$work/named" "$work/defined" || {
	echo "-: in export.map only; +: defined only"
	exit 1
}

# The core calls none of them: a collector that allocates from the heap it
# collects waits for itself.
find "$TOP_BUILDDIR/src" -name 'libbilgecore.a' >"$work/core"
[ -s "$work/core" ] || { echo "no libbilgecore.a"; exit 1; }
nm -u "$(cat "$work/core")" | awk '$1 == "U" { print $2 }' |
    sort -u >"$work/called"
if [ -n "$(comm -12 "$work/named" "$work/called")" ]; then
	echo "the core calls:"
	comm -12 "$work/named" "$work/called"
	exit 1
fi
