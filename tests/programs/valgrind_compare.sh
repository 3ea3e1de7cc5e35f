#!/bin/bash
# valgrind_compare.sh - nothing is called lost that Valgrind can reach.
#
# Each program runs once under Valgrind, with all kinds of blocks listed, and
# once under bilge.  No site that bilge reports may be one that Valgrind calls
# reachable; for programs that repeat themselves exactly, block by block
# (valgrind_sites.py).
. "$(dirname "$0")/harness.sh"

here=$(dirname "$script")

# A program is a function, given one of these to be run with.
under_bilge()
{
	BILGE_REPORT=none BILGE_RECORD=$record BILGE_CHILDREN=0 \
		LD_PRELOAD=$PRELOAD_LIB "$@"
}

# No stacks of ended threads: to Valgrind they are memory like any other.
under_valgrind()
{
	GLIBC_TUNABLES=glibc.pthread.stack_cache_size=0 \
		valgrind --leak-check=full --show-leak-kinds=all \
		--num-callers=32 --show-below-main=yes \
		--default-suppressions=no --run-libc-freeres=no \
		--run-cxx-freeres=no -v -v --xml=yes --xml-file="$xml" \
		--log-file="$log" "$@"
}

run_python()
{
	PYTHONHASHSEED=0 "$1" python3 -c '
import collections, ctypes, decimal, json, re, sqlite3, threading, zlib
print(len(json.dumps([{str(i): [i] * 10} for i in range(1000)])))
print(re.sub("[0-9]+", lambda m: str(int(m[0]) * 2), "1 22 333"))
print(len(zlib.compress(bytes(100000))), decimal.Decimal(2).sqrt())
db = sqlite3.connect(":memory:")
db.execute("create table t (a, b)")
db.executemany("insert into t values (?, ?)", [(i, str(i)) for i in range(99)])
print(db.execute("select sum(a) from t").fetchone())
threads = [threading.Thread(target=lambda: sorted(range(999))) for _ in "abcd"]
for t in threads: t.start()
for t in threads: t.join()
strdup = ctypes.CDLL(None).strdup
strdup.restype = None
for _ in "0123456789": strdup(b"lost")'
}

run_redis()
{
	local server
	"$1" redis-server --bind "$addr" --port 6379 --dir "$work" --save '' \
		--io-threads 2 >"$work/server.log" &
	server=$!
	wait_until redis-cli -h "$addr" -p 6379 ping
	redis-cli -h "$addr" -p 6379 eval '
		for i = 1, 1000 do
			redis.call("set", "k" .. i, string.rep(i, i % 20))
			redis.call("zadd", "z", i * 7919 % 10007, "m" .. i)
			redis.call("rpush", "l" .. i % 7, i)
			redis.call("xadd", "x", i .. "-1", "f", i)
		end' 0
	redis-cli -h "$addr" -p 6379 subscribe channel &
	redis-cli -h "$addr" -p 6379 config set maxmemory 100mb
	redis-cli -h "$addr" -p 6379 shutdown nosave
	wait $server
	wait
}

run_node()
{
	"$1" node -e '
		const fs = require("fs"), zlib = require("zlib");
		const text = "some text ".repeat(1000);
		console.log(zlib.gzipSync(text).length);
		setTimeout(() => console.log("late"), 10);
		fs.promises.readdir("/").then(d => console.log(d.length > 3));'
}

run_java()
{
	"$1" java -XX:+UseSerialGC -Xint -Xmx64m -version
}

# check PROGRAM exact|sites
check()
{
	local record=$work/$1.record xml=$work/$1.xml log=$work/$1.log how

	for how in under_bilge under_valgrind; do
		if ! in_clean_environment record="$record" xml="$xml" \
		    log="$log" timeout -k 5 120 \
		    bash -c "$(declare -f wait_until under_bilge \
			under_valgrind "run_$1"); run_$1 $how" \
		    </dev/null >"$work/$1.$how.out" 2>&1; then
			differs "$1" "$how: failed" \
				tail -n 30 "$work/$1.$how.out"
			return
		fi
	done
	if ! /usr/bin/python3 "$here/valgrind_sites.py" "$2" "$record" \
	    "$xml" "$log" >"$work/$1.sites" 2>&1; then
		differs "$1" "called lost, but reachable" cat "$work/$1.sites"
		return
	fi
	echo "ok: $test_name $1"
	cat "$work/$1.sites"
}

check python exact
check redis exact
check node sites
check java sites
finish
