#!/bin/bash
# gc.sh - concurrent collectors on one large graph: speed, pauses, memory.
#
#	gc.sh [-m MIB] [-t THREADS] [-s SECONDS] [-a PERCENT] [-l PERCENT]
#	      [-i MS] [-r ROUNDS]
#
# Runs gc.c under each of the peers and gc.go, in turn, ROUNDS times (default
# 3), and prints the median of each figure.  -m, -t, -s, -a and -l are gc.c's;
# half of what the program gives up is lost by default, the rest freed.  Each of
# the collectors has a cycle at least every MS milliseconds (default 2000); SECONDS
# is by default enough for several of them, a minute for each GiB.
#
#	ops/glibc     operations in relation to glibc in the same round, which
#	              frees only what the others free
#	gap, held,    what the threads felt, in ms and percent: gc_gaps.c; glibc's
#	mmu           column is what the machine itself does
#	pause, stop   what the collector says, in ms: how long the world stood,
#	              and the part of it until all threads did.  bilge's are from
#	              its record, for the whole run with the building of the
#	              graph, but not the check at exit.  Go has the time to stop
#	              in its pauses.
#	peak, end     resident memory
#
# Useful as well:
#
#	gc.sh -m 4096                                pauses with four times the heap
#	gc.sh -t 2                                   a processor for each thread
#	PEERS="glibc bilge-ignore bilge-reclaim" gc.sh -l 0
#	                                             the cost where nothing leaks
#
# Environment: peers.sh.

set -eu
PEERS=${PEERS:-glibc bilge-uffd bilge-mprotect bilge-stop bdwgc go}
. "$(dirname "$0")/peers.sh"

rounds=3 threads=4 seconds= mib=1024 lose=50 interval=2000 more=()
while getopts m:t:s:a:l:i:r: option; do
	case $option in
	t) threads=$OPTARG ;;
	s) seconds=$OPTARG ;;
	l) lose=$OPTARG ;;
	i) interval=$OPTARG ;;
	r) rounds=$OPTARG ;;
	m) mib=$OPTARG ;;
	a) more+=(-a "$OPTARG") ;;
	*) exit 2 ;;
	esac
done
seconds=${seconds:-$(((mib + 1023) / 1024 * 60))}
more+=(-m "$mib" -t "$threads" -s "$seconds" -i "$interval")

work=$(mktemp -d "$BENCH/gc.XXXXXX")
trap 'rm -rf "$work"' EXIT
BILGE_RECORD=$work/record BILGE_TRACE=1 BILGE_INTERVAL=${interval}ms
export BILGE_RECORD BILGE_TRACE BILGE_INTERVAL

# run PEER: leaves the figures in "out", what the collector said in "err".
run()
{
	: >"$work/record"
	: >"$work/gaps"
	case $1 in
	go)
		GODEBUG=gctrace=1 "$BENCH/gc_go" "${more[@]}" -g "$work/gaps" ;;
	*)
		peer_run "$1" "$BENCH/gc" "${more[@]}" -l "$lose" \
			-g "$work/gaps" ;;
	esac >"$work/out" 2>"$work/err" && return
	cat "$work/err" >&2
	fail "$1: status $?"
}

# quantiles NAME: of the numbers on standard input.
quantiles()
{
	sort -n | awk -v name="$1" '
		{ v[NR] = $1 }
		function at(part,    i)
		{
			i = int(NR * part) + 1
			return v[i > NR ? NR : i]
		}
		END { if (NR) printf "%s_p50 %s\n%s_p99 %s\n%s_max %s\n",
			name, at(.5), name, at(.99), name, v[NR] }'
}

# measured PATTERN: the lines like this that were said while we measured.
measured()
{
	sed '1,/^gc: measuring$/d; /^gc: measured$/,$d' "$work/err" |
		grep "$1" || true
}

# record_quantiles FIELD NAME: from the summary in the record, from ns to ms.
record_quantiles()
{
	sed -n "s/.*\"event\":\"end\".*\"$1_ns\":{\([^}]*\)}.*/\1/p" \
	    "$work/record" | tr -d '"' | tr ',' '\n' |
	    awk -F: -v name="$2" '$1 != "count" {
		printf "%s_%s %.3f\n", name, $1, $2 / 1e6 }'
}

# pauses PEER: what the collector says about itself.
pauses()
{
	case $1 in
	bilge*)
		measured '^bilge: gc [0-9]' >"$work/cycles"
		record_quantiles pause pause
		record_quantiles stop stop ;;
	bdwgc)
		measured '^bdwgc: gc' >"$work/cycles"
		awk '{ print $7 }' "$work/cycles" | quantiles pause
		awk '{ print $5 }' "$work/cycles" | quantiles stop ;;
	go)
		measured '^gc [0-9]' >"$work/cycles"
		# The two numbers around "+CONCURRENT+" in a line of its trace.
		awk '{ split($5, ms, "+"); print ms[1]; print ms[3] }' \
			"$work/cycles" | quantiles pause ;;
	*)
		return ;;
	esac
	echo "cycles $(wc -l <"$work/cycles")"
}

for round in $(seq "$rounds"); do
	for peer in $PEERS; do
		[ ! -t 2 ] || printf '\rround %s of %s: %-16s' "$round" \
			"$rounds" "$peer" >&2
		run "$peer"
		{
			cat "$work/out"
			"$BENCH/gc_gaps" "$work/gaps" "$threads"
			pauses "$peer"
		} | awk -v peer="$peer" '{ print $1, peer, $2 }'
	done >"$work/round"
	awk '$1 == "kops_per_s" { ops[$2] = $3 }
		{ print }
		END { for (peer in ops) if (ops["glibc"] > 0)
			print "ops/glibc", peer, ops[peer] / ops["glibc"] }' \
		"$work/round" >>"$work/figures"
	peers_rotate
done
[ ! -t 2 ] || printf '\r%40s\r' '' >&2

# In this order, whoever ran first.
for row in kops_per_s ops/glibc gap_max gap_p99.9 gap_p99 held_max held_p99.9 \
    held_p99 mmu_1 mmu_5 mmu_10 mmu_20 mmu_50 cycles pause_p50 pause_p99 \
    pause_max stop_p50 stop_p99 stop_max peak_mib end_mib; do
	awk -v row="$row" '$1 == row' "$work/figures"
done | table 'median' '%.6g' ''
