#!/bin/sh
# lsan.sh - programs annotated for LeakSanitizer work unchanged.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

run lsan all_there
ends 0
same lsan disabled
quiet
same lsan enabled_again
leaks 1 77
same lsan ignored
leaks 1 77

run BILGE_ROOTS=segments lsan region keep
leaks 1 400
run BILGE_ROOTS=segments lsan region drop
leaks 2 700

# As LeakSanitizer does, a check that finds leaks ends the program.
run lsan check
ends 23
leaks 1 100
[ ! -s "$out" ] || fail "went on after a check that failed"
run BILGE_EXITCODE=9 lsan check
ends 9
leaks 1 100
run BILGE_EXITCODE=23 lsan check_clean
ends 0
quiet
[ "$(cat "$out")" = checked ] || fail "did not go on after a clean check"

run lsan check_recoverably
ends 0
[ "$(cat "$out")" = "0 1" ] || fail "expected 0 1"
says 2 '^SUMMARY: bilge: 100 byte\(s\) leaked in 1 allocation\(s\)\.$'
finish
