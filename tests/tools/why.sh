#!/bin/sh
# bilge report --why: roots of each kind, and records that cannot tell.
set -eu
. "$TOP_SRCDIR/tests/tools/common.sh"

start='{"event":"start","schema":"bilge-1","pid":7,"exe":"/x","argv":["x"]}'

# Wrong usage: one line, status 2.
echo "$start" >plain
for address in '' 0x zz 12x 0x1ffffffffffffffff -- -1; do
	expect 2 "$BILGE" report --why="$address" plain
	is_empty out
	one_line err
done

# A record that does not say it: one line, status 125.
expect 125 "$BILGE" report --why=0x10 plain
is_empty out
one_line err
has BILGE_WHY err

# The heap is [0x10000, 0x20000).  Of each block: its place in the heap, size,
# site, and the word less the heap's beginning.
why()
{
	printf '{"event":"why","limit":100,"base":"0x10000","end":"0x20000",'
	printf '"own":[["0x500000","0x510000"]],"blocks":10,"cut":%s,' "$1"
	printf '"lost":2,"lost_cut":false,"red_zone":128}\n'
}
account()
{
	echo "$start"
	echo '{"event":"module","id":0,"path":"/l/gone.so","base":"0x300000","start":"0x300000","end":"0x310000","build_id":""}'
	why "$1"
	echo '{"event":"thread","tid":70,"name":"main","tp":"0x408000","tls":["0x407000","0x408900"],"sp":"0x401000","stack_end":"0x404000","frame":["0x400000","0x400f80"],"registers":null,"words":[]}'
	echo '{"event":"thread","tid":71,"name":"","tp":"0x608000","tls":["0x600000","0x608900"],"sp":"0x14010","stack_end":"0x14100","frame":["0x600000","0x600100"],"registers":null,"words":[]}'
	echo '{"event":"mappings","list":[["0x700000","0x710000","/dev/shm/\udcff"],["0x800000","0x810000",""]]}'
	echo '{"event":"site","site":16,"calls":[0,257]}'
	# 0x300040, 0x401010, 0x400f90, 0x400010, 0x407800, 0x700008
	echo '{"event":"held","blocks":[0,16,16,3080256,32,16,16,4132880,64,16,1,4132752,96,16,16,4128784,128,16,16,4159488,160,16,16,7274504]}'
	# The kernel, a stack in a block, ignored, not known, chained twice.
	echo '{"event":"held","blocks":[192,16,16,5177360,16384,256,16,5177376,224,16,16,null,256,16,16,9371648,288,100,16,8,512,8,16,304,768,8,16,6225936]}'
	echo '{"event":"lost","blocks":[1024,32,16,null,1088,8,16,1040]}'
}
account false >record

# root ADDRESS PATTERN: the first line of the path.
root()
{
	expect 0 "$BILGE" report --why="$1" record
	is_empty err
	same 3 "$(wc -l <out)"
	has "^    #0 $2\$"
	has "^    #1 $1 block of [0-9]* byte(s)"
	expect 0 "$BILGE" report --format=json --why="$1" record
	has "^    \"kind\": \"$3\",\$"
}
root 0x10000 '0x300040 data of /l/gone\.so, without a name (+0x40)' variable
root 0x10020 '0x401010 stack of thread 70 (main), in a frame that is not known' stack
root 0x10040 '0x400f90 stack of thread 70 (main), in a frame that is not known' stack
root 0x10060 '0x400010 registers of thread 70 (main)' registers
root 0x10080 '0x407800 thread-local storage of thread 70 (main)' tls
root 0x100a0 "0x700008 mapping 0x700000-0x710000+0x8 /dev/shm/$(printf '\377')" mapping
root 0x100c0 '0x500010 held by the kernel for the program' kernel
root 0x10300 '0x600010 registers of thread 71' registers
root 0x14000 '0x500020 registers of thread 71' registers
root 0x100e0 'ignored: __lsan_ignore_object or __lsan_disable' ignored
root 0x10100 '0x900000 a place that is not known' unknown

# A path, and where in a block an address is.
expect 0 "$BILGE" report --why 0x10207 record
same "==7==bilge: 0x10207 is at +0x7 in a block of 8 byte(s), which is reachable:
    #0 0x300040 data of /l/gone.so, without a name (+0x40)
    #1 0x10000 block of 16 byte(s) allocated in 0x300100 (gone.so+0x100), points on at +0x8
    #2 0x10120 block of 100 byte(s) allocated in 0x300100 (gone.so+0x100), points on at +0x10
    #3 0x10200 block of 8 byte(s) allocated in 0x300100 (gone.so+0x100)" \
	"$(cat out)"
# Without 0x, into a file; a site that was not kept.
expect 0 "$BILGE" report --why 10040 -o file record
is_empty out
has '^    #1 0x10040 block of 16 byte(s)$' file

# Leaks.
expect 0 "$BILGE" report --why 0x10440 record
has 'in a block of 8 byte(s), an indirect leak: '
has '^    #0 0x10400 block of 32 byte(s) .*, points on at +0x10$'
expect 0 "$BILGE" report --why 0x10400 record
has 'in a block of 32 byte(s), a direct leak: '
expect 0 "$BILGE" report --format=json --why 0x10400 record
has '"answer": "leaked"'
has '"root": null'

# Just past a block, before the first, after the last.
for address in 0x10010 0xffff 0x10448 0xffffffffffffffff 0x0; do
	expect 0 "$BILGE" report --why $address record
	has "^==7==bilge: $address is in no block that the program had\\.\$"
	expect 0 "$BILGE" report --why $address --format=json record
	has '"answer": "none"'
	has '"path": \[\]'
done

# What is cut cannot say that there is no block, but what there is.
account true >record
expect 125 "$BILGE" report --why 0x10010 record
one_line err
expect 0 "$BILGE" report --why 0x10000 record

# Circles that no library wrote do not hang it; nor does nonsense.
{
	echo "$start"
	why false
	echo '{"event":"held","blocks":[0,16,16,32,32,16,16,0,64,16]}'
	echo '{"event":"held","blocks":["a",{},null,[],-5,-6,-7,-8]}'
	echo '{"event":"thread"}'
	echo '{"event":"mappings","list":[1,[2],["x"]]}'
	echo '{"event":"site","site":"a","calls":[0,1,2]}'
} >odd
for address in 0x10000 0x10020 0x10; do
	expect 0 "$BILGE" report --why $address odd
	is_empty err
done

# The last account is the one that counts.
{
	account false
	why false
} >record
expect 0 "$BILGE" report --why 0x10000 record
has 'is in no block'

finish
