#!/bin/sh
# layers.sh - a file includes its own header and those of modules above it.
#
# src/layers.txt is the order.  An entry without a suffix is a .c and .h pair.
# The interposers know the face of the core, the settings and what has no
# state; the command knows the table of settings, what values they take and the
# shared counters.
set -eu
cd "${TOP_SRCDIR:?}"

{
	sed 's/^/layer /' src/layers.txt
	for folder in src preload tools; do
		find "$folder" -name '*.[ch]' | sort
	done | while read -r file; do
		echo "file $file"
		sed -n 's/^#[ \t]*include[ \t]*"\([^"]*\)".*/include \1/p' \
		    "$file"
	done
} | awk '
function module(header)
{
	if (header in place)
		return header
	sub(/\.[ch]$/, "", header)
	return header in place ? header : ""
}
function wrong(text)
{
	print file ": " text
	errors++
}
$1 == "layer" && NF == 2 {
	if ($2 in place)
		wrong($2 " is listed twice")
	place[$2] = ++places
	unseen[$2] = 1
}
$1 == "file" {
	files++
	file = $2
	folder = file
	sub(/\/.*/, "", folder)
	if (folder != "src")
		next
	mine = module(substr(file, 5))
	if (mine == "")
		wrong("not in src/layers.txt")
	delete unseen[mine]
}
$1 == "include" && folder == "src" {
	other = module($2)
	if (other == "")
		wrong("includes " $2 ", which is not in src/layers.txt")
	else if (mine != "" && other != mine && place[other] > place[mine])
		wrong("includes " $2 ", which is below it")
	delete unseen[other]
}
$1 == "include" && folder == "preload" {
	if (module($2) != "" && $2 !~ /^(bilge\.h|settings\/.*|base\/.*)$/)
		wrong("includes " $2 " past bilge.h")
}
$1 == "include" && folder == "tools" {
	if (module($2) != "" && $2 !~ /^settings\/(options\.def|values\.h|statpage\.h)$/)
		wrong("includes " $2 " of the core")
}
END {
	file = "src/layers.txt"
	for (name in unseen)
		wrong(name " has no file and is not included")
	if (files == 0)
		wrong("no files found")
	exit errors > 0
}'

# Only one module knows the unwinder.
found=$(grep -rlE '#[ \t]*include[ \t]*<libunwind' src preload || true)
case $found in
"" | src/world/unwind.c) ;;
*) echo "libunwind is included by: $found"; exit 1 ;;
esac
