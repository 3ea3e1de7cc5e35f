#!/bin/bash
# daemons.sh - memcached and postgres under load: threads, slabs of their own,
# a process for each client, shared memory, reload and restart.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >ask.pl <<'END'
use strict; use warnings; use IO::Socket::INET; use Digest::MD5 'md5_hex';
my ($addr, $n) = @ARGV;
my $s = IO::Socket::INET->new(PeerAddr => $addr, PeerPort => 11211) or die;
my $all = '';
for my $i (1 .. 1500) {
	my $v = "$n-$i-" x ($i % 200);
	printf $s "set k%d.%d 0 0 %d\r\n%s\r\n", $n, $i, length $v, $v;
	my $r = <$s>; $r =~ /^STORED/ or die $r;
	if ($i % 3 == 0) { print $s "delete k$n.$i\r\n"; <$s>; }
	if ($i % 5 == 0) { print $s "append k$n.$i 0 0 3\r\nend\r\n"; <$s>; }
}
for my $i (1 .. 1500) {
	print $s "get k$n.$i\r\n";
	while (my $r = <$s>) { last if $r =~ /^END/; $all .= $r; }
}
print "$n ", length $all, " ", md5_hex($all), "\n";
END
	cat >work.sql <<'END'
CREATE TABLE t AS SELECT i, md5(i::text) AS h, repeat('x', i % 300) AS p
	FROM generate_series(1, 60000) i;
CREATE INDEX ON t (h); CREATE INDEX ON t USING hash (i); ANALYZE t;
SELECT count(*), min(h), max(length(p)) FROM t;
SELECT h FROM t ORDER BY h DESC, p LIMIT 3;
SELECT a.i % 10 AS k, sum(length(b.p)) FROM t a JOIN t b ON a.i = b.i + 1
	GROUP BY 1 ORDER BY 1;
WITH RECURSIVE f(a, b) AS (SELECT 0::numeric, 1::numeric UNION ALL
	SELECT b, a + b FROM f WHERE b < 1e60) SELECT max(a) FROM f;
CREATE FUNCTION deep(n int) RETURNS int AS $$ BEGIN
	IF n = 0 THEN RAISE EXCEPTION 'at the bottom'; END IF;
	RETURN deep(n - 1); EXCEPTION WHEN division_by_zero THEN RETURN 0;
	END $$ LANGUAGE plpgsql;
SELECT deep(3);
SELECT json_agg(x)::text = '[1, 2, 3]' FROM generate_series(1, 3) x;
SELECT count(*) FROM regexp_split_to_table(repeat('lorem ipsum ', 20000), ' ');
UPDATE t SET p = p || 'y' WHERE i % 7 = 0; DELETE FROM t WHERE i % 11 = 0;
VACUUM FULL t; SELECT sum(length(p)) FROM t; SELECT 1 / 0;
END
}

answers()
{
	(exec 3<>"/dev/tcp/$addr/$1") 2>/dev/null
}

cache()
{
	memcached -l "$addr" -p 11211 -U 0 -u root -t 4 -m 64 &
	server=$!
	wait_until answers 11211
	loaded_in $server && echo "server as it should be"
	for n in 1 2 3 4 5 6; do
		perl "$input/ask.pl" "$addr" $n >answer.$n &
		clients="${clients-} $!"
	done
	for client in $clients; do
		wait "$client"
	done
	cat answer.*
	kill -USR1 $server; status wait $server
}

# postgres is not for root: who is root is somebody else for it.
somebody=
if test "$(id -u)" = 0; then
	somebody='unshare --user'
fi

ask()
{
	psql -X -q -A -t -h "$addr" -U tester postgres "$@"
}

start_postgres()
{
	$somebody "$bin/postgres" -D "$work/data" -h "$addr" -k '' \
		-c fsync=off -c autovacuum_naptime=1 \
		-c min_parallel_table_scan_size=64kB \
		-c parallel_setup_cost=0 -c parallel_tuple_cost=0 \
		>>"$work/postgres.log" 2>&1 &
	server=$!
	wait_until ask -c 'SELECT 1'
	loaded_in $server && echo "server as it should be"
}

database()
{
	bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
	rm -rf "$work/data"
	$somebody "$bin/initdb" -A trust -U tester --locale=C -N "$work/data" |
		wc -l
	start_postgres
	ask -f "$input/work.sql" 2>&1 | sed "s|$input/||"
	"$bin/pgbench" -q -i -h "$addr" -U tester postgres >/dev/null 2>&1
	"$bin/pgbench" -n -c 4 -j 2 -t 150 --random-seed=1 -h "$addr" \
		-U tester postgres | grep -E '^number of (trans|fail)'
	kill -HUP $server
	"$bin/pgbench" -n -S -C -c 4 -t 20 -h "$addr" -U tester postgres |
		grep -E '^number of (trans|fail)'
	ask -c 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) =
		(SELECT sum(delta) FROM pgbench_history)'
	kill -INT $server; status wait $server
	start_postgres
	"$bin/pg_dump" -h "$addr" -U tester -t t postgres | grep -v '^--' |
		grep -v restrict | sort | cksum
	kill -TERM $server; status wait $server
	grep -cE 'PANIC|crash|bilge|terminated by signal' "$work/postgres.log" ||
		true
	rm -r "$work/data" "$work/postgres.log"
}

compare cache memcached perl
compare database postgres psql pgbench initdb
finish
