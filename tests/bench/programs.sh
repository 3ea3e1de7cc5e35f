# shellcheck shell=bash
# programs.sh - real programs at work: what they read, and how they are
# measured; sourced by memory.sh and guard.sh after peers.sh, with "turns" set.
#
# The working directory is a new one, with the programs' inputs in it, and gone
# at the end.

# Debian's programs, not wrappers of the same name.
PATH=/usr/bin:/bin
export PATH

work=$(mktemp -d "$BENCH/programs.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# measure ROW COMMAND [ARG ...]: appends to the files "peaks" and "seconds".
measure()
{
	local row=$1 peer variants=()
	shift
	for peer in $PEERS; do
		peer_settings "$peer"
		variants+=(-- "$peer" ${settings[@]+"${settings[@]}"})
	done
	"$BENCH/spawn" "$turns" "$@" "${variants[@]}" >measured
	awk -v row="$row" '{ print row, $1, $4 / 1024 }' measured >>peaks
	awk -v row="$row" '{ print row, $1, $2 / 1000 }' measured >>seconds
	[ ! -t 2 ] || printf '.' >&2
}

cat >objects.py <<'PYTHON'
rows = [[i, str(i), {"key": i, "text": "x" * (i % 200)}] for i in range(100000)]
index = {row[1]: row for row in rows}
rows = [row[:] for row in rows if row[0] % 3]
text = ",".join(row[1] for row in rows)
assert len(text.split(",")) == len(rows) == 66666
PYTHON

cat >hash.pl <<'PERL'
my %hash;
$hash{"key $_"} = "x" x ($_ % 200) for 1 .. 200000;
delete $hash{"key " . 2 * $_} for 1 .. 100000;
$hash{"new $_"} = [$_, "y" x ($_ % 50)] for 1 .. 100000;
die unless keys %hash == 200000;
PERL

awk 'BEGIN {
	for (i = 1; i <= 100000; i++)
		printf "%d,name %d,%d,%.3f\n", i, i * 7919 % 100003,
		    i % 1000, i / 7 }' >rows.csv
head -n 40000 rows.csv >few.csv
cat >import.sql <<'SQL'
CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, kind INT, weight REAL);
.mode csv
.import rows.csv rows
CREATE INDEX by_name ON rows (name);
CREATE INDEX by_kind ON rows (kind, weight);
SELECT kind, count(*), group_concat(name) FROM rows GROUP BY kind;
SQL

awk 'BEGIN {
	for (i = 0; i < 300; i++)
		printf "int f%d(int *v, int n)\n{\n\tint s = %d;\n" \
		    "\tfor (int i = 0; i < n; i++) {\n" \
		    "\t\tif (v[i] %% %d == 0)\n\t\t\ts += v[i] * %d;\n" \
		    "\t\telse\n\t\t\tv[i] ^= s << %d;\n\t}\n" \
		    "\treturn s;\n}\n", i, i, i + 2, i * 3, i % 31 }' >functions.c

# print_measured - the tables of what measure() has gathered.
print_measured()
{
	[ ! -t 2 ] || printf '\r%20s\r' '' >&2
	table 'peak MiB' '%.1f' glibc <peaks
	echo
	table 'seconds' '%.3f' glibc <seconds
}
