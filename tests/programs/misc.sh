#!/bin/bash
# misc.sh - programs that other preloaded collectors crash or disturb, and
# those that watch others.
. "$(dirname "$0")/harness.sh"

gnu_time()
{
	status /usr/bin/time -f '%x' sh -c 'exit 3'
	status /usr/bin/time -o taken true; rm taken
	status timeout 5 /usr/bin/time -f '' -q sort /etc/passwd
}

watchers()
{
	status strace -f -o calls sh -c 'ls / | wc -l'
	grep -c 'execve(' calls; rm calls
	status strace -qq -e trace=none -e signal=none sort /etc/group
}

documents()
{
	printf '.TH t 1\n.SH NAME\nt \\- a test\n.PP\n%s\n' "$(seq 1 3000)" >t.1
	groff -man -Tascii t.1 | cksum; mandoc t.1 | cksum
	printf '%%%%\n[a-z]+ count++;\n%%%%\n' | flex -t 2>/dev/null | cksum
	printf '%%token A\n%%%%\ns: A | s A;\n' >g.y; bison g.y; cksum g.tab.c
	find /usr/include -name 'std*.h' -print0 | sort -z |
		rsync -a --from0 --files-from=- / copy; find copy -type f | wc -l
	rm -r copy; dpkg -l bash | tail -n 1; dpkg-query -W -f '${Status}\n' bash
	curl -s "file:///etc/passwd" | cmp - /etc/passwd
	apt-cache show bash 2>/dev/null | grep -m 1 ^Package
	ip -o addr show lo | grep -c inet; getent passwd root; less -E /etc/group
	ps -p 1 -o pid=; locale | cksum; tput -T xterm cols
}

compare gnu_time time sort
compare watchers strace ls
compare documents mandoc bison rsync dpkg curl
finish
