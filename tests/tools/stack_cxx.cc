/*
 * stack_cxx.cc - a call stack of C++: scopes, overloads, templates, lambdas.
 */
#include "own_record.h"

namespace hold {

static int depth;

struct pump {
	__attribute__((noinline)) void lift(int bytes) const;
	inline __attribute__((always_inline)) void lift(int bytes,
	    bool twice) const
	{
		lift(twice ? 2 * bytes : bytes);
		depth--;
	}
};

void
pump::lift(int bytes) const
{
	own_record_leak("direct", bytes);
	depth--;
}

template <typename T> __attribute__((noinline)) void
drain(T bytes)
{
	auto each = [](T size) __attribute__((noinline)) {
		pump().lift(size, true);
		depth--;
	};

	each(bytes);
	depth--;
}

}

int
main(int, char **argv)
{
	own_record_begin(argv);
	hold::drain<int>(21);
	own_record_end();
	return hold::depth > 100;
}
