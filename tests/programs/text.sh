#!/bin/bash
# text.sh - grep, sed, awk, diff: regular expression engines and big lines.
. "$(dirname "$0")/harness.sh"

prepare()
{
	seq 1 30000 | awk '{ printf "%d %c%c the quick brown fox %d\n", $1,
		97 + $1 % 26, 97 + $1 % 7, $1 * $1 }' >text
	tr '\n' ' ' <text >one_line
	cp text changed
	sed -i -e '100,110d' -e 's/fox 4$/dog 4/' -e '20000a new line' changed
	cat >count.m4 <<'END'
define(`count', `ifelse($1, 0, `done', `$1 count(decr($1))')')dnl
count(200) esyscmd(`echo from the shell')
END
	printf 'caf\303\251 na\303\257ve \316\261\316\262\n\377broken\n' >utf8
}

grepping()
{
	grep -c fox "$input/text"
	grep -E '^[0-9]*(7|13)+ [a-m]b' "$input/text" | cksum
	grep -P '(?<=fox )(\d)(\d)\d*\2\1$' "$input/text" | cksum
	grep -F -f <(seq 11111 400 29999) "$input/text" | cksum
	grep -o -i -w 'FOX [0-9]*1' "$input/one_line" | wc -l
	grep -E '^(.)(.).*\2\1$' "$input/text" | wc -l
	grep -n -A1 -B2 -m 3 ' 1234 ' "$input/text" || echo none
	grep -r --include='te*' -l 29999 "$input"
	grep -a -o '[[:alpha:]]*' "$input/utf8"; grep 'é' "$input/utf8"
	status grep nothing "$input/text"
	status grep '\(' "$input/text"
	status grep x /nosuchfile
	status grep -z -c 'a.*b' "$input/one_line"
}

editing()
{
	sed -E 's/([a-z])([a-z]) the (.*)/\3 \2\1/; y/abc/xyz/' "$input/text" |
		cksum
	sed -n -e '1~3000{p;=}' -e '$p' "$input/text"
	sed 's/ /\n/g' "$input/one_line" | cksum
	sed ':a;N;$!ba;s/\n/,/g' "$input/text" | cksum
	cp "$input/text" edited; sed -i.old -e '/quick/{h;s/q.*//;G}' edited
	sed -n '/ 500 /,/ 510 /w excerpt' "$input/text"
	status sed -n 's/a/b' "$input/text"
	sed -s -n '$=' "$input/text" "$input/changed"; sed 20q "$input/text" |
		sed -f <(printf 's/fox/dog/g\n1!G\nh\n$!d\n')
}

scripting()
{
	for awk in mawk gawk; do
		$awk '{ n[$2] += $1; s = s substr($0, 1, 3) } END {
			for (k in n) print k, n[k]; print length(s) }' \
			"$input/text" | sort | cksum
		$awk -F'[ o]+' '{ gsub(/[aeiou]/, "<&>"); print $4, NF }' \
			"$input/text" | cksum
		$awk 'BEGIN { while (("seq 1 5" | getline x) > 0) t += x
			printf "%d %s %.3f\n", t, toupper("abc"), sin(1)
			print "to a pipe" | "cat"; close("cat"); exit 4 }' ||
			echo "[status $?]"
	done
	diff "$input/text" "$input/changed" || echo "[status $?]"
	diff -u <(fold -w 80 "$input/one_line") <(fold -w 81 "$input/one_line") |
		tail -n +3 | cksum || true
	cp "$input/text" patched
	diff -u "$input/text" "$input/changed" >a.patch || true
	sed -i '1,2d' a.patch
	diff -y -W 60 <(seq 5) <(seq 2 7) || true
	bc -l <<<'scale=400; 4*a(1); 2^1500'
	m4 "$input/count.m4"
	file -b /usr/bin/env "$input/text" | cut -d, -f1,2
	iconv -f utf8 -t utf16le <(head -n 1 "$input/utf8") | cksum
	xxd "$input/utf8"; od -c "$input/utf8"
}

compare grepping grep
compare editing sed
compare scripting mawk gawk diff bc m4 file
finish
