# shellcheck shell=bash disable=SC2034
# peers.sh - who is compared, and the table of the result; sourced by the rest.
#
# A peer is an allocator with its settings:
#
#	glibc         no preload
#	mimalloc      MIMALLOC_LIB (default libmimalloc.so.2.0)
#	bilge-ignore  PRELOAD_LIB with BILGE_LEAKS=ignore: the heap alone
#	bilge-depth0  PRELOAD_LIB with BILGE_DEPTH=0: leaks, but no call stacks
#	bilge         PRELOAD_LIB as it comes
#	bilge-reclaim PRELOAD_LIB with BILGE_LEAKS=reclaim
#	bilge-guard   PRELOAD_LIB with BILGE_FREE=guard and BILGE_LEAKS=ignore
#	bilge-guard-report  PRELOAD_LIB with BILGE_FREE=guard
#	bilge-uffd    ... and this barrier; also bilge-mprotect, bilge-stop
#	bdwgc         bdwgc_redirect.so: libgc in the place of malloc
#	go            no preload: a program of its own, where there is one
#
# From the environment:
#
#	TOP_BUILDDIR  the build tree (default: the current directory)
#	PRELOAD_LIB   the library (default: the one of the build tree)
#	PEERS         the peers to compare (stack.sh has its own)

TOP_BUILDDIR=$(cd "${TOP_BUILDDIR:-.}" && pwd)
BENCH=$TOP_BUILDDIR/tests/bench
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PRELOAD_LIB=${PRELOAD_LIB:-$TOP_BUILDDIR/preload/.libs/libbilge.so}
MIMALLOC_LIB=${MIMALLOC_LIB:-libmimalloc.so.2.0}
PEERS=${PEERS:-glibc mimalloc bilge-ignore bilge-depth0 bilge}

# What is measured is not what the caller happens to have set.
unset LD_PRELOAD "${!BILGE_@}"

fail()
{
	echo "${0##*/}: $*" >&2
	exit 2
}

# peer_settings PEER: sets the array "settings" to its NAME=VALUE words.
# The report is off: what is measured is the program, not the renderer.
peer_settings()
{
	settings=()
	case $1 in
	glibc | go)
		return ;;
	mimalloc)
		settings=("LD_PRELOAD=$MIMALLOC_LIB")
		return ;;
	bdwgc)
		settings=("LD_PRELOAD=$BENCH/bdwgc_redirect.so")
		return ;;
	bilge)
		;;
	bilge-reclaim)
		settings=(BILGE_LEAKS=reclaim) ;;
	bilge-uffd | bilge-mprotect | bilge-stop)
		settings=(BILGE_LEAKS=reclaim "BILGE_BARRIER=${1#bilge-}") ;;
	bilge-ignore)
		settings=(BILGE_LEAKS=ignore) ;;
	bilge-guard)
		settings=(BILGE_FREE=guard BILGE_LEAKS=ignore) ;;
	bilge-guard-report)
		settings=(BILGE_FREE=guard) ;;
	bilge-depth[0-9]*)
		settings=("BILGE_DEPTH=${1#bilge-depth}") ;;
	*)
		fail "$1: no such peer" ;;
	esac
	settings+=("LD_PRELOAD=$PRELOAD_LIB" BILGE_REPORT=none)
}

# peer_run PEER COMMAND [ARG ...]
peer_run()
{
	local settings
	peer_settings "$1"
	shift
	env ${settings[@]+"${settings[@]}"} "$@"
}

# A library that is not found is one warning and a run without it: the numbers
# would be glibc's own.
peers_check()
{
	local peer want
	for peer in $PEERS; do
		case $peer in
		glibc | go) continue ;;
		mimalloc) want=$MIMALLOC_LIB ;;
		bdwgc) want=bdwgc_redirect.so ;;
		*) want=$PRELOAD_LIB ;;
		esac
		peer_run "$peer" grep -qF "${want##*/}" /proc/self/maps ||
			fail "$peer: $want cannot be preloaded"
	done
}

# The next turn begins with another peer, so that none always runs in the wake
# of the same one.
peers_rotate()
{
	PEERS="${PEERS#* } ${PEERS%% *}"
}

# table TITLE FORMAT [BASES]: reads "ROW PEER VALUE" lines, prints medians and
# their ratios to those of the bases.
table()
{
	awk -v title="$1" -v format="$2" -v peers="$ALL_PEERS" \
		-v bases="${3-glibc mimalloc}" -f "$SOURCE/table.awk"
}

peers_check
ALL_PEERS=$PEERS
