#!/bin/sh
# bilge run and bilge check: a wrapper that the program cannot tell.
set -eu
. "$TOP_SRCDIR/tests/tools/common.sh"

# Statuses.
for status in 0 1 2 22 23 42 125 127 255; do
	expect $status "$BILGE" run sh -c "exit $status"
	is_empty out
	is_empty err
done
# Whoever started this test may ignore signals (nohup, a job in the background).
for number in 1 2 3 9 10 15; do
	expect $((128 + number)) env --default-signal "$BILGE" run sh -c "kill -$number \$\$"
done
expect 127 "$BILGE" run ./missing
one_line err
expect 127 "$BILGE" run no-such-program-anywhere
one_line err
echo 'exit 5' >script
expect 126 "$BILGE" run ./script
one_line err
expect 126 "$BILGE" run .
chmod +x script
expect 5 "$BILGE" run ./script
printf '#!/no/such/interpreter\n' >orphan
chmod +x orphan
expect 127 "$BILGE" run ./orphan
expect 3 "$BILGE" run -- sh -c 'exit 3'

# Its options end where the program begins.
expect 0 "$BILGE" run echo --help -s x
same '--help -s x' "$(cat out)"

# Input, output, errors; descriptors; environment; the working directory.
echo 'some text' >in
expect 0 sh -c '"$1" run cat <in' sh "$BILGE"
same 'some text' "$(cat out)"
expect 0 "$BILGE" run sh -c 'echo to out; echo to err >&2'
same 'to out' "$(cat out)"
same 'to err' "$(cat err)"
# The library may keep descriptors of its own, but far up.
ls /proc/self/fd | grep -c '^..\?$' >plain
expect 0 sh -c '"$1" run ls /proc/self/fd | grep -c "^..\?\$"' sh "$BILGE"
cmp plain out || fail "descriptors: $(cat plain) without, $(cat out) with"
# A closed standard input stays closed, others stay open.
expect 0 sh -c 'exec <&- 9<in
	"$1" run sh -c "cat <&9; test ! -e /proc/\$\$/fd/0"' sh "$BILGE"
same 'some text' "$(cat out)"

# Signal mask and dispositions are those that we got.
states='grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status'
for prepare in ':' 'trap "" HUP CHLD' 'trap "" INT TERM'; do
	sh -c "$prepare; $states" >plain
	expect 0 sh -c "$prepare; \"\$1\" run -s LEAKS=ignore $states" \
		sh "$BILGE"
	sed -n '/SigIgn/p;/SigBlk/p' plain >plain.some
	sed -n '/SigIgn/p;/SigBlk/p' out >out.some
	cmp plain.some out.some || {
		fail "signals differ after $prepare"
		cat plain.some out.some
	}
done
# A parent that ignores SIGCHLD does not lose the status.
expect 7 sh -c 'trap "" CHLD; "$1" run sh -c "exit 7"' sh "$BILGE"

# Settings: our preload first, the user's kept; options over environment.
expect 0 env LD_PRELOAD= BILGE_DEPTH=9 "$BILGE" run -s DEPTH=11 --guard \
	--reclaim env
has "^LD_PRELOAD=$PRELOAD_LIB\$"
has '^BILGE_DEPTH=11$'
has '^BILGE_FREE=guard$'
has '^BILGE_LEAKS=reclaim$'
hasnt '^BILGE_EXITCODE='
expect 0 env BILGE_DEPTH=9 "$BILGE" check env
has '^BILGE_DEPTH=9$'
has '^BILGE_EXITCODE=23$'
expect 0 "$BILGE" check --exit-code=9 -o sub.txt env
has '^BILGE_EXITCODE=9$'
has "^BILGE_REPORT=$PWD/sub.txt\$"
expect 0 "$BILGE" run --record=a.rec env
has "^BILGE_RECORD=$PWD/a.rec\$"
expect 0 env LD_PRELOAD=libm.so.6 "$BILGE" run env
has "^LD_PRELOAD=$PRELOAD_LIB:libm.so.6\$"
expect 0 env LD_PRELOAD="libm.so.6 $PRELOAD_LIB" "$BILGE" run env
has "^LD_PRELOAD=libm.so.6 $PRELOAD_LIB\$"

# Signals for the wrapper reach the program, and only once.
cat >waiter <<'END'
trap 'echo got TERM; exit 33' TERM
trap 'echo got USR1' USR1
trap 'echo got INT' INT
echo ready
n=0
while [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
exit 1
END
# Not in this shell's background: there SIGINT would be ignored.
cat >signaller <<'END'
pid=$$
(
	tries=0
	until grep -q ready signal.out || [ $tries -ge 200 ]; do
		sleep 0.05
		tries=$((tries + 1))
	done
	for signal in USR1 INT TERM; do
		kill -$signal $pid
		sleep 0.3
	done
) &
exec "$1" run sh waiter
END
: >signal.out
status=0
env --default-signal sh signaller "$BILGE" >signal.out || status=$?
same 33 "$status"
same 'ready got USR1 got INT got TERM' "$(tr '\n' ' ' <signal.out | sed 's/ $//')"

# Stopping the program alone does not stop the wrapper.
expect 0 "$BILGE" run sh -c '(sleep 0.2; kill -CONT $$) & kill -STOP $$; :'

# Leaks: the status of check, the place of the text.
leaker=$fixtures/leaker
expect 0 "$BILGE" run "$leaker"
is_empty out
has '^SUMMARY: bilge: 300 byte(s) leaked in 3 allocation(s)\.$' err
has ' in lose .*leaker\.c:[0-9]*$' err
expect 23 "$BILGE" check "$leaker"
expect 9 "$BILGE" check --exit-code=9 "$leaker"
expect 4 "$BILGE" check "$leaker" 4
expect 0 "$BILGE" check "$leaker" 0 none
is_empty err
expect 0 "$BILGE" run -o text.txt "$leaker"
is_empty err
has '^SUMMARY: bilge: 300 ' text.txt

# JSON, rendered here; the status is the program's, also when it was killed.
expect 23 "$BILGE" check --format=json -o leaks.json "$leaker"
is_empty out
is_empty err
has '"leaked_bytes": 300,' leaks.json
has '"function": "lose",' leaks.json
has '"exit_status": 0' leaks.json
expect 0 "$BILGE" run --format=json "$leaker"
is_empty out
has '"leaked_bytes": 300,' err
expect 0 "$BILGE" run --format=json --record=%p.rec -o leaks2.json "$leaker"
has '"leaked_bytes": 300,' leaks2.json
expect 0 sh -c '"$1" report [0-9]*.rec' sh "$BILGE"
has '^SUMMARY: bilge: 300 byte'
expect 137 "$BILGE" run --format=json -o killed.json sh -c 'kill -KILL $$'
has '"exit_status": 137' killed.json

# Processes that the program starts: a file for each, or a hint.
cat >parent <<END
"$leaker"; "$leaker"; exit 6
END
expect 6 "$BILGE" run --format=json -o one.json sh parent
has '2 process(es)' err
expect 6 "$BILGE" run --format=json -o '%e.%p.json' sh parent
same 2 "$(ls leaker.*.json | wc -l)"

# Nothing of ours stays behind.
mkdir temporary
expect 0 env TMPDIR="$PWD/temporary" "$BILGE" run --format=json -o x "$leaker"
expect 127 env TMPDIR="$PWD/temporary" "$BILGE" run --format=json ./missing
expect 23 env TMPDIR="$PWD/temporary" "$BILGE" check "$leaker"
same '' "$(ls temporary)"

# Where the library cannot be loaded, the wrapper says so.
printf 'int main(void) { return 0; }\n' >static.c
$CC -static -o static static.c
expect 0 "$BILGE" run ./static
has 'statically linked' err
one_line err
expect 125 "$BILGE" check ./static
one_line err
expect 125 "$BILGE" check sh -c 'exec ./static'

# unchecked COMMAND ...: it ends with 0, and nothing may be concluded from it.
unchecked()
{
	for format in text json; do
		expect 0 "$BILGE" run --format=$format "$@"
		expect 125 "$BILGE" check --format=$format "$@"
		hasnt 'detected memory leaks' err
		expect 125 "$BILGE" check --format=$format \
			--record=%t.%e.%p.rec -o report.txt "$@"
	done
}
# The library stood down; the check at exit was given up; or never came to be.
cat >own.c <<'END'
#include <stddef.h>
static _Alignas(16) char memory[1 << 20], *next = memory;
void *malloc(size_t n) { void *p = next; next += (n + 15) & -16; return p; }
void *calloc(size_t n, size_t size) { return malloc(n * size); }
void *realloc(void *p, size_t n) { return malloc(n); }
void free(void *p) { }
int main(void) { return 0; }
END
$CC -w -o own own.c
unchecked ./own
cat >unchecked.c <<'END'
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *block(void *pipe_fds)
{
	uint64_t all = ~UINT64_C(0);

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof(all));
	write(((int *)pipe_fds)[1], "", 1);
	for (;;)
		pause();
}
int main(int argc, char **argv)
{
	int pipe_fds[2];
	pthread_t thread;
	char byte;

	if (argc > 1 && strcmp(argv[1], "leave") == 0)
		syscall(SYS_exit_group, 0);
	pipe(pipe_fds);
	pthread_create(&thread, NULL, block, pipe_fds);
	read(pipe_fds[0], &byte, 1);
	return argc > 1 ? argv[1][0] - '0' : 0;
}
END
$CC -D_GNU_SOURCE -w -pthread -o unchecked unchecked.c
unchecked ./unchecked leave
expect 125 "$BILGE" check ./unchecked
has 'leak check abandoned: thread' err
has 'was not checked' err
expect 125 "$BILGE" check --format=json ./unchecked
expect 3 "$BILGE" check ./unchecked 3
expect 125 "$BILGE" check -s LEAKS=ignore "$leaker"
# A name of the record that several files may bear.
expect 0 "$BILGE" check --record=%e.%t.rec "$leaker" 0 none
expect 23 "$BILGE" check --record=%e.%t.rec --format=json "$leaker"
has '"leaked_bytes": 300,' err
expect 0 env BILGE_RECORD=kept.rec "$BILGE" check "$leaker" 0 none
has '"checked":true' kept.rec

finish
