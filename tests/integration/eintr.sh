#!/bin/sh
# eintr.sh - no call that waits is the worse for being stopped all the time.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# More for a campaign: EINTR_STOPS=10000.
for case in timeouts waits own parts; do
	run eintr "$case" "${EINTR_STOPS:-600}"
	ends 0
	quiet
done
finish
