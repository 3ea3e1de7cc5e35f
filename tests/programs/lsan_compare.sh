#!/bin/bash
# lsan_compare.sh - direct leaks as LeakSanitizer counts them, and as we do.
#
# Each of lsan_commands.txt runs once with gcc's liblsan preloaded and once
# with bilge.  Bytes and blocks of the "Direct leak" lines are added up and
# must agree.  Where we find more, a stale pointer may hide a leak from
# LeakSanitizer: then Valgrind must count as we do.  Where we find less, the
# command must be named in lsan_explained.txt: its live pointers lie in
# mappings, which LeakSanitizer does not scan.  That this is
# the reason is shown by a third run, with BILGE_ROOTS=segments: what
# LeakSanitizer takes for leaked is then leaked for us, too.
. "$(dirname "$0")/harness.sh"

here=$(dirname "$script")
lsan=$(readlink -f "$(gcc -print-file-name=liblsan.so)")
cc1=$(gcc -print-prog-name=cc1)

prepare()
{
	seq 1 40 | sed 's/.*/int f&(int x) { return x * &; }/' >t.c
	echo 'int g(int x) { return x; }' >u.c
	gcc -c t.c u.c
	printf '.TH t 1\n.SH NAME\nt \\- test\n.PP\nsome \\fBtext\\fP\n' >t.1
	groff -Z -Tascii -man t.1 >t.out
}

# direct FILE... - bytes and blocks of all direct leaks in these reports.
direct()
{
	cat "$@" /dev/null 2>/dev/null | awk '
		/^Direct leak of / { bytes += $4; blocks += $7 }
		END { printf "%d/%d\n", bytes, blocks }'
}

# run LIBRARY VARIABLE... - the command, in a fresh copy of its directory.
run()
{
	local library=$1
	shift
	rm -rf "$work/run"
	cp -a "$input" "$work/run"
	(
		cd "$work/run"
		in_clean_environment LD_PRELOAD="$library" "$@" \
			"${command[@]}" </dev/null >/dev/null 2>"$work/err"
	) || true
}

# covers MORE LESS - at least as many bytes and blocks.
covers()
{
	test "${1%/*}" -ge "${2%/*}" && test "${1#*/}" -ge "${2#*/}"
}

# definitely_lost - the same as Valgrind counts it.
definitely_lost()
{
	rm -rf "$work/run"
	cp -a "$input" "$work/run"
	(
		cd "$work/run"
		in_clean_environment valgrind --leak-check=full \
			--log-file="$work/valgrind" "${command[@]}" \
			</dev/null >/dev/null 2>&1
	) || true
	sed -n 's/,//g; s/.*definitely lost: \([0-9]*\) bytes in \([0-9]*\) .*/\1\/\2/p' \
		"$work/valgrind"
}

# compare_reports NAME - run "${command[@]}" both ways; a line of the table.
compare_reports()
{
	local name=$1 theirs ours segments= reason= tries

	run "$lsan" LSAN_OPTIONS="log_path=$work/$name.lsan:exitcode=0"
	if grep -q 'fatal error' "$work/err" "$work/$name.lsan".* 2>/dev/null
	then
		differs "$name" "LeakSanitizer cannot run here" cat "$work/err"
	fi
	run "$PRELOAD_LIB" BILGE_REPORT="$work/$name.bilge.%p" BILGE_CHILDREN=0
	theirs=$(direct "$work/$name.lsan".*)
	ours=$(direct "$work/$name.bilge".*)
	if test "$theirs" != "$ours" && covers "$ours" "$theirs" &&
	    test "$(definitely_lost)" = "$ours"; then
		reason="Valgrind counts as we do"
	elif test "$theirs" != "$ours"; then
		segments=0/0 tries=0
		# A stray word may keep a block: try with other layouts.
		until covers "$segments" "$theirs" || test $tries = 8; do
			tries=$((tries + 1))
			rm -f "$work/$name.segments".*
			run "$PRELOAD_LIB" BILGE_CHILDREN=0 \
				BILGE_REPORT="$work/$name.segments.%p" \
				BILGE_ROOTS=segments \
				PAD="$(printf "%0$((tries * 37))d" 0)"
			segments=$(direct "$work/$name.segments".*)
		done
		reason=$(sed -n "s/^$name: //p" "$here/lsan_explained.txt")
		covers "$segments" "$theirs" || reason=
		reason=${reason:-UNEXPLAINED}
	fi
	printf '%-13s %14s %14s %14s  %s\n' \
		"$name" "$theirs" "$ours" "$segments" "$reason"
	if test "$reason" = UNEXPLAINED; then
		differs "$name" "reports differ" \
			find "$work" -name "$name.*" -exec cat {} +
	elif test "$theirs" != 0/0 && test "$theirs" = "$ours"; then
		agreed=$((agreed + 1))
	fi
}

(cd "$input" && prepare)
agreed=0
printf '%-13s %14s %14s %14s\n' 'bytes/blocks' LeakSanitizer bilge \
	'(segments)'
while IFS= read -r line; do
	case $line in
	''|'#'*) continue ;;
	esac
	eval "command=(${line#*: })"
	if test "${command[0]}" = CC1; then
		command[0]=$cc1
	fi
	compare_reports "${line%%: *}"
done <"$here/lsan_commands.txt"

echo "$agreed commands leak, with the same numbers from both"
test $agreed -ge 10 || failed=1
finish
