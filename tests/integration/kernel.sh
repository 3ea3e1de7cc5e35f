#!/bin/sh
# kernel.sh - blocks whose address only the kernel holds, and those it forgot.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

for place in epoll epoll_raw epoll_modified epoll_copied epoll_set_copied \
    timer signal_pending thread_signal_pending notice \
    notice_closed request request_destroyed in_pipe in_socket in_socket_too \
    in_message_queue in_posix_queue; do
	run kernel "$place" keep
	ends 0
	quiet
	run kernel "$place" drop
	ends 0
	leaks 1 4242
done
# Parent and child, one after the other.
run kernel epoll_child keep
quiet
run kernel epoll_child drop
says 2 '^SUMMARY: bilge: 4242 byte\(s\) leaked in 1 allocation'
run kernel refused drop
leaks 1 4242

# An alternate stack is the thread's as long as it has it.
run kernel signal_stack
quiet
run kernel signal_stack drop
grep -q '^SUMMARY.* in 2 allocation' "$err" || fail "expected two blocks"
run kernel thread_signal_stack
quiet

for case in faults comes_back_twice; do
	same kernel "$case"
	ends 0
	quiet
done
finish
