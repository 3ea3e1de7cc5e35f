#!/bin/bash
# instructions.sh - instructions an operation takes in user space.
#
#	instructions.sh [PATTERN/THREADS ...]
#
# Counts whole runs of alloc.c's patterns (default: pair, batch-shuffled and
# random-small, with one thread) that differ only in their number of rounds and
# divides the difference by the operations in it: starting up, warming up and
# the check at exit drop out.  Prints instructions for one block allocated and
# freed, the ten or so of the pattern's own loop included.  Unlike time this
# does not depend on what else the machine does.
#
# The counter is perf's where the processor lends it, else valgrind's callgrind,
# which leaves malloc alone, unlike its other tools.  Environment: peers.sh.

set -eu
PEERS=${PEERS:-glibc mimalloc bilge-ignore bilge-depth0}
. "$(dirname "$0")/peers.sh"

ops=20000
more=4			# further rounds of the longer run
[ $# -gt 0 ] || set -- pair/1 pair-fixed/1 batch-shuffled/1 random-small/1

results=$(mktemp "$BENCH/results.XXXXXX")
trap 'rm -f "$results"' EXIT

# Each prints the instructions of one run: PEER ROUNDS PATTERN.
count_perf()
{
	LC_ALL=C peer_run "$1" perf stat -x , -e instructions:u \
		"$BENCH/alloc" -n "$ops" -r "$2" "$3" 2>&1 >/dev/null |
		awk -F , '/instructions/ { print $1 }'
}

count_callgrind()
{
	peer_run "$1" valgrind --tool=callgrind --callgrind-out-file=/dev/null \
		"$BENCH/alloc" -n "$ops" -r "$2" "$3" 2>&1 >/dev/null |
		awk '/Collected/ { print $NF }'
}

if LC_ALL=C perf stat -x , -e instructions:u true 2>&1 |
	grep -q '^[0-9]*,.*instructions'; then
	counter=count_perf
elif command -v valgrind >/dev/null; then
	counter=count_callgrind
else
	fail 'neither perf nor valgrind can count instructions here'
fi

for pattern in "$@"; do
	for peer in $PEERS; do
		short=$($counter "$peer" 1 "$pattern")
		long=$($counter "$peer" $((1 + more)) "$pattern")
		if [ -z "$short" ] || [ -z "$long" ]; then
			fail "$peer: no count of $pattern"
		fi
		echo "$pattern $peer" $((long - short)) >>"$results"
	done
done
awk -v ops=$((ops * more)) '{ print $1, $2, $3 / ops }' "$results" |
	table 'instructions/op' '%.1f'
