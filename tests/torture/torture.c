/*
 * torture.c - seats, and the end.
 *
 *   torture                          list: NAME both|main|threads|alone
 *   torture NAME SEATS keep|drop     SEATS 0: the main thread holds
 *
 * Ends in exit(0), from the main thread if that does not hold in a way of its
 * own.  With TORTURE_NOW set, leaks are checked twice before, while all hold.
 * What must be reported is said on standard output.
 */
#include "torture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

int holding;
char **torture_argv;

static struct way *ways;
static struct seat seats[SEATS_MAX];
static unsigned seat_count;
static bool is_main_seated;
static bool is_dropping;

static struct {
	_Atomic size_t blocks;
	_Atomic size_t bytes;
} expected[2];

void
torture_register(struct way *way)
{
	way->next = ways;
	ways = way;
}

void
will_be_lost(bool is_direct, unsigned blocks, size_t bytes)
{
	expected[is_direct].blocks += blocks;
	expected[is_direct].bytes += bytes;
}

NOINLINE void
put(void *place, uintptr_t hidden)
{
	*(void **)place = reveal(hidden);
	scrub();
}

NOINLINE void
hold_in(void *place, struct seat *seat)
{
	put(place, seat->lost);
	put(place, seat->kept);
}

void *
map_pages(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	return map;
}

static NOINLINE uintptr_t
hidden_pair(size_t more)
{
	void **head = (void **)calloc(1, HEAD_SIZE + more);
	void *tail = calloc(1, TAIL_SIZE + more);

	CHECK(head != NULL && tail != NULL);
	head[HEAD_SIZE / sizeof *head - 1] = tail;
	return hide(head);
}

static void
will_lose_pair(size_t more)
{
	will_be_lost(true, 1, HEAD_SIZE + more);
	will_be_lost(false, 1, TAIL_SIZE + more);
}

static NOINLINE void
seat_on(struct seat *seat)
{
	seat->lost = hidden_pair(0);
	will_lose_pair(0);
	seat->kept = hidden_pair(KEPT_MORE);
	if (is_dropping) {
		will_lose_pair(KEPT_MORE);
		seat->kept = hide(NULL);
	}
	scrub();
}

static NOINLINE void
say_what_is_lost(void)
{
	char line[128];
	int length = snprintf(line, sizeof line,
	    "direct %zu %zu indirect %zu %zu\n",
	    expected[true].blocks, expected[true].bytes,
	    expected[false].blocks, expected[false].bytes);

	CHECK(write(1, line, length) == length);
}

void
finish(void)
{
	say_what_is_lost();
	scrub();
	if (getenv("TORTURE_NOW") != NULL &&
	    __lsan_do_recoverable_leak_check != NULL) {
		CHECK(__lsan_do_recoverable_leak_check() == 1);
		scrub();
		CHECK(__lsan_do_recoverable_leak_check() == 1);
		scrub();
	}
	exit(0);
}

NOINLINE void
rest(struct seat *seat)
{
	if (is_main_seated && seat->index == 0)
		finish();
	__atomic_add_fetch(&holding, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

static const struct way *chosen;

static NOINLINE void
take_seat(struct seat *seat)
{
	seat_on(seat);
	chosen->hold(seat);
	scrub();
}

static void *
run_seat(void *argument)
{
	struct seat *seat = (struct seat *)argument;

	take_seat(seat);
	rest(seat);
	return NULL;
}

static void *
wait_and_finish(void *unused)
{
	(void)unused;
	while (__atomic_load_n(&holding, __ATOMIC_SEQ_CST) <
	    (int)seat_count)
		usleep(300);
	finish();
}

static void
start(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, run, argument) == 0);
}

static int
list(void)
{
	static const char *const names[] = {
		"both", "main", "threads", "alone"
	};

	for (const struct way *w = ways; w != NULL; w = w->next)
		printf("%s %s\n", w->name, names[w->where]);
	return 0;
}

int
main(int argc, char **argv)
{
	sigset_t blocked;
	unsigned i;

	if (argc != 4)
		return list();
	torture_argv = argv;
	sigemptyset(&blocked);
	sigaddset(&blocked, TORTURE_SIGNAL);
	sigaddset(&blocked, TORTURE_SIGNAL + 1);
	CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
	for (chosen = ways; chosen != NULL; chosen = chosen->next)
		if (strcmp(chosen->name, argv[1]) == 0)
			break;
	CHECK(chosen != NULL);
	seat_count = strtoul(argv[2], NULL, 10);
	is_dropping = strcmp(argv[3], "drop") == 0;
	CHECK(seat_count <= SEATS_MAX);
	for (i = 0; i < SEATS_MAX; i++)
		seats[i].index = i;
	if (seat_count > 0) {
		for (i = 0; i < seat_count; i++)
			start(run_seat, &seats[i]);
		wait_and_finish(NULL);
	}
	/* It may come to rest in a way that cannot end the program. */
	is_main_seated = true;
	seat_count = 1;
	start(wait_and_finish, NULL);
	run_seat(&seats[0]);
	return 1;
}
