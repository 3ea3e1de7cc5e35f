#!/bin/bash
# archive.sh - tar, xz with threads, gzip, zip: big buffers, helper processes.
. "$(dirname "$0")/harness.sh"

prepare()
{
	mkdir -p tree/deep/er
	for i in $(seq 1 60); do
		seq $i 7 30000 >"tree/deep/f$i"
	done
	head -c 3000000 /usr/bin/bash >tree/deep/er/binary
	ln -s ../f1 tree/deep/er/link; ln tree/deep/f2 tree/hard
	find tree -exec touch -h -d '2020-02-02 02:02:02' {} +
}

pack()
{
	tar --sort=name --owner=0 --group=0 --numeric-owner -C "$input" \
		"$@" tree
}

tarring()
{
	pack -cf a.tar; tar tvf a.tar | cksum
	pack -cJf a.tar.xz; pack -czf a.tar.gz
	for archive in a.tar a.tar.xz a.tar.gz; do
		mkdir x; tar xf $archive -C x; diff -r "$input/tree" x/tree
		rm -r x
	done
	cp a.tar b.tar; tar --delete -f b.tar tree/hard
	tar rf b.tar --mtime=@0 --owner=0 --group=0 -C "$input/tree" deep/f3
	tar df a.tar -C "$input" && echo same
	pack --exclude='f1*' --xattrs --format=posix --mtime=@0 -cf - \
		--pax-option=delete=atime,delete=ctime | cksum
	head -c 100000 a.tar >cut.tar; status tar tf cut.tar | tail -n 1
	status tar xf "$input/tree/deep/f1"
	tar xOf a.tar tree/deep/f9 | cksum
}

compressing()
{
	cat "$input"/tree/deep/f? "$input/tree/deep/er/binary" >data
	xz -k -T2 --block-size=512KiB data; xz -l data.xz | tail -n 1 | wc -l
	xz -dc -T2 data.xz | cmp - data; xz -9e -c data | cksum
	xz --format=lzma -c data | xz -dc | cmp - data
	status xz -dc -M 1MiB data.xz | wc -c
	head -c 50000 data.xz | status xz -dc | cksum
	gzip -9nk data; gzip -dc data.gz | cmp - data; zcat data.gz | cksum
	TZ=UTC0 touch -d '2020-02-02' data; zip -q -X data.zip data
	status zip -T data.zip
}

compare tarring tar xz gzip
compare compressing xz gzip zip
finish
