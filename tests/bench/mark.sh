#!/bin/bash
# mark.sh - bytes marked in a second, on one processor.
#
#	mark.sh [MIB] [ROUNDS]
#
# Runs mark.c's shapes with MIB of live memory (default 512) under each of the
# peers, in turn, ROUNDS times (default 3), on one processor and with one marking
# thread.  Prints medians in MiB a second and their ratios.  The column of glibc
# is a plain read loop over as much memory.  The goals: for lists, trees and
# tables twice bdwgc, for buffers half of the read loop.  Environment: peers.sh.

set -eu -o pipefail
PEERS=${PEERS:-glibc bdwgc bilge-depth0}
. "$(dirname "$0")/peers.sh"

mib=${1:-512} rounds=${2:-3}
GC_MARKERS=1 BILGE_WORKERS=1
export GC_MARKERS BILGE_WORKERS

# The last processor we may use: the first has most of the interrupts.
processor=$(taskset -cp $$ | sed 's/.*[^0-9]//')

results=$(mktemp "$BENCH/mark.XXXXXX")
said=$results.err
trap 'rm -f "$results" "$said"' EXIT

for _ in $(seq "$rounds"); do
	for shape in lists trees tables buffers; do
		for peer in $PEERS; do
			peer_run "$peer" taskset -c "$processor" \
			    "$BENCH/mark" "$shape" "$mib" 2>"$said" |
				sed "s/ / $peer /" >>"$results" || {
				tail -n 20 "$said" >&2
				fail "$peer: $shape"
			}
		done
	done
	peers_rotate
done

table 'MiB/s' '%.0f' 'glibc bdwgc' <"$results"
