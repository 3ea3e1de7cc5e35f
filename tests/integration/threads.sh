#!/bin/sh
# threads.sh - blocks that threads hold, and those that they lost.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

for place in stack general_register vector_register system_call red_zone \
    tls main_tls library_tls specific specific_late \
    main_specific_late masked; do
	run threads "$place" keep
	ends 0
	quiet
	run threads "$place" drop
	ends 0
	leaks 1 4242
done

# On its way into a thread that has hardly begun, and out of one that ended.
for i in 1 2 3 4 5; do
	run threads argument keep
	quiet
done
run threads argument drop
leaks 40 169680
run threads result keep
quiet
run threads result drop
leaks 1 4242

run threads ended
leaks 100 10000
run threads ended_detached
leaks 100 10000
run threads many
ends 0
leaks 200 20000
kind Direct 200 20000

for case in specific_freed row cancelled busy; do
	same threads "$case"
	quiet
done
for i in 1 2 3 4 5 6 7 8 9 10; do
	run threads busy
	ends 0
	quiet
done

same threads main_leaves
ends 0
leaks 1 100
same threads last_returns
ends 0
leaks 1 100
same threads exit_elsewhere
ends 5
leaks 1 100

# A thread that waits for a child in its own memory is no hindrance.
mkfifo "$work/fifo"
for case in away_vfork "away_spawn $work/fifo"; do
	# shellcheck disable=SC2086 # a case and its argument
	run threads $case
	ends 0
	quiet
done

# Another signal serves as well.
for signal in SIGUSR2 SIGRTMIN+3 34; do
	run BILGE_SIGNAL=$signal threads stack keep
	quiet
	run BILGE_SIGNAL=$signal threads many
	leaks 200 20000
done
finish
