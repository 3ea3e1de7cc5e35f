#!/bin/bash
# limits.sh - where the system allows little, a program goes on as before.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# under LIMIT... -- PROGRAM ...: same, with a shell limit set.
under()
{
	local limits=()

	while [ "$1" != -- ]; do
		limits+=("$1")
		shift
	done
	shift
	printf '#!/bin/bash\nulimit %s\nexec "$0.program" "$@"\n' \
	    "${limits[*]}" >"$work/limited"
	chmod +x "$work/limited"
	ln -sf "$victims/$1" "$work/limited.program"
	shift
	same "$work/limited" "$@"
}

for size in 100 20000 1048576; do
	under -v 600000 -- limits exhaust $size
	ends 0
	quiet
done
for kib in 400000 700000 2000000; do
	under -v $kib -- limits room
	ends 0
	quiet
done
under -v 200000 -- lost
ends 0
leaks 165 13935
under -i 0 -- threads many
ends 0
leaks 200 20000
under -l 0 -- lost
ends 0
leaks 165 13935
under -s 256 -- exits by_return 7
ends 7
leaks 1 100

# Where there is no room for a check, that is said, and nothing is claimed.
under -v 60000 -- exits clean
ends 0
[ ! -s "$err" ] || one_line 'leak check abandoned'
same limits exhaust_late
ends 0
[ ! -s "$err" ] || one_line 'leak check abandoned'

for case in all_descriptors no_processes small_stack; do
	same limits $case
	ends 7
	leaks 1 200
done

for case in no_descriptors all_descriptors_for_good; do
	same limits $case
	ends 7
	[ ! -s "$err" ] || grep -q '^SUMMARY' "$err" ||
		one_line 'leak check abandoned'
done
same limits no_file_size
ends 7
finish
