#!/bin/sh
# bilge report: records that are cut off, damaged, or no records at all.
set -eu
. "$TOP_SRCDIR/tests/tools/common.sh"

start='{"event":"start","schema":"bilge-1","pid":7,"exe":"/x","argv":["x"]}'

# leak SITE KIND BYTES
leak()
{
	printf '{"event":"leak","site":%s,"kind":"%s","bytes":%s,' "$@"
	printf '"blocks":1,"frames":[{"address":"0x%x","module":null}]}\n' "$1"
}

# Not records: one line, status 125.
: >empty
echo 'hello' >words
echo '{"event":"end"}' >headless
echo '{"event":"start","schema":"bilge-9"}' >future
head -c 4096 /dev/zero >zeros
for record in empty words headless future zeros missing .; do
	expect 125 "$BILGE" report $record
	is_empty out
	one_line err
done

# Nothing lost: nothing printed.
echo "$start" >clean
expect 0 "$BILGE" report clean
is_empty out
is_empty err

# The process was killed in the middle of a line.
{ echo "$start"; leak 1 direct 10; leak 2 direct 20 | head -c 40; } >killed
expect 0 "$BILGE" report killed
is_empty err
has '^SUMMARY: bilge: 10 byte(s) leaked in 1 allocation(s)\.$'
expect 0 "$BILGE" report --format=json killed
has '"exit_status": null'
has '"direct_bytes": 10,'

# Damage in the middle is left out, and said; what is unknown is passed over.
{
	echo "$start"
	echo 'Segmentation fault'
	echo '{"event":"news","about":{"nothing":[1,2,{}]}}'
	echo '{"event":"leak","site":3,"kind":"direct","bytes":5,"blocks":1,"frames":[],"colour":"red"}'
	leak 1 direct 10
} >damaged
expect 0 "$BILGE" report damaged
one_line err
has '1 damaged line' err
has '^    <empty stack>$'
has '^SUMMARY: bilge: 15 byte(s) leaked in 2 allocation(s)\.$'

# The last word on a site and kind holds.
{
	echo "$start"
	leak 1 direct 10
	leak 1 indirect 7
	leak 1 direct 30
} >twice
expect 0 "$BILGE" report twice
has '^Direct leak of 30 byte'
has '^Indirect leak of 7 byte'
has '^SUMMARY: bilge: 37 byte'

# The numbers of the end come before those of the leaks.
{
	echo "$start"
	leak 1 direct 10
	echo '{"event":"end","exit_status":4,"leaked_bytes":1000,"leaked_blocks":50}'
} >sampled
expect 0 "$BILGE" report sampled
has '^SUMMARY: bilge: 1000 byte(s) leaked in 50 allocation(s)\.$'

# The process became another program.
{
	echo "$start"
	leak 1 direct 10
	echo '{"event":"start","schema":"bilge-1","pid":7,"exe":"/y","argv":["y"]}'
	leak 1 direct 20
} >exec
expect 0 "$BILGE" report exec
has '^SUMMARY: bilge: 20 byte'

# Frames of the library itself are not shown.
{
	echo "$start"
	echo '{"event":"module","id":0,"path":"/l/libbilge.so","base":"0x1000","build_id":""}'
	echo '{"event":"module","id":1,"path":"/l/gone.so","base":"0x5000","build_id":""}'
	echo '{"event":"leak","site":1,"kind":"direct","bytes":9,"blocks":1,"frames":[{"address":"0x1010","module":0},{"address":"0x5011","module":1,"offset":"0x11"}]}'
} >own
expect 0 "$BILGE" report own
same '    #0 0x5010 (gone.so+0x10)' "$(grep '#' out)"

# Misuse comes before the leaks.
{
	echo "$start"
	echo '{"event":"misuse","function":"free","address":"0x40","what":"double free","frames":[]}'
} >misuse
expect 0 "$BILGE" report misuse
has '^==7==ERROR: bilge: double free of 0x40 in free$'
expect 0 "$BILGE" report --format=json misuse
has '"misuses": 1,'

# Bytes that are no characters go through as they came; surrogate pairs and
# escaped backslashes are left alone.
printf '%s\n' '{"event":"start","schema":"bilge-1","pid":7,"exe":"/\udcff\\udcff\ud83d\udc80","argv":["\udc80\udcfe","\u00e9"]}' >bytes
{
	cat bytes
	echo '{"event":"module","id":0,"path":"/l/\udcfe.so","base":"0x0","build_id":""}'
	echo '{"event":"leak","site":1,"kind":"direct","bytes":9,"blocks":1,"frames":[{"address":"0x11","module":0}]}'
} >bytes.rec
expect 0 "$BILGE" report bytes.rec
LC_ALL=C has "$(printf '(\376.so+0x10)')"
expect 0 "$BILGE" report --format=json bytes.rec
has '"exe": "/\\udcff\\\\udcff💀",$'
has '"\\udc80\\udcfe",$'
has '"é"$'

finish
