#!/bin/sh
# Help, versions, wrong usage: statuses, and one line where there is one.
set -eu
. "$TOP_SRCDIR/tests/tools/common.sh"

expect 0 "$BILGE" --help
has '^Usage: bilge'
is_empty err
expect 0 "$BILGE" --version
has '^bilge [0-9]'
for command in run check report doctor settings; do
	expect 0 "$BILGE" $command --help
	has "^Usage: bilge $command"
	is_empty err
	expect 0 "$BILGE" $command --version
	has '^bilge [0-9]'
	expect 2 "$BILGE" $command --no-such-option
	is_empty out
	one_line err
done

# wrong ARGUMENT ...
wrong()
{
	expect 2 "$BILGE" "$@"
	is_empty out
	one_line err
}

wrong
wrong sail
wrong run
wrong check
wrong report
wrong report a b
wrong doctor
wrong doctor a b
wrong settings x
wrong run -s LEAKS true
wrong run -s LEAKS=perhaps true
wrong run -s DEPTH=129 true
wrong run -s DEPTH= true
wrong run -s DEPTH=8x true
wrong run -s SAMPLE=1T true
wrong run -s INTERVAL=2d true
wrong run -s TAG_MASK=xyz true
wrong run -s SIGNAL=SIGNOTHING true
wrong run -s SIGNAL=SIGTRAP true
has 'SIGTRAP cannot stop threads' err
wrong run -s leaks=report true
wrong run -s BILGE_LEAKS=report true
wrong run --exit-code=256 true
wrong run --exit-code=two true
wrong run --format=crayon true
wrong report --top=-1 x
wrong report --format=crayon x

# Named in the manual, not built yet: said in one line.
for command in ps top leaks collect; do
	wrong $command
	has 'is not built yet' err
done
for format in html folded pprof speedscope sarif junit xml; do
	wrong report --format=$format x
	has 'is not built yet' err
done
wrong report --generate-suppressions x

# Settings: all of them, the value of the environment, what is wrong with it.
expect 0 "$BILGE" settings
names=$(sed -n 's/^\(OPTION\|LATER\)( *\([A-Z_]*\),.*/\2/p' \
	"$TOP_SRCDIR/src/settings/options.def")
[ -n "$names" ] || fail "no names in options.def"
for name in $names; do
	has "^BILGE_$name="
done
hasnt 'bad value'
hasnt 'unknown'
has '^BILGE_SAMPLE=1$'
has '^BILGE_INTERVAL=0$'
expect 0 env BILGE_LEAKS=reclaim BILGE_PERCENT=50 "$BILGE" settings
has '^BILGE_SAMPLE=512K$'
has '^BILGE_INTERVAL=2m$'
has '^BILGE_PERCENT=50$'
has 'values: off|0-1000000; default: 100$'
expect 0 env BILGE_LEAKS=reclaimed "$BILGE" settings
has '^BILGE_SAMPLE=1$'
expect 0 env BILGE_DEPTH=7 BILGE_LEAKS=maybe BILGE_OARS=2 "$BILGE" settings
has '^BILGE_DEPTH=7$'
has "bad value 'maybe'"
has '^BILGE_OARS=2$'
has 'unknown: ignored'

finish
