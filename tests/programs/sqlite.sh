#!/bin/bash
# sqlite.sh - sqlite3: a database file, big transactions, sorting, full text.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >build.sql <<'END'
pragma page_size = 4096; pragma cache_size = 200;
create table t(id integer primary key, word text, n real, raw blob);
with recursive c(i) as (select 1 union all select i + 1 from c where i < 60000)
insert into t select i, 'word ' || (i * 7919 % 10007), i / 7.0,
	zeroblob(i % 50) from c;
create index by_word on t(word, n);
select count(*), sum(n), max(word), total(length(raw)) from t;
select word, count(*) from t group by word order by 2 desc, 1 limit 3;
create virtual table ft using fts5(body);
insert into ft select group_concat(word, ' ') from t group by id / 100;
select count(*) from ft where ft match '"word 77" or 9001';
begin; delete from t where id % 3 = 0; rollback;
begin; update t set word = upper(word) where id % 5 = 0; commit;
select json_group_array(json_object('id', id, 'n', n)) from t where id < 6;
select id, sum(n) over (order by id rows 3 preceding) from t limit 4;
with recursive q(a, b) as (select 1, 1 union all select b, a + b from q
	where b < 1e15) select max(a) from q;
create trigger tr after insert on t begin
	update t set n = n + 1 where id = new.id - 1; end;
insert into t(word) values ('last'); select n from t where id = 60000;
vacuum; pragma integrity_check; analyze;
select * from nosuchtable;
END
}

database()
{
	status sqlite3 test.db <"$input/build.sql"
	sqlite3 test.db .dump >dump.sql
	sqlite3 copy.db <dump.sql && sqlite3 copy.db '.sha3sum'
	sqlite3 test.db '.backup back.db' && sqlite3 -readonly back.db '.sha3sum'
	sqlite3 -csv -header test.db 'select * from t limit 3' '.schema'
	sqlite3 test.db 'pragma journal_mode = wal; delete from t where id > 50000;
		select count(*) from t'
	sqlite3 test.db 'explain query plan select * from t where word = 1'
	status sqlite3 -bail dump.sql 'select 1'
	sqlite3 :memory: "select hex(zeroblob(3)), printf('%08.3f', 3.14159)" \
		'.limit' | head -n 3
}

compare database sqlite3
finish
