#!/bin/sh
# reclaim.sh - leaking programs stay afloat, and what was not lost survives.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# sum KEY: of the record's last event.
sum()
{
	sed -n 's/.*"event":"end".*"'"$1"'":\([0-9]*\).*/\1/p' "$work/record" |
		tail -n 1
}

at_least()
{
	[ "$(sum "$1")" -ge "$2" ] || fail "$1: $(sum "$1"), expected $2"
}

afloat="BILGE_LEAKS=reclaim BILGE_REPORT=none BILGE_RECORD=$work/record"

# Resident memory in percent of 64 MiB that live while 700 MiB are lost, on a
# machine that does other things as well; without reclaim it is 1200.
run $afloat reclaim flat 700
ends 0
quiet
[ "$(cat "$out")" -le 500 ] || fail "resident $(cat "$out") % of what lives"
at_least reclaimed_bytes 400000000

# Interpreters whose extensions lose memory.
cat >"$work/lose.py" <<'END'
import ctypes, resource
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
malloc.argtypes = [ctypes.c_size_t]
live = [str(i) * 50 for i in range(50000)]
for i in range(400000):
	ctypes.memset(malloc(2000), 1, 2000)
assert sum(map(len, live)) == 11944500
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 200000)
END
cat >"$work/lose.lua" <<'END'
local lose = assert(package.loadlib(os.getenv("VICTIM_LIB"), "lib_lua_lose"))
local live = {}
for i = 1, 50000 do live[i] = tostring(i):rep(50) end
for i = 1, 400000 do lose() end
local peak
for line in io.lines("/proc/self/status") do
	peak = peak or line:match("^VmHWM:%s*(%d+)")
end
print(#table.concat(live), tonumber(peak) < 200000)
END
rm -f "$work/record"
run $afloat /usr/bin/python3 "$work/lose.py"
ends 0
quiet
[ "$(cat "$out")" = True ] || fail "python has grown"
at_least reclaimed_bytes 700000000
rm -f "$work/record"
run $afloat /usr/bin/lua5.4 "$work/lose.lua"
ends 0
quiet
grep -q true "$out" || fail "lua has grown"
at_least reclaimed_bytes 700000000

# At exit the report tells what was lost, and what of it was reclaimed.
run BILGE_LEAKS=reclaim BILGE_SAMPLE=1 /usr/bin/lua5.4 "$work/lose.lua"
ends 0
says 1 'SUMMARY: bilge: 800000000 byte\(s\) leaked in 400000 allocation'
says 1 'lib_lua_lose'

# What comes back in its grace was never lost.
returns()
{
	rm -f "$work/record"
	run $afloat BILGE_INTERVAL=300ms BILGE_PERCENT=off "$@"
	ends 0
	quiet
	grep -q '^intact$' "$out" || fail "not intact"
	if ! grep -q '^never lost$' "$out"; then
		grep -q '"event":"resurrected".*"how":"'"$how"'"' \
		    "$work/record" || fail "nothing was resurrected"
		at_least resurrected_blocks 1
	fi
	[ "$(sum reclaimed_bytes)" = 0 ] ||
		fail "reclaimed $(sum reclaimed_bytes) bytes"
}

for sample in 1 512K; do
	for case in xor_list compressed pipe file process; do
		how=reached
		returns BILGE_SAMPLE=$sample reclaim returned $case
	done
	how=changed
	returns BILGE_SAMPLE=$sample reclaim returned written_to
	how=freed
	returns BILGE_SAMPLE=$sample reclaim returned freed
done
finish
