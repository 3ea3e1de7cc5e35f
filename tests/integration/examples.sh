#!/bin/sh
# examples.sh - the examples of the manual pages do what the pages say.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# Where the pages show installed places, the build tree's are used.
mkdir "$work/bin"
ln -s "${BILGE:?}" "$work/bin/bilge"
PATH=$work/bin:$PATH
cp "$victims/lost" "$work/server"
cd "$work"

for page in bilge.1 bilge.7; do
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh DIAGNOSTICS/s/^\$ //p' \
	    "$TOP_SRCDIR/man/$page"
done | sed "s,/usr/local/lib/bilge/libbilge\.so,$PRELOAD_LIB," >commands
what="the examples"
[ "$(wc -l <commands)" -ge 9 ] || fail "not found"

# example STATUS: run the next command, and expect this status.
number=0
example()
{
	number=$((number + 1))
	what=$(sed -n "${number}p" commands)
	status=0
	timeout 60 sh -c "$what" >"$out" 2>"$err" </dev/null || status=$?
	ends "$1"
}

example 0			# run
leaks 165 13935
example 0			# check || echo failed
leaks 165 13935
[ "$(cat "$out")" = "lost
failed" ] || fail "output differs"
example 0			# run --record -o
quiet
grep -q '^SUMMARY: bilge: 13935 byte' server.txt || fail "no report"
example 0			# report --top
[ "$(grep -c 'leak of' "$out")" = 3 ] || fail "not three leaks"
example 0			# report --format=json
python3 -c 'import json
report = json.load(open("server.json"))
assert report["summary"]["leaked_blocks"] == 165' || fail "bad JSON"
example 0			# report --why
grep -q 'is in no block' "$out" || fail "not an answer"
example 0			# run -s INTERVAL
quiet
grep -q '^SUMMARY: bilge: 13935 byte' growth.txt || fail "no report"
for grace in 10 1; do
	example 0		# run --reclaim
	leaks 165 13935
done
grep -q '"LEAKS":"reclaim".*"GRACE":"10"' afloat.record ||
	fail "not with these settings"
example 0			# LD_PRELOAD
leaks 165 13935
example 0			# run -s DEPTH -s CHILDREN
[ "$(cat "$out")" = lost ] || fail "output differs"
example 0			# doctor
example 9			# BILGE_EXITCODE
leaks 165 13935
example 0			# BILGE_REPORT
quiet
grep -q '^SUMMARY: bilge: 13935 byte' server.[0-9]* || fail "no report"
example 0			# BILGE_HELP
[ ! -s "$out" ] || fail "something on standard output"
what="the examples"
[ "$number" = "$(wc -l <commands)" ] || fail "some are not tested"
finish
