/*
 * operators.c - the C++ allocation operators, by their mangled names.
 *
 * When there is no memory the next operator new, libstdc++'s or libc++'s, is
 * called with the same arguments: it runs the new-handler and throws, and the
 * malloc it tries is ours again.
 */
#include "preload/next.h"
#include "preload/preload.h"

#include <malloc.h>
#include <stdlib.h>

/* Names and signatures: the Itanium C++ ABI, 5.1. */
PUBLIC void *_Znwm(size_t);				/* new */
PUBLIC void *_Znam(size_t);				/* new[] */
PUBLIC void *_ZnwmRKSt9nothrow_t(size_t, const void *);
PUBLIC void *_ZnamRKSt9nothrow_t(size_t, const void *);
PUBLIC void *_ZnwmSt11align_val_t(size_t, size_t);
PUBLIC void *_ZnamSt11align_val_t(size_t, size_t);
PUBLIC void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t, size_t, const void *);
PUBLIC void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t, size_t, const void *);

/* new_block - malloc or aligned_alloc, whichever the operator asks for. */
ALWAYS_INLINE void *
new_block(size_t size, size_t alignment)
{
	const void *caller = __builtin_return_address(0);
	void *block;

	if (alignment == 0 && likely(heap_alloc_fast(size, &block)))
		return block;
	if (likely(bilge_mode == BILGE_ACTIVE))
		return alignment == 0
		       ? bilge_alloc(size, false, caller)
		       : bilge_alloc_aligned(size, alignment, caller);
	/* Not yet born, or standing down: malloc knows what to do. */
	return alignment == 0 ? malloc(size) : memalign(alignment, size);
}

/*
 * A program may replace the plain operators; the other forms, where it does
 * not replace them too, must then reach the replacement. Calls of a plain form
 * are bound to the program's, and `own` is another name for ours.
 */
#define OWN(name)	own_##name
#define OWN_DECLARE(name) \
	static _Atomic int replaced_##name; \
	extern __typeof__(name) OWN(name) \
		__attribute__((alias(#name), visibility("hidden")))

/* is_elsewhere - hidden from compilers that take two names for two things. */
ALWAYS_INLINE bool
is_elsewhere(const void *bound, const void *own)
{
	__asm__("" : "+r"(bound));
	return bound != own;
}

enum { NOT_LOOKED, IS_REPLACED, NOT_REPLACED };

/*
 * is_replaced - where a plain form is bound elsewhere: does a function begin
 * there?  In a program that is not position-independent it may be the stub
 * through which the program calls ours.
 */
static NOINLINE bool
is_replaced(_Atomic int *known, void *plain)
{
	int state = load_relaxed(known);

	/* relaxed: every thread finds the same. */
	if (state == NOT_LOOKED) {
		state = bilge_is_function(plain) ? IS_REPLACED : NOT_REPLACED;
		store_relaxed(known, state);
	}
	return state == IS_REPLACED;
}

/*
 * OPERATOR_NEW - an operator with its parameters and how they are passed on;
 * plain is the form that the C++ runtime's own definition comes down to.
 *
 * Without a next one there is no C++ runtime that could throw: malloc's NULL
 * is all there is to say.
 */
#define OPERATOR_NEW(name, plain, alignment, parameters, arguments)	\
NEXT_DEFINE(name);							\
PUBLIC void *								\
name parameters								\
{									\
	void *block;							\
									\
	if (unlikely(is_elsewhere(plain, OWN(plain))) &&		\
	    is_replaced(&replaced_##plain, plain) && NEXT(name) != NULL) \
		return NEXT(name) arguments;				\
	block = new_block(size, alignment);				\
	if (unlikely(block == NULL) && NEXT(name) != NULL)		\
		return NEXT(name) arguments;				\
	return block;							\
}

OWN_DECLARE(_Znwm);
OWN_DECLARE(_ZnwmSt11align_val_t);

OPERATOR_NEW(_Znwm, _Znwm, 0, (size_t size), (size))
OPERATOR_NEW(_Znam, _Znwm, 0, (size_t size), (size))
OPERATOR_NEW(_ZnwmRKSt9nothrow_t, _Znwm, 0, (size_t size, const void *tag),
	     (size, tag))
OPERATOR_NEW(_ZnamRKSt9nothrow_t, _Znwm, 0, (size_t size, const void *tag),
	     (size, tag))
OPERATOR_NEW(_ZnwmSt11align_val_t, _ZnwmSt11align_val_t, align,
	     (size_t size, size_t align), (size, align))
OPERATOR_NEW(_ZnamSt11align_val_t, _ZnwmSt11align_val_t, align,
	     (size_t size, size_t align), (size, align))
OPERATOR_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, _ZnwmSt11align_val_t, align,
	     (size_t size, size_t align, const void *tag), (size, align, tag))
OPERATOR_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, _ZnwmSt11align_val_t, align,
	     (size_t size, size_t align, const void *tag), (size, align, tag))

/* OPERATOR_DELETE - sizes, alignments and tags say nothing we do not know. */
#define OPERATOR_DELETE(name, plain, shown, parameters, arguments)	\
NEXT_DEFINE(name);							\
PUBLIC void								\
name parameters								\
{									\
	if (unlikely(is_elsewhere(plain, OWN(plain))) &&		\
	    is_replaced(&replaced_##plain, plain) && NEXT(name) != NULL) \
		NEXT(name) arguments;					\
	else								\
		free_as(block, shown);					\
}

#define DELETE		"operator delete"
#define DELETE_ARRAY	"operator delete[]"

PUBLIC void _ZdlPv(void *);				/* delete */
PUBLIC void _ZdaPv(void *);				/* delete[] */
PUBLIC void _ZdlPvm(void *, size_t);
PUBLIC void _ZdaPvm(void *, size_t);
PUBLIC void _ZdlPvRKSt9nothrow_t(void *, const void *);
PUBLIC void _ZdaPvRKSt9nothrow_t(void *, const void *);
PUBLIC void _ZdlPvSt11align_val_t(void *, size_t);
PUBLIC void _ZdaPvSt11align_val_t(void *, size_t);
PUBLIC void _ZdlPvmSt11align_val_t(void *, size_t, size_t);
PUBLIC void _ZdaPvmSt11align_val_t(void *, size_t, size_t);
PUBLIC void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const void *);
PUBLIC void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const void *);

OWN_DECLARE(_ZdlPv);
OWN_DECLARE(_ZdlPvSt11align_val_t);

OPERATOR_DELETE(_ZdlPv, _ZdlPv, DELETE, (void *block), (block))
OPERATOR_DELETE(_ZdaPv, _ZdlPv, DELETE_ARRAY, (void *block), (block))
OPERATOR_DELETE(_ZdlPvm, _ZdlPv, DELETE, (void *block, size_t size),
		(block, size))
OPERATOR_DELETE(_ZdaPvm, _ZdlPv, DELETE_ARRAY, (void *block, size_t size),
		(block, size))
OPERATOR_DELETE(_ZdlPvRKSt9nothrow_t, _ZdlPv, DELETE,
		(void *block, const void *tag), (block, tag))
OPERATOR_DELETE(_ZdaPvRKSt9nothrow_t, _ZdlPv, DELETE_ARRAY,
		(void *block, const void *tag), (block, tag))
OPERATOR_DELETE(_ZdlPvSt11align_val_t, _ZdlPvSt11align_val_t, DELETE,
		(void *block, size_t align), (block, align))
OPERATOR_DELETE(_ZdaPvSt11align_val_t, _ZdlPvSt11align_val_t, DELETE_ARRAY,
		(void *block, size_t align), (block, align))
OPERATOR_DELETE(_ZdlPvmSt11align_val_t, _ZdlPvSt11align_val_t, DELETE,
		(void *block, size_t size, size_t align),
		(block, size, align))
OPERATOR_DELETE(_ZdaPvmSt11align_val_t, _ZdlPvSt11align_val_t, DELETE_ARRAY,
		(void *block, size_t size, size_t align),
		(block, size, align))
OPERATOR_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, _ZdlPvSt11align_val_t,
		DELETE, (void *block, size_t align, const void *tag),
		(block, align, tag))
OPERATOR_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, _ZdlPvSt11align_val_t,
		DELETE_ARRAY, (void *block, size_t align, const void *tag),
		(block, align, tag))
