# common.sh - what the tests of the command share; read, not run.
#
# Each test has an empty directory of its own in the build tree, and is there.

fixtures=$TOP_BUILDDIR/tests/tools
sources=$TOP_SRCDIR/tests/tools
work=$TOP_BUILDDIR/tests/tools/$(basename "$0" .sh).dir
rm -rf "$work"
mkdir -p "$work"
cd "$work"

# Neither the tester's settings nor a preloaded library of his.
for variable in $(env | sed -n 's/^\(BILGE_[A-Z_]*\)=.*/\1/p') LD_PRELOAD \
	NO_COLOR
do
	unset "$variable"
done

failures=0

fail()
{
	echo "FAIL: $*"
	failures=$((failures + 1))
}

# expect STATUS COMMAND ...: output in out, complaints in err.
expect()
{
	wanted=$1
	shift
	status=0
	"$@" >out 2>err || status=$?
	if [ "$status" != "$wanted" ]; then
		fail "status $status, not $wanted: $*"
		cat err
	fi
}

# has PATTERN [FILE]: some line matches.
has()
{
	grep -q -e "$1" "${2:-out}" || {
		fail "no line like '$1' in ${2:-out}:"
		cat "${2:-out}"
	}
}

# hasnt PATTERN [FILE]
hasnt()
{
	if grep -q -e "$1" "${2:-out}"; then
		fail "a line like '$1' in ${2:-out}:"
		cat "${2:-out}"
	fi
}

# is_empty FILE
is_empty()
{
	[ ! -s "$1" ] || {
		fail "$1 is not empty:"
		cat "$1"
	}
}

# one_line FILE: a complaint is one line of ours.
one_line()
{
	[ "$(grep -c '^bilge' "$1")" = 1 ] && [ "$(wc -l <"$1")" = 1 ] || {
		fail "$1 is not one line:"
		cat "$1"
	}
}

# same WANTED GOT
same()
{
	[ "$1" = "$2" ] || fail "wanted '$1', got '$2'"
}

finish()
{
	cd "$TOP_BUILDDIR"
	[ "$failures" = 0 ] || exit 1
	rm -rf "$work"
}
