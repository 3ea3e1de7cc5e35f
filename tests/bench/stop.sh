#!/bin/bash
# stop.sh - how long it takes to stop every thread.
#
#	stop.sh [ROUNDS]
#
# Runs stop.c (which see) with 1 to 1000 idle threads and prints microseconds:
# median and 99th percentile of a bare signal to each thread and its answer,
# of a stop, how many times the former the latter is, and how long it takes to
# let all go on.  The goal is a ratio of 1.5 at most.

set -eu
: "${TOP_BUILDDIR:?}"

printf '%8s%10s%10s%10s%10s%8s%10s\n' \
    threads bare p99 stop p99 ratio 'go on'
for count in 1 8 64 256 1000; do
	rounds=${1:-$((count < 100 ? 1000 : 200))}
	"$TOP_BUILDDIR/tests/bench/stop" "$count" "$rounds" | awk '
		{ printf "%8d%10.1f%10.1f%10.1f%10.1f%8.2f%10.1f\n",
		    $1, $2, $3, $4, $5, $4 / $2, $6 }'
done
