#!/bin/bash
# startup.sh - what bilge adds to the start and the end of a program.
#
#	startup.sh [COUNT [COMMAND [ARG ...]]]
#
# Runs the command (default: /bin/true) COUNT times (default 200) under each of
# the peers in turn.  Prints medians in milliseconds: the whole run, and how
# much longer it took than without any preload in the same turn.  bilge is run as it
# comes, with the leak check at exit and the report going to a file nobody
# reads; bilge-ignore has neither.  The goal for /bin/true is under 5 ms.
# Environment: peers.sh.

set -eu
PEERS=${PEERS:-glibc mimalloc bilge-ignore bilge}
. "$(dirname "$0")/peers.sh"

count=${1:-200}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- /bin/true

variants=()
for peer in $PEERS; do
	peer_settings "$peer"
	[ "$peer" != bilge ] || settings=("LD_PRELOAD=$PRELOAD_LIB")
	variants+=(-- "$peer" ${settings[@]+"${settings[@]}"})
done

printf '%-17s%9s%9s\n' "$(basename "$1")" ms more
"$BENCH/spawn" "$count" "$@" "${variants[@]}" |
	awk '{ printf "%-17s%9.3f%9.3f\n", $1, $2, $3 }'
