#!/bin/bash
# leaky.sh - a server that loses memory: how long it lives, and how well.
#
#	leaky.sh [-r MIB] [-g GIB] [-l MIB] [-t THREADS]
#
# Runs leaky.c once under each of the peers; the options are its own (default:
# 20 GiB lost at 50 MiB a second, seven minutes for each peer).  Prints requests
# a second and in relation to glibc, resident memory at its peak and after each
# tenth of the losses, in MiB and in relation to the live memory, and whether the
# program survived.  glibc cannot: it gets LEAKY_CAP MiB of address space (default
# 4096), and its figures are those until it runs out.  Environment: peers.sh.

set -eu
PEERS=${PEERS:-glibc bdwgc bilge-reclaim}
. "$(dirname "$0")/peers.sh"

gib=20
while getopts r:g:l:t: option; do
	case $option in
	g) gib=$OPTARG ;;
	[rlt]) ;;
	*) exit 2 ;;
	esac
done

work=$(mktemp -d "$BENCH/leaky.XXXXXX")
trap 'rm -rf "$work"' EXIT

# run PEER [OPTION ...]: figures and progress to "out".
run()
(
	[ "$1" != glibc ] || ulimit -v $((${LEAKY_CAP:-4096} * 1024))
	peer=$1
	shift
	peer_run "$peer" "$BENCH/leaky" "$@" >"$work/out" 2>"$work/err"
)

for peer in $PEERS; do
	[ ! -t 2 ] || printf '\r%-16s' "$peer" >&2
	run "$peer" "$@" || {
		tail -n 20 "$work/err" >&2
		fail "$peer: status $?"
	}
	awk -v peer="$peer" -v goal="$((gib * 1024))" '
		$1 != "at" { print $1, peer, $2; next }
		# One line for each tenth of the losses.
		{ tenth = int($4 * 10 / goal) }
		tenth > before { print "rss_" tenth * 10 "%", peer, $5
			before = tenth }' "$work/out" >>"$work/figures"
done
[ ! -t 2 ] || printf '\r%16s\r' '' >&2

awk '$1 == "requests_per_s" { rate[$2] = $3 }
	END { for (peer in rate) if (rate["glibc"] > 0)
		print "requests/glibc", peer, rate[peer] / rate["glibc"] }' \
	"$work/figures" >>"$work/figures.more"
for row in requests_per_s requests/glibc seconds survived lost_mib live_mib \
    rss_10% rss_20% rss_30% rss_40% rss_50% rss_60% rss_70% rss_80% rss_90% \
    peak_mib peak/live; do
	awk -v row="$row" '$1 == row' "$work/figures" "$work/figures.more"
done | table "lost $gib GiB" '%.6g' ''
