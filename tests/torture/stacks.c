/*
 * stacks.c - frames, on whatever stack they lie.
 */
#include "torture.h"

#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

/* scrub() needs 64 KiB of it. */
#define STACK_SIZE	(256 * 1024)

static NOINLINE void
hold_in_frame(struct seat *seat)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	rest(seat);
}

WAY(frame, ANYWHERE)
{
	hold_in_frame(seat);
}

static NOINLINE void
descend(struct seat *seat, int depth)
{
	char frame[1000];

	memset(frame, 0, sizeof frame);
	if (depth > 0)
		descend(seat, depth - 1);
	else
		rest(seat);
	use(frame);
}

/* Far up from where the thread stands. */
WAY(frame_deep, ANYWHERE)
{
	void *volatile here = NULL;

	hold_in((void *)&here, seat);
	descend(seat, 2000);
	CHECK(here != NULL);
}

WAY(frame_alloca, ANYWHERE)
{
	void **here = (void **)alloca(opaque(100000));

	memset(here, 0, 100000);
	hold_in(&here[7777], seat);
	rest(seat);
}

/* ------------------------------------------------------------ signal stacks */

/* What a handler has to do; one at a time on each thread. */
static __thread struct seat *handled;
static __thread void (*handle_how)(struct seat *);

static void
handle(int sig UNUSED)
{
	handle_how(handled);
}

static void
raise_on(void *stack, size_t size, struct seat *seat,
    void (*how)(struct seat *))
{
	stack_t alternate = { .ss_sp = stack, .ss_size = size };
	struct sigaction action = { .sa_handler = handle };

	if (stack != NULL) {
		action.sa_flags = SA_ONSTACK;
		CHECK(sigaltstack(&alternate, NULL) == 0);
	}
	handled = seat;
	handle_how = how;
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(raise(SIGUSR1) == 0);
}

WAY(handler_frame, ANYWHERE)
{
	raise_on(NULL, 0, seat, hold_in_frame);
}

WAY(handler_frame_mapped, ANYWHERE)
{
	raise_on(map_pages(STACK_SIZE), STACK_SIZE, seat, hold_in_frame);
}

static void *signal_stack[SEATS_MAX];

WAY(handler_frame_in_block, ANYWHERE)
{
	signal_stack[seat->index] = calloc(1, STACK_SIZE);
	raise_on(signal_stack[seat->index], STACK_SIZE, seat, hold_in_frame);
}

/* What was interrupted lies on another stack than the handler. */
WAY(interrupted_frame, ANYWHERE)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	raise_on(map_pages(STACK_SIZE), STACK_SIZE, seat, rest);
	CHECK(here[5] != NULL);
}

WAY(interrupted_frame_below_block, ANYWHERE)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	signal_stack[seat->index] = calloc(1, STACK_SIZE);
	raise_on(signal_stack[seat->index], STACK_SIZE, seat, rest);
	CHECK(here[5] != NULL);
}

/* Out of a handler by longjmp: the thread is on its own stack again. */
static __thread jmp_buf out_of_handler;

static void
jump(struct seat *seat UNUSED)
{
	longjmp(out_of_handler, 1);
}

WAY(longjmp_from_handler, ANYWHERE)
{
	void *volatile here = NULL;

	hold_in((void *)&here, seat);
	if (setjmp(out_of_handler) == 0)
		raise_on(map_pages(STACK_SIZE), STACK_SIZE, seat, jump);
	rest(seat);
}

/* --------------------------------------------------------------- coroutines */

static struct coroutine {
	ucontext_t own, caller;
	void (*run)(struct seat *);
	struct seat *seat;
	void *stack;
} coroutines[SEATS_MAX];

static void
enter_coroutine(int index)
{
	coroutines[index].run(coroutines[index].seat);
}

static void
leave_coroutine(struct seat *seat)
{
	struct coroutine *c = &coroutines[seat->index];

	CHECK(swapcontext(&c->own, &c->caller) == 0);
}

static void
run_coroutine(void *stack, struct seat *seat, void (*run)(struct seat *))
{
	struct coroutine *c = &coroutines[seat->index];

	CHECK(stack != NULL);
	c->run = run;
	c->seat = seat;
	CHECK(getcontext(&c->own) == 0);
	c->own.uc_stack.ss_sp = c->stack = stack;
	c->own.uc_stack.ss_size = STACK_SIZE;
	makecontext(&c->own, (void (*)(void))enter_coroutine, 1,
	    (int)seat->index);
	CHECK(swapcontext(&c->caller, &c->own) == 0);
}

static void
hold_and_leave(struct seat *seat)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	leave_coroutine(seat);
	CHECK(here[5] != NULL);
}

WAY(coroutine_dormant, ANYWHERE)
{
	run_coroutine(map_pages(STACK_SIZE), seat, hold_and_leave);
}

WAY(coroutine_dormant_in_block, ANYWHERE)
{
	run_coroutine(calloc(1, STACK_SIZE), seat, hold_and_leave);
}

static char stacks_in_bss[8][STACK_SIZE];

WAY(coroutine_dormant_in_bss, MAIN_ONLY)
{
	run_coroutine(stacks_in_bss[1], seat, hold_and_leave);
}

/* Its stack is a variable of a frame of the thread that made it. */
WAY(coroutine_dormant_on_stack, ANYWHERE)
{
	char stack[STACK_SIZE];

	memset(stack, 0, sizeof stack);
	run_coroutine(stack, seat, hold_and_leave);
	rest(seat);
}

WAY(coroutine_running, ANYWHERE)
{
	run_coroutine(map_pages(STACK_SIZE), seat, hold_in_frame);
}

WAY(coroutine_running_in_block, ANYWHERE)
{
	run_coroutine(calloc(1, STACK_SIZE), seat, hold_in_frame);
}

WAY(coroutine_running_on_stack, ANYWHERE)
{
	char stack[STACK_SIZE];

	memset(stack, 0, sizeof stack);
	run_coroutine(stack, seat, hold_in_frame);
}

/* Held by the frame that waits for the coroutine. */
WAY(coroutine_caller, ANYWHERE)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	run_coroutine(map_pages(STACK_SIZE), seat, rest);
	CHECK(here[5] != NULL);
}

WAY(coroutine_caller_of_block, ANYWHERE)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	run_coroutine(calloc(1, STACK_SIZE), seat, rest);
	CHECK(here[5] != NULL);
}

/* A handler on an alternate stack has interrupted a coroutine. */
static void
hold_and_be_interrupted(struct seat *seat)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], seat);
	raise_on(map_pages(STACK_SIZE), STACK_SIZE, seat, rest);
	CHECK(here[5] != NULL);
}

WAY(coroutine_interrupted, ANYWHERE)
{
	run_coroutine(map_pages(STACK_SIZE), seat, hold_and_be_interrupted);
}

WAY(coroutine_interrupted_in_block, ANYWHERE)
{
	run_coroutine(calloc(1, STACK_SIZE), seat, hold_and_be_interrupted);
}

/* ------------------------------------------------------ hand-made switching */

/*
 * switch_to - push what a call keeps, store the stack pointer, load another.
 */
void switch_to(void **from, void *to);
__asm__(".text\n"
	".type	switch_to, @function\n"
	"switch_to:\n\t"
	"pushq	%rbp\n\t"
	"pushq	%rbx\n\t"
	"pushq	%r12\n\t"
	"pushq	%r13\n\t"
	"pushq	%r14\n\t"
	"pushq	%r15\n\t"
	"movq	%rsp, (%rdi)\n\t"
	"movq	%rsi, %rsp\n\t"
	"popq	%r15\n\t"
	"popq	%r14\n\t"
	"popq	%r13\n\t"
	"popq	%r12\n\t"
	"popq	%rbx\n\t"
	"popq	%rbp\n\t"
	"ret\n\t"
	".size	switch_to, . - switch_to\n");

static struct fiber {
	void *sp;
	void *caller_sp;
	void (*run)(struct fiber *);
	struct seat *seat;
} fibers[SEATS_MAX];

static __thread struct fiber *entered;

static void
enter_fiber(void)
{
	entered->run(entered);
}

static void
run_fiber(char *stack, struct seat *seat, void (*run)(struct fiber *))
{
	struct fiber *f = entered = &fibers[seat->index];
	void **top = (void **)(stack + STACK_SIZE);

	CHECK(stack != NULL);
	f->run = run;
	f->seat = seat;
	/* Six registers, the entry, and where it would return to. */
	top[-2] = (void *)enter_fiber;
	top[-1] = NULL;
	switch_to(&f->caller_sp, top - 8);
}

static void
hold_in_fiber(struct fiber *f)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], f->seat);
	switch_to(&f->sp, f->caller_sp);
	CHECK(here[5] != NULL);
}

static void
rest_in_fiber(struct fiber *f)
{
	hold_in_frame(f->seat);
}

/* Held by a register when the switch is made: it is pushed. */
static void
hold_in_fiber_register(struct fiber *f)
{
	__asm__ volatile(
	    "movq	%[lost], %%rbx\n\t"
	    "notq	%%rbx\n\t"
	    "movq	%[kept], %%rbx\n\t"
	    "notq	%%rbx\n\t"
	    "call	switch_to"
	    : : [lost] "r"(f->seat->lost), [kept] "r"(f->seat->kept),
	      "D"(&f->sp), "S"(f->caller_sp)
	    : "rbx", "rax", "memory");
}

WAY(fiber_dormant, ANYWHERE)
{
	run_fiber((char *)map_pages(STACK_SIZE), seat, hold_in_fiber);
}

WAY(fiber_dormant_in_block, ANYWHERE)
{
	run_fiber((char *)calloc(1, STACK_SIZE), seat, hold_in_fiber);
}

WAY(fiber_dormant_register, ANYWHERE)
{
	run_fiber((char *)calloc(1, STACK_SIZE), seat,
	    hold_in_fiber_register);
}

WAY(fiber_running, ANYWHERE)
{
	run_fiber((char *)map_pages(STACK_SIZE), seat, rest_in_fiber);
}

WAY(fiber_running_in_block, ANYWHERE)
{
	run_fiber((char *)calloc(1, STACK_SIZE), seat, rest_in_fiber);
}

/* ------------------------------------------------------------------ jmp_buf */

static jmp_buf jumps[SEATS_MAX];

/* As a compiler would: in a register across setjmp, and nowhere else. */
#define SETJMP_WITH(reg, hidden)					\
	__asm__ volatile(						\
	    "pushq	%%" reg "\n\t"					\
	    "movq	%[value], %%rax\n\t"				\
	    "notq	%%rax\n\t"					\
	    "movq	%%rax, %%" reg "\n\t"				\
	    "call	_setjmp\n\t"					\
	    "popq	%%" reg "\n\t"					\
	    : : [value] "r"(hidden), "D"(jumps[seat->index])		\
	    : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11",	\
	      "memory")

static NOINLINE void
setjmp_with_rbx(struct seat *seat, uintptr_t hidden)
{
	__asm__ volatile("subq $8, %%rsp; subq $128, %%rsp" : : : "memory");
	SETJMP_WITH("rbx", hidden);
	__asm__ volatile("addq $128, %%rsp; addq $8, %%rsp" : : : "memory");
}

static NOINLINE void
setjmp_with_rbp(struct seat *seat, uintptr_t hidden)
{
	__asm__ volatile("subq $8, %%rsp; subq $128, %%rsp" : : : "memory");
	SETJMP_WITH("rbp", hidden);
	__asm__ volatile("addq $128, %%rsp; addq $8, %%rsp" : : : "memory");
}

WAY(jump_register, ANYWHERE)
{
	setjmp_with_rbx(seat, seat->lost);
	scrub();
	setjmp_with_rbx(seat, seat->kept);
}

/* glibc mangles the frame pointer, which holds anything. */
WAY(jump_register_mangled, ANYWHERE)
{
	setjmp_with_rbp(seat, seat->lost);
	scrub();
	setjmp_with_rbp(seat, seat->kept);
}

/*
 * A coroutine whose stack is a block that nothing names but the mangled
 * stack pointer of the place to jump to.
 */
static void
hold_in_jump(struct fiber *f)
{
	void *volatile here[16] = { NULL };

	hold_in((void *)&here[5], f->seat);
	if (_setjmp(jumps[f->seat->index]) == 0)
		switch_to(&f->sp, f->caller_sp);
	CHECK(here[5] != NULL);
}

WAY(jump_coroutine_in_block, ANYWHERE)
{
	run_fiber((char *)calloc(1, STACK_SIZE), seat, hold_in_jump);
	memset(&fibers[seat->index], 0, sizeof fibers[seat->index]);
	entered = NULL;
}

/* -------------------------------------------------- stacks given to threads */

static void *
run_on_stack(void *argument)
{
	hold_in_frame((struct seat *)argument);
	return NULL;
}

static void
start_on(void *stack, size_t guard, struct seat *seat)
{
	pthread_attr_t attributes;
	pthread_t thread;

	CHECK(pthread_attr_init(&attributes) == 0);
	if (stack != NULL)
		CHECK(pthread_attr_setstack(&attributes, stack,
		    STACK_SIZE) == 0);
	else
		CHECK(pthread_attr_setguardsize(&attributes, guard) == 0);
	CHECK(pthread_create(&thread, &attributes, run_on_stack, seat) == 0);
	CHECK(pthread_attr_destroy(&attributes) == 0);
	for (;;)
		pause();
}

WAY(own_stack_mapped, THREADS_ONLY)
{
	start_on(map_pages(STACK_SIZE), 0, seat);
}

/* The thread's descriptor lies in it too: nothing else names the block. */
WAY(own_stack_in_block, THREADS_ONLY)
{
	start_on(aligned_alloc(4096, STACK_SIZE), 0, seat);
}

WAY(own_stack_unguarded, THREADS_ONLY)
{
	start_on(NULL, 0, seat);
}

WAY(own_stack_well_guarded, THREADS_ONLY)
{
	start_on(NULL, 1 << 20, seat);
}
