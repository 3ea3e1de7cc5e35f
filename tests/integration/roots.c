/*
 * roots.c - one block of 4242 bytes, held in one place only.
 *
 * With "drop" the place is emptied before the end, and the block is lost:
 * the proof that nothing else held it.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "victim.h"

#define SIZE	4242

static uintptr_t hidden;
static void *in_data = &in_data;
static void *in_bss;
static struct { char filler[100]; void *held; } in_middle;

static NOINLINE void
put(void **place)
{
	*place = reveal(hidden);
	scrub();
}

static NOINLINE int
hold(void **place, const char *arg)
{
	hidden = hidden_block(SIZE);
	put(place);
	if (strcmp(arg, "drop") == 0)
		*place = NULL;
	return 0;
}

static int
data(const char *arg)
{
	return hold(&in_data, arg);
}

static int
bss(const char *arg)
{
	return hold(&in_bss, arg);
}

static int
structure(const char *arg)
{
	return hold(&in_middle.held, arg);
}

static int
function_static(const char *arg)
{
	static void *here;

	return hold(&here, arg);
}

static int
library(const char *arg)
{
	void *lib = dlopen(getenv("VICTIM_LIB"), RTLD_NOW);
	void **place = lib == NULL ? NULL : dlsym(lib, "lib_global");

	CHECK(place != NULL);
	return hold(place, arg);
}

static int
mapping(const char *arg)
{
	void **map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	return hold(&map[77777], arg);
}

/* Filled, and then protected from being written. */
static int
sealed_mapping(const char *arg)
{
	void **map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	hold(&map[77777], arg);
	CHECK(mprotect(map, 1 << 20, PROT_READ) == 0);
	return 0;
}

static int
shared_mapping(const char *arg)
{
	void **map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	return hold(&map[77777], arg);
}

/* The last words of the last page, where careless loops stop short. */
static int
mapping_end(const char *arg)
{
	void **map = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	return hold(&map[511], arg);
}

/* A hole and a page without access lie beside the page that counts. */
static int
mapping_beside_hole(const char *arg)
{
	char *map = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	CHECK(mprotect(map, 4096, PROT_NONE) == 0);
	CHECK(munmap(map + 2 * 4096, 4096) == 0);
	CHECK(mprotect(map + 4 * 4096, 4096, PROT_NONE) == 0);
	return hold((void **)(map + 3 * 4096 + 8), arg);
}

/* Block, block, ..., block: the heap itself is the way. */
static int
chain(const char *arg)
{
	void **link = in_data = calloc(1, 100);
	int i;

	for (i = 0; i < 50; i++)
		link = *link = calloc(1, 16 << i % 12);
	return hold(link, arg);
}

static int
large_block(const char *arg)
{
	void **large = in_data = calloc(1, 1 << 20);

	return hold(&large[(1 << 20) / sizeof *large - 1], arg);
}

/* Two blocks that hold each other live as long as one of them is held. */
static int
ring(const char *arg)
{
	void **one = calloc(1, 16), **two = calloc(1, 16);

	one[0] = two;
	two[0] = one;
	in_bss = one;
	return hold(&two[1], arg);
}

/* The last word of a block from a page of its own. */
static int
aligned_block(const char *arg)
{
	void **block = NULL;

	CHECK(posix_memalign((void **)&block, 4096, 100) == 0);
	memset(block, 0, 100);
	in_data = block;
	return hold(&block[11], arg);
}

static NOINLINE void
put_offset(void **place, ptrdiff_t offset)
{
	*place = (char *)reveal(hidden) + offset;
	scrub();
}

static NOINLINE int
hold_offset(const char *arg, size_t size, ptrdiff_t offset)
{
	hidden = hidden_block(size);
	put_offset(&in_bss, offset);
	if (strcmp(arg, "drop") == 0)
		in_bss = NULL;
	return 0;
}

static int
interior(const char *arg)
{
	return hold_offset(arg, SIZE, SIZE / 2);
}

static int
interior_last(const char *arg)
{
	return hold_offset(arg, SIZE, SIZE - 1);
}

static int
interior_large(const char *arg)
{
	return hold_offset(arg, 10 << 20, (10 << 20) - 1);
}

/* The argument is the size. */
static int
past_end(const char *arg)
{
	size_t size = strtoul(arg, NULL, 10);

	return hold_offset("", size, size);
}

static NOINLINE void
put_tagged(uintptr_t tag)
{
	in_bss = (void *)((uintptr_t)reveal(hidden) | tag);
	scrub();
}

static int
tagged(const char *arg)
{
	hidden = hidden_block(SIZE);
	put_tagged((uintptr_t)0x5a << 56);
	return 0;
}

static NOINLINE void
leave_with(void *block)
{
	void *volatile on_stack[64];
	int i;

	for (i = 0; i < 64; i++)
		on_stack[i] = NULL;
	on_stack[5] = block;
	block = NULL;
	scrub();
	exit(on_stack[6] != NULL);
}

static int
main_stack(const char *arg)
{
	hidden = hidden_block(SIZE);
	if (strcmp(arg, "drop") == 0)
		leave_with(NULL);
	leave_with(reveal(hidden));
	return 1;
}

/*
 * A coroutine that was left by setjmp: on its stack, which is a block, it
 * holds what it needs, and its stack's only pointer is in the jmp_buf.
 */
static jmp_buf coroutine;
static uintptr_t coroutine_stack;

static NOINLINE void
run_coroutine(void)
{
	void *volatile held[20] = { NULL };

	held[10] = reveal(hidden);
	scrub();
	if (setjmp(coroutine) == 0)
		return;
	CHECK(held[10] == NULL);
}

/* enter_coroutine - on its stack, and back from it. */
static NOINLINE void
enter_coroutine(void)
{
	__asm__ volatile("movq %%rsp, %%rbx\n\t"
	    "notq %0\n\tleaq 98304(%0), %%rsp\n\txorl %k0, %k0\n\t"
	    "call *%1\n\tmovq %%rbx, %%rsp"
	    : : "a"(coroutine_stack), "D"(run_coroutine)
	    : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12",
	    "r13", "r14", "r15", "memory", "cc");
}

static int
jump_buffer(const char *arg)
{
	hidden = hidden_block(SIZE);
	coroutine_stack = hidden_block(98304 + 128);
	enter_coroutine();
	scrub();
	if (strcmp(arg, "drop") == 0)
		memset(coroutine, 0, sizeof coroutine);
	return 0;
}

static ucontext_t caller, callee;

static void
end_inside(void)
{
	exit(0);
}

/* The program ends in a coroutine that runs on a part of the caller's stack. */
static NOINLINE void
wait_below(char *part, size_t size, bool keep)
{
	void *volatile held[20] = { NULL };

	if (keep)
		held[10] = reveal(hidden);
	scrub();
	CHECK((char *)held < part && getcontext(&callee) == 0);
	callee.uc_stack.ss_sp = part;
	callee.uc_stack.ss_size = size;
	makecontext(&callee, (void (*)(void))end_inside, 7, 1, 2, 3, 4, 5, 6,
	    7);
	swapcontext(&caller, &callee);
	use(held[0]);
}

static int
inner_stack(const char *arg)
{
	char part[512 * 1024];

	hidden = hidden_block(SIZE);
	wait_below(use(part), sizeof part, strcmp(arg, "keep") == 0);
	return 1;
}

static NOINLINE void
end_in_handler(int sig)
{
	exit(sig != SIGUSR1);
}

static NOINLINE void
signal_below(char *part, size_t size, bool keep)
{
	struct sigaction action = { .sa_flags = SA_ONSTACK };
	stack_t stack = { .ss_sp = part, .ss_size = size };
	void *volatile held[20] = { NULL };

	if (keep)
		held[10] = reveal(hidden);
	scrub();
	action.sa_handler = end_in_handler;
	CHECK((char *)held < part && sigaltstack(&stack, NULL) == 0);
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	raise(SIGUSR1);
	use(held[0]);
}

/* The same, but it is the alternate stack and a handler. */
static int
inner_signal_stack(const char *arg)
{
	char part[512 * 1024];

	hidden = hidden_block(SIZE);
	signal_below(use(part), sizeof part, strcmp(arg, "keep") == 0);
	return 1;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "data", data },
		{ "bss", bss },
		{ "structure", structure },
		{ "function_static", function_static },
		{ "library", library },
		{ "mapping", mapping },
		{ "sealed_mapping", sealed_mapping },
		{ "shared_mapping", shared_mapping },
		{ "mapping_end", mapping_end },
		{ "mapping_beside_hole", mapping_beside_hole },
		{ "chain", chain },
		{ "large_block", large_block },
		{ "ring", ring },
		{ "aligned_block", aligned_block },
		{ "interior", interior },
		{ "interior_last", interior_last },
		{ "interior_large", interior_large },
		{ "past_end", past_end },
		{ "tagged", tagged },
		{ "main_stack", main_stack },
		{ "jump_buffer", jump_buffer },
		{ "inner_stack", inner_stack },
		{ "inner_signal_stack", inner_signal_stack },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
