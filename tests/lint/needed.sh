#!/bin/sh
# needed.sh - the library depends on the C library and nothing else.
#
# Whatever else it named would be loaded into every program, and its symbols
# would come before the program's own: libunwind's _Unwind_ functions would
# take over exceptions.
set -eu

needed=$(readelf -dW "${PRELOAD_LIB:?}" |
    sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
if [ "$needed" != libc.so.6 ]; then
	echo "NEEDED is: $needed"
	exit 1
fi

# Bound when it is loaded, and its tables are read-only from then on.
readelf -dW "$PRELOAD_LIB" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || {
	echo "not linked with -z now"
	exit 1
}
readelf -lW "$PRELOAD_LIB" | grep -q GNU_RELRO || {
	echo "not linked with -z relro"
	exit 1
}
# Thread-local storage that is allocated on first use would call malloc.
if readelf -rW "$PRELOAD_LIB" | grep -qE 'DTPMOD|TLSDESC'; then
	echo "has thread-local storage of a dynamic model"
	exit 1
fi
