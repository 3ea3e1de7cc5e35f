#!/bin/bash
# coreutils.sh - ls, sort, find and the small tools every script is made of.
. "$(dirname "$0")/harness.sh"

prepare()
{
	seq 1 40000 | awk '{ printf "%d %x line\n", $1 * 7919 % 40009, $1 }' >rows
	mkdir -p tree/a/b/c tree/d
	for i in $(seq 1 200); do echo "file $i" >"tree/a/b/f$i"; done
	ln -s ../a tree/d/link
	ln tree/a/b/f1 tree/d/hard
	find tree -exec touch -h -d '2020-02-02 02:02:02' {} +
}

listing()
{
	ls -laR --full-time --time-style=+%Y "$input/tree/a" | sort | cksum
	ls -1 --sort=size "$input/tree/a/b" | tail -n 3
	ls --color=always -C -w 100 "$input/tree/a/b" | head -n 5
	status ls -d /nosuchfile "$input/tree"
	ls -lR /usr/lib /usr/share/doc 2>/dev/null | cksum
	find "$input/tree" -type f -newermt 2020-01-01 -name 'f1?' -printf '%P\n' |
		sort
	find /usr/share/doc -maxdepth 1 -type d -exec echo {} + | wc -c
	du -a --apparent-size "$input/tree/d" | sort -k2
}

rows()
{
	sort -n "$input/rows" | cksum
	sort -S 1M -T . --parallel=2 -k2 "$input/rows" >sorted
	sort -k2 -c sorted && uniq -c -w 2 sorted | head -n 3
	join <(sort -k1,1 "$input/rows" | head -n 2000) \
		<(sort -k1,1 "$input/rows" | tail -n 39000) | cksum
	cut -d' ' -f2 "$input/rows" | tr 0-9 a-j | sort -u | wc -l
	shuf --random-source=/usr/bin/env -n 5 "$input/rows"
	split -n l/3 "$input/rows" part. && wc -l part.*
	paste part.aa part.ab | head -n 2; tac part.ac | head -n 1
	comm -12 <(sort part.aa) <(sort "$input/rows") | wc -l
	sha256sum "$input/rows"; md5sum "$input/rows" | cut -c1-32; b2sum sorted
	base64 -w 60 sorted | head -n 2; od -An -tx1 sorted | head -n 2
	factor 1000000016000000063; expr 123456789012345678901234567890 '*' 3
	numfmt --to=iec 123456789; date -u -d @1234567890; printf '%5.2f\n' 2.5
	pr -l 20 -h title -D now "$input/rows" | head -n 12; fmt -w 30 sorted |
		head -n 3
	csplit -s "$input/rows" 100 200 && wc -l xx0*
	tsort <<<'a b b c a c'; ptx <<<'one two' ; seq -w 8 11 | nl
	stat -c '%s %A %F' "$input/rows"; realpath -m ../x | xargs basename
}

copying()
{
	cp -a "$input/tree" copy && diff -r "$input/tree" copy
	mv copy moved; install -m 640 "$input/rows" installed; ln -s moved link
	dd if="$input/rows" of=slice bs=1k skip=3 count=5 status=none
	tee <slice one two | cmp - slice; truncate -s 100 one; touch -d @0 two
	chmod -R go-rwx moved; rm -r moved/d; mkdir -m 700 -p new/er; mkfifo pipe
	cat pipe | wc -c & cat "$input/rows" >pipe; wait; rm pipe
	status rm nosuchfile; status cp "$input/rows" /nosuchdir/x
	status timeout -s KILL 0.2 sleep 5; status env -i sh -c 'echo $PATH' |
		wc -l; nice -n 3 nice; nohup true; id -u | wc -l
	status false; status true; yes | head -n 100000 | cksum
}

compare listing ls find sort du
compare rows sort sha256sum join factor
compare copying cp mv dd tee
finish
