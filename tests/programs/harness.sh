# harness.sh - run a real program with and without bilge, and compare.
#
# A test script sources this file, defines its cases as functions and ends so:
#
#	compare CASE PROGRAM...		for each case
#	finish
#
# CASE runs twice in the same fresh directory, once as the machine is and once
# with libbilge.so preloaded.  Standard output, standard error, exit status and
# all files left in the directory must not differ.  Each PROGRAM (a pattern
# for the base name of its executable) must have been watched to its end: a
# library that stood down is no pass.  A case must end with status 0, which
# "status" helps with where a program's failure is the point.
#
# A case is run by a new shell with an empty environment, so that nothing of
# the user's or of make's leaks in.  There it finds
#
#	$input	what the function "prepare" made there once, if there is one
#	$addr	a loopback address of this test's own: any port is free
#	$work	a place for what is not to be compared
#
# Names of files, ports and dates are the same in both runs.
#
# "TEST reclaim" instead of "TEST" collects while the programs run: a cycle
# every 50 ms, each mark checked by a second one, and leaks are reclaimed.
#
# "TEST guard" guards what the programs free instead: a cycle every 50 ms and for
# each MiB that is freed, each mark checked.  No program may write to what it has
# freed.

set -eu

script=$(realpath "$0")
test_name=$(basename "$script" .sh)
failed=0
cycles=0

# The settings of a test beside BILGE_REPORT and BILGE_RECORD.
mode=${1-check}
case $mode in
reclaim)
	settings="BILGE_LEAKS=reclaim BILGE_INTERVAL=50ms BILGE_VERIFY=1
		BILGE_GRACE=1 ${PROGRAMS_SETTINGS-}"
	test_name=$test_name-reclaim
	;;
guard)
	settings="BILGE_FREE=guard BILGE_QUARANTINE=1 BILGE_CPU=100
		BILGE_INTERVAL=50ms BILGE_VERIFY=1 ${PROGRAMS_SETTINGS-}"
	test_name=$test_name-guard
	;;
*)	settings=${PROGRAMS_SETTINGS-} ;;
esac

# status COMMAND... - run it and tell how it ended, whatever that is.  What the
# shell itself says of a signal, with a process number, is dropped.
status()
{
	local status=0
	{ "$@" 2>&3 3>&- || status=$?; } 3>&2 2>/dev/null
	echo "[status $status]"
}

# wait_until COMMAND... - poll for at most 20 seconds.
wait_until()
{
	local tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		if test $tries -ge 400; then
			echo "waited in vain for: $*"
			return 1
		fi
		sleep 0.05
	done
}

# loaded_in PID - bilge is in that process exactly when it should be.
loaded_in()
{
	local library loaded=no
	library=$(readlink -f "$PRELOAD_LIB")
	if grep -qF "$library" "/proc/$1/maps"; then
		loaded=yes
	fi
	test $loaded = "$WITH_BILGE"
}

# ---------------------------------------------------- inside: one run, one case

if test "${1-}" = --case; then
	case_name=$2
	if test "$WITH_BILGE" = yes; then
		export LD_PRELOAD=$PRELOAD_LIB
		export BILGE_REPORT=none BILGE_RECORD=$RECORDS/%e.%p
		for setting in $SETTINGS; do
			export "${setting?}"
		done
	fi
	# A daemon does not outlive a case that fails.
	trap 'ended=$?; kill $(jobs -p) 2>/dev/null || true; exit $ended' EXIT
	compare()
	{
		if test "$1" = "$case_name"; then
			"$1"
			exit 0
		fi
	}
	return 0
fi

# ----------------------------------------------------- outside: the whole test

if ! test -r "$PRELOAD_LIB"; then
	echo "FAIL: $test_name: no library at $PRELOAD_LIB"
	exit 1
fi
work=$TOP_BUILDDIR/tests/programs/$test_name.tmp
input=$work/input
chmod -R u+w "$work" 2>/dev/null || true
rm -rf "$work"
mkdir -p "$input" "$work/home" "$work/tmp"
prepared=no

# A loopback address nobody else uses: 127.x.y.z made of our process number.
addr=127.$((1 + ($$ >> 16))).$(($$ >> 8 & 255)).$((1 + ($$ & 255) % 254))

in_clean_environment()
{
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$work/home" \
		TMPDIR="$work/tmp" LC_ALL=C.UTF-8 TZ=UTC0 TERM=dumb \
		TOP_SRCDIR="$TOP_SRCDIR" TOP_BUILDDIR="$TOP_BUILDDIR" \
		PRELOAD_LIB="$PRELOAD_LIB" \
		work="$work" input="$input" addr="$addr" "$@"
}

# run_once CASE WITH_BILGE RESULT - leave out, err, status and files in RESULT.
run_once()
{
	local case_name=$1 with_bilge=$2 result=$3 status=0
	mkdir -p "$work/run" "$result" "$result.records"
	(
		cd "$work/run"
		ulimit -c 0
		# Its own process group: what hangs goes with all its children.
		in_clean_environment \
			WITH_BILGE="$with_bilge" RECORDS="$result.records" \
			SETTINGS="$settings" \
			timeout -k 5 "${case_limit:-120}" \
			bash "$script" --case "$case_name" \
			</dev/null >"$result/out" 2>"$result/err"
	) || status=$?
	echo "$status" >"$result/status"
	# Not sizes of directories: they depend on the order of creation.
	(cd "$work/run" && find . -type d -printf '%y %m %P\n' -o \
		-printf '%y %m %s %P %l\n' | LC_ALL=C sort) >"$result/listing"
	mv "$work/run" "$result/files"
}

# recorded PATTERN RECORDS - one such program was watched from start to end.
recorded()
{
	local record
	for record in "$2"/*; do
		if grep -qE "\"event\":\"start\".*\"exe\":\"[^\"]*/$1\"" \
		    "$record" && grep -q '"event":"end"' "$record"; then
			return 0
		fi
	done
	return 1
}

# differs CASE WHAT DETAIL... - note one reason why a case fails.
differs()
{
	local case_name=$1 what=$2
	shift 2
	echo "FAIL: $test_name $case_name: $what"
	"$@" | head -n 60 | sed 's/^/    /'
	case_failed=1 failed=1
}

compare()
{
	local case_name=$1 plain=$work/$1.plain bilge=$work/$1.bilge
	local program records=$work/$1.bilge.records case_failed=0
	shift

	if test $prepared = no; then
		prepared=yes
		if declare -F prepare >/dev/null; then
			(cd "$input" && prepare)
		fi
	fi
	run_once "$case_name" no "$plain"
	run_once "$case_name" yes "$bilge"

	if test "$(cat "$plain/status")" != 0; then
		differs "$case_name" "fails without bilge" \
			tail -n 50 "$plain/out" "$plain/err"
	fi
	if ! diff -r --no-dereference "$plain" "$bilge" >"$work/diff" 2>&1; then
		differs "$case_name" "< without bilge, > with it" \
			cat -v "$work/diff"
	fi
	for program; do
		if ! recorded "$program" "$records"; then
			differs "$case_name" "$program was not watched" \
				ls "$records"
		fi
	done
	if grep -lq '"event":"misuse"' "$records"/* 2>/dev/null; then
		differs "$case_name" "called misuse" \
			grep -h '"event":"misuse"' "$records"/*
	fi
	cycles=$((cycles + $(grep -h '"event":"cycle"' "$records"/* | wc -l)))
	if test $case_failed = 0; then
		echo "ok: $test_name $case_name"
		chmod -R u+w "$plain" "$bilge"
		rm -rf "$plain" "$bilge" "$records" "$plain.records"
	fi
}

# finish - the last line of a test.  What failed can be looked at afterwards.
finish()
{
	if test "$mode" != check; then
		echo "$test_name: $cycles cycles"
		if test $cycles = 0; then
			echo "FAIL: $test_name: no cycle ran"
			failed=1
		fi
	fi
	if test $failed = 0; then
		rm -rf "$work"
	fi
	exit $failed
}
