#!/bin/sh
# exits.sh - however a program ends, the check comes last and changes nothing.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# Without leaks nothing is said at all.
same exits clean
ends 0
quiet
run BILGE_EXITCODE=23 exits clean
ends 0
quiet

# The status is the program's own, unless it is 0 and another was asked for.
for way in by_return by_exit by__exit by__Exit by_quick_exit; do
	same exits $way 0
	ends 0
	leaks 1 100
	same exits $way 7
	ends 7
	leaks 1 100
	run BILGE_EXITCODE=23 exits $way 0
	ends 23
	leaks 1 100
	run BILGE_EXITCODE=23 exits $way 7
	ends 7
	leaks 1 100
done

# A signal ends it at once.
for signal in 1 6 9 11 15; do
	same exits by_signal $signal
	quiet
done
same exits by_exec
ends 6
quiet

# Freed on the way out is not lost; lost on the way out is.
for case in freed_at_exit freed_at_quick_exit freed_in_destructor \
    freed_by_library; do
	same exits $case
	ends 0
	quiet
done
for case in lost_in_destructor lost_at_exit lost_by_library \
    lost_by_closed_library; do
	same exits $case
	ends 0
	leaks 1 100
done
run exits lost_by_library
chain Direct 1 100 'in hidden_block ' 'in lose_block ' \
	'in lib_fini [^ ]*/victimlib\.c:[0-9]+$'
run exits lost_by_closed_library
chain Direct 1 100 'in hidden_block ' 'in lose_block ' \
	'in lib_fini [^ ]*/victimlib\.c:[0-9]+$'

same exits exit_in_handler
ends 3
leaks 1 100
for i in 1 2 3 4 5; do
	same exits exit_in_signal
	ends 4
	quiet
done

# Streams and descriptors that are gone by then.
same exits streams_closed
ends 0
quiet
same exits descriptors_closed 3
ends 7
leaks 1 100
same exits descriptors_closed 0
ends 7
quiet
same exits descriptors_replaced
ends 7
leaks 1 100

# Our helpers are nobody's children.
same exits wait_for_any
ends 0
leaks 1 100
finish
