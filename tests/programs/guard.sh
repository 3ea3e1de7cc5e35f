#!/bin/sh
# guard.sh - the real programs again, while bilge guards what they free.
#
#	guard.sh		those that differ most in how they use memory
#	guard.sh all		all of them
set -eu

programs='shell perl python interpreters sqlite nginx redis'
if [ "${1-}" = all ]; then
	programs="$programs archive openssl daemons node coreutils text git
		compilers java misc vim python_tests"
fi

failed=
for program in $programs; do
	"$(dirname "$0")/$program.sh" guard || failed="$failed $program"
done
[ -z "$failed" ] || { echo "FAIL:$failed"; exit 1; }
