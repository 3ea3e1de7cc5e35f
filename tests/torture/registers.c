/*
 * registers.c - in a register and nowhere else, in a thread that rests in
 * the kernel or never leaves a loop.
 */
#include "torture.h"

#include <signal.h>
#include <sys/syscall.h>

/* How to get a hidden address through rax to where it is held. */
#define HOLD(move)							\
	"movq	%[lost], %%rax\n\t"					\
	"notq	%%rax\n\t"						\
	move "\n\t"							\
	"movq	%[kept], %%rax\n\t"					\
	"notq	%%rax\n\t"						\
	move "\n\t"							\
	"xorl	%%eax, %%eax\n\t"

#define REST								\
	"lock incl %[holding]\n"					\
	"1:	movl	%[call], %%eax\n\t"				\
	"syscall\n\t"							\
	"jmp	1b"

#define SPIN								\
	"lock incl %[holding]\n"					\
	"1:	pause\n\t"						\
	"jmp	1b"

#define OPERANDS							\
	: [holding] "+m"(holding)					\
	: [lost] "r"(seat->lost), [kept] "r"(seat->kept),		\
	  [call] "i"(SYS_pause)

WAY(register_callee_saved, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, %%r12") REST OPERANDS
	    : "rax", "rcx", "r11", "r12", "memory");
}

WAY(register_caller_saved, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, %%r9") REST OPERANDS
	    : "rax", "rcx", "r11", "r9", "memory");
}

WAY(register_in_loop, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, %%rdi") SPIN OPERANDS
	    : "rax", "rdi", "memory");
}

WAY(register_frame, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, %%rbp") REST OPERANDS
	    : "rax", "rcx", "r11", "memory");
}

WAY(register_vector, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, %%xmm7") REST OPERANDS
	    : "rax", "rcx", "r11", "xmm7", "memory");
}

/* Not in xmm7: in the upper half alone, where the processor has one. */
WAY(register_vector_upper, ANYWHERE)
{
	if (__builtin_cpu_supports("avx2"))
		__asm__ volatile(HOLD("vmovq %%rax, %%xmm7\n\t"
		    "vperm2i128 $0x08, %%ymm7, %%ymm7, %%ymm7") REST OPERANDS
		    : "rax", "rcx", "r11", "xmm7", "memory");
	hold_register_vector(seat);
}

/* One of the registers that only AVX-512 has. */
WAY(register_vector_late, ANYWHERE)
{
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile(HOLD("vmovq %%rax, %%xmm29") REST OPERANDS
		    : "rax", "rcx", "r11", "memory");
	hold_register_vector(seat);
}

WAY(register_mmx, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, %%mm3") REST OPERANDS
	    : "rax", "rcx", "r11", "mm3", "memory");
}

/* Below the stack pointer, where a leaf function may keep its variables. */
WAY(red_zone, ANYWHERE)
{
	__asm__ volatile(HOLD("movq %%rax, -128(%%rsp)") REST OPERANDS
	    : "rax", "rcx", "r11", "memory");
}

/* The same, with no signal frame below it: handlers run elsewhere. */
WAY(red_zone_alone, ANYWHERE)
{
	stack_t stack = { .ss_sp = map_pages(65536), .ss_size = 65536 };

	CHECK(sigaltstack(&stack, NULL) == 0);
	hold_red_zone(seat);
}
