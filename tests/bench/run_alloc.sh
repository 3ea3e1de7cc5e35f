#!/bin/bash
# run_alloc.sh - malloc and free under bilge, next to glibc and mimalloc.
#
#	run_alloc.sh [quick|full] [PATTERN/THREADS ...]
#
# Runs alloc.c's patterns (default: all of them, with one thread and with two),
# each in a process of its own, peer after peer, turn after turn, so that all
# peers meet the same moods of the machine.  Prints the medians in nanoseconds
# per operation, their ratios, and the worst ratios of batch, pair and random,
# whose goal is 1.00 to glibc and 1.20 to mimalloc for bilge-ignore.  quick (the
# default) takes under a minute, full about eight.  Environment: peers.sh, and
# ALLOC_FLAGS for options of alloc, for one -c on a busy machine.

set -eu
. "$(dirname "$0")/peers.sh"

mode=quick
case ${1-} in
quick | full)
	mode=$1
	shift ;;
esac
case $mode in
quick) turns=5 flags=(-r 5 -t 5) ;;
full) turns=9 flags=(-r 9 -t 20) ;;
esac
[ -z "${ALLOC_FLAGS-}" ] || read -r -a more <<<"$ALLOC_FLAGS"
flags+=(${more[@]+"${more[@]}"})

patterns=("$@")
[ $# -gt 0 ] || mapfile -t patterns < <("$BENCH/alloc" -l)

results=$(mktemp "$BENCH/results.XXXXXX")
trap 'rm -f "$results"' EXIT

for turn in $(seq "$turns"); do
	for pattern in "${patterns[@]}"; do
		for peer in $PEERS; do
			peer_run "$peer" "$BENCH/alloc" "${flags[@]}" "$pattern" |
				sed "s/ / $peer /" >>"$results"
		done
		peers_rotate
	done
	[ ! -t 2 ] || printf '\rturn %s of %s ' "$turn" "$turns" >&2
done
[ ! -t 2 ] || printf '\r%20s\r' '' >&2

table 'ns/op' '%.1f' <"$results" | awk '
	{ print }
	$1 == "to" { base = $2; column = 0
		for (i = 3; i <= NF; i++)
			if ($i == "bilge-ignore")
				column = i - 1
		next }
	column && /^(batch|pair|random)/ {
		threads = $1
		sub(/.*\//, "", threads)
		key = base ", threads " threads
		if (!(key in worst))
			keys[++count] = key
		if ($column > worst[key]) {
			worst[key] = $column
			where[key] = $1
		} }
	END {
		print ""
		for (i = 1; i <= count; i++)
			printf "worst of batch, pair and random to %s: " \
			    "%.2f (%s)\n", keys[i], worst[keys[i]],
			    where[keys[i]] }'
