#!/bin/sh
# settings.sh - every setting, well given and badly.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

table=$TOP_SRCDIR/src/settings/options.def
names=$(sed -n 's/^\(OPTION\|LATER\)( *\([A-Z_]*\),.*/\2/p' "$table")

# A bad value is one line, and the default.
bad()
{
	run "BILGE_$1=$2" lost
	ends 0
	says 1 '^bilge: '
	says 1 "^bilge: .*BILGE_$1\>"
	sed -i '/^bilge: /d' "$err"
	leaks 165 13935
	tested="${tested-} $1"
}

bad LEAKS sometimes
bad LEAKS ""
bad FREE never
bad QUARANTINE 0
bad PERCENT -1
bad LIMIT 12Q
bad INTERVAL 5y
bad CPU 0
bad CPU 101
bad WORKERS many
bad BARRIER hope
bad GRACE x
bad ROOTS some
bad PAST_END 2
bad TAG_MASK zz
bad DEPTH 129
bad DEPTH 1x
bad SAMPLE much
bad SAMPLE 99999999999999999999
bad EXITCODE 256
bad TRACE yes
bad VERIFY 2
bad WHY -1
bad WHY all
bad CHILDREN -1
bad SIGNAL SIGKILL
bad SIGNAL SIGNONE
bad SIGNAL 65
bad HELP maybe
bad REPORT ""
bad RECORD ""
bad SUPPRESSIONS ""
# What is used instead depends on the mode, wherever that is named.
for given in "BILGE_SAMPLE=much BILGE_LEAKS=reclaim" \
    "BILGE_LEAKS=reclaim BILGE_SAMPLE=much"; do
	# shellcheck disable=SC2086 # two settings
	run $given exits clean
	ends 0
	one_line 'BILGE_SAMPLE=much is not .*; using 512K$'
done
run BILGE_LEAKS=maybe BILGE_SAMPLE=much exits clean
says 1 'BILGE_SAMPLE=much is not .*; using 1$'

# Those that no thread can be stopped with are told from those that are none.
for signal in KILL SIGSTOP ILL SIGTRAP BUS FPE SIGSEGV SYS 5 31 32 33; do
	run BILGE_SIGNAL=$signal exits clean
	ends 0
	one_line "BILGE_SIGNAL=$signal cannot stop threads; using SIGSTKFLT"
done
# With the others they can be.
for signal in $(seq 1 64) SIGTERM CHLD IO SIGRTMIN RTMIN+3 SIGRTMIN+30; do
	case $signal in
	4 | 5 | 7 | 8 | 9 | 11 | 19 | 31 | 32 | 33) continue ;;
	esac
	run BILGE_SIGNAL=$signal threads stack drop
	ends 0
	says 0 '^bilge: '
	leaks 1 4242
done

# The command and the library take the same values.
while read -r name value; do
	run "BILGE_$name=$value" exits clean
	ours=0
	! grep -q "^bilge: BILGE_$name=" "$err" || ours=2
	"$BILGE" run -s "$name=$value" true >"$out" 2>&1 && its=0 || its=$?
	[ "$ours" = "$its" ] || fail "the command says $its"
done <<'END'
SIGNAL RTMIN+3
SIGNAL SIGRTMIN+31
SIGNAL sigusr1
SIGNAL 0
SIGNAL 010
SIGNAL 0x10
SIGNAL -1
SIGNAL SIGSIGHUP
SIGNAL TRAP
SIGNAL TERM
SIGNAL 15
TAG_MASK 0XFF
TAG_MASK 0xff
TAG_MASK ff00000000000000
TAG_MASK 00000000000000000000ff
TAG_MASK 1ffffffffffffffff
TAG_MASK 0x
TAG_MASK -1
LIMIT off
LIMIT 1k
LIMIT 1g
LIMIT 17179869183G
LIMIT 17179869184G
LIMIT 18446744073709551615
LIMIT 18446744073709551616
LIMIT +1
LIMIT 1KB
LIMIT 1K
INTERVAL 1
INTERVAL 1M
INTERVAL 90us
INTERVAL off
INTERVAL 5124095h
INTERVAL 5124096h
PERCENT off
PERCENT 1000000
PERCENT 1000001
PERCENT 0010
WORKERS 1024
WORKERS off
LEAKS report|reclaim
LEAKS Report
PAST_END 01
DEPTH 99999999999999999999
REPORT none
END

what="settings"
for name in $names; do
	case "$tested " in
	*" $name "*) ;;
	*) fail "no bad value of BILGE_$name is tested" ;;
	esac
done

# An unknown name is one line.
run BILGE_NO_SUCH_THING=1 exits clean
ends 0
one_line BILGE_NO_SUCH_THING
run BILGE_=1 exits clean
ends 0
one_line BILGE_
run BILGE=1 exits clean
quiet

# A good value says nothing.
for setting in LEAKS=report LEAKS=ignore FREE=now FREE=guard QUARANTINE=1 \
    ROOTS=all ROOTS=segments PAST_END=0 PAST_END=1 TAG_MASK=0 TAG_MASK=ff00000000000000 DEPTH=0 \
    DEPTH=128 SAMPLE=1 SAMPLE=512K SAMPLE=1M EXITCODE=0 EXITCODE=255 \
    CHILDREN=0 CHILDREN=1 SIGNAL=SIGUSR1 SIGNAL=12 HELP=0 REPORT=stderr \
    REPORT=none; do
	same BILGE_$setting exits clean
	ends 0
	quiet
done

# What has no effect yet is accepted, and says so in one line.
later=$(sed -n 's/^LATER( *\([A-Z_]*\),.*/\1/p' "$table")
value()
{
	case $1 in
	PERCENT) echo 50 ;;
	LIMIT) echo 1G ;;
	INTERVAL) echo 30s ;;
	CPU) echo 50 ;;
	WORKERS) echo 2 ;;
	BARRIER) echo stop ;;
	GRACE) echo 2 ;;
	SUPPRESSIONS) echo /dev/null ;;
	*) echo 1 ;;
	esac
}
for name in $later; do
	same "BILGE_$name=$(value "$name")" exits clean
	ends 0
	one_line "BILGE_$name\\>"
done

# All of them, with their values; the program does not run.
run BILGE_HELP=1 BILGE_DEPTH=7 exits by_return 9
ends 0
[ ! -s "$out" ] || fail "something on standard output"
for name in $names; do
	says 1 "^BILGE_$name="
done
says 1 'BILGE_DEPTH\>.*\<7\>'
says 0 'SUMMARY'

run BILGE_LEAKS=ignore BILGE_EXITCODE=23 lost
ends 0
quiet
[ "$(cat "$out")" = lost ] || fail "output differs"

# Programs started by this one.
run BILGE_RECORD="$work/children.%p" /bin/sh -c '/bin/true; /bin/true; :'
ends 0
[ "$(ls "$work" | grep -c '^children')" = 3 ] || fail "$(ls "$work")"
run BILGE_CHILDREN=0 BILGE_RECORD="$work/alone.%p" /bin/sh -c \
    '/bin/true; /bin/true; echo "${LD_PRELOAD-none}"'
ends 0
[ "$(ls "$work" | grep -c '^alone')" = 1 ] || fail "$(ls "$work")"
finish
