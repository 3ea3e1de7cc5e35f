#!/bin/sh
# tools.sh - programs that are watched: by gdb, by strace, by perf.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

cat >"$work/watched.c" <<'END'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct timespec pause_time = { 0, 1000000 };

static void *
sleeper(void *unused)
{
	for (;;)
		nanosleep(&pause_time, NULL);
	return unused;
}

int
main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, sleeper, NULL);
	for (int i = 0; i < 500; i++) {
		memset(malloc(4000), 1, 4000);
		nanosleep(&pause_time, NULL);
	}
	return 7;
}
END
${CC:-cc} -g -O0 -fno-builtin -pthread -o "$work/watched" "$work/watched.c"

# cycles: there were some, and every one came to its end but for the last, which
# gives up for the check at exit.
cycles()
{
	[ "$(grep -c '"event":"cycle"' "$work/record")" -ge 3 ] ||
		fail "no cycles"
	grep -q '"event":"end".*"checked":true.*"abandoned":[01],' "$work/record" ||
		fail "some were abandoned"
	rm -f "$work/record"
}

watched="BILGE_INTERVAL=50ms BILGE_REPORT=none BILGE_RECORD=$work/record"
preload=

# gdb has no name for SIGSTKFLT, and cannot be told to let it pass.
for setting in $watched BILGE_SIGNAL=SIGPROF "LD_PRELOAD=$PRELOAD_LIB"; do
	echo "set environment ${setting%%=*} ${setting#*=}"
done >"$work/commands"
cat >>"$work/commands" <<'END'
set startup-with-shell off
handle SIGPROF nostop noprint pass
break sleeper
run
backtrace
delete
continue
END
run_with /usr/bin/gdb -nx -batch -x "$work/commands" "$work/watched"
ends 0
grep -q 'sleeper.*watched\.c:' "$out" || fail "no backtrace"
grep -q 'exited with code 07' "$out" || fail "it was stopped"
cycles

# shellcheck disable=SC2086 # settings are words without blanks
run_with /usr/bin/strace -f -qq -o "$work/calls" \
    env $watched LD_PRELOAD="$PRELOAD_LIB" "$work/watched"
ends 7
quiet
grep -q 'SIGSTKFLT' "$work/calls" || fail "no stop was seen"
cycles

# Not on every machine does it run.
if perf stat -e task-clock -o "$work/counts" true >/dev/null 2>&1; then
	# shellcheck disable=SC2086 # settings are words without blanks
	run_with "$(command -v perf)" stat -e task-clock -o "$work/counts" \
	    env $watched LD_PRELOAD="$PRELOAD_LIB" "$work/watched"
	ends 7
	quiet
	cycles
fi
finish
