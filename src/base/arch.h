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

#include <immintrin.h>
#include <signal.h>
#include <sys/ucontext.h>

#define ARCH_PAGE_SIZE		((size_t)4096)

/* Bytes below the stack pointer a leaf function may use (psABI, 3.2.2). */
#define ARCH_RED_ZONE		128

/* Room below a frame pointer for pushed callee-saved registers. */
#define ARCH_CALLEE_SAVED	6u
#define ARCH_SAVED_REGISTERS	(ARCH_CALLEE_SAVED * sizeof(uintptr_t))

/* The pthread descriptor above the thread pointer; glibc 2.36: 2304 bytes. */
#define ARCH_TCB_SIZE		((size_t)2304)

/* Offsets of glibc's tcbhead_t: tcb, self and pointer_guard (tls.h). */
#define ARCH_TCB_TCB		0x00
#define ARCH_TCB_DTV		0x08
#define ARCH_TCB_SELF		0x10
#define ARCH_TCB_STACK_GUARD	0x28
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

/* System calls that make a child; of them, what suspends the caller. */
#define ARCH_SYS_CLONE		56
#define ARCH_SYS_VFORK		58
#define ARCH_SYS_CLONE3		435
#define ARCH_VFORK_FLAGS	0x4100u	/* CLONE_VM | CLONE_VFORK */

/*
 * arch_vfork - vfork whose child ends with this signal to its parent, or 0.
 *
 * The child runs in our memory, on our stack, while we wait for it to execute
 * something or to end: inlined, so that there is no frame to return from.
 */
ALWAYS_INLINE long
arch_vfork(int end_signal)
{
	return arch_syscall(ARCH_SYS_CLONE, (long)ARCH_VFORK_FLAGS | end_signal,
			    0, 0, 0, 0, 0);
}

/*
 * arch_clone_thread - a thread of this process that libc does not know.
 *
 * It runs entry(argument) on its own stack and thread area with the caller's
 * signal mask, and then ends.
 *
 * Units:   stack_end, one past the highest byte, a multiple of 16; area, a
 *          thread pointer from arch_thread_area_init(); alive, not 0 as long
 *          as it lives: the kernel clears it and wakes a shared futex there.
 * Returns: its tid, or -errno.
 */
ALWAYS_INLINE long
arch_clone_thread(uintptr_t stack_end, uintptr_t area, _Atomic uint32_t *alive,
		  void (*entry)(void *), void *argument)
{
	/* VM FS FILES SIGHAND THREAD SYSVSEM SETTLS, _SETTID, _CLEARTID. */
	const long flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 |
			   0x80000 | 0x100000 | 0x200000;
	register long r10 __asm__("r10") = (long)alive;
	register long r8 __asm__("r8") = (long)area;
	register long r12 __asm__("r12") = (long)argument;
	register long r13 __asm__("r13") = (long)entry;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %%r12, %%rdi\n\t"
			 "call *%%r13\n\t"
			 "movl $60, %%eax\n\t"	/* exit */
			 "xorl %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)ARCH_SYS_CLONE), "D"(flags),
			   "S"(stack_end), "d"(alive),
			   "r"(r10), "r"(r8), "r"(r12), "r"(r13)
			 : "rcx", "r11", "memory");
	return ret;
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

/*
 * arch_thread_area_init - make zeroed memory the thread area of a thread that
 * libc does not know: the words that compiled code reads are the caller's.
 * Units:   size, bytes; own thread-local variables lie within size -
 *          ARCH_TCB_SIZE below the thread pointer.
 * Returns: the thread pointer.
 */
ALWAYS_INLINE uintptr_t
arch_thread_area_init(void *memory, size_t size)
{
	uintptr_t tp = ((uintptr_t)memory + size - ARCH_TCB_SIZE) &
		       ~(uintptr_t)63;
	uintptr_t self = arch_thread_pointer();

	*(uintptr_t *)(tp + ARCH_TCB_TCB) = tp;
	*(uintptr_t *)(tp + ARCH_TCB_SELF) = tp;
	*(uintptr_t *)(tp + ARCH_TCB_STACK_GUARD) =
		*(uintptr_t *)(self + ARCH_TCB_STACK_GUARD);
	*(uintptr_t *)(tp + ARCH_TCB_POINTER_GUARD) =
		*(uintptr_t *)(self + ARCH_TCB_POINTER_GUARD);
	return tp;
}

/* arch_gs_base - the base of the segment that libc leaves to the program. */
ALWAYS_INLINE uintptr_t
arch_gs_base(void)
{
	uintptr_t base = 0;

	/* arch_prctl(ARCH_GET_GS) */
	arch_syscall(158, 0x1004, (long)&base, 0, 0, 0, 0);
	return base;
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

/* arch_context_pc - the instruction pointer of an interrupted thread. */
ALWAYS_INLINE uintptr_t
arch_context_pc(const void *ucontext)
{
	const ucontext_t *uc = ucontext;

	return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
}

/* Of a page fault's error code (Intel's manual, volume 3A, 4.7). */
#define ARCH_FAULT_WRITE	0x2

/* arch_context_is_write - of a signal frame of SIGSEGV: was it a write? */
ALWAYS_INLINE bool
arch_context_is_write(const void *ucontext)
{
	const ucontext_t *uc = ucontext;

	return (uc->uc_mcontext.gregs[REG_ERR] & ARCH_FAULT_WRITE) != 0;
}

/* Registers as a debugger numbers them (psABI, figure 3.36): 16 is rip. */
#define ARCH_REGISTERS		17
#define ARCH_REGISTER_SP	7

/* arch_context_registers - those of an interrupted thread. */
ALWAYS_INLINE void
arch_context_registers(const void *ucontext, uintptr_t *ret)
{
	static const unsigned char order[ARCH_REGISTERS] = {
		REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP,
		REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13,
		REG_R14, REG_R15, REG_RIP,
	};
	const ucontext_t *uc = ucontext;

	for (unsigned i = 0; i < ARCH_REGISTERS; i++)
		ret[i] = (uintptr_t)uc->uc_mcontext.gregs[order[i]];
}

/*
 * arch_save_registers - the caller's own: those that a call keeps, the stack
 * pointer and where this is; the others are not set.
 */
ALWAYS_INLINE void
arch_save_registers(uintptr_t *ret)
{
	__asm__ volatile("movq %%rbx, 24(%0)\n\tmovq %%rbp, 48(%0)\n\t"
			 "movq %%rsp, 56(%0)\n\tmovq %%r12, 96(%0)\n\t"
			 "movq %%r13, 104(%0)\n\tmovq %%r14, 112(%0)\n\t"
			 "movq %%r15, 120(%0)\n\t"
			 "leaq 0(%%rip), %%rax\n\tmovq %%rax, 128(%0)"
			 : : "r"(ret) : "rax", "memory");
}

/*
 * Of a signal frame: general registers; vector registers as FXSAVE stores
 * them, and the rest of them.  What lies between the kernel does not write.
 */
#define ARCH_CONTEXT_PARTS	3u
#define ARCH_FXSAVE_USED	416u	/* Intel SDM 1, table 10-2 */

/*
 * arch_context_parts - where a signal frame holds what was interrupted.  The
 * vector registers come last; the kernel says how large they are.
 * Returns: how many parts there are, ascending.
 */
ALWAYS_INLINE unsigned
arch_context_parts(const void *ucontext,
		   uintptr_t ret[ARCH_CONTEXT_PARTS][2])
{
	const mcontext_t *mc = &((const ucontext_t *)ucontext)->uc_mcontext;
	uintptr_t at = (uintptr_t)mc->fpregs;
	struct _fpx_sw_bytes says;

	ret[0][0] = (uintptr_t)mc->gregs;
	ret[0][1] = (uintptr_t)(mc->gregs + NGREG);
	if (at == 0)
		return 1;
	ret[1][0] = at;
	ret[1][1] = at + ARCH_FXSAVE_USED;
	ret[2][0] = ret[2][1] = at + sizeof(struct _libc_fpstate);
	__builtin_memcpy(&says, (const void *)(ret[2][0] - sizeof(says)),
			 sizeof(says));
	if (says.magic1 == FP_XSTATE_MAGIC1)
		ret[2][1] = at + says.xstate_size;
	return ARCH_CONTEXT_PARTS;
}

/*
 * arch_context_is_apart - is a signal frame on an alternate stack, and what was
 * interrupted not?
 */
ALWAYS_INLINE bool
arch_context_is_apart(const void *ucontext)
{
	const ucontext_t *uc = ucontext;
	uintptr_t start = (uintptr_t)uc->uc_stack.ss_sp;

	return (uintptr_t)uc - start < uc->uc_stack.ss_size &&
	       arch_context_sp(uc) - start >= uc->uc_stack.ss_size;
}

/* arch_context_mask - the signals an interrupted thread blocks, as sys.h. */
ALWAYS_INLINE uint64_t
arch_context_mask(const void *ucontext)
{
	const ucontext_t *uc = ucontext;
	uint64_t mask;

	__builtin_memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	return mask;
}

/*
 * arch_context_is_ended_call - did the signal come at the end of a system call,
 * which it may have brought about?  The instruction leaves the address behind
 * it in rcx too.
 */
ALWAYS_INLINE bool
arch_context_is_ended_call(const void *ucontext)
{
	const greg_t *gregs = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;

	return gregs[REG_RCX] == gregs[REG_RIP];
}

/* arch_context_result - of a system call that has ended. */
ALWAYS_INLINE long
arch_context_result(const void *ucontext)
{
	return ((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RAX];
}

/*
 * arch_context_is_rewound - was the thread set back to the instruction of a
 * system call (two bytes), to make it again?  That may be so as well when it is
 * about to make the next one there, and has done nothing else since the last.
 */
ALWAYS_INLINE bool
arch_context_is_rewound(const void *ucontext)
{
	const greg_t *gregs = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;

	return gregs[REG_RCX] == gregs[REG_RIP] + 2 &&
	       gregs[REG_R11] == gregs[REG_EFL];
}

/* arch_context_call - of such a thread, the call.  Returns: its number. */
#define ARCH_CALL_ARGUMENTS	6
ALWAYS_INLINE long
arch_context_call(const void *ucontext, long ret[ARCH_CALL_ARGUMENTS])
{
	static const unsigned char order[ARCH_CALL_ARGUMENTS] = {
		REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9,
	};
	const greg_t *gregs = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;

	for (unsigned i = 0; i < ARCH_CALL_ARGUMENTS; i++)
		ret[i] = gregs[order[i]];
	return gregs[REG_RAX];
}

/* arch_context_end_call - let it go on behind the call instead. */
ALWAYS_INLINE void
arch_context_end_call(void *ucontext, long result)
{
	greg_t *gregs = ((ucontext_t *)ucontext)->uc_mcontext.gregs;

	gregs[REG_RIP] += 2;
	gregs[REG_RAX] = result;
}

/*
 * arch_pointer_guard - what glibc mangles pointers with in this process: those
 * in a jmp_buf, of the stack and the frame, and those of functions in the
 * lists of exit().
 */
ALWAYS_INLINE uintptr_t
arch_pointer_guard(void)
{
	uintptr_t guard;

	__asm__("movq %%fs:%c1, %0"
		: "=r"(guard) : "i"(ARCH_TCB_POINTER_GUARD));
	return guard;
}

/*
 * arch_mangle, arch_demangle - glibc's PTR_MANGLE and its reverse
 * (sysdeps/unix/sysv/linux/x86_64): rotate left by 17 after xor with the
 * guard.
 *
 * For many words at once: word & arch_mangle(mask, 0) is arch_mangle(base,
 * guard) & arch_mangle(mask, 0) exactly if what the word hides is, under that
 * mask, the same as the base.
 */
ALWAYS_INLINE uintptr_t
arch_mangle(uintptr_t word, uintptr_t guard)
{
	word ^= guard;
	return (word << 17) | (word >> 47);
}

ALWAYS_INLINE uintptr_t
arch_demangle(uintptr_t word, uintptr_t guard)
{
	return ((word >> 17) | (word << 47)) ^ guard;
}

/*
 * For the fast paths: what the compiler would make of C is longer.
 *
 * arch_lowest_bit - index of the lowest 1; x is not 0.
 */
ALWAYS_INLINE uint64_t
arch_lowest_bit(uint64_t x)
{
	uint64_t i;

	/* The prefix makes it tzcnt where there is one: that is faster. */
	__asm__("rep bsfq %1, %0" : "=r"(i) : "r"(x) : "cc");
	return i;
}

/*
 * arch_multiply - the upper half of the product with a word in memory;
 * *ret_low: the lower.
 */
ALWAYS_INLINE uint64_t
arch_multiply(uint64_t a, const uint64_t *b, uint64_t *ret_low)
{
	uint64_t high;

	__asm__("mulq %3" : "=d"(high), "=a"(*ret_low) : "1"(a), "m"(*b)
		: "cc");
	return high;
}

/*
 * arch_is_below, arch_is - compare x with an atomic word, loaded once, relaxed:
 * of an atomic load and a comparison the compiler makes two instructions.
 */
#define arch_is_below(x, word) __extension__ ({				\
	bool arch_is_;							\
									\
	static_assert(sizeof(*(word)) == 8, "cmpq");			\
	__asm__ volatile("cmpq %2, %1" : "=@ccb"(arch_is_)		\
			 : "r"(x), "m"(*(word)));			\
	arch_is_;							\
})
#define arch_is(x, word) __extension__ ({				\
	bool arch_is_;							\
									\
	static_assert(sizeof(*(word)) == 8, "cmpq");			\
	__asm__ volatile("cmpq %1, %2" : "=@cce"(arch_is_)		\
			 : "r"(x), "m"(*(word)));			\
	arch_is_;							\
})

/* arch_has_bit, arch_set_bit - bit i % 64 of a word: was it set? */
ALWAYS_INLINE bool
arch_has_bit(uint64_t word, uint64_t i)
{
	bool was;

	__asm__("btq %2, %1" : "=@ccc"(was) : "r"(word), "r"(i));
	return was;
}

ALWAYS_INLINE bool
arch_set_bit(uint64_t *word, uint64_t i)
{
	bool was;

	__asm__("btsq %2, %0" : "+r"(*word), "=@ccc"(was) : "r"(i));
	return was;
}

/*
 * arch_clear_vectors - where a call has been made they hold nothing of use to
 * the caller (psABI, 3.2.1), but may hold what looks like pointers.
 */
ALWAYS_INLINE void
arch_clear_vectors(void)
{
	__asm__ volatile(
		"pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
		"pxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
		"pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\t"
		"pxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
		"pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\t"
		"pxor %%xmm10, %%xmm10\n\tpxor %%xmm11, %%xmm11\n\t"
		"pxor %%xmm12, %%xmm12\n\tpxor %%xmm13, %%xmm13\n\t"
		"pxor %%xmm14, %%xmm14\n\tpxor %%xmm15, %%xmm15"
		: : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
		      "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
		      "xmm13", "xmm14", "xmm15");
}

/*
 * A filter for words that lie in [base, end), as they are or demangled, for
 * functions marked with ARCH_FILTER_TARGET, where arch_can_filter_range() says
 * so.  Of what a word hides it looks only at the bits that all addresses of
 * the range have in common.
 */
#define ARCH_HAS_RANGE_FILTER	1
#define ARCH_FILTER_TARGET	__attribute__((target("avx2")))
#define ARCH_FILTER_WORDS	8u

/* Each number four times, as the processor wants them. */
struct arch_filter {
	uint64_t base[4];
	uint64_t size[4];
	uint64_t mask[4];
	uint64_t hidden[4];
} __attribute__((aligned(32)));

/* Units: end_max, no end of the range will be larger. */
static inline void
arch_filter_init(struct arch_filter *f, uintptr_t base, uintptr_t end,
		 uintptr_t end_max, uintptr_t guard)
{
	/* The processor compares signed numbers only. */
	const uint64_t sign = (uint64_t)1 << 63;
	uint64_t varies = base ^ (end_max - 1);
	uint64_t mask = varies == 0 ? ~(uint64_t)0
				    : ~(~(uint64_t)0 >> __builtin_clzl(varies));

	mask = arch_mangle(mask, 0);
	for (unsigned i = 0; i < 4; i++) {
		f->base[i] = base + sign;
		f->size[i] = (end - base) ^ sign;
		f->mask[i] = mask;
		f->hidden[i] = arch_mangle(base, guard) & mask;
	}
}

ARCH_FILTER_TARGET ALWAYS_INLINE __m256i
arch_filter_load(const void *words)
{
	return _mm256_loadu_si256(words);
}

ARCH_FILTER_TARGET ALWAYS_INLINE unsigned
arch_filter_four(const struct arch_filter *f, __m256i words)
{
	__m256i plain = _mm256_cmpgt_epi64(arch_filter_load(f->size),
		_mm256_sub_epi64(words, arch_filter_load(f->base)));
	__m256i hidden = _mm256_cmpeq_epi64(arch_filter_load(f->hidden),
		_mm256_and_si256(words, arch_filter_load(f->mask)));

	return (unsigned)_mm256_movemask_pd(
		_mm256_castsi256_pd(_mm256_or_si256(plain, hidden)));
}

/*
 * arch_filter - which of the eight words at an address pass.  Bit i of the
 * result stands for the i-th.
 */
ARCH_FILTER_TARGET ALWAYS_INLINE unsigned
arch_filter(const struct arch_filter *f, const void *words)
{
	const __m256i *p = words;

	return arch_filter_four(f, arch_filter_load(p)) |
	       arch_filter_four(f, arch_filter_load(p + 1)) << 4;
}

/* arch_filter_some - the same of the first count < 8; no more is read. */
ARCH_FILTER_TARGET ALWAYS_INLINE unsigned
arch_filter_some(const struct arch_filter *f, const void *words, size_t count)
{
	static const long long masks[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	const long long *mask = masks + 8 - count, *p = words;
	unsigned low = arch_filter_four(f,
		_mm256_maskload_epi64(p, arch_filter_load(mask)));
	unsigned high = arch_filter_four(f,
		_mm256_maskload_epi64(p + 4, arch_filter_load(mask + 4)));

	return (low | high << 4) & ((1u << count) - 1);
}

static inline bool
arch_can_filter_range(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}

/*
 * arch_pin - keep an address in a register up to this point of the program,
 * so that a thread stopped before it still shows the address (H1).
 */
#define arch_pin(p)	__asm__ volatile("" : "+r"(p) : : "memory")

/*
 * arch_expect_write - get the line of an address ready to be written, wherever
 * that may be, and keep the address in no register.
 */
ALWAYS_INLINE void
arch_expect_write(uintptr_t addr)
{
	__asm__ volatile("prefetchw (%0)\n\txor %k0, %k0"
			 : "+r"(addr) : : "cc");
}

#endif
