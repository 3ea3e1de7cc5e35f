#!/bin/bash
# guard.sh - what BILGE_FREE=guard costs real programs, in time and memory.
#
#	guard.sh [TURNS]
#
# Runs each program under glibc and with freed blocks guarded, in turn (default
# 3 times), and prints medians of the peak of resident memory and of the seconds
# it took, with their ratios and the geometric mean of those.  First programs as
# they come, then those apart that do little but allocate and free: interpreters
# that build and drop trees and strings.
#
# Environment: peers.sh.  bilge-guard guards alone (BILGE_LEAKS=ignore);
# bilge-guard-report looks for leaks at the end as well.

set -eu
PEERS=${PEERS:-glibc bilge-guard bilge-guard-report}
. "$(dirname "$0")/peers.sh"
turns=${1:-3}
. "$(dirname "$0")/programs.sh"

cat >trees.lua <<'LUA'
local function tree(depth)
	if depth == 0 then return {} end
	return { tree(depth - 1), tree(depth - 1) }
end
local kept = tree(15)
for i = 1, 40 do tree(13) end
assert(kept[1][2])
LUA

cat >trees.py <<'PYTHON'
def tree(depth):
    return (tree(depth - 1), tree(depth - 1)) if depth else ()
kept = tree(15)
for i in range(30):
    tree(13)
PYTHON

cat >trees.pl <<'PERL'
sub tree { my $d = shift; return $d ? [tree($d - 1), tree($d - 1)] : [] }
my $kept = tree(14);
tree(12) for 1 .. 30;
PERL

cat >strings.tcl <<'TCL'
for {set i 0} {$i < 60000} {incr i} {
	dict set d [expr {$i % 5000}] [string repeat x [expr {$i % 300}]]
	lappend l [list $i [string reverse $i]]
	if {$i % 10000 == 0} { set l {} }
}
TCL

cat >objects.rb <<'RUBY'
kept = (1..100000).map { |i| [i, i.to_s, { i => "x" * (i % 100) }] }
10.times { (1..40000).map { |i| i.to_s * 3 } }
kept.sort_by { |row| row[1] }.size
RUBY

cat >objects.php <<'PHP'
<?php
for ($i = 0; $i < 300000; $i++) {
	$rows[$i % 20000] = ["id" => $i, "text" => str_repeat("x", $i % 200)];
	if ($i % 1000 == 0)
		usort($rows, fn($a, $b) => $a["id"] <=> $b["id"]);
}
PHP

cat >objects.js <<'NODE'
const rows = [];
for (let i = 0; i < 300000; i++)
	rows[i % 50000] = { id: i, text: "x".repeat(i % 100) };
for (let i = 0; i < 300; i++)
	Buffer.alloc(100000).fill(i).toString("base64");
JSON.parse(JSON.stringify(rows));
NODE

cat >words.awk <<'AWK'
{ for (i = 1; i <= NF; i++) count[$i "," NR % 1000]++ }
END { for (key in count) split(key, part, ","); print length(count) }
AWK

cat >serve.sh <<'SERVE'
redis-server --port 0 --unixsocket "$PWD/redis.sock" --save "" \
	--daemonize no --io-threads 2 >redis.log &
server=$!
for try in 1 2 3 4 5 6 7 8 9 10; do
	[ ! -S redis.sock ] || break
	sleep 0.1
done
env -u LD_PRELOAD redis-benchmark -s redis.sock -q -n 60000 -r 20000 -d 200 \
	-t set,get,lpush,lpop,sadd,zadd >bench.log
kill $server
wait $server
rm -f redis.sock
SERVE

tr , ' ' <rows.csv >words
mkdir tree
for i in $(seq 1 300); do
	head -n $((i * 10)) rows.csv >tree/file.$i
done
git init -q repository
cp -r tree repository/
git -C repository add -A
git -C repository -c user.name=x -c user.email=x@localhost commit -qm all

measure python3 python3 objects.py
measure perl perl hash.pl
measure sqlite3 sqlite3 -bail :memory: '.read import.sql'
measure gcc gcc -O2 -c functions.c
measure xz xz -k -f -6 -T2 few.csv
measure gawk gawk -f words.awk words
measure ruby ruby objects.rb
measure php php objects.php
measure node node objects.js
measure git git -C repository repack -adfq --threads=2
measure sort sort --parallel=2 -S 20M -k 2 -t , rows.csv
measure tar tar -czf tree.tar.gz tree
measure redis sh serve.sh
print_measured

rm peaks seconds
echo
echo 'allocation-heavy:'
measure lua-trees lua5.4 trees.lua
measure python3-trees env PYTHONMALLOC=malloc python3 trees.py
measure perl-trees perl trees.pl
measure tcl-strings tclsh strings.tcl
measure python3-malloc env PYTHONMALLOC=malloc python3 objects.py
print_measured
