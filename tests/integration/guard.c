/*
 * guard.c - the classical attack: free a block, allocate to take its place, use
 * the old pointer.
 *
 *	guard attack		each size in each holder, at once
 *	guard pairs MIB		allocate and free so much, a little at a time
 *	guard keeps_signal_stack
 *				free the stack that signals are handled on
 *
 * Each block has its only pointer in one holder.  All are freed, and then so
 * much is allocated and freed that controls, freed at the same time and held by
 * nothing, are taken several times over.  No held block may have been, and all
 * must read as zero.  Then the holders let go, and their places are taken.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "spray.h"

/* Sizes of slots (heap/sizeclass.h), one below, and larger ones. */
#define SIZES_MAX	120u
#define SLOT_MAX	(128 * 1024ul)
#define CONTROLS	12u	/* of each size, as many as are held */
#define TURNS		3	/* they are taken so often */

/* A thread holds so many in each of its three ways. */
#define EACH		5u
#define SEATS_MAX	(SIZES_MAX / EACH + 1)

static size_t sizes[SIZES_MAX];
static size_t size_count;

static void
list_sizes(void)
{
	size_t size, step;

	sizes[size_count++] = 15;
	for (size = 16; size <= 128; size += 16)
		sizes[size_count++] = size;
	for (step = 16; size <= SLOT_MAX; step *= 2)
		for (size = step * 8 + step; size <= step * 16; size += step)
			sizes[size_count++] = size;
	sizes[size_count++] = 200 * 1024 - 1;
	sizes[size_count++] = 1024 * 1024;
	sizes[size_count++] = 8 * 1024 * 1024;
	CHECK(size_count <= SIZES_MAX);
}

/* ----------------------------------------------------------------- holders */

/* put - a new victim, to whose address nothing but this place leads. */
static NOINLINE void
put(void **place, size_t size, size_t offset, const char *held_by)
{
	char *block = malloc(size);

	CHECK(block != NULL);
	memset(block, 0, size);
	*place = block + offset;
	add_place(hide(block), size, held_by);
	scrub();
}

/* free_in - what this place leads to, and go on leading there. */
static NOINLINE void
free_in(void *const *place, size_t offset)
{
	free((char *)*place - offset);
	scrub();
}

static void *in_data[SIZES_MAX] = { &in_data };
static void *in_bss[SIZES_MAX];
static void *inside[SIZES_MAX];
static void *past_end[SIZES_MAX];
static void *moved_away[SIZES_MAX], *moved_to[SIZES_MAX];
static void **in_mapping;
static void **in_blocks[SIZES_MAX];
static __thread void *in_main_tls[SIZES_MAX];

/* last_word - of a block of the victim's own class. */
static void **
last_word(size_t i)
{
	return &in_blocks[i][sizes[i] / sizeof(void *) - 1];
}

/* move_away - the old pointer is kept, the block moved. */
static NOINLINE void
move_away(size_t i)
{
	moved_to[i] = realloc(moved_away[i], sizes[i] * 4);
	CHECK(moved_to[i] != NULL && moved_to[i] != moved_away[i]);
	scrub();
}

/* ---------------------------------------------------------------- in threads */

static struct seat {
	pthread_t thread;
	/* Until the thread has them. */
	void *for_registers[EACH], *for_stack[EACH], *for_tls[EACH];
} seats[SEATS_MAX];

static uint32_t let_go;		/* a futex */
static uint32_t seated;
static __thread void *in_thread_tls[EACH];

/* Until let_go is set the callee-saved registers hold five addresses. */
static NOINLINE void
hold_in_registers(void **from)
{
	uint32_t *word = &let_go, *count = &seated;

	__asm__ volatile(
	    "movq	0(%%rax), %%rbx\n\t"
	    "movq	8(%%rax), %%r12\n\t"
	    "movq	16(%%rax), %%r13\n\t"
	    "movq	24(%%rax), %%r14\n\t"
	    "movq	32(%%rax), %%r15\n\t"
	    "lock incl	(%%rdx)\n"
	    "1:	xorl	%%edx, %%edx\n\t"
	    "xorl	%%esi, %%esi\n\t"
	    "xorl	%%r10d, %%r10d\n\t"
	    "movl	%[futex], %%eax\n\t"
	    "syscall\n\t"
	    "cmpl	$0, (%%rdi)\n\t"
	    "je	1b\n\t"
	    "xorl	%%ebx, %%ebx\n\t"
	    "xorl	%%r12d, %%r12d\n\t"
	    "xorl	%%r13d, %%r13d\n\t"
	    "xorl	%%r14d, %%r14d\n\t"
	    "xorl	%%r15d, %%r15d"
	    : "+a"(from), "+d"(count), "+D"(word)
	    : [futex] "i"(SYS_futex)
	    : "rbx", "rcx", "rsi", "r10", "r11", "r12", "r13", "r14", "r15",
	      "cc", "memory");
}

static NOINLINE void
hold_all(struct seat *seat)
{
	void *here[EACH];
	size_t i;

	for (i = 0; i < EACH; i++) {
		here[i] = seat->for_stack[i];
		in_thread_tls[i] = seat->for_tls[i];
	}
	use(here);
	use(in_thread_tls);
	scrub();
	hold_in_registers(seat->for_registers);
	for (i = 0; i < EACH; i++)
		here[i] = in_thread_tls[i] = NULL;
	use(here);
}

static void *
run_seat(void *argument)
{
	hold_all(argument);
	scrub();
	return NULL;
}

static void
seat_threads(size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		CHECK(pthread_create(&seats[i].thread, NULL, run_seat,
		    &seats[i]) == 0);
	while (__atomic_load_n(&seated, __ATOMIC_SEQ_CST) < count)
		usleep(1000);
}

static void
release_threads(size_t count)
{
	size_t i;

	__atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &let_go, FUTEX_WAKE, (int)SEATS_MAX, NULL);
	for (i = 0; i < count; i++)
		CHECK(pthread_join(seats[i].thread, NULL) == 0);
}

/* ------------------------------------------------------------------- the attack */

static NOINLINE void
hold_victims(void **on_stack)
{
	size_t i;

	in_data[0] = NULL;
	for (i = 0; i < size_count; i++) {
		struct seat *seat = &seats[i / EACH];
		size_t n = i % EACH, size = sizes[i];

		put(&seat->for_registers[n], size, 0, "register");
		put(&seat->for_stack[n], size, 0, "stack of a thread");
		put(&seat->for_tls[n], size, 0, "TLS of a thread");
		put(&on_stack[i], size, 0, "stack");
		put(&in_main_tls[i], size, 0, "TLS");
		put(&in_data[i], size, 0, "data segment");
		put(&in_bss[i], size, 0, "bss");
		put(&in_mapping[i], size, 0, "mapping");
		put(&inside[i], size, size / 2, "interior pointer");
		put(&past_end[i], size, size, "past the end");
		put(&moved_away[i], size, 0, "moved by realloc");
		in_blocks[i] = calloc(1, size);
		CHECK(in_blocks[i] != NULL);
		put(last_word(i), size, 0, "block");
	}
	seat_threads((i + EACH - 1) / EACH);
}

static NOINLINE void
free_victims(void **on_stack)
{
	size_t i;

	for (i = 0; i < size_count; i++) {
		struct seat *seat = &seats[i / EACH];
		size_t n = i % EACH;

		free_in(&seat->for_registers[n], 0);
		free_in(&seat->for_stack[n], 0);
		free_in(&seat->for_tls[n], 0);
		free_in(&on_stack[i], 0);
		free_in(&in_main_tls[i], 0);
		free_in(&in_data[i], 0);
		free_in(&in_bss[i], 0);
		free_in(&in_mapping[i], 0);
		free_in(&inside[i], sizes[i] / 2);
		free_in(&past_end[i], sizes[i]);
		move_away(i);
		free_in(last_word(i), 0);
		seat->for_registers[n] = seat->for_stack[n] =
		    seat->for_tls[n] = NULL;
	}
	use(seats);
}

static NOINLINE void
let_go_of_victims(void **on_stack)
{
	size_t i;

	release_threads((size_count + EACH - 1) / EACH);
	for (i = 0; i < size_count; i++) {
		on_stack[i] = in_main_tls[i] = in_data[i] = in_bss[i] =
		    inside[i] = past_end[i] = moved_away[i] = in_mapping[i] =
		    NULL;
		free(memset(in_blocks[i], 0, sizes[i]));
		in_blocks[i] = NULL;
		free(moved_to[i]);
		moved_to[i] = NULL;
	}
	use(on_stack);
	scrub();
}

static NOINLINE void
drop_controls(void)
{
	size_t from, to = 0;

	for (from = 0; from < place_count; from++)
		if (places[from].held_by != NULL)
			places[to++] = places[from];
	place_count = to;
}

static NOINLINE void
renew_controls(void)
{
	size_t i, n;

	drop_controls();
	for (i = 0; i < size_count; i++)
		for (n = 0; n < CONTROLS; n++)
			add_control(sizes[i]);
	sort_places();
}

/* spray_all - until these places are taken, or no time is left. */
static NOINLINE void
spray_all(const char *held_by, time_t end)
{
	unsigned turn;
	size_t i;

	for (turn = 0; !are_taken(held_by, 0) && time(NULL) < end;
	    turn = (turn + 1) % SPRAY_TURNS) {
		drain(turn);
		for (i = 0; i < size_count; i++)
			if (!are_taken(held_by, sizes[i]))
				spray(sizes[i], turn);
	}
}

static NOINLINE void
attack_held(time_t end)
{
	size_t i;
	int turn;

	for (turn = 0; turn < TURNS; turn++) {
		renew_controls();
		spray_all(NULL, end);
		CHECK(are_taken(NULL, 0));
	}
	drop_controls();
	for (i = 0; i < place_count; i++) {
		if (places[i].is_taken)
			printf("taken: %zu bytes held in: %s\n",
			    places[i].size, places[i].held_by);
		else if (!is_clear(&places[i]))
			printf("not clear: %zu bytes held in: %s\n",
			    places[i].size, places[i].held_by);
	}
}

static const char *const holders[] = {
	"register", "stack of a thread", "TLS of a thread", "stack", "TLS",
	"data segment", "bss", "block", "interior pointer", "past the end",
	"moved by realloc", "mapping", NULL
};

static int
attack(const char *arg)
{
	void *on_stack[SIZES_MAX] = { NULL };
	time_t end = time(NULL) + SPRAY_SECONDS;
	size_t h;

	(void)arg;
	list_sizes();
	in_mapping = mmap(NULL, sizeof(void *) * SIZES_MAX,
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(in_mapping != MAP_FAILED);
	hold_victims(on_stack);
	free_victims(on_stack);
	attack_held(end);
	printf("held: %zu\n", place_count);
	fflush(stdout);
	let_go_of_victims(on_stack);
	for (h = 0; holders[h] != NULL; h++) {
		spray_all(holders[h], end);
		if (!are_taken(holders[h], 0))
			printf("too few are taken again: %s\n", holders[h]);
	}
	return 0;
}

/* -------------------------------------------------------- memory is bounded */

#define THREADS	2u

static size_t to_churn;

static size_t
peak_kib(void)
{
	static char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	CHECK(n > 0);
	close(fd);
	text[n] = '\0';
	return strtoul(strstr(text, "VmHWM:") + 6, NULL, 10);
}

/* Small ones are common, large ones weigh as much together. */
static void *
churn(void *argument)
{
	unsigned random = (unsigned)(uintptr_t)argument;
	size_t sum = 0;

	while (sum < to_churn) {
		size_t size = (size_t)16 << (rand_r(&random) % 17);
		void *block;

		if (rand_r(&random) % (size / 16) != 0)
			size = 16 + rand_r(&random) % 200;
		block = malloc(size);
		memset(block, 1, size);
		free(block);
		sum += size;
	}
	return NULL;
}

static int
pairs(const char *arg)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	to_churn = strtoul(arg, NULL, 10) * 1024 * 1024 / THREADS;
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, churn,
		    (void *)(i + 1)) == 0);
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	printf("%zu\n", peak_kib());
	return 0;
}

/* ------------------------------------------------ alternate signal stacks */

#define STOPS	20
#define FILLED	200u

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const size_t stack_sizes[] = { 16384, 40000, 100000, 300000 };
static char lasting_stack[32768] __attribute__((aligned(16)));
static size_t stack_size;
static bool frees_itself;
static uintptr_t hidden_place;		/* see hide() */
static _Atomic int stage;

static void
reach(int next)
{
	stage = next;
}

static void
wait_for(int wanted)
{
	while (stage < wanted)
		usleep(1000);
}

static NOINLINE void
register_stack(void)
{
	stack_t stack = { .ss_sp = malloc(stack_size), .ss_size = stack_size };

	CHECK(stack.ss_sp != NULL && sigaltstack(&stack, NULL) == 0);
	hidden_place = hide(stack.ss_sp);
	scrub();
}

static NOINLINE void
free_stack(void)
{
	free((void *)~hidden_place);
	scrub();
}

static NOINLINE void
fill(unsigned char *blocks[FILLED])
{
	for (size_t i = 0; i < FILLED; i++) {
		blocks[i] = malloc(stack_size);
		CHECK(blocks[i] != NULL);
		memset(blocks[i], 0x5a, stack_size);
	}
}

static NOINLINE void
empty(unsigned char *blocks[FILLED])
{
	for (size_t i = 0; i < FILLED; i++) {
		for (size_t n = 0; n < stack_size; n++)
			CHECK(blocks[i][n] == 0x5a);
		free(blocks[i]);
		blocks[i] = NULL;
	}
	scrub();
}

static void *
stand_on_it(void *unused)
{
	stack_t lasting = { .ss_sp = lasting_stack,
	    .ss_size = sizeof(lasting_stack) };
	static unsigned char *blocks[FILLED];

	(void)unused;
	register_stack();
	reach(1);
	if (frees_itself)
		free_stack();
	else
		wait_for(2);
	fill(blocks);
	reach(3);
	wait_for(4);
	empty(blocks);
	CHECK(sigaltstack(&lasting, NULL) == 0);
	/* Now it is free: else it would be told as a leak. */
	register_stack();
	free_stack();		/* and end */
	return NULL;
}

static int
keeps_signal_stack(const char *arg)
{
	pthread_t thread;
	int child, status;

	(void)arg;
	for (size_t i = 0; i < 2 * sizeof stack_sizes / sizeof *stack_sizes;
	    i++) {
		stack_size = stack_sizes[i / 2];
		frees_itself = i % 2 == 0;
		reach(0);
		CHECK(pthread_create(&thread, NULL, stand_on_it, NULL) == 0);
		if (!frees_itself) {
			wait_for(1);
			free_stack();
			reach(2);
		}
		wait_for(3);
		for (int n = 0; n < STOPS; n++)
			CHECK(__lsan_do_recoverable_leak_check == NULL ||
			    __lsan_do_recoverable_leak_check() == 0);
		/* In a child the thread does not exist: its stack is free. */
		child = fork();
		if (child == 0)
			exit(0);
		CHECK(waitpid(child, &status, 0) == child && status == 0);
		reach(4);
		CHECK(pthread_join(thread, NULL) == 0);
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim cases[] = {
		{ "attack", attack },
		{ "pairs", pairs },
		{ "keeps_signal_stack", keeps_signal_stack },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, cases);
}
