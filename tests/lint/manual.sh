#!/bin/sh
# manual.sh - the pages say all there is, and nothing else.
#
# Every setting has its entry in bilge(7), every message of the library is
# in its DIAGNOSTICS, and the other way round.  What a message fills in is a
# conversion in the source and an italic word in the page: both are read
# as *.
set -eu
cd "${TOP_SRCDIR:?}"
work=$(mktemp -d "${TOP_BUILDDIR:?}/tests/lint.XXXXXX")
trap 'rm -rf "$work"' EXIT
errors=0

# agree WHAT: the two sorted lists are the same.
agree()
{
	if [ ! -s "$work/source" ]; then
		echo "no $1 found in the sources"
		errors=1
	fi
	diff "$work/source" "$work/page" | sed -n \
	    -e "s/^</bilge(7) does not list this $1:/p" \
	    -e "s/^>/bilge(7) lists this $1, which does not exist:/p" \
	    >"$work/difference"
	if [ -s "$work/difference" ]; then
		cat "$work/difference"
		errors=1
	fi
}

# section NAME: that part of bilge(7).
section()
{
	awk -v name="$1" '/^\.Sh / { inside = $0 == ".Sh " name; next }
	    inside' man/bilge.7
}

sed -n 's/^\(OPTION\|LATER\)( *\([A-Z_]*\),.*/BILGE_\2/p' \
    src/settings/options.def | sort >"$work/source"
section ENVIRONMENT | sed -n 's/^\.It Ev \(BILGE_[A-Z_]*\).*/\1/p' |
    sort >"$work/page"
agree setting

# Calls of say() and panic(), whose text may be several literals in a row.
find src preload -name '*.[ch]' | while read -r file; do
	tr '\n\t' '  ' <"$file"
	echo
done | grep -oE '\<(say|panic)\((" *"|[^"\\]?"([^"\\]|\\.)*"| +)+' |
    sed -E -e 's/^(say|panic)\( *"//' -e 's/" *$//' -e 's/" +"//g' \
	-e 's/%[-#0-9.]*(l|ll|z|j)?[a-zA-Z]/*/g' -e 's/\\"/"/g' \
	-e 's/^/bilge: /' | sort -u >"$work/source"
section DIAGNOSTICS | sed -nE 's/^\.It Sy "(.*)"$/\1/p' |
    sed -E -e 's/\\fI[^\\]*\\fP/*/g' -e 's/\\-/-/g' -e 's/\\(\(dq|")/"/g' |
    sort -u >"$work/page"
agree message

for page in man/bilge.1 man/bilge.7; do
	mandoc -Tlint -Wstyle "$page" >"$work/lint" 2>&1 || true
	# Whether other pages are installed here says nothing of ours.
	grep -vE 'referenced manual not found|outdated mandoc\.db' "$work/lint" >"$work/rest" ||
	    true
	if [ -s "$work/rest" ]; then
		cat "$work/rest"
		errors=1
	fi
done
exit "$errors"
