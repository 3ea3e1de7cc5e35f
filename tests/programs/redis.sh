#!/bin/bash
# redis.sh - redis-server under redis-benchmark: threads, forked savers, Lua.
. "$(dirname "$0")/harness.sh"

ask()
{
	redis-cli -h "$addr" -p 6379 "$@"
}

answering()
{
	test "$(ask ping)" = PONG
}

start_server()
{
	redis-server --bind "$addr" --port 6379 --dir "$work" --save '' \
		--dbfilename test.rdb --enable-debug-command yes \
		--io-threads 2 --io-threads-do-reads yes \
		--latency-monitor-threshold 0 >"$work/server.log" &
	server=$!
	wait_until answering
	loaded_in $server && echo "server as it should be"
}

# Twenty thousand times something of every kind.
fill='for i = 1, 20000 do
	redis.call("set", "key" .. i, string.rep(i, i % 20))
	redis.call("hset", "hash" .. i % 100, "f" .. i, "v" .. i)
	redis.call("zadd", "scores", i * 7919 % 10007, "m" .. i)
	redis.call("rpush", "list" .. i % 7, i)
	redis.call("sadd", "set" .. i % 3, i)
	redis.call("xadd", "stream", i .. "-1", "field", i)
	redis.call("pfadd", "hll", i)
end
return redis.sha1hex("x")'

serving()
{
	rm -f "$work/test.rdb"
	start_server
	ask eval "$fill" 0
	# Keys are fixed, so that the data set is the same in the end.
	ask config set list-max-listpack-size 64
	load -t ping,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset
	load -t set,get --threads 2
	seq 1 5000 | sed 's/.*/SET piped& value&/' | ask --pipe
	ask zrangebyscore scores 100 110
	ask hget hash42 f42; ask lrange list3 -3 -1; ask pfcount hll
	ask xrange stream 500 502; ask scard set1
	ask sort list2 limit 0 3 desc; ask getrange key19 2 9
	ask eval 'return redis.call("nosuch")' 0
	ask setex later 1000 x; ask object encoding hash42
	(printf 'MULTI\nINCR n\nAPPEND n 5\nGET n\nEXEC\n'; echo) | ask
	redis-cli -h "$addr" -p 6379 subscribe channel >heard &
	wait_until published; wait_until grep -q message heard
	kill $!; grep -c . heard
	ask bgsave >/dev/null; wait_until saved
	ask bgrewriteaof >/dev/null; ask expire piped1 0
	ask dbsize; ask save; ask debug digest
	digest=$(ask debug digest)
	ask debug reload; test "$(ask debug digest)" = "$digest" && echo same
	rm heard; ask client list | grep -c cmd=client
	ask shutdown save; status wait $server
	status redis-check-rdb "$work/test.rdb" | tail -n 1
	# What was saved is what is loaded.
	start_server; test "$(ask debug digest)" = "$digest" && echo same
	ask flushall async
	kill -TERM $server; status wait $server
}

# load OPTION... - the names of the tests; their rates are nobody's business.
load()
{
	redis-benchmark -h "$addr" -p 6379 -n 4000 -c 20 -P 4 -d 300 --csv \
		"$@" 2>&1 | cut -d, -f1 | tr -d '"' | grep -v WARN
}

published()
{
	test "$(ask publish channel hi)" = 1
}

saved()
{
	ask info persistence | grep -q 'rdb_bgsave_in_progress:0' &&
		ask info persistence | grep -q 'rdb_last_bgsave_status:ok' &&
		test -s "$work/test.rdb"
}

compare serving 'redis-(server|check-rdb)' redis-cli redis-benchmark
finish
