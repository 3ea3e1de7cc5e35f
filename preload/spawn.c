/*
 * spawn.c - a thread that waits for a child in its own memory.
 *
 * vfork(2) and what is made of it suspend the caller until the child executes
 * another program or ends.  It cannot answer the stop signal meanwhile, but it
 * stands still; the stopper asks the kernel whether it does (stop.c).  What it
 * had in registers lies in its kernel stack: it is left where the collector
 * sees it, before.
 *
 * popen(3) is not among them: the block of its stream is in a register of
 * libc's, where nobody sees it.  A stop waits for it.
 */
#include "base/arch.h"
#include "preload/next.h"
#include "preload/preload.h"

#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

NEXT_DEFINE(vfork);
NEXT_DEFINE(posix_spawn);
NEXT_DEFINE(posix_spawnp);
NEXT_DEFINE(system);

/*
 * spawn_vfork - called by vfork() below, which returns twice and can have no
 * frame when it does: it jumps to the function that this returns.
 */
void *spawn_vfork(const uintptr_t *registers, uintptr_t sp)
	__attribute__((visibility("hidden")));

void *
spawn_vfork(const uintptr_t *registers, uintptr_t sp)
{
	bilge_vfork_begin(registers, sp);
	return (void *)NEXT(vfork);
}

__asm__(".text\n"
	".globl vfork\n"
	".type vfork, @function\n"
	"vfork:\n\t"
	".cfi_startproc\n\t"
	"endbr64\n\t"
	"pushq %rbx\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %rbp\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %r12\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %r13\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %r14\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %r15\n\t.cfi_adjust_cfa_offset 8\n\t"
	"movq %rsp, %rdi\n\t"
	"leaq 48(%rsp), %rsi\n\t"
	"subq $8, %rsp\n\t.cfi_adjust_cfa_offset 8\n\t"
	"call spawn_vfork\n\t"
	"addq $8, %rsp\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %r15\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %r14\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %r13\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %r12\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rbp\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rbx\n\t.cfi_adjust_cfa_offset -8\n\t"
	"jmp *%rax\n\t"
	".cfi_endproc\n\t"
	".size vfork, . - vfork\n");

/*
 * SPAWN - the result of a call.  What the callers have in registers is in this
 * frame meanwhile; the arguments, which may be all that is left of a block,
 * are the function's own and stay in memory.
 */
#define SPAWN(call, arguments...) ({					\
	uintptr_t outer_;						\
	int result_;							\
	__builtin_unwind_init();					\
	__asm__ volatile("" : : arguments : "memory");			\
	outer_ = bilge_spawn_begin(arch_stack_pointer());	\
	result_ = (call);						\
	__asm__ volatile("" : : arguments : "memory");			\
	bilge_spawn_end(outer_);					\
	result_; })

PUBLIC int
posix_spawn(pid_t *ret_child, const char *path,
	    const posix_spawn_file_actions_t *actions,
	    const posix_spawnattr_t *attributes, char *const argv[],
	    char *const envp[])
{
	return SPAWN(NEXT(posix_spawn)(ret_child, path, actions, attributes,
				       argv, envp),
		     "m"(ret_child), "m"(path), "m"(actions),
		     "m"(attributes), "m"(argv), "m"(envp));
}

PUBLIC int
posix_spawnp(pid_t *ret_child, const char *file,
	     const posix_spawn_file_actions_t *actions,
	     const posix_spawnattr_t *attributes, char *const argv[],
	     char *const envp[])
{
	return SPAWN(NEXT(posix_spawnp)(ret_child, file, actions, attributes,
					argv, envp),
		     "m"(ret_child), "m"(file), "m"(actions),
		     "m"(attributes), "m"(argv), "m"(envp));
}

PUBLIC int
system(const char *command)
{
	return SPAWN(NEXT(system)(command), "m"(command));
}
