/*
 * arch.h - all that is specific to x86-64 Linux with glibc.
 *
 * A port to another processor is another version of this file.  Nothing here
 * reads errno, the stack protector's canary or thread-local storage except
 * through the thread pointer itself.
 */
#ifndef BILGE_ARCH_H
#define BILGE_ARCH_H

#include "base/base.h"

#include <sys/ucontext.h>

#define ARCH_PAGE_SIZE		((size_t)4096)

/* Bytes below the stack pointer a leaf function may use (psABI, 3.2.2). */
#define ARCH_RED_ZONE		128

/* Room below a frame pointer for pushed callee-saved registers. */
#define ARCH_SAVED_REGISTERS	(6 * sizeof(uintptr_t))

/* The pthread descriptor above the thread pointer; glibc 2.36: 2304 bytes. */
#define ARCH_TCB_SIZE		((size_t)2304)

/* Offsets of glibc's tcbhead_t: tcb, self and pointer_guard (tls.h). */
#define ARCH_TCB_TCB		0x00
#define ARCH_TCB_DTV		0x08
#define ARCH_TCB_SELF		0x10
#define ARCH_TCB_POINTER_GUARD	0x30

/* arch_syscall - one system call; -errno in the result, errno untouched. */
ALWAYS_INLINE long
arch_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/*
 * arch_vfork - vfork whose child ends with this signal to its parent, or 0.
 *
 * The child runs in our memory, on our stack, while we wait for it to execute
 * something or to end: inlined, so that there is no frame to return from.
 */
ALWAYS_INLINE long
arch_vfork(int end_signal)
{
	/* clone(CLONE_VM | CLONE_VFORK | end_signal) */
	return arch_syscall(56, 0x100 | 0x4000 | end_signal, 0, 0, 0, 0, 0);
}

ALWAYS_INLINE void
arch_pause(void)
{
	__builtin_ia32_pause();
}

/* arch_thread_pointer - identity of the running thread, also a foreign one. */
ALWAYS_INLINE uintptr_t
arch_thread_pointer(void)
{
	uintptr_t tp;

	__asm__("movq %%fs:0, %0" : "=r"(tp));
	return tp;
}

ALWAYS_INLINE uintptr_t
arch_stack_pointer(void)
{
	uintptr_t sp;

	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	return sp;
}

/* arch_context_sp - the stack pointer of an interrupted thread. */
ALWAYS_INLINE uintptr_t
arch_context_sp(const void *ucontext)
{
	const ucontext_t *uc = ucontext;

	return (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
}

/*
 * arch_demangle - undo glibc's PTR_MANGLE (sysdeps/unix/sysv/linux/x86_64):
 * rotate left by 17 after xor with the guard.
 */
ALWAYS_INLINE uintptr_t
arch_demangle(uintptr_t word, uintptr_t guard)
{
	return ((word >> 17) | (word << 47)) ^ guard;
}

/*
 * arch_select_equal - yes if a equals b, else no, by a conditional move: for
 * conditions that cannot be predicted.
 */
#define arch_select_equal(a, b, yes, no) ({				\
	__typeof__(no) selected_ = (no);				\
	__asm__("cmpq %2, %1\n\tcmoveq %3, %0"				\
		: "+&r"(selected_)					\
		: "r"(b), "m"(a), "m"(yes) : "cc");			\
	selected_; })

/*
 * arch_pin - keep an address in a register up to this point of the program,
 * so that a thread stopped before it still shows the address (H1).
 */
#define arch_pin(p)	__asm__ volatile("" : "+r"(p) : : "memory")

#endif
