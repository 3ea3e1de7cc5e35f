#!/bin/sh
# why.sh - bilge report --why: the path from a root to a block.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

bilge=$TOP_BUILDDIR/tools/bilge

# address NAME: what the victim said.
address()
{
	sed -n "s/^$1 //p" "$work/said"
}

# why NAME [OPTION ...]: ask; the answer is in $work/why.
why()
{
	what="--why $1"
	asked=$(address "$1")
	shift
	status=0
	"$bilge" report "$@" --why "$asked" "$work/record" >"$work/why" \
	    2>"$err" || status=$?
	cp "$work/why" "$out"
	ends 0
	quiet
}

# answers COUNT PATTERN: so many lines of the answer match.
answers()
{
	[ "$(grep -cE "$2" "$work/why")" = "$1" ] ||
		fail "expected $1 line(s) like: $2"
}

node="allocated in make_node .*why\.c:$(line why.c node)"

run BILGE_RECORD="$work/record" BILGE_REPORT=none why
ends 0
quiet
cp "$out" "$work/said"

# The whole of one: root first, each step with its size, site and offset.
why variable
answers 1 "^==[0-9]+==bilge: $(address variable) is at \+0x0 in a block of 32 byte\(s\), which is reachable:\$"
answers 1 '^    #0 0x[0-9a-f]+ global variable inventory\+0x8 of .*/why$'
answers 2 "^    #[12] 0x[0-9a-f]+ block of 32 byte\(s\) $node, points on at \+0x0\$"
answers 1 "^    #3 $(address variable) block of 32 byte\(s\) $node\$"
answers 5 ''
why inside
answers 1 "^==[0-9]+==bilge: $(address inside) is at \+0x8 in a block "
answers 1 "^    #3 $(address variable) block"

why mapping
answers 1 '^    #0 0x[0-9a-f]+ mapping 0x[0-9a-f]+-0x[0-9a-f]+\+0x[0-9a-f]*18 \(anonymous\)$'
answers 1 "^    #1 $(address mapping) block"
why tls
answers 1 '^    #0 0x[0-9a-f]+ thread-local storage of thread [0-9]+ \(why\)$'
why thread
answers 1 '^    #0 0x[0-9a-f]+ stack of thread [0-9]+ \(keeper\), frame of keep_in_frame .*why\.c:[0-9]+$'
why stack
answers 1 '^    #0 0x[0-9a-f]+ stack of thread [0-9]+ \(why\), frame of keep_in_main_thread .*why\.c:[0-9]+$'

# A leak is told, with the leaks that lead to it.
why lost_last
answers 1 'an indirect leak: only leaks point at it, from their head on:$'
answers 1 "^    #0 $(address lost_head) block of 32 byte\(s\) $node, points on at \+0x0\$"
answers 1 "^    #2 $(address lost_last) block of 32 byte\(s\) $node\$"
why lost_head
answers 1 'a direct leak: '
answers 2 ''

# What is no block.
for name in freed nothing; do
	why $name
	answers 1 "^==[0-9]+==bilge: $(address $name) is in no block that the program had\.\$"
	answers 1 ''
done

# JSON has the same.
why variable --format=json
python3 - "$work/why" "$(address variable)" <<'PYTHON' || fail "the JSON"
import json, sys
answer = json.load(open(sys.argv[1]))
assert answer["schema"] == "bilge-1" and answer["answer"] == "reachable"
assert answer["root"]["kind"] == "variable"
assert answer["root"]["variable"] == "inventory"
assert answer["root"]["offset"] == "0x8", answer["root"]
assert [step["bytes"] for step in answer["path"]] == [32, 32, 32]
assert answer["path"][0]["points_on_at"] == "0x0"
assert answer["path"][2]["points_on_at"] is None
assert answer["path"][2]["address"] == sys.argv[2]
assert answer["path"][2]["frames"][0]["function"] == "make_node"
PYTHON
why thread --format=json
answers 1 '"kind": "stack"'
answers 1 '"name": "keeper"'
# The frame that holds it, and the one that allocated it.
answers 2 '"function": "keep_in_frame"'
why lost_last --format=json
answers 1 '"answer": "leaked"'
answers 1 '"root": null'

# Cut: nothing comes before its holder, and the record says that it is cut.
run BILGE_WHY=4 BILGE_RECORD="$work/record" BILGE_REPORT=none why
ends 0
python3 - "$work/record" <<'PYTHON' || fail "the cut record"
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
why = [e for e in events if e["event"] == "why"]
assert len(why) == 1 and why[0]["cut"] and why[0]["limit"] == 4, why
held = sum((e["blocks"] for e in events if e["event"] == "held"), [])
assert len(held) == 4 * 4 and why[0]["blocks"] == 4, held
PYTHON
status=0
"$bilge" report --why 0x10 "$work/record" >"$out" 2>"$err" || status=$?
ends 125
one_line 'BILGE_WHY'

# Off: nothing of it is written, and the command says so.
run BILGE_WHY=0 BILGE_RECORD="$work/record" BILGE_REPORT=none why
ends 0
grep -qE '"event":"(why|thread|mappings|site|held|lost)"' "$work/record" &&
	fail "BILGE_WHY=0 has no effect"
status=0
"$bilge" report --why 0x10 "$work/record" >"$out" 2>"$err" || status=$?
ends 125
one_line 'BILGE_WHY'
finish
