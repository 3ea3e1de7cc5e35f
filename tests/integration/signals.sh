#!/bin/sh
# signals.sh - allocation in handlers that interrupt allocation.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

for case in small large threads; do
	run signals $case
	ends 0
	quiet
	run BILGE_LEAKS=ignore signals $case
	ends 0
	quiet
done
finish
