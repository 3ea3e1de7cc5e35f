/*
 * stacks.c - stacks that the program makes of memory of its own.
 *
 * Most lie in mappings or in blocks, and need no care.  One that is a part of
 * the calling thread's stack does: while the thread runs on it, frames that
 * are in use lie below the stack pointer.
 */
#include "preload/preload.h"
#include "preload/next.h"

#include <signal.h>
#include <sys/auxv.h>
#include <ucontext.h>

NEXT_DEFINE(sigaltstack);
NEXT_DEFINE(makecontext);

uintptr_t
stacks_main_end(void)
{
	static _Atomic uintptr_t end;	/* relaxed: always the same */

	/* The kernel has put these bytes behind the frames. */
	if (unlikely(load_relaxed(&end) == 0))
		store_relaxed(&end, getauxval(AT_RANDOM));
	return load_relaxed(&end);
}

/* note_stack - Context: on the stack that it may be a part of. */
static void
note_stack(const stack_t *stack)
{
	if (bilge_mode == BILGE_ACTIVE)
		bilge_stack_made((uintptr_t)stack->ss_sp, stacks_main_end());
}

PUBLIC int
sigaltstack(const stack_t *stack, stack_t *old)
{
	int result = NEXT(sigaltstack)(stack, old);
	bool has_one;

	if (result != 0 || stack == NULL)
		return result;
	has_one = (stack->ss_flags & SS_DISABLE) == 0;
	if (has_one)
		note_stack(stack);
	if (bilge_mode == BILGE_ACTIVE)
		bilge_signal_stack(has_one ? (uintptr_t)stack->ss_sp : 0);
	return result;
}

/* Called by name from below. */
void *stacks_next_makecontext(const ucontext_t *context);

void *
stacks_next_makecontext(const ucontext_t *context)
{
	note_stack(&context->uc_stack);
	return (void *)NEXT(makecontext);
}

/* makecontext - takes any number of arguments, and passes them on by a jump. */
__asm__(".text\n"
	".globl makecontext\n"
	".type makecontext, @function\n"
	"makecontext:\n\t"
	"pushq %rdi\n\tpushq %rsi\n\tpushq %rdx\n\t"
	"pushq %rcx\n\tpushq %r8\n\tpushq %r9\n\tpushq %rax\n\t"
	"call stacks_next_makecontext\n\t"
	"movq %rax, %r11\n\t"
	"popq %rax\n\tpopq %r9\n\tpopq %r8\n\tpopq %rcx\n\t"
	"popq %rdx\n\tpopq %rsi\n\tpopq %rdi\n\t"
	"jmpq *%r11\n"
	".size makecontext, .-makecontext\n");
