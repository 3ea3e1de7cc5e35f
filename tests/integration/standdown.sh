#!/bin/sh
# standdown.sh - programs that bilge must leave alone.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# At most one line, and no trace of a report.
left_alone()
{
	ends 3
	[ ! -s "$err" ] || one_line .
	says 0 'leak of|SUMMARY'
}

same standdown_static
left_alone
quiet
same standdown_own
left_alone
grep -q 'own malloc used' "$out" || fail "its malloc was not used"

# Control: the same program, built as most are, is not left alone.
same standdown
ends 3
quiet
run BILGE_RECORD="$work/record" standdown
[ -s "$work/record" ] || fail "no record of a plain program"

# With a sanitizer, its runtime a library or a part of the program.  Whatever
# compiler builds us, gcc or clang has one; the library may be out of reach.
for flags in -static-libasan -shared-libasan ""; do
	for compiler in ${CC:-gcc} gcc clang; do
		rm -f "$work/sanitized"
		# shellcheck disable=SC2086 # words, some of them empty
		"$compiler" -g -D_GNU_SOURCE -fsanitize=address $flags \
		    -o "$work/sanitized" "$sources/standdown.c" \
		    >"$work/compiler" 2>&1 || continue
		run_plain "$work/sanitized"
		[ "$status" = 3 ] || continue
		sanitized=yes
		# Its runtime wants to be the first library; we are.
		same ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 \
		    "$work/sanitized"
		left_alone
		break
	done
done
what="a program with a sanitizer"
[ "${sanitized-}" = yes ] || fail "no compiler here can build one"

# Set-user-ID: the dynamic linker ignores the preload.  Root makes a program
# of another user's; others have su, which is root's.  A file system mounted
# nosuid, or no_new_privs, makes neither privileged: then the program runs
# under bilge as any other, and must say so itself.
if [ "$(id -u)" = 0 ]; then
	cp "$victims/standdown" "$work/privileged"
	chown nobody "$work/privileged"
	chmod 4755 "$work/privileged"
	chmod 755 "$work"
	same BILGE_RECORD="$work/secure" "$work/privileged"
	left_alone
	if grep -q 'privileged 1' "$out"; then
		quiet
		[ ! -e "$work/secure" ] || fail "it has a record"
	fi
else
	same BILGE_RECORD="$work/secure" /bin/su --version
	ends 0
	quiet
	[ ! -e "$work/secure" ] || fail "it has a record"
fi
finish
