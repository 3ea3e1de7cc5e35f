#!/bin/sh
# uaf.sh - what is done with freed blocks, where they are guarded.
#
# Each victim of uaf.c with and without leaks looked for, under each barrier;
# every mark of a part of them is verified.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

names()
{
	sed -n "s/^	*{ \"\($1[a-z_]*\)\",.*/\1/p" "$sources/uaf.c"
}

argument()
{
	case $1 in
	*_size | frees_twice) echo 100 ;;
	esac
}

guarded()
{
	run BILGE_FREE=guard BILGE_REPORT=none BILGE_QUARANTINE=5 "$@"
}

# reads, writes, frees [NAME=VALUE ...] CASE [ARG]
reads()
{
	guarded BILGE_VERIFY=1 "$@"
	ends 0
	quiet
}

writes()
{
	guarded "$@"
	ends 0
	[ "$(grep -c '^bilge: write after free: 0x' "$err")" = 1 ] ||
		fail "it is not told once"
	[ "$(wc -l <"$err")" = 1 ] || fail "something else is said"
}

frees()
{
	guarded "$@"
	ends 134
	one_line 'double free|invalid pointer'
}

for mode in LEAKS=ignore LEAKS=report LEAKS=reclaim; do
	for name in $(names reads_) hides; do
		reads BILGE_$mode uaf $name $(argument $name)
	done
	for name in $(names writes); do
		writes BILGE_$mode uaf $name $(argument $name)
	done
	for name in $(names 'frees_|realloc'); do
		frees BILGE_$mode uaf $name $(argument $name)
	done
done
for barrier in mprotect stop; do
	for name in $(names reads_); do
		reads BILGE_BARRIER=$barrier uaf $name $(argument $name)
	done
	for name in $(names writes); do
		writes BILGE_BARRIER=$barrier uaf $name $(argument $name)
	done
done
for size in 1 16 100 1000 5000 40000 100000 300000; do
	reads uaf reads_size $size
	writes uaf writes_size $size
	frees uaf frees_twice $size
done

# Both call stacks, in the record and in the report.
run BILGE_FREE=guard BILGE_SAMPLE=1 BILGE_RECORD="$work/record" uaf writes_list
ends 0
says 1 '^==[0-9]*==ERROR: bilge: write after free of 0x.*, 0 byte\(s\) into'
says 1 '^freed by:'
says 1 '^allocated from:'
[ "$(grep -c ' in writes_list .*uaf.c:' "$err")" = 2 ] ||
	fail "the call stacks are not there"
grep -q '"what":"write after free".*"frames":\[{.*"freed_by":\[{' \
    "$work/record" || fail "not in the record"
finish
