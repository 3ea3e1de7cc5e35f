/*
 * lend.h - calls in which the kernel writes into the program's memory.
 *
 * Where pages of the heap may be protected (fence.h) the kernel does not fault:
 * the call fails, or a datagram is lost.  So the memory is opened before, and
 * kept open until the call returns.
 */
#ifndef BILGE_LEND_H
#define BILGE_LEND_H

#include "bilge.h"

/* lend_begin - Returns: what lend_end() wants after the call. */
ALWAYS_INLINE uintptr_t
lend_begin(const void *data, size_t size)
{
	return bilge_lend(data, size) ? (uintptr_t)data : 0;
}

ALWAYS_INLINE void
lend_end(uintptr_t lent)
{
	if (unlikely(lent != 0))
		bilge_lend_end(lent);
}

/* LENT3 - the result of a call, while memory at three places is lent. */
#define LENT3(a, a_size, b, b_size, c, c_size, call) ({			\
	uintptr_t lent_a_ = lend_begin(a, a_size);			\
	uintptr_t lent_b_ = lend_begin(b, b_size);			\
	uintptr_t lent_c_ = lend_begin(c, c_size);			\
	__typeof__(call) lent_result_ = (call);			\
									\
	lend_end(lent_c_);						\
	lend_end(lent_b_);						\
	lend_end(lent_a_);						\
	lent_result_; })

#define LENT2(a, a_size, b, b_size, call) \
	LENT3(a, a_size, b, b_size, NULL, 0, call)

#define LENT(a, a_size, call)	LENT2(a, a_size, NULL, 0, call)

/* What one object, if there is any, takes. */
#define LENT_TO(pointer, call)	LENT(pointer, sizeof(*(pointer)), call)

#endif
