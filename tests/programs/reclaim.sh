#!/bin/sh
# reclaim.sh - the real programs again, while bilge collects and reclaims.
#
#	reclaim.sh		those that differ most in how they use memory
#	reclaim.sh all		all of them
set -eu

programs='shell perl python interpreters archive sqlite openssl nginx redis
	daemons node'
if [ "${1-}" = all ]; then
	programs="$programs coreutils text git compilers java misc vim
		python_tests"
fi

failed=
for program in $programs; do
	"$(dirname "$0")/$program.sh" reclaim || failed="$failed $program"
done
[ -z "$failed" ] || { echo "FAIL:$failed"; exit 1; }
