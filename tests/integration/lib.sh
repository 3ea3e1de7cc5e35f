# lib.sh - how a victim is run and what is asked of it.  Sourced by the tests.
#
#   run [NAME=VALUE ...] PROGRAM [ARG ...]    under bilge
#   run_plain ...                             without it
#   same ...                                  both; output and status agree
#
# Each leaves the exit status in $status, standard output in $out and standard
# error in $err.  Programs are named without their folder.  The questions
# that follow (quiet, leaks, group, chain, says) are about the last run.  A
# wrong answer is printed and counted; finish ends the test.

set -eu

: "${PRELOAD_LIB:?}" "${TOP_SRCDIR:?}" "${TOP_BUILDDIR:?}"

# A user's own settings and locale must not reach the victims.
for name in $(env | sed -n 's/^\(BILGE_[A-Z_]*\)=.*/\1/p'); do
	unset "$name"
done
LC_ALL=C
export LC_ALL
unset LD_PRELOAD NO_COLOR
ulimit -c 0

sources=$TOP_SRCDIR/tests/integration
victims=$TOP_BUILDDIR/tests/integration
# libtool puts every library into a folder of the same name.
VICTIM_LIB=$victims/$(basename "$(dirname "$PRELOAD_LIB")")/victimlib.so
export VICTIM_LIB
seconds=60
failures=0

work=$(mktemp -d "$victims/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
out=$work/out
err=$work/err

[ -e "$PRELOAD_LIB" ] || { echo "FAIL: no library: $PRELOAD_LIB"; exit 1; }

fail()
{
	failures=$((failures + 1))
	echo "FAIL: $what"
	echo "      $*"
	[ ! -s "$out" ] || sed 's/^/  out| /' "$out" | head -n 20
	[ ! -s "$err" ] || sed 's/^/  err| /' "$err" | head -n 60
}

finish()
{
	echo "$failures wrong answers"
	[ "$failures" = 0 ]
	exit
}

# What comes first with an equals sign in it is a setting.
run_with()
{
	what=$*
	settings=
	while :; do
		case $1 in
		*=*) settings="$settings $1"; shift ;;
		*) break ;;
		esac
	done
	program=$1
	shift
	case $program in
	/*) ;;
	*) program=$victims/$program ;;
	esac
	status=0
	# A shell of its own, so that ours has no signal to comment on.
	# shellcheck disable=SC2086 # settings are words without blanks
	(exec timeout -k 5 "$seconds" env $preload $settings "$program" "$@" \
	    >"$out" 2>"$err" </dev/null) 2>/dev/null || status=$?
	[ "$status" != 124 ] || fail "still running after $seconds s"
}

run()
{
	preload=LD_PRELOAD=$PRELOAD_LIB
	run_with "$@"
}

run_plain()
{
	preload=
	run_with "$@"
	what="$what (without bilge)"
}

same()
{
	run_plain "$@"
	cp "$out" "$work/plain"
	plain_status=$status
	run "$@"
	[ "$status" = "$plain_status" ] ||
		fail "status $status, without bilge $plain_status"
	cmp -s "$out" "$work/plain" || fail "output differs from plain run"
}

ends()
{
	[ "$status" = "$1" ] || fail "status $status, expected $1"
}

quiet()
{
	[ ! -s "$err" ] || fail "expected nothing on standard error"
}

# leaks BLOCKS BYTES: one report with these sums, and nothing else is said.
leaks()
{
	[ "$(grep -c '^==[0-9]*==ERROR: bilge: detected memory leaks$' \
	    "$err")" = 1 ] || fail "expected one report"
	[ "$(grep '^SUMMARY' "$err")" = "SUMMARY: bilge: $2 byte(s) leaked in \
$1 allocation(s)." ] || fail "expected $2 byte(s) in $1 allocation(s)"
	awk '/^==[0-9]+==ERROR: / || /^SUMMARY: / || /^$/ { next }
	    /^(Direct|Indirect) leak of [0-9]+ byte\(s\) in [0-9]+ object/ {
		next }
	    /^    #[0-9]+ 0x[0-9a-f]+ / || /^    <empty stack>$/ { next }
	    { exit 1 }' "$err" || fail "a line that no report has"
}

# kind Direct|Indirect BLOCKS BYTES: the sum of the groups of this kind.
kind()
{
	sum=$(awk -v kind="$1" '$1 == kind && $2 == "leak" {
	    bytes += $4; blocks += $7 }
	    END { print blocks + 0, bytes + 0 }' "$err")
	[ "$sum" = "$2 $3" ] || fail "$1: $sum, expected $2 $3"
}

# group KIND BLOCKS BYTES: one group has just this.
group()
{
	grep -q "^$1 leak of $3 byte(s) in $2 object(s) allocated from:\$" \
	    "$err" || fail "no $1 leak of $3 byte(s) in $2 object(s)"
}

# chain KIND BLOCKS BYTES FRAME ...: and its frames, innermost first, match
# these extended regular expressions.
chain()
{
	group "$1" "$2" "$3"
	header="$1 leak of $3 byte(s) in $2 object(s) allocated from:"
	shift 3
	for frame; do
		printf '%s\n' "$frame"
	done >"$work/frames"
	awk -v header="$header" '
	    NR == FNR { want[n++] = $0; next }
	    $0 == header { inside = 1; i = 0; bad = 0; next }
	    inside && /^ *#/ {
		if (i < n && $0 !~ "#" i " 0x[0-9a-f]+ " want[i])
			bad = 1
		i++
		next }
	    inside { inside = 0; found = found || (!bad && i >= n) }
	    END { exit !found }' "$work/frames" "$err" ||
		fail "the frames of \"$header\" are not $(
		    tr '\n' ';' <"$work/frames")"
}

# says COUNT PATTERN: so many lines of standard error match.
says()
{
	[ "$(grep -cE "$2" "$err")" = "$1" ] ||
		fail "expected $1 line(s) like: $2"
}

# one_line PATTERN: standard error is one line of ours, and matches.
one_line()
{
	[ "$(wc -l <"$err")" = 1 ] || fail "expected one line"
	grep -qE "^bilge: .*$1" "$err" || fail "expected a line like: $1"
}

# line FILE MARK: the number of the line that is marked LINE MARK.
line()
{
	sed -n "/\/\* LINE $2 \*\//=" "$sources/$1"
}
