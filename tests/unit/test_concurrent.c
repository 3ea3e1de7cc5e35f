/*
 * test_concurrent.c - whole cycles, one after another, while threads change
 * what is reachable in every way they can.
 *
 * Each thread owns nodes of which it has exactly one pointer, and never stops
 * moving that from one place to another: its stack, its registers, blocks of
 * the heap old and new, static data, a mapping, other threads.  With
 * BILGE_VERIFY a mark that misses one ends the process.  Without it a node
 * that is in use and condemned or reused is noticed by its owner.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/barrier.h"
#include "collect/cycle.h"
#include "report/depot.h"
#include "settings/options.h"
#include "settings/stats.h"
#include "world/crew.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define THREADS		3
#define PLACES		200	/* of a kind, for each thread */
#define RUN_NS		(2 * NSEC_PER_SEC)

/* Where blocks in use, those that are never lost, and lost ones come from. */
static uint32_t site, large_site, lost_site;

#define MAGIC	UINT64_C(0x6e6f64652062696c)

struct node {
	struct node *next;	/* only it leads there */
	uint64_t magic;
	uint64_t self;		/* hidden */
	uint64_t end;		/* words in all */
	uint64_t words[];
};

static struct node *globals[THREADS][PLACES];
static _Atomic(struct node *) handed[64];
static _Atomic bool is_over;
static _Atomic unsigned ready;
static _Atomic uint64_t moves;

/* ------------------------------------------------------------------- threads */

struct owner {
	uint64_t state;
	/* Places of each kind; the last one is on the stack. */
	struct node **kinds[5];
};

static void
check_node(const struct node *node)
{
	expect(node->magic == MAGIC);
	expect(node->self == ~(uintptr_t)node);
	expect(node->words[node->end - 1] == MAGIC);
}

static struct node *
make_node(struct owner *o)
{
	uint64_t words = 1 + (unit_random(&o->state, 2000) == 0
			      ? 40000 : unit_random(&o->state, 60));
	size_t size = sizeof(struct node) + words * 8;
	struct node *node = heap_alloc(size, false);

	expect(node != NULL);
	heap_note(node, size, words > 20000 ? large_site : site);
	node->next = NULL;
	node->magic = MAGIC;
	node->self = ~(uintptr_t)node;
	node->end = words;
	node->words[words - 1] = MAGIC;
	return node;
}

/* drop - free a chain, as the program's owner of it. */
static void
drop(struct node *node)
{
	while (node != NULL) {
		struct node *next = node->next;
		uint32_t its_site;

		check_node(node);
		/* It was in use all the time. */
		expect(!heap_uncondemn(node, &its_site));
		node->magic = 0;
		expect(heap_free(node) == HEAP_DONE);
		node = next;
	}
}

/* lose - nothing leads to it any more. */
static NOINLINE void
lose(struct node *node)
{
	for (; node != NULL; node = node->next)
		heap_note(node, sizeof(*node) + node->end * 8, lost_site);
}

static struct node **
some_place(struct owner *o)
{
	return &o->kinds[unit_random(&o->state, ARRAY_LEN(o->kinds))]
			[unit_random(&o->state, PLACES)];
}

static NOINLINE void
change(struct owner *o)
{
	struct node **from = some_place(o), **to = some_place(o);
	struct node *node = *from, *other;

	if (node == NULL) {
		*from = make_node(o);
		return;
	}
	check_node(node);
	switch (unit_random(&o->state, 16)) {
	case 0:
		*from = NULL;
		drop(node);
		break;
	case 1:
		*from = NULL;
		if (unit_random(&o->state, 100) == 0)
			lose(node);
		else
			drop(node);
		break;
	case 2:
		/* To another thread, or from it. */
		*from = atomic_exchange(
			&handed[unit_random(&o->state, 64)], node);
		break;
	case 3:
		/* It leads to what stood there, and alone does. */
		if (to == from || node->next != NULL)
			break;
		node->next = *to;
		*to = node;
		*from = NULL;
		break;
	case 4:
		*from = node->next;
		node->next = NULL;
		drop(node);
		break;
	case 5:
		/* Behind a node that was born just now. */
		other = make_node(o);
		other->next = node;
		*from = other;
		break;
	default:
		*from = *to;
		*to = node;
	}
}

static void *
mutate(void *argument)
{
	size_t self = (size_t)argument;
	struct node *on_stack[PLACES] = { NULL };
	struct owner o = { .state = unit_seed(1 + (unsigned)self) };
	uint64_t changes = 0;

	heap_thread_begin(true);
	o.kinds[0] = globals[self];
	o.kinds[1] = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	o.kinds[2] = heap_alloc(PLACES * 8, true);
	/* Of a large block only few pages are used. */
	o.kinds[3] = (struct node **)heap_alloc(8 * MIB, true) + 500000;
	heap_note(o.kinds[2], PLACES * 8, large_site);
	heap_note(o.kinds[3] - 500000, 8 * MIB, large_site);
	o.kinds[4] = on_stack;
	expect(o.kinds[1] != MAP_FAILED);
	atomic_fetch_add(&ready, 1);
	for (; !load_relaxed(&is_over); changes++)
		change(&o);
	atomic_fetch_add(&moves, changes);
	for (size_t k = 0; k < ARRAY_LEN(o.kinds); k++)
		for (size_t i = 0; i < PLACES; i++)
			drop(o.kinds[k][i]);
	heap_thread_end(false);
	return NULL;
}

/* ------------------------------------------------------------------- cycles */

static unsigned cycles;
static bool is_interrupted;

static void
told(const struct cycle_report *report)
{
	size_t count;
	const struct leak_group *g = leaks_groups(&count);

	/* What was lost; that in use never is. */
	for (size_t i = 0; i < count; i++)
		expect(g[i].site != site && g[i].site != large_site);
	cycles++;
}

static void
run_cycles(void *unused)
{
	struct cycle_report report;

	(void)unused;
	while (!load_relaxed(&is_over)) {
		int error = cycle_run(CYCLE_LEAKS, true, &report, told);

		expect(error == 0 ||
		       (is_interrupted && error == -ECANCELED));
	}
}

/* Units: how often somebody wants the cycle's lock, 0: never. */
static void
run(const char *barrier, const char *verify, const char *workers,
    uint64_t wanted_ns)
{
	const char *settings[] = { "BILGE_LEAKS=reclaim", "BILGE_CPU=100",
				   barrier, verify, workers, NULL };
	pthread_t threads[THREADS];
	uint64_t end;

	is_interrupted = wanted_ns != 0;
	unit_core(settings);
	site = depot_intern(&(uintptr_t){ (uintptr_t)make_node }, 1);
	large_site = depot_intern(&(uintptr_t){ (uintptr_t)mutate }, 1);
	lost_site = depot_intern(&(uintptr_t){ (uintptr_t)lose }, 1);
	for (size_t i = 0; i < THREADS; i++)
		expect(pthread_create(&threads[i], NULL, mutate,
				      (void *)i) == 0);
	while (load_relaxed(&ready) < THREADS)
		sched_yield();
	end = sys_monotonic_ns() + RUN_NS;
	expect(crew_start(0, run_cycles, NULL) == 0);
	while (sys_monotonic_ns() < end) {
		sys_sleep_ns(is_interrupted ? wanted_ns : 10 * NSEC_PER_MSEC);
		if (!is_interrupted)
			continue;
		cycle_lock();
		cycle_unlock();
	}
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	crew_join(0);
	printf("%s %s %s: %u cycles, %lu reclaimed, %lu moves\n", barrier,
	       verify, workers, cycles, (unsigned long)stats.reclaimed_blocks,
	       (unsigned long)moves);
	fflush(stdout);
	if (is_interrupted) {
		expect(stats.cycle.abandoned > 3);
		unit_check_heap();
		return;
	}
	expect(cycles > 3);
	expect(stats.cycle.abandoned == 0);
	expect(stats.reclaimed_blocks > 0);
	if (options->verify)
		expect(stats.cycle.verified == stats.cycle.count);
	unit_check_heap();
}

static const struct {
	const char *barrier, *verify, *workers;
} runs[] = {
	{ "BILGE_BARRIER=auto", "BILGE_VERIFY=1", "BILGE_WORKERS=1" },
	{ "BILGE_BARRIER=auto", "BILGE_VERIFY=1", "BILGE_WORKERS=3" },
	{ "BILGE_BARRIER=auto", "BILGE_VERIFY=0", "BILGE_WORKERS=2" },
	{ "BILGE_BARRIER=stop", "BILGE_VERIFY=1", "BILGE_WORKERS=1" },
	{ "BILGE_BARRIER=stop", "BILGE_VERIFY=0", "BILGE_WORKERS=1" },
};

START_TEST(test_mutators)
{
	run(runs[_i].barrier, runs[_i].verify, runs[_i].workers, 0);
}
END_TEST

/* Whoever gives up first, all of the marking threads do, and none waits. */
START_TEST(test_wanted)
{
	run("BILGE_BARRIER=auto", "BILGE_VERIFY=0", "BILGE_WORKERS=3",
	    NSEC_PER_MSEC / 2 << _i);
}
END_TEST

/* ------------------------------------------------------------------- numbers */

/* Enough that marking is most of a cycle, and its last stop no trifle. */
#define TREE_BLOCKS	60000u
#define TREE_WORDS	128u
#define SHARED_SIZE	(64 * MIB)

static void ***tree;
static struct cycle_report told_last;
static uint64_t told_cpu_ns;

static uint64_t
process_cpu_ns(void)
{
	struct timespec time;

	expect(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

static void
tell_numbers(const struct cycle_report *report)
{
	told_last = *report;
	told_cpu_ns += report->cpu_ns;
}

static void
run_three(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++) {
		uint64_t begin_ns = sys_monotonic_ns();
		struct cycle_report r;

		expect(cycle_run(CYCLE_LEAKS, false, &r, tell_numbers) == 0);
		/* No time is counted twice. */
		expect(r.first_stop_ns + r.concurrent_ns + r.second_stop_ns <=
		       sys_monotonic_ns() - begin_ns);
		expect(r.second_stop_ns > 0);
	}
}

/* Wide: a deep one is marked by one thread alone. */
static void
grow_tree(void)
{
	uint64_t state = 1;

	tree = heap_alloc(TREE_BLOCKS * sizeof(*tree), true);
	expect(tree != NULL);
	for (size_t i = 0; i < TREE_BLOCKS; i++) {
		tree[i] = heap_alloc(TREE_WORDS * sizeof(**tree), true);
		expect(tree[i] != NULL);
		for (size_t w = 0; w < TREE_WORDS; w++)
			tree[i][w] = tree[unit_random(&state, i + 1)];
	}
}

/* What a cycle says of itself: threads, times, the work of all who marked. */
static void
check_numbers(const char *barrier, const char *workers)
{
	const char *settings[] = { "BILGE_CPU=100", barrier, workers, NULL };
	uint64_t cpu_ns;
	char *shared = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	expect(shared != MAP_FAILED);
	memset(shared, 1, SHARED_SIZE);
	unit_core(settings);
	grow_tree();
	cpu_ns = process_cpu_ns();
	expect(crew_start(0, run_three, NULL) == 0);
	crew_join(0);
	cpu_ns = process_cpu_ns() - cpu_ns;
	printf("%s %s: %lu of %lu ms told\n", barrier, workers,
	       (unsigned long)(told_cpu_ns / NSEC_PER_MSEC),
	       (unsigned long)(cpu_ns / NSEC_PER_MSEC));
	expect(told_last.threads == 1);
	expect(told_cpu_ns <= cpu_ns && told_cpu_ns >= cpu_ns / 10 * 9);
	expect(stats.cycle.cpu_ns == told_cpu_ns);
	expect(tree != NULL);
	munmap(shared, SHARED_SIZE);
}

START_TEST(test_numbers)
{
	static const char *const choices[][2] = {
		{ "BILGE_BARRIER=stop", "BILGE_WORKERS=1" },
		{ "BILGE_BARRIER=auto", "BILGE_WORKERS=1" },
		{ "BILGE_BARRIER=auto", "BILGE_WORKERS=4" },
	};

	check_numbers(choices[_i][0], choices[_i][1]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("concurrent");

	tcase_add_loop_test(unit_case(suite, "mutators", NULL), test_mutators,
			    0, ARRAY_LEN(runs));
	tcase_add_loop_test(unit_case(suite, "wanted", NULL), test_wanted,
			    0, 4);
	tcase_add_loop_test(unit_case(suite, "numbers", NULL), test_numbers,
			    0, 3);
	return unit_run(suite);
}
