#!/bin/bash
# memory.sh - peak memory and run time of real programs.
#
#	memory.sh [TURNS]
#
# Runs each program under each of the peers in turn (default 3 times) and prints
# medians: the peak of resident memory (VmHWM, of the largest process) in MiB,
# then the seconds it took, with their ratios.  The programs:
#
#	python3       lists, dicts and strings, most of them from its own arenas
#	python3-malloc  the same with every object from malloc
#	perl          a hash of strings, half of it deleted and filled again
#	sqlite3       a table of 100000 rows imported, indexed and searched
#	gcc           a C file of 300 functions, with -O2
#	xz            a few large blocks
#	alloc         the random-mixed pattern of alloc.c: holes of all sizes
#
# Environment: peers.sh.

set -eu
. "$(dirname "$0")/peers.sh"

# Debian's programs, not wrappers of the same name.
PATH=/usr/bin:/bin
export PATH

turns=${1:-3}
. "$(dirname "$0")/programs.sh"

measure python3 python3 objects.py
measure python3-malloc env PYTHONMALLOC=malloc python3 objects.py
measure perl perl hash.pl
measure sqlite3 sqlite3 -bail :memory: '.read import.sql'
measure gcc gcc -O2 -c functions.c
measure xz xz -k -f -6 few.csv
measure alloc "$BENCH/alloc" -n 1000000 -r 1 random-mixed/1
print_measured
