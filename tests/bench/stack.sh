#!/bin/bash
# stack.sh - what it costs to keep the call stack of each allocation.
#
#	stack.sh [TURNS]
#
# Runs stack.c (which see for hot, many and first) with no stacks kept, with 20
# frames and with the default depth, in turn (default 9 times).  Prints the
# medians in nanoseconds for a block allocated and freed, and what a stack
# added.  The goal is less than 500 ns for 20 frames.  Environment: peers.sh.

set -eu
PEERS='glibc bilge-depth0 bilge-depth20 bilge'
. "$(dirname "$0")/peers.sh"

turns=${1:-9}
for _ in $(seq "$turns"); do
	for peer in $PEERS; do
		peer_run "$peer" "$BENCH/stack" | sed "s/ / $peer /"
	done
	peers_rotate
done | table 'ns/block' '%.1f' '' | awk '
	{ print }
	NR > 1 {
		names[++count] = $1
		added20[$1] = $4 - $3
		added[$1] = $5 - $3 }
	END {
		printf "%-18s%14s%15s\n", "\nns added", "20 frames", "as it comes"
		for (i = 1; i <= count; i++)
			printf "%-17s%14.1f%15.1f\n", names[i],
			    added20[names[i]], added[names[i]] }'
