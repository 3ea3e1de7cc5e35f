#!/bin/sh
# classify.sh - direct and indirect leaks, for every shape of what is lost.
. "${TOP_SRCDIR:?}/tests/integration/lib.sh"

# shape BLOCKS BYTES DIRECT_BLOCKS DIRECT_BYTES
shape()
{
	leaks "$1" "$2"
	kind Direct "$3" "$4"
	kind Indirect $(($1 - $3)) $(($2 - $4))
}

run classify shared
shape 3 600 2 300
run classify ring_with_tail
shape 4 592 1 96
run classify ring_from_outside
shape 3 692 1 500
run classify two_rings
shape 4 256 1 64
run classify by_interior
shape 2 5100 1 100
run BILGE_DEPTH=4 classify long_list
shape 1000000 24000000 1 24
finish
