#!/bin/sh
# cycles.sh - what cycles of a running program tell of themselves.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

: "${BILGE:?}"

cat >"$work/lose.py" <<'END'
import ctypes, os, sys, time
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
malloc.argtypes = [ctypes.c_size_t]
end = time.monotonic() + 2
while time.monotonic() < end:
	for i in range(100):
		ctypes.memset(malloc(2000), 1, 2000)
	time.sleep(0.01)
if len(sys.argv) > 1:
	os.kill(os.getpid(), int(sys.argv[1]))
END

# asks EXPRESSION: so it is, of the record's events.
asks()
{
	/usr/bin/python3 - "$work/record" "$1" <<'END' || fail "not so: $1"
import datetime, json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
def of(kind):
	return [event for event in events if event["event"] == kind]
def seconds(event, key):
	return datetime.datetime.fromisoformat(event[key][:-1]).timestamp()
start, cycles, leaks, end = of("start")[0], of("cycle"), of("leak"), of("end")
names = {cycle["barrier"] for cycle in cycles}
sys.exit(not eval(sys.argv[2]))
END
}

record()
{
	rm -f "$work/record"
	run BILGE_RECORD="$work/record" BILGE_INTERVAL=100ms \
	    BILGE_REPORT=none "$@" /usr/bin/python3 "$work/lose.py"
	ends 0
	quiet
	asks 'len(cycles) > 2'
}

# Every cycle has the barrier that the start foresees, and counts who stood.
for barrier in auto uffd mprotect stop; do
	record BILGE_BARRIER=$barrier
	asks 'all(cycle["threads"] == 1 for cycle in cycles)'
	asks 'names == {start["barrier"]}'
	asks 'end[0]["cycles"]["barrier"] == start["barrier"]'
done
asks 'start["barrier"] == "stop"'

# Time alone has no goal.
asks 'all(cycle["goal"] is None for cycle in cycles)'
record BILGE_PERCENT=100
asks 'all(cycle["goal"] > 1 << 20 for cycle in cycles)'

# The last word on what was lost long before says since when.
asks 'max(leaks, key=lambda leak: leak["bytes"])["bytes"] > 10000000'
asks 'all(seconds(leak, "first_seen") < seconds(end[0], "time") - 1
	for leak in leaks if leak["bytes"] > 10000000)'

# Also of a program that never came to its end.
record
foreseen=$(sed -n 's/.*"event":"start".*"barrier":"\([a-z]*\)".*/\1/p' \
    "$work/record")
what="a killed program's report"
status=0
"$BILGE" run --format=json -s INTERVAL=100ms -o "$work/json" \
    /usr/bin/python3 "$work/lose.py" 9 >"$out" 2>"$err" || status=$?
ends 137
grep -q "\"barrier\": \"$foreseen\"" "$work/json" ||
	fail "no barrier $foreseen: $(grep barrier "$work/json")"
finish
