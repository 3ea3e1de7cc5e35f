#!/bin/bash
# style.sh - what can be checked of how the sources look.
set -eu
shopt -s lastpipe
cd "${TOP_SRCDIR:?}"
errors=0

# complain TEXT: the lines on standard input are wrong.
complain()
{
	local lines

	lines=$(cat)
	[ -n "$lines" ] || return 0
	printf '%s:\n%s\n' "$1" "$lines"
	errors=$((errors + 1))
}

mapfile -t code < <(find src preload tools tests \
    -name '*.[ch]' -o -name '*.cc' -o -name '*.def' | sort)
mapfile -t texts < <(printf '%s\n' "${code[@]}"
    find src preload tools tests man -name '*.sh' -o -name '*.am' \
	-o -name '*.[17]' -o -name '*.map' -o -name '*.txt' | sort)

grep -nE '[ 	]+$' "${texts[@]}" | complain "blanks at the end" || true
grep -n '^ \{8\}' "${code[@]}" | complain "spaces for a tab" || true

# Tabs are eight columns.
for file in $(printf '%s\n' "${code[@]}" | grep -E '^(src|preload)/'); do
	expand "$file" | LC_ALL=C.UTF-8 grep -nE '^.{81,}' |
	    sed "s,^,$file:," || true
done | complain "longer than 80 columns"

# Every file says what it is: "name - what it does".
for file in "${code[@]}"; do
	sed -n 2p "$file" | grep -qF " * ${file##*/} - " ||
	    echo "$file"
done | complain "does not begin with its name and purpose"

[ "$errors" = 0 ]
