#!/bin/sh
# bilge report: functions, files, lines and numbers of a true record.
set -eu
. "$TOP_SRCDIR/tests/tools/common.sh"

# The line of stack.c that bears a mark.
line()
{
	grep -n "line: $1 " "$sources/stack.c" | cut -d: -f1
}

# frames FILE: "FUNCTION FILE:LINE" of each, without the addresses.
check_stack()
{
	for want in \
		"#0 0x[0-9a-f]* in inlined_inner .*/stack.c:$(line inlined_inner)" \
		"#1 0x[0-9a-f]* in inlined_outer .*/stack.c:$(line inlined_outer)" \
		"#2 0x[0-9a-f]* in plain_callee .*/stack.c:$(line plain_callee)" \
		"#3 0x[0-9a-f]* in main .*/stack.c:$(line main_plain)" \
		"#0 0x[0-9a-f]* in exported_callee .*/stack.c:$(line exported_callee)" \
		"#1 0x[0-9a-f]* in main .*/stack.c:$(line main_exported)" \
		"#0 0x[0-9a-f]* in main .*/stack.c:$(line main_leak)"
	do
		has "^    $want\$" "$1"
	done
}

for program in stack stack_fixed; do
	"$fixtures/$program" >$program.rec
	expect 0 "$BILGE" report $program.rec
	is_empty err
	cp out $program.txt
	check_stack $program.txt
	has '^SUMMARY: bilge: 8100 byte(s) leaked in 3 allocation(s)\.$'
done

# The shape of the text: order of leaks, blank lines, no colour in a file.
pid=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' stack.rec)
same "==$pid==ERROR: bilge: detected memory leaks" "$(sed -n 1p stack.txt)"
same "" "$(sed -n 2p stack.txt)"
same "Direct leak of 3000 byte(s) in 1 object(s) allocated from:
Direct leak of 100 byte(s) in 1 object(s) allocated from:
Indirect leak of 5000 byte(s) in 1 object(s) allocated from:" \
	"$(grep ' leak of ' stack.txt)"

# Standard input, an output file, the first leaks only.
expect 0 sh -c '"$1" report - <stack.rec' sh "$BILGE"
cmp out stack.txt || fail "standard input differs"
expect 0 "$BILGE" report -o file.txt stack.rec
is_empty out
cmp file.txt stack.txt || fail "-o differs"
expect 0 "$BILGE" report --top=1 stack.rec
same 1 "$(grep -c ' leak of ' out)"
has 'SUMMARY: bilge: 8100 '
expect 125 "$BILGE" report -o missing/file stack.rec
one_line err
expect 125 sh -c '"$1" report stack.rec >/dev/full' sh "$BILGE"
one_line err

# C++ names, with an inlined member in a template's lambda.
"$fixtures/stack_cxx" >cxx.rec
expect 0 "$BILGE" report cxx.rec
has '#0 0x[0-9a-f]* in hold::pump::lift(int) const .*/stack_cxx.cc:'
has '#1 0x[0-9a-f]* in hold::pump::lift(int, bool) const .*/stack_cxx.cc:'
has '#2 0x[0-9a-f]* in hold::drain<int>(int)::{lambda.*operator()(int) const '
has '#3 0x[0-9a-f]* in void hold::drain<int>(int) .*/stack_cxx.cc:'

# Without debug information: the module; with its symbols a function too.
strip --strip-debug -o stack_symbols "$fixtures/stack"
./stack_symbols >symbols.rec
expect 0 "$BILGE" report symbols.rec
has '#0 0x[0-9a-f]* in exported_callee (stack_symbols+0x[0-9a-f]*) (BuildId: '
strip -o stack_bare "$fixtures/stack"
./stack_bare >bare.rec
expect 0 "$BILGE" report bare.rec
has '^    #0 0x[0-9a-f]* (stack_bare+0x[0-9a-f]*) (BuildId: [0-9a-f]*)$'

# The name that the record itself gives is better than none.
sed 's/\("module":0,"offset":"[0-9a-fx]*"\)/\1,"symbol":"_ZN4hold1fEi"/' \
	bare.rec >named.rec
expect 0 "$BILGE" report named.rec
has 'in hold::f(int) (stack_bare+0x'

# Debug information in a file beside it.
mkdir .debug
objcopy --only-keep-debug "$fixtures/stack" .debug/stack_split.debug
(cd .debug && strip -o ../stack_split "$fixtures/stack" &&
	objcopy --add-gnu-debuglink=stack_split.debug ../stack_split)
./stack_split >split.rec
expect 0 "$BILGE" report split.rec
check_stack out

# A file that has changed, or is gone, tells nothing.
cp "$fixtures/stack" stack_moved
./stack_moved >moved.rec
cp "$fixtures/stack_cxx" stack_moved
expect 0 "$BILGE" report moved.rec
has '^    #0 0x[0-9a-f]* (stack_moved+0x[0-9a-f]*) (BuildId: [0-9a-f]*)$'
rm stack_moved
expect 0 "$BILGE" report moved.rec
has '^    #0 0x[0-9a-f]* (stack_moved+0x[0-9a-f]*) (BuildId: [0-9a-f]*)$'

# JSON: every member; the same site has the same id in another run.
expect 0 "$BILGE" report --format=json stack.rec
cp out first.json
"$fixtures/stack" >again.rec
expect 0 "$BILGE" report --format=json again.rec
"$fixtures/check_json" first.json out "$(line inlined_outer)" ||
	fail "check_json"

finish
