/*
 * test_roots.c - a block whose only pointer is in one certain place.
 *
 * Each test puts the pointer there and asks whether the block is seen, then
 * takes it away and asks again: a copy elsewhere would be found out.
 */
#include "unit.h"

#include "collect/marker.h"
#include "heap/meta.h"
#include "world/pages.h"
#include "world/roots.h"
#include "world/stacks.h"
#include "world/stop.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#define LIMIT		(5 * NSEC_PER_SEC)
#define STACK_SIZE	(256 * KIB)

/* The block that is asked for. */
static struct hidden lost;

static bool with_mappings = true;
/* Whether roots are read as for a mark with the world running. */
static bool in_parts;

static void
setup(void)
{
	roots_note_loader();
	unit_core_defaults();
	lost = unit_hidden_block(1000);
	unit_scrub();
}

static void
setup_parts(void)
{
	setup();
	in_parts = true;
}

static void
scan_part(uintptr_t start, uintptr_t end, void *argument)
{
	(void)argument;
	marker_scan_range(start, end);
}

static void
scan_listed(const struct root_range *range, void *argument)
{
	pages_for_each_touched(range->start, range->end, range->kind,
			       scan_part, argument);
}

static int
scan_roots(void)
{
	if (!in_parts)
		return roots_scan(with_mappings, marker_scan_range);
	roots_for_each_range(scan_listed, NULL);
	return roots_scan_again(with_mappings, marker_scan_range);
}

static NOINLINE void
mark_world(void)
{
	struct stop_failure failure;

	__builtin_unwind_init();
	pages_open();
	expect(marker_begin(true));
	expect(roots_prepare() == 0);
	expect(!in_parts || roots_list(with_mappings) == 0);
	expect(stop_begin(LIMIT, (uintptr_t)__builtin_frame_address(0) -
			  ARCH_SAVED_REGISTERS, false, &failure) == 0);
	marker_whiten();
	expect(scan_roots() == 0);
	unit_drain();
	stop_end();
	pages_close();
	marker_end();
}

/*
 * is_seen - inlined, as are those that call it: a frame of its own would have
 * holes with what an earlier call left there, where no scrubbing reaches.
 */
ALWAYS_INLINE bool
is_seen(void)
{
	unit_scrub();
	mark_world();
	return unit_is_marked((uintptr_t)unit_reveal(lost));
}

/* pointer - what a program would hold: to the block, or into it. */
ALWAYS_INLINE uintptr_t
pointer(void)
{
	return (uintptr_t)unit_reveal(lost) + 500;
}

/* put - store a word where the compiler believes that others read it. */
static NOINLINE void
put(uintptr_t *word, uintptr_t value)
{
	*word = value;
	__asm__ volatile("" : : "r"(word) : "memory");
}

/* put_pointer - the only copy is in the word when this returns. */
static NOINLINE void
put_pointer(uintptr_t *word)
{
	*word = pointer();
	__asm__ volatile("" : : "r"(word) : "memory");
}

/* check_word - the only pointer in a word, and not there any more. */
ALWAYS_INLINE void
check_word(uintptr_t *word, bool expected)
{
	put_pointer(word);
	expect(is_seen() == expected);
	put(word, 0);
	expect(!is_seen());
}

/* ----------------------------------------------------------------- segments */

static uintptr_t in_data[2] = { 1, 1 };
static uintptr_t in_bss[10000];
static __thread uintptr_t in_tls;
static __thread uintptr_t in_tls_data = 1;

START_TEST(test_segments)
{
	with_mappings = _i == 0;
	expect(!is_seen());
	check_word(&in_data[1], true);
	check_word(&in_bss[5000], true);
	check_word(&in_bss[9999], true);
	check_word(&in_tls, true);
	check_word(&in_tls_data, true);
	/* Of another library. */
	check_word((uintptr_t *)&environ, true);
}
END_TEST

static NOINLINE void
hold_block(struct hidden block)
{
	put(&in_bss[7], (uintptr_t)unit_reveal(block));
}

START_TEST(test_own_stack)
{
	uintptr_t frame[100] = { 0 };

	with_mappings = _i == 0;
	check_word(&frame[50], true);
	__asm__ volatile("" : : "r"(frame) : "memory");
}
END_TEST

/* leave_below - where calls and signals that follow have no frames. */
static NOINLINE void
leave_below(void)
{
	uintptr_t frame[12000];

	for (size_t i = 0; i < 2000; i++)
		put_pointer(&frame[i]);
}

/* leave_near - where libc leaves the stack of an ended thread alone. */
static NOINLINE void
leave_near(void)
{
	uintptr_t frame[1000];

	for (size_t i = 0; i < 900; i++)
		put_pointer(&frame[i]);
}

/* What returned functions left behind is not read. */
START_TEST(test_below_stack)
{
	leave_below();
	mark_world();
	ck_assert(!unit_is_marked((uintptr_t)unit_reveal(lost)));
}
END_TEST

/* Where a callee-saved register of the collecting thread ends up. */
START_TEST(test_own_register)
{
	bool seen;

	unit_scrub();
	__asm__ volatile("movq %1, %%r12\n\tnotq %%r12\n\tcall *%2\n\t"
			 "xorl %%r12d, %%r12d"
			 : "=a"(seen) : "m"(lost.word), "r"(mark_world)
			 : "r12", "rcx", "rdx", "rsi", "rdi", "r8", "r9",
			   "r10", "r11", "memory", "cc");
	ck_assert(unit_is_marked((uintptr_t)unit_reveal(lost)));
	ck_assert(!is_seen());
}
END_TEST

/* ---------------------------------------------------------- mangled pointers */

static jmp_buf jump;

/* leave_in_jump - the frame pointer's register is one like others. */
static NOINLINE void
leave_in_jump(void)
{
	__asm__ volatile("pushq %%rbp\n\tsubq $128, %%rsp\n\t"
			 "movq %0, %%rbp\n\tnotq %%rbp\n\tcall _setjmp\n\t"
			 "addq $128, %%rsp\n\tpopq %%rbp"
			 : : "a"(lost.word), "D"(jump)
			 : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11",
			   "memory", "cc");
}

static NOINLINE void
put_mangled(uintptr_t *word)
{
	*word = arch_mangle(pointer(), arch_pointer_guard());
	__asm__ volatile("" : : "r"(word) : "memory");
}

static NOINLINE void
call_mangled(struct hidden block)
{
	put_mangled((uintptr_t *)unit_reveal(block) + 3);
}

START_TEST(test_jump_buffer)
{
	struct hidden block = unit_hidden_block(64);

	expect(arch_demangle(arch_mangle(12345, 999), 999) == 12345);
	leave_in_jump();
	ck_assert(is_seen());
	memset(jump, 0, sizeof(jump));
	ck_assert(!is_seen());
	/* In a block. */
	call_mangled(block);
	ck_assert(!is_seen());
	hold_block(block);
	ck_assert(is_seen());
	put(&in_bss[7], 0);
	ck_assert(!is_seen());
}
END_TEST

/* ----------------------------------------------------------------- mappings */

static uintptr_t *
map(size_t size, int flags, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	expect(p != MAP_FAILED);
	return p;
}

static int
file_of(size_t size)
{
	int fd = memfd_create("roots", 0);

	expect(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

START_TEST(test_mappings)
{
	size_t size = 50 * 4096, last = size / 8 - 1;
	uintptr_t *word;

	with_mappings = _i == 0;
	word = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	check_word(word, with_mappings);
	check_word(word + last, with_mappings);
	check_word(word + 12345, with_mappings);
	word = map(size, MAP_SHARED | MAP_ANONYMOUS, -1);
	check_word(word + last, with_mappings);
	word = map(size, MAP_SHARED, file_of(size));
	check_word(word + 777, with_mappings);
	word = map(size, MAP_PRIVATE, file_of(size));
	check_word(word + 777, with_mappings);
	/* Much of nothing. */
	word = map(4 * GIB, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	check_word(word + GIB / 3, with_mappings);
	/* Of an allocator that is not ours. */
	word = malloc(1000);
	check_word(word + 10, with_mappings);
	word = calloc(1, MIB);
	check_word(word + 10000, with_mappings);
}
END_TEST

/* The mapping is longer than the file: reading behind its end is fatal. */
START_TEST(test_short_files)
{
	uintptr_t *shared = map(64 * 4096, MAP_SHARED, file_of(3 * 4096));
	uintptr_t *private = map(64 * 4096, MAP_PRIVATE, file_of(3 * 4096));

	check_word(shared + 2 * 512, true);
	check_word(private + 2 * 512, true);
}
END_TEST

/* Pages that cannot be read, in the midst of others. */
START_TEST(test_holes)
{
	uintptr_t *word = map(64 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	for (unsigned i = 1; i < 64; i += 2)
		expect(mprotect(word + i * 512, 4096, PROT_NONE) == 0);
	check_word(word + 62 * 512 + 511, true);
	check_word(word, true);
}
END_TEST

/* What was written and is read-only now. */
START_TEST(test_read_only)
{
	size_t size = 20 * 4096;
	uintptr_t *word;

	for (unsigned i = 0; i < 3; i++) {
		int prot = i == 1 ? PROT_READ | PROT_EXEC : PROT_READ;

		word = map(size, i == 2 ? MAP_PRIVATE : MAP_PRIVATE |
			   MAP_ANONYMOUS, i == 2 ? file_of(size) : -1);
		put_pointer(word + 5000);
		expect(mprotect(word, size, prot) == 0);
		ck_assert(is_seen());
		expect(munmap(word, size) == 0);
		ck_assert(!is_seen());
	}
}
END_TEST

static NOINLINE void
write_pointer(int fd, off_t at)
{
	uintptr_t word = pointer();

	expect(pwrite(fd, &word, sizeof(word), at) == sizeof(word));
	put(&word, 0);
}

/* disk_file_of - one that is no memory: others may share it. */
static int
disk_file_of(size_t size)
{
	char name[] = "test_roots.XXXXXX";
	int fd = mkstemp(name);

	expect(fd >= 0 && unlink(name) == 0 && ftruncate(fd, (off_t)size) == 0);
	return fd;
}

/* Where nobody would look, unless the program says so. */
START_TEST(test_registered)
{
	int fd = disk_file_of(3 * 4096);
	uintptr_t *word = mmap(NULL, 3 * 4096, PROT_READ, MAP_SHARED, fd, 0);

	expect(word != MAP_FAILED);
	write_pointer(fd, 4096 + 24);
	word += 512;
	ck_assert(!is_seen());
	ck_assert(roots_register((uintptr_t)(word + 2), 64));
	ck_assert(is_seen());
	ck_assert(!roots_unregister((uintptr_t)(word + 2), 63));
	ck_assert(is_seen());
	ck_assert(roots_unregister((uintptr_t)(word + 2), 64));
	ck_assert(!is_seen());
	ck_assert(!roots_unregister((uintptr_t)(word + 2), 64));
	/* Across pages of which some can no longer be read. */
	ck_assert(roots_register((uintptr_t)(word - 512), 3 * 4096));
	expect(mprotect(word - 512, 4096, PROT_NONE) == 0);
	expect(munmap(word + 512, 4096) == 0);
	ck_assert(is_seen());
	expect(munmap(word, 4096) == 0);
	ck_assert(!is_seen());
}
END_TEST

START_TEST(test_registered_is_full)
{
	unsigned count = 0;

	while (roots_register(0x1000 + count * 16, 16))
		expect(++count < 100000);
	ck_assert_uint_ge(count, 1000);
	while (count-- > 0)
		expect(roots_unregister(0x1000 + count * 16, 16));
}
END_TEST

/* Memory of ours: what is excluded, and what metadata lies in. */
START_TEST(test_excluded)
{
	uintptr_t *word = map(3 * 4096, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uintptr_t *ours = meta_alloc(100), *table = meta_map(4096);

	check_word(word + 512, true);
	roots_exclude((uintptr_t)(word + 512), (uintptr_t)(word + 520));
	check_word(word + 512, false);
	check_word(word + 519, false);
	check_word(word + 511, true);
	check_word(word + 520, true);
	check_word(ours + 1, false);
	check_word(table + 1, false);
}
END_TEST

static NOINLINE void
link_to_lost(struct hidden from)
{
	((uintptr_t *)unit_reveal(from))[4000] = pointer();
}

/* A block is a root for nobody, but what leads to it leads on. */
START_TEST(test_through_blocks)
{
	struct hidden first = unit_hidden_block(40000);

	link_to_lost(first);
	expect(!is_seen());
	hold_block(first);
	expect(is_seen());
	put(&in_bss[7], 0);
	expect(!is_seen());
}
END_TEST

/* ------------------------------------------------------------------ threads */

/* Two threads take turns: 1, it holds the pointer; 2, it may go on; 3, done. */
static volatile int turn;

static void
reach_turn(int wanted)
{
	while (turn < wanted)
		sched_yield();
}

/* The stack that the program itself gives to a thread, or NULL. */
static void *own_stack;

static pthread_t
begin_thread(void *(*run)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;

	expect(pthread_attr_init(&attr) == 0);
	if (own_stack != NULL)
		expect(pthread_attr_setstack(&attr, own_stack,
					     STACK_SIZE) == 0);

	turn = 0;
	expect(pthread_create(&thread, &attr, run, own_stack) == 0);
	reach_turn(1);
	return thread;
}

static void
end_thread(pthread_t thread)
{
	turn = 2;
	reach_turn(3);
	pthread_join(thread, NULL);
}

/* check_thread - seen while it holds the pointer, and not after. */
ALWAYS_INLINE void
check_thread(void *(*run)(void *), bool expected)
{
	pthread_t thread = begin_thread(run);

	expect(is_seen() == expected);
	end_thread(thread);
	if (own_stack != NULL)
		explicit_bzero(own_stack, STACK_SIZE);
	expect(!is_seen());
}

static void
hold_turn(void)
{
	turn = 1;
	while (turn != 2)
		sched_yield();
}

static void *
finish_turn(void)
{
	heap_thread_end(false);
	turn = 3;
	return NULL;
}

static void *
hold_on_stack(void *stack)
{
	uintptr_t frame[20] = { 0 };

	heap_thread_begin(stack == NULL);
	put_pointer(&frame[10]);
	unit_scrub();
	hold_turn();
	put(&frame[10], 0);
	unit_scrub();
	return finish_turn();
}

static void *
hold_in_system_call(void *stack)
{
	uintptr_t frame[20] = { 0 };
	int fds[2];
	char byte;

	(void)stack;
	heap_thread_begin(true);
	expect(pipe(fds) == 0);
	put_pointer(&frame[10]);
	unit_scrub();
	turn = 1;
	while (turn != 2) {
		/* Most of the time it is in the kernel. */
		expect(write(fds[1], "", 1) == 1);
		expect(read(fds[0], &byte, 1) == 1);
		usleep(1000);
	}
	put(&frame[10], 0);
	unit_scrub();
	return finish_turn();
}

static void *
hold_in_tls(void *stack)
{
	heap_thread_begin(stack == NULL);
	put_pointer(&in_tls);
	unit_scrub();
	hold_turn();
	in_tls = 0;
	return finish_turn();
}

static pthread_key_t key;

static void *
hold_in_key(void *stack)
{
	(void)stack;
	heap_thread_begin(true);
	pthread_setspecific(key, (void *)pointer());
	unit_scrub();
	hold_turn();
	pthread_setspecific(key, NULL);
	return finish_turn();
}

START_TEST(test_threads)
{
	with_mappings = _i == 0;
	expect(pthread_key_create(&key, NULL) == 0);
	check_thread(hold_on_stack, true);
	check_thread(hold_in_system_call, true);
	check_thread(hold_in_tls, true);
	check_thread(hold_in_key, true);
}
END_TEST

/*
 * Each register by itself: the pointer is in it, the word it came from is
 * hidden, and the code is nothing but a loop.
 */
#define HOLD_IN(name, reg, more, clear)					\
static NOINLINE void							\
spin_##name(void)							\
{									\
	__asm__ volatile(						\
		"movq %1, %%" #reg "\n\tnotq %%" #reg "\n\t" more	\
		"movl $1, %0\n"						\
		"1:\n\tpause\n\tcmpl $2, %0\n\tjne 1b\n\t"		\
		"xorl %%eax, %%eax\n\tmovq %%rax, %%" #reg "\n\t" clear	\
		: "+m"(turn) : "m"(lost.word)				\
		: #reg, "rax", "xmm7", "memory", "cc");			\
}

/* Saved apart from the lower half; a processor without it has only that. */
#define TO_WIDE		"movq %%rbx, %%xmm7\n\txorl %%ebx, %%ebx\n\t"	\
			"vinsertf128 $1, %%xmm7, %%ymm7, %%ymm7\n\t"	\
			"pxor %%xmm7, %%xmm7\n\t"
#define CLEAR_WIDE	"vzeroupper\n\t"

#define TO_VECTOR	"movq %%rbx, %%xmm7\n\txorl %%ebx, %%ebx\n\t"
#define TO_HIGH_HALF	"movq %%rbx, %%xmm7\n\tpslldq $8, %%xmm7\n\t"	\
			"xorl %%ebx, %%ebx\n\t"
#define TO_RED_ZONE	"movq %%rbx, -120(%%rsp)\n\txorl %%ebx, %%ebx\n\t"
#define CLEAR_VECTOR	"pxor %%xmm7, %%xmm7\n\t"
#define CLEAR_RED_ZONE	"movq %%rax, -120(%%rsp)\n\t"

HOLD_IN(rax, rax, "", "")
HOLD_IN(rbx, rbx, "", "")
HOLD_IN(rcx, rcx, "", "")
HOLD_IN(rdi, rdi, "", "")
HOLD_IN(r8, r8, "", "")
HOLD_IN(r11, r11, "", "")
HOLD_IN(r15, r15, "", "")
HOLD_IN(vector, rbx, TO_VECTOR, CLEAR_VECTOR)
HOLD_IN(high_half, rbx, TO_HIGH_HALF, CLEAR_VECTOR)
HOLD_IN(wide, rbx, TO_WIDE, CLEAR_WIDE)
HOLD_IN(red_zone, rbx, TO_RED_ZONE, CLEAR_RED_ZONE)

static void (*const spins[])(void) = {
	spin_rax, spin_rbx, spin_rcx, spin_rdi, spin_r8, spin_r11, spin_r15,
	spin_vector, spin_high_half, spin_red_zone, spin_wide,
};

static void (*spin)(void);

/* The alternate stack that the stop finds the thread with: NULL, none. */
static char alternate[64 * KIB];
static char *alternate_now;

static void *
hold_in_register(void *stack)
{
	stack_t other = { .ss_sp = alternate_now,
			  .ss_size = sizeof(alternate) };

	heap_thread_begin(stack == NULL);
	if (alternate_now != NULL)
		expect(sigaltstack(&other, NULL) == 0);
	spin();
	if (alternate_now != NULL)
		memset(alternate_now, 0, sizeof(alternate));
	return finish_turn();
}

START_TEST(test_registers)
{
	void *mapped = map(sizeof(alternate), MAP_PRIVATE | MAP_ANONYMOUS, -1);
	void *const alternates[] = { NULL, alternate, mapped };

	with_mappings = _i % 2 == 0;
	alternate_now = alternates[_i / 2 % 3];
	spin = spins[_i / 6];
	if (spin == spin_wide && !__builtin_cpu_supports("avx"))
		spin = spin_high_half;
	check_thread(hold_in_register, true);
}
END_TEST

/* spin_over - with the pointer in 16 KiB below the red zone, nowhere else. */
static NOINLINE void
spin_over(void)
{
	__asm__ volatile(
		"movq %1, %%rbx\n\tnotq %%rbx\n\tmovq $-2048, %%rcx\n"
		"1:\n\tmovq %%rbx, -128(%%rsp,%%rcx,8)\n\t"
		"incq %%rcx\n\tjne 1b\n\t"
		"xorl %%ebx, %%ebx\n\tmovl $1, %0\n"
		"2:\n\tpause\n\tcmpl $2, %0\n\tjne 2b\n\t"
		: "+m"(turn) : "m"(lost.word) : "rbx", "rcx", "memory", "cc");
}

static size_t stack_room;

static void *
hold_below_red_zone(void *stack)
{
	volatile char *room = __builtin_alloca(stack_room);

	heap_thread_begin(stack == NULL);
	room[0] = 0;
	spin_over();
	unit_scrub();
	return finish_turn();
}

/* The kernel aligns its frames, and leaves out words of them. */
START_TEST(test_signal_frame)
{
	with_mappings = _i % 2 == 0;
	stack_room = (size_t)_i / 2 * 16;
	check_thread(hold_below_red_zone, false);
}
END_TEST

/* ------------------------------------------------------------- other stacks */

static volatile bool is_in_handler;

static void
on_alternate(int sig)
{
	(void)sig;
	is_in_handler = true;
	hold_turn();
}

/* The handler runs on another stack: the interrupted one holds the pointer. */
static void *
hold_under_handler(void *stack)
{
	stack_t other = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	struct sigaction action = { .sa_flags = SA_ONSTACK };
	uintptr_t frame[20] = { 0 };

	(void)stack;
	heap_thread_begin(true);
	action.sa_handler = on_alternate;
	expect(sigaltstack(&other, NULL) == 0);
	expect(sigaction(SIGUSR2, &action, NULL) == 0);
	put_pointer(&frame[10]);
	unit_scrub();
	raise(SIGUSR2);
	expect(is_in_handler);
	put(&frame[10], 0);
	unit_scrub();
	memset(alternate, 0, sizeof(alternate));
	return finish_turn();
}

START_TEST(test_alternate_stack)
{
	check_thread(hold_under_handler, true);
}
END_TEST

/*
 * The program's own stack for a thread: of nothing that is known below the
 * stack pointer, all of it is read (O1).
 */
static void *
hold_below_stack(void *stack)
{
	(void)stack;
	heap_thread_begin(false);
	leave_below();
	unit_scrub_registers();
	/* Without a call that would overwrite it. */
	turn = 1;
	while (turn != 2)
		arch_pause();
	unit_scrub();
	return finish_turn();
}

START_TEST(test_own_stacks)
{
	own_stack = map(STACK_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	check_thread(hold_on_stack, true);
	check_thread(hold_in_tls, true);
	spin = spin_rbx;
	check_thread(hold_in_register, true);
	check_thread(hold_below_stack, true);
}
END_TEST

static ucontext_t main_context, coroutine;

static void
run_coroutine(void)
{
	uintptr_t frame[20] = { 0 };

	put_pointer(&frame[10]);
	unit_scrub();
	swapcontext(&coroutine, &main_context);
	put(&frame[10], 0);
	unit_scrub();
	swapcontext(&coroutine, &main_context);
}

static bool was_seen;

static void
look_from_coroutine(void)
{
	was_seen = is_seen();
	swapcontext(&coroutine, &main_context);
}

static NOINLINE void
check_coroutine(void *stack, size_t size)
{
	expect(getcontext(&coroutine) == 0);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = size;
	makecontext(&coroutine, run_coroutine, 0);
	swapcontext(&main_context, &coroutine);
	expect(is_seen());
	swapcontext(&main_context, &coroutine);
	explicit_bzero(stack, size);
	expect(!is_seen());
}

/* The pointer is on a dormant stack, which is a mapping, or a block. */
START_TEST(test_coroutines)
{
	size_t size = STACK_SIZE;
	void *block = heap_alloc(size, true);

	check_coroutine(map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1), size);
	heap_note(block, size, SITE_UNKNOWN);
	check_coroutine(block, size);
	__asm__ volatile("" : : "r"(block) : "memory");
}
END_TEST

static NOINLINE void
run_in_part(uintptr_t *buffer, size_t size)
{
	uintptr_t frame[20] = { 0 };

	expect(&frame[0] < buffer);
	put_pointer(&frame[10]);
	unit_scrub();
	stacks_note((uintptr_t)buffer, (uintptr_t)environ);
	expect(getcontext(&coroutine) == 0);
	coroutine.uc_stack.ss_sp = buffer;
	coroutine.uc_stack.ss_size = size;
	makecontext(&coroutine, look_from_coroutine, 0);
	swapcontext(&main_context, &coroutine);
	put(&frame[10], 0);
	unit_scrub();
}

/*
 * The coroutine that looks runs on a part of the stack: the frame that waits
 * for it lies below (O4).
 */
START_TEST(test_coroutine_on_stack)
{
	uintptr_t buffer[2 * STACK_SIZE / sizeof(uintptr_t)];

	run_in_part(buffer, sizeof(buffer));
	ck_assert(was_seen);
	explicit_bzero(buffer, sizeof(buffer));
	ck_assert(!is_seen());
}
END_TEST

static void
hold_in_part(void)
{
	hold_turn();
	swapcontext(&coroutine, &main_context);
}

static NOINLINE void
stand_above(char *stack)
{
	char lower[64 * KIB];
	stack_t other = { .ss_sp = lower, .ss_size = sizeof(lower) };
	stack_t none = { .ss_flags = SS_DISABLE };

	expect(sigaltstack(&other, NULL) == 0);
	expect(getcontext(&coroutine) == 0);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = STACK_SIZE;
	makecontext(&coroutine, hold_in_part, 0);
	swapcontext(&main_context, &coroutine);
	expect(sigaltstack(&none, NULL) == 0);
	explicit_bzero(lower, sizeof(lower));
}

static NOINLINE void
hold_between(char *stack)
{
	uintptr_t frame[20] = { 0 };

	put_pointer(&frame[10]);
	unit_scrub();
	stand_above(stack);
	put(&frame[10], 0);
	unit_scrub();
}

static void *
hold_over_alternate(void *unused)
{
	char stack[STACK_SIZE];

	(void)unused;
	heap_thread_begin(true);
	stacks_note((uintptr_t)stack, 0);
	hold_between(stack);
	explicit_bzero(stack, sizeof(stack));
	return finish_turn();
}

/*
 * The frame that waits lies above the signal frame and below the coroutine that
 * it has interrupted: all three on one stack.
 */
START_TEST(test_between)
{
	check_thread(hold_over_alternate, true);
}
END_TEST

/* A root that cannot be read is an error: the mark is not complete (M3). */
START_TEST(test_unreadable)
{
	struct rlimit none = { 0, 0 };
	struct stop_failure failure;

	expect(marker_begin(true) && roots_prepare() == 0);
	expect(stop_begin(LIMIT, arch_stack_pointer(), false, &failure) == 0);
	expect(setrlimit(RLIMIT_NOFILE, &none) == 0);
	ck_assert_int_lt(roots_scan(true, marker_scan_range), 0);
	ck_assert_int_lt(roots_scan(false, marker_scan_range), 0);
	stop_end();
}
END_TEST

/* ------------------------------------------------------------ ended threads */

static void *
leave_on_stack(void *stack)
{
	(void)stack;
	heap_thread_begin(true);
	leave_near();
	turn = 1;
	reach_turn(2);
	heap_thread_end(false);
	turn = 3;
	return NULL;
}

/* libc keeps its stack for others: what is on it is dead (O2). */
START_TEST(test_dead_stack)
{
	pthread_t thread = begin_thread(leave_on_stack);

	turn = 2;
	pthread_join(thread, NULL);
	ck_assert(!is_seen());
}
END_TEST

/* What is kept for a thread's alternate stack is in use until it is freed. */
START_TEST(test_kept_for_stack)
{
	mutator_self->freed_stack = pointer();
	ck_assert(is_seen());
	mutator_self->freed_stack = 0;
	ck_assert(!is_seen());
}
END_TEST

static void *
return_pointer(void *stack)
{
	(void)stack;
	heap_thread_begin(true);
	unit_scrub();
	heap_thread_end(true);
	turn = 1;
	return (void *)pointer();
}

static NOINLINE void
join(pthread_t thread)
{
	int tid = mutator_tid_of((uintptr_t)thread);
	void *result;

	pthread_join(thread, &result);
	mutator_joined((uintptr_t)thread, tid);
}

/* A result that nobody has asked for yet. */
START_TEST(test_result)
{
	pthread_t thread;
	size_t count;

	thread = begin_thread(return_pointer);
	/* Until it is alone, the thread may still be on its way out. */
	do {
		struct stop_failure failure;

		expect(stop_begin(LIMIT, arch_stack_pointer(), false,
				  &failure) == 0);
		stop_threads(&count);
		stop_end();
	} while (count > 1);
	ck_assert(is_seen());
	join(thread);
	ck_assert(!is_seen());
}
END_TEST

/* -------------------------------------------------------- one part or other */

/* The word that is looked for, and the parts that it was in. */
static uintptr_t wanted;
static bool is_listed, is_scanned;

static void
look_in_list(const struct root_range *range, void *argument)
{
	uintptr_t *last = argument;

	/* Ascending, apart from each other. */
	expect(range->start < range->end && range->start >= *last);
	*last = range->end;
	is_listed |= wanted >= range->start && wanted < range->end;
}

static void
look_in_scan(uintptr_t start, uintptr_t end)
{
	expect(start <= end);
	is_scanned |= wanted >= start && wanted < end;
}

static NOINLINE void
look_stopped(const void *word, int (*scan)(bool, void (*)(uintptr_t,
							  uintptr_t)))
{
	struct stop_failure failure;

	wanted = (uintptr_t)word;
	is_scanned = false;
	pages_open();
	expect(stop_begin(LIMIT, arch_stack_pointer(), false, &failure) == 0);
	expect(scan(with_mappings, look_in_scan) == 0);
	stop_end();
	pages_close();
}

static void
list(void)
{
	expect(roots_prepare() == 0);
	expect(roots_list(with_mappings) == 0);
}

/* is_in - Units: parts, a letter each: listed, threads', or found again. */
static bool
is_in(const void *word, const char *parts)
{
	uintptr_t last = 0;

	wanted = (uintptr_t)word;
	is_listed = false;
	roots_for_each_range(look_in_list, &last);
	if (is_listed != (strchr(parts, 'l') != NULL))
		return false;
	look_stopped(word, roots_scan_threads);
	if (is_scanned != (strchr(parts, 't') != NULL))
		return false;
	look_stopped(word, roots_scan_again);
	return is_scanned == (strchr(parts, 'a') != NULL);
}

static uintptr_t *volatile words[2];

static void *
show_words(void *stack)
{
	/* Its beginning is far from the descriptor and what is beside it. */
	uintptr_t frame[12000] = { 0 };

	heap_thread_begin(stack == NULL);
	words[0] = &frame[10];
	words[1] = &in_tls;
	__asm__ volatile("" : : "r"(frame) : "memory");
	hold_turn();
	return finish_turn();
}

/* What is threads' alone is never listed: a barrier could stop them. */
START_TEST(test_parts)
{
	uintptr_t frame[20] = { 0 };
	size_t size = 64 * 4096;
	pthread_t thread;
	uintptr_t *word, *gap;

	with_mappings = _i == 0;
	word = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	put(word + 512 * 20, 1);
	thread = begin_thread(show_words);
	list();
	ck_assert(is_in(&in_data[1], "l"));
	ck_assert(is_in(&in_bss[5000], "l"));
	ck_assert(is_in(word + 512 * 20, with_mappings ? "l" : ""));
	ck_assert(is_in(&frame[10], "ta"));
	ck_assert(is_in(&in_tls, "ta"));
	ck_assert(is_in(words[0], "ta"));
	ck_assert(is_in(words[1], "ta"));
	end_thread(thread);
	/* Where it ended, memory is nobody's. */
	ck_assert(is_in(words[0], ""));
	list();
	ck_assert(is_in(words[0], ""));
	/* A mapping that comes in the midst of others. */
	gap = word + 512 * 40;
	expect(munmap(gap, 4096) == 0);
	list();
	expect(mmap(gap, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == gap);
	put(gap + 511, 1);
	ck_assert(is_in(gap + 511, with_mappings ? "a" : ""));
	ck_assert(is_in(gap - 512 * 20, with_mappings ? "l" : ""));
	list();
	ck_assert(is_in(gap + 511, with_mappings ? "l" : ""));
	__asm__ volatile("" : : "r"(frame) : "memory");
}
END_TEST

/* A thread that comes after the list, where one was that had ended. */
START_TEST(test_parts_of_new_thread)
{
	pthread_t thread = begin_thread(show_words);
	uintptr_t *before = words[0];

	end_thread(thread);
	if (_i == 0)
		list();
	thread = begin_thread(show_words);
	ck_assert_ptr_eq(before, words[0]);
	if (_i == 1)
		list();
	ck_assert(is_in(words[0], "ta"));
	ck_assert(is_in(words[1], "ta"));
	end_thread(thread);
}
END_TEST

/* The program's own stack for a thread: it may be listed, and is scanned. */
START_TEST(test_parts_of_own_stack)
{
	pthread_t thread;

	own_stack = map(STACK_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	thread = begin_thread(show_words);
	list();
	ck_assert(is_in(words[0], "lta"));
	ck_assert(is_in(words[1], "ta"));
	end_thread(thread);
}
END_TEST

static NOINLINE void
check_below(uintptr_t *buffer)
{
	uintptr_t frame[20] = { 0 };

	expect(&frame[0] < buffer);
	check_word(&frame[10], true);
	__asm__ volatile("" : : "r"(frame) : "memory");
}

/* A thread runs on a part of our stack: what is below it is still ours (O3). */
START_TEST(test_thread_on_stack)
{
	uintptr_t buffer[STACK_SIZE / sizeof(uintptr_t)]
		__attribute__((aligned(4096)));
	pthread_t thread;

	own_stack = buffer;
	thread = begin_thread(show_words);
	check_below(buffer);
	end_thread(thread);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("roots");
	const struct {
		const char *name;
		const TTest *test;
		int ways;		/* all mappings, or segments only */
	} cases[] = {
		{ "segments", test_segments, 2 },
		{ "own_stack", test_own_stack, 2 },
		{ "below_stack", test_below_stack, 1 },
		{ "own_register", test_own_register, 1 },
		{ "jump_buffer", test_jump_buffer, 1 },
		{ "mappings", test_mappings, 2 },
		{ "short_files", test_short_files, 1 },
		{ "holes", test_holes, 1 },
		{ "read_only", test_read_only, 1 },
		{ "registered", test_registered, 1 },
		{ "registered_is_full", test_registered_is_full, 1 },
		{ "excluded", test_excluded, 1 },
		{ "through_blocks", test_through_blocks, 1 },
		{ "threads", test_threads, 2 },
		{ "registers", test_registers, 6 * ARRAY_LEN(spins) },
		{ "signal_frame", test_signal_frame, 8 },
		{ "alternate_stack", test_alternate_stack, 1 },
		{ "own_stacks", test_own_stacks, 1 },
		{ "coroutines", test_coroutines, 1 },
		{ "coroutine_on_stack", test_coroutine_on_stack, 1 },
		{ "between", test_between, 1 },
		{ "unreadable", test_unreadable, 1 },
		{ "dead_stack", test_dead_stack, 1 },
		{ "kept_for_stack", test_kept_for_stack, 1 },
		{ "result", test_result, 1 },
		{ "parts", test_parts, 2 },
		{ "parts_of_new_thread", test_parts_of_new_thread, 2 },
		{ "parts_of_own_stack", test_parts_of_own_stack, 1 },
		{ "thread_on_stack", test_thread_on_stack, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases) - UNIT_HAS_ASAN; i++) {
		for (int parts = 0; parts < 2; parts++) {
			TCase *tcase = unit_case(suite, cases[i].name, NULL);

			tcase_add_checked_fixture(tcase, parts ? setup_parts
							       : setup, NULL);
			tcase_add_loop_test(tcase, cases[i].test, 0,
					    cases[i].ways);
		}
	}
	return unit_run(suite);
}
