/*
 * threads.c - one block of 4242 bytes, held by a thread only.
 *
 * With "drop" the thread lets it go, and the block is lost: the proof that
 * nothing else held it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "victim.h"

#define SIZE	4242

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static uintptr_t hidden;
static bool drop;
static atomic_int ready;

static pthread_t
start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, run, arg) == 0);
	return thread;
}

/* Run it, and end the program while it lives. */
static int
end_beside(void *(*run)(void *), const char *arg)
{
	hidden = hidden_block(SIZE);
	drop = strcmp(arg, "drop") == 0;
	start(run, NULL);
	while (atomic_load(&ready) == 0)
		usleep(1000);
	return 0;
}

static _Noreturn void
stay(void)
{
	atomic_store(&ready, 1);
	for (;;)
		pause();
}

static void *
hold_on_stack(void *arg)
{
	void *volatile here[8] = { NULL };

	if (!drop)
		here[3] = reveal(hidden);
	scrub();
	stay();
	return here[0];
}

static int
stack(const char *arg)
{
	return end_beside(hold_on_stack, arg);
}

/* In a register and nowhere else, in a thread that never makes a call. */
static void *
hold_in_register(void *arg)
{
	__asm__ volatile(
	    "movq	%0, %%r12\n\t"
	    "notq	%%r12\n\t"
	    "movl	$1, %1\n"
	    "1:	pause\n\t"
	    "jmp	1b"
	    : : "r"(drop ? ~(uintptr_t)0 : hidden), "m"(ready)
	    : "r12", "memory");
	return NULL;
}

static int
general_register(const char *arg)
{
	return end_beside(hold_in_register, arg);
}

static void *
hold_in_vector(void *arg)
{
	__asm__ volatile(
	    "movq	%0, %%rax\n\t"
	    "notq	%%rax\n\t"
	    "movq	%%rax, %%xmm7\n\t"
	    "xorl	%%eax, %%eax\n\t"
	    "movl	$1, %1\n"
	    "1:	pause\n\t"
	    "jmp	1b"
	    : : "r"(drop ? ~(uintptr_t)0 : hidden), "m"(ready)
	    : "rax", "xmm7", "memory");
	return NULL;
}

static int
vector_register(const char *arg)
{
	return end_beside(hold_in_vector, arg);
}

/* In a register across a system call that does not return. */
static void *
hold_in_call(void *arg)
{
	__asm__ volatile(
	    "movq	%0, %%r12\n\t"
	    "notq	%%r12\n\t"
	    "movl	$1, %1\n"
	    "1:	movl	%2, %%eax\n\t"
	    "syscall\n\t"
	    "jmp	1b"
	    : : "r"(drop ? ~(uintptr_t)0 : hidden), "m"(ready),
	    "i"(SYS_pause)
	    : "rax", "rcx", "r11", "r12", "memory");
	return NULL;
}

static int
system_call(const char *arg)
{
	return end_beside(hold_in_call, arg);
}

/* Below the stack pointer, where a leaf function may keep its variables. */
static void *
hold_in_red_zone(void *arg)
{
	__asm__ volatile(
	    "movq	%0, %%rax\n\t"
	    "notq	%%rax\n\t"
	    "subq	$256, %%rsp\n\t"
	    "movq	%%rax, -120(%%rsp)\n\t"
	    "xorl	%%eax, %%eax\n\t"
	    "movl	$1, %1\n"
	    "1:	pause\n\t"
	    "jmp	1b"
	    : : "r"(drop ? ~(uintptr_t)0 : hidden), "m"(ready)
	    : "rax", "memory");
	return NULL;
}

static int
red_zone(const char *arg)
{
	return end_beside(hold_in_red_zone, arg);
}

static __thread void *tls_place;

static void *
hold_in_tls(void *arg)
{
	if (!drop)
		tls_place = reveal(hidden);
	use(&tls_place);
	scrub();
	stay();
	return NULL;
}

static int
tls(const char *arg)
{
	return end_beside(hold_in_tls, arg);
}

static int
main_tls(const char *arg)
{
	hidden = hidden_block(SIZE);
	if (strcmp(arg, "drop") != 0)
		tls_place = reveal(hidden);
	use(&tls_place);
	return 0;
}

static void **(*lib_tls_place)(void);

static void *
hold_in_library_tls(void *arg)
{
	void **place = lib_tls_place();

	if (!drop)
		*place = reveal(hidden);
	place = NULL;
	scrub();
	stay();
	return NULL;
}

static int
library_tls(const char *arg)
{
	void *lib = dlopen(getenv("VICTIM_LIB"), RTLD_NOW);

	CHECK(lib != NULL);
	*(void **)&lib_tls_place = dlsym(lib, "lib_tls_place");
	CHECK(lib_tls_place != NULL);
	return end_beside(hold_in_library_tls, arg);
}

static pthread_key_t key;

static void *
hold_by_key(void *arg)
{
	if (!drop)
		CHECK(pthread_setspecific(key, reveal(hidden)) == 0);
	scrub();
	stay();
	return NULL;
}

static int
specific(const char *arg)
{
	CHECK(pthread_key_create(&key, free) == 0);
	return end_beside(hold_by_key, arg);
}

/* The first 32 keys lie in the thread's descriptor, later ones do not. */
static int
specific_late(const char *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		CHECK(pthread_key_create(&key, free) == 0);
	return end_beside(hold_by_key, arg);
}

/* The same of the first thread, whose descriptor ld.so made. */
static int
main_specific_late(const char *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		CHECK(pthread_key_create(&key, free) == 0);
	hidden = hidden_block(SIZE);
	if (strcmp(arg, "drop") != 0)
		CHECK(pthread_setspecific(key, reveal(hidden)) == 0);
	return 0;
}

/* A key's destructor runs after the thread's own code: it may still free. */
static void *
key_thread(void *arg)
{
	CHECK(pthread_setspecific(key, malloc(SIZE)) == 0);
	return NULL;
}

static int
specific_freed(const char *arg)
{
	CHECK(pthread_key_create(&key, free) == 0);
	CHECK(pthread_join(start(key_thread, NULL), NULL) == 0);
	scrub();
	return 0;
}

/* Ends before its threads could all look at their arguments. */
static void *
take_argument(void *arg)
{
	void *volatile mine = arg;

	for (;;)
		pause();
	return mine;
}

static int
argument(const char *arg)
{
	int i;

	for (i = 0; i < 40; i++)
		start(take_argument, strcmp(arg, "drop") == 0 ?
		    (lose_block(SIZE), NULL) : malloc(SIZE));
	return 0;
}

static void *
return_block(void *arg)
{
	return malloc(SIZE);
}

static int
result(const char *arg)
{
	pthread_t thread = start(return_block, NULL);

	if (strcmp(arg, "drop") == 0)
		CHECK(pthread_join(thread, NULL) == 0);
	else
		usleep(200000);
	return 0;
}

/* What the dead left on their stacks, or in what the C library kept of them,
 * holds nothing. */
static void *
lose_and_end(void *arg)
{
	char *volatile here[100];
	int i;

	for (i = 0; i < 100; i++)
		here[i] = malloc(100);
	return here[5] == NULL ? arg : NULL;
}

static int
ended(const char *arg)
{
	CHECK(pthread_join(start(lose_and_end, NULL), NULL) == 0);
	return 0;
}

static int
ended_detached(const char *arg)
{
	CHECK(pthread_detach(start(lose_and_end, NULL)) == 0);
	usleep(200000);
	return 0;
}

/* Many threads, each with one block it holds and one it lost. */
static pthread_barrier_t gate;

static void *
one_of_many(void *arg)
{
	void *volatile mine = malloc(SIZE);

	lose_block(100);
	pthread_barrier_wait(&gate);
	for (;;)
		pause();
	return mine;
}

static int
many(const char *arg)
{
	int i;

	CHECK(pthread_barrier_init(&gate, NULL, 201) == 0);
	for (i = 0; i < 200; i++)
		start(one_of_many, NULL);
	pthread_barrier_wait(&gate);
	return 0;
}

/* One after the other: stacks and descriptors are used again. */
static void *
one_of_a_row(void *arg)
{
	void *mine = malloc(SIZE);

	use(mine);
	free(mine);
	return arg;
}

static int
row(const char *arg)
{
	int i;

	for (i = 0; i < 2000; i++)
		CHECK(pthread_join(start(one_of_a_row, NULL), NULL) == 0);
	return 0;
}

/* The first thread leaves; the program ends with the last one. */
static void *
outlive_main(void *arg)
{
	void *volatile mine = reveal(hidden);

	usleep(200000);
	lose_block(100);
	puts("outlived");
	exit(mine == NULL);
}

static int
main_leaves(const char *arg)
{
	hidden = hidden_block(SIZE);
	start(outlive_main, NULL);
	scrub();
	pthread_exit(NULL);
}

/* As before, but nobody calls exit: the last thread just returns. */
static void *
last_to_return(void *arg)
{
	usleep(100000);
	lose_block(100);
	puts("last");
	return NULL;
}

static int
last_returns(const char *arg)
{
	start(last_to_return, NULL);
	pthread_exit(NULL);
}

static void *
exit_here(void *arg)
{
	lose_block(100);
	exit(5);
}

/* Another thread ends the program while main waits for it. */
static int
exit_elsewhere(const char *arg)
{
	void *volatile mine = malloc(SIZE);

	pthread_join(start(exit_here, NULL), NULL);
	return mine == NULL;
}

/* Allocating threads are not stopped by anyone when the program ends. */
static void *
churn(void *arg)
{
	void *slots[64] = { NULL };
	unsigned seed = (unsigned)(uintptr_t)arg;
	int i;

	for (;;) {
		i = rand_r(&seed) % 64;
		free(slots[i]);
		slots[i] = malloc(rand_r(&seed) % 3000);
		use(slots[i]);
	}
	return NULL;
}

static int
busy(const char *arg)
{
	uintptr_t i;

	for (i = 0; i < 8; i++)
		start(churn, (void *)i);
	usleep(20000);
	return 0;
}

/* A thread that lets no signal through holds its block all the same. */
static void *
hold_masked(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	return hold_on_stack(arg);
}

static int
masked(const char *arg)
{
	return end_beside(hold_masked, arg);
}

static void *
cancel_me(void *arg)
{
	void *mine = malloc(SIZE);

	pthread_cleanup_push(free, mine);
	for (;;)
		pause();
	pthread_cleanup_pop(1);
	return NULL;
}

static int
cancelled(const char *arg)
{
	pthread_t thread = start(cancel_me, NULL);

	usleep(20000);
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	return 0;
}

/* ------------------------------------------- waiting for a child in its memory */

static void
sleep_and_end(void)
{
	static const struct timespec time = { 0, 300000000 };

	syscall(SYS_nanosleep, &time, NULL);
	syscall(SYS_exit_group, 0);
}

static atomic_bool may_wait;

/* stand_once - in a signal frame: what that held is not for the next stop. */
static NOINLINE void
stand_once(void)
{
	atomic_store(&ready, 1);
	while (!atomic_load(&may_wait))
		continue;
	atomic_store(&ready, 2);
}

/* The only pointer is in a register that the kernel keeps. */
static NOINLINE void *
wait_in_vfork(void *unused)
{
	pid_t child;

	stand_once();
	__asm__ volatile("movq %0, %%r12\n\tnotq %%r12"
			 : : "m"(hidden) : "r12");
	scrub_registers();
	child = vfork();
	if (child == 0)
		sleep_and_end();
	__asm__ volatile("notq %%r12\n\tcmpq %%r12, %0\n\tje 1f\n\t"
			 "ud2\n1:" : : "m"(hidden) : "r12", "cc");
	return unused;
}

static char true_name[] = "true", *const fifo_argv[] = { true_name, NULL };
static const char *fifo;

/* It opens what nobody has opened for writing yet. */
static NOINLINE void *
wait_in_spawn(void *unused)
{
	posix_spawn_file_actions_t actions;
	pid_t child;

	stand_once();
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addopen(&actions, 5, fifo, O_RDONLY,
					       0) == 0);
	__asm__ volatile("movq %0, %%r12\n\tnotq %%r12"
			 : : "m"(hidden) : "r12");
	scrub_registers();
	CHECK(posix_spawn(&child, "/bin/true", &actions, NULL, fifo_argv,
			  environ) == 0);
	__asm__ volatile("notq %%r12\n\tcmpq %%r12, %0\n\tje 1f\n\t"
			 "ud2\n1:" : : "m"(hidden) : "r12", "cc");
	posix_spawn_file_actions_destroy(&actions);
	return unused;
}

/* A check that comes meanwhile need not wait, and finds what is held there. */
static int
check_away(void *(*run)(void *))
{
	struct timespec begin, end;
	pthread_t thread;
	long ms;

	CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
	while (atomic_load(&ready) == 0)
		usleep(1000);
	if (__lsan_do_recoverable_leak_check != NULL)
		CHECK(__lsan_do_recoverable_leak_check() == 0);
	hidden = hidden_block(SIZE);
	scrub();
	atomic_store(&may_wait, true);
	while (atomic_load(&ready) == 1)
		usleep(1000);
	usleep(50000);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (__lsan_do_recoverable_leak_check != NULL)
		CHECK(__lsan_do_recoverable_leak_check() == 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ms = (end.tv_sec - begin.tv_sec) * 1000 +
	     (end.tv_nsec - begin.tv_nsec) / 1000000;
	if (ms >= 200)
		fprintf(stderr, "the check took %ld ms\n", ms);
	if (fifo != NULL)
		close(open(fifo, O_WRONLY));
	pthread_join(thread, NULL);
	free(reveal(hidden));
	return 0;
}

static int
away_vfork(const char *arg)
{
	(void)arg;
	return check_away(wait_in_vfork);
}

static int
away_spawn(const char *arg)
{
	fifo = arg;
	return check_away(wait_in_spawn);
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "away_vfork", away_vfork },
		{ "away_spawn", away_spawn },
		{ "stack", stack },
		{ "general_register", general_register },
		{ "vector_register", vector_register },
		{ "system_call", system_call },
		{ "red_zone", red_zone },
		{ "tls", tls },
		{ "main_tls", main_tls },
		{ "library_tls", library_tls },
		{ "specific", specific },
		{ "specific_late", specific_late },
		{ "main_specific_late", main_specific_late },
		{ "specific_freed", specific_freed },
		{ "argument", argument },
		{ "result", result },
		{ "ended", ended },
		{ "ended_detached", ended_detached },
		{ "many", many },
		{ "row", row },
		{ "main_leaves", main_leaves },
		{ "last_returns", last_returns },
		{ "exit_elsewhere", exit_elsewhere },
		{ "busy", busy },
		{ "masked", masked },
		{ "cancelled", cancelled },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
