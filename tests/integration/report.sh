#!/bin/sh
# report.sh - where the report and the record go, and what they look like.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# BILGE_REPORT
same BILGE_REPORT=none lost
ends 0
quiet
run BILGE_REPORT=none BILGE_EXITCODE=23 lost
ends 23
quiet
same BILGE_REPORT="$work/report.%e.%p" lost
ends 0
quiet
set -- "$work"/report.lost.[0-9]*
[ $# = 1 ] && [ -s "$1" ] || fail "no report: $(ls "$work")"
cp "$1" "$err"
leaks 165 13935
says 1 "^==${1##*.}==ERROR: "
same BILGE_REPORT="$work/clean.%p" exits clean
quiet
set -- "$work"/clean.*
[ ! -s "$1" ] || fail "a report without leaks"
run BILGE_REPORT="$work/no/such/folder/report" lost
ends 0
[ "$(cat "$out")" = lost ] || fail "output differs"
says 1 "^bilge: .*no/such/folder"

# BILGE_RECORD: every line is one JSON object, and the sums agree.
valid()
{
	python3 - "$@" <<'PYTHON' || fail "the record is not valid"
import json, sys
path, exe, blocks, size, status = sys.argv[1:]
events = [json.loads(line) for line in open(path, encoding="utf-8")]
kinds = [event["event"] for event in events]
assert kinds[0] == "start" and kinds[-1] == "end", kinds
start, end = events[0], events[-1]
assert start["schema"] == "bilge-1" and start["exe"] == exe, start
assert isinstance(start["pid"], int) and start["argv"], start
assert start["settings"]["LEAKS"] == "report", start
known = set()
leaked = {"direct": [0, 0], "indirect": [0, 0]}
for event in events:
    if event["event"] == "module":
        known.add(event["id"])
        assert event["path"] and int(event["base"], 16) >= 0, event
    for frame in event.get("frames", []):
        if frame["module"] is not None:
            assert frame["module"] in known, frame
            int(frame["offset"], 16)
        int(frame["address"], 16)
    if event["event"] == "leak":
        sums = leaked[event["kind"]]
        sums[0] += event["blocks"]
        sums[1] += event["bytes"]
assert end["leaked_blocks"] == int(blocks), end
assert end["leaked_bytes"] == int(size), end
for kind, (some, much) in leaked.items():
    assert end[kind + "_blocks"] == some, (kind, leaked, end)
    assert end[kind + "_bytes"] == much, (kind, leaked, end)
assert sum(s[0] for s in leaked.values()) == int(blocks), leaked
assert end["exit_status"] == int(status), end
# The check at exit is a cycle, but not a pause that anybody felt.
assert end["cycles"]["count"] == 1, end
assert end["cycles"]["pause_ns"]["count"] == 0, end
assert end["cycles"]["exit_pause_ns"] > 0, end
PYTHON
}

same BILGE_RECORD="$work/record" lost
leaks 165 13935
valid "$work/record" "$victims/lost" 165 13935 0
same BILGE_RECORD="$work/record" BILGE_REPORT=none exits by_return 7
quiet
valid "$work/record" "$victims/exits" 1 100 7
same BILGE_RECORD="$work/record" exits clean
quiet
valid "$work/record" "$victims/exits" 0 0 0
same BILGE_RECORD="$work/record" surface_cxx lost_by_new
valid "$work/record" "$victims/surface_cxx" 11 1163 0
same BILGE_RECORD="$work/record" exits by_return 0 "$(printf 'q"\\\t\351')"
valid "$work/record" "$victims/exits" 1 100 0

# A library without its command still says all it knows.  This one is told of
# another name, in case the command is installed here.
mkdir "$work/alone"
sed 's,/bin/bilge\x0,/bin/none!\x0,g' "$PRELOAD_LIB" >"$work/alone/libbilge.so"
built=$PRELOAD_LIB
PRELOAD_LIB=$work/alone/libbilge.so
same lost
ends 0
leaks 165 13935
kind Direct 121 11727
kind Indirect 44 2208
grep -vE '^    #[0-9]+ 0x[0-9a-f]+ (in [A-Za-z_0-9]+ )?\([^ ()]+\+0x[0-9a-f]+\)( \(BuildId: [0-9a-f]+\))?$' \
    "$err" | grep '^ *#' && fail "frames of another form"
grep -qE 'in [A-Z_]*strdup \(libc\.so\.6\+0x' "$err" ||
	fail "an exported function is not named"
same exits clean
quiet
PRELOAD_LIB=$built
finish
