#!/bin/bash
# guards.sh - pages of blocks that the program has closed are never touched.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

same guards 20 20
ends 0
quiet
for barrier in uffd mprotect stop; do
	for count in 5 200; do
		run BILGE_LEAKS=reclaim BILGE_INTERVAL=5ms BILGE_VERIFY=1 \
		    BILGE_BARRIER=$barrier guards $count $((4000 / count))
		ends 0
		quiet
	done
done
finish
