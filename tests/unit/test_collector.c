/*
 * test_collector.c - who runs cycles, and when.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/collector.h"
#include "heap/blind.h"
#include "settings/stats.h"
#include "world/crew.h"
#include "world/mutator.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than anything takes here, on a busy machine too. */
#define PATIENCE	(20 * NSEC_PER_SEC)

static _Atomic unsigned cycles;
static _Atomic uint64_t found;

static void
told(const struct cycle_report *report)
{
	atomic_fetch_add(&found, report->sweep.lost_blocks);
	atomic_fetch_add(&cycles, 1);
}

static void
start(const char *setting, const char *other)
{
	const char *settings[] = { setting, other, NULL };

	unit_core(settings);
	collector_start(told);
}

static void
setup(void)
{
	start("BILGE_LEAKS=reclaim", NULL);
}

/* lose - so many bytes, in blocks of 1000. */
static NOINLINE void
lose(size_t bytes)
{
	for (size_t n = 0; n < bytes; n += 1000)
		unit_hidden_block(1000);
}

/* churn - allocate and free, and keep nothing. */
static NOINLINE void
churn(size_t bytes)
{
	for (size_t n = 0; n < bytes; n += 1000)
		expect(heap_free(unit_reveal(unit_hidden_block(1000))) ==
		       HEAP_DONE);
}

/* await_cycles - Units: work, what the program does meanwhile. */
static bool
await_cycles(unsigned count, void (*work)(size_t))
{
	uint64_t end = sys_monotonic_ns() + PATIENCE;
	unsigned want = load_relaxed(&cycles) + count;

	while (load_relaxed(&cycles) < want && sys_monotonic_ns() < end) {
		if (work != NULL)
			work(100 * KIB);
		sys_sleep_ns(NSEC_PER_MSEC);
	}
	return load_relaxed(&cycles) >= want;
}

static bool
await_end(void)
{
	uint64_t end = sys_monotonic_ns() + PATIENCE;

	while (unit_count_threads() > 1 && sys_monotonic_ns() < end)
		sys_sleep_ns(10 * NSEC_PER_MSEC);
	return unit_count_threads() == 1;
}

/* A program that stays small never sees a thread of ours. */
START_TEST(test_lazy)
{
	ck_assert_uint_eq(unit_count_threads(), 1);
	lose(3 * MIB);
	ck_assert_uint_eq(unit_count_threads(), 1);
	ck_assert_uint_eq(load_relaxed(&cycles), 0);
}
END_TEST

/* One that loses memory is kept afloat. */
START_TEST(test_afloat)
{
	uint64_t end = sys_monotonic_ns() + PATIENCE;
	size_t lost = 0;

	while (stats.reclaimed_blocks < 50000 && sys_monotonic_ns() < end) {
		lose(100 * KIB);
		lost += 100 * KIB;
		expect(unit_count_threads() <= 2 + 8);
	}
	ck_assert_uint_ge(stats.reclaimed_blocks, 50000);
	/* The one that reclaimed them may not have told yet. */
	ck_assert_uint_ge(load_relaxed(&cycles), 1);
	ck_assert_uint_gt(load_relaxed(&found), 50000);
	/* Far less is in use than was lost. */
	ck_assert_uint_lt(heap_statistics().used_bytes, lost);
	collector_pause();
	unit_check_heap();
}
END_TEST

/* One that loses nothing is looked at, and then left alone. */
START_TEST(test_idle)
{
	uintptr_t *held = unit_reveal(unit_hidden_block(40000 * 8));

	for (size_t i = 0; i < 40000; i++)
		held[i] = (uintptr_t)unit_reveal(unit_hidden_block(1000));
	ck_assert(load_relaxed(&cycles) >= 1 || await_cycles(1, NULL));
	/* What only stale words had held may be pending. */
	ck_assert(await_cycles(3, lose));
	for (size_t i = 0; i < 40000; i++)
		expect(heap_free((void *)held[i]) == HEAP_DONE);
	/* Nothing more is claimed, nothing waits: the thread ends. */
	store_relaxed(&cycles, 0);
	for (unsigned n = 0; stats.cycle.count != 0 && n < 100; n++) {
		churn(MIB);
		if (unit_count_threads() == 1)
			break;
		sys_sleep_ns(20 * NSEC_PER_MSEC);
	}
	collector_pause();
	collector_resume();
	ck_assert(await_end());
	/* And is made anew when it matters. */
	ck_assert(await_cycles(1, lose));
}
END_TEST

/* Without a setting that asks for cycles there are none. */
START_TEST(test_off)
{
	static const char *const settings[][2] = {
		{ "BILGE_LEAKS=report", NULL },
		{ "BILGE_LEAKS=ignore", "BILGE_PERCENT=10" },
	};

	start(settings[_i][0], settings[_i][1]);
	lose(30 * MIB);
	ck_assert_uint_eq(unit_count_threads(), 1);
	/* Pausing what is not there is nothing. */
	collector_pause();
	collector_resume();
	ck_assert_uint_eq(load_relaxed(&cycles), 0);
}
END_TEST

/* For time alone; and a report counts as well as reclaiming. */
START_TEST(test_interval)
{
	start("BILGE_INTERVAL=60ms", NULL);
	ck_assert(await_cycles(4, churn));
	ck_assert_uint_eq(stats.reclaimed_blocks, 0);
}
END_TEST

/* Cycles that cannot succeed are tried less and less often. */
START_TEST(test_abandoned)
{
	uint64_t begin, mask;

	mutator_enter(&mask);
	for (uintptr_t at = 0; !blind_is_total(); at += 2 * ARCH_PAGE_SIZE)
		blind_note(at, at + ARCH_PAGE_SIZE, true);
	mutator_leave(mask);
	begin = sys_monotonic_ns();
	lose(40 * MIB);
	while (sys_monotonic_ns() - begin < NSEC_PER_SEC)
		churn(MIB);
	/* After 10 ms, 20, 40 ... and after what each of them took. */
	ck_assert_uint_ge(stats.cycle.abandoned, 2);
	ck_assert_uint_le(stats.cycle.abandoned, 7);
	ck_assert_uint_eq(load_relaxed(&cycles), 0);
	/* Whoever wants it gone does not wait for the next one. */
	collector_pause();
	ck_assert_uint_eq(unit_count_threads(), 1);
	collector_resume();
}
END_TEST

/* -------------------------------------------------------------------- pauses */

START_TEST(test_pause)
{
	for (unsigned n = 0; n < 20; n++) {
		unsigned before;

		expect(await_cycles(1, lose));
		collector_pause();
		expect(unit_count_threads() == 1);
		before = load_relaxed(&cycles);
		lose(20 * MIB);
		expect(unit_count_threads() == 1);
		expect(load_relaxed(&cycles) == before);
		collector_resume();
	}
	ck_assert(await_cycles(1, lose));
}
END_TEST

static _Atomic unsigned paused;
static _Atomic bool is_over;

static void *
pause_often(void *argument)
{
	(void)argument;
	heap_thread_begin(true);
	while (!load_relaxed(&is_over)) {
		collector_pause();
		/* N2: of the crew nobody is there now. */
		for (unsigned i = 0; i < 5; i++) {
			expect(!crew_is_running(0));
			sched_yield();
		}
		atomic_fetch_add(&paused, 1);
		collector_resume();
		sched_yield();
	}
	heap_thread_end(false);
	return NULL;
}

/* Several at once, while others allocate and so start it again. */
START_TEST(test_pauses)
{
	uint64_t end = sys_monotonic_ns() + NSEC_PER_SEC;
	pthread_t threads[2];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		expect(pthread_create(&threads[i], NULL, pause_often, NULL) ==
		       0);
	while (sys_monotonic_ns() < end) {
		/* No cycle may come to its end: what is lost stays. */
		lose(KIB);
		churn(MIB);
		sched_yield();
	}
	store_relaxed(&is_over, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_gt(load_relaxed(&paused), 10);
	ck_assert(await_cycles(2, lose));
	collector_pause();
	unit_check_heap();
}
END_TEST

/* ---------------------------------------------------------------------- forks */

/* The child of a process with a collector has none, and gets its own. */
START_TEST(test_child)
{
	for (unsigned n = 0; n < 5; n++) {
		int status;
		pid_t pid;

		expect(await_cycles(1, lose));
		heap_fork_prepare();
		pid = fork();
		heap_fork_done(pid == 0);
		if (pid == 0) {
			cycle_fork_child();
			collector_fork_child();
			cycles = 0;
			expect(unit_count_threads() == 1);
			expect(await_cycles(3, lose));
			collector_pause();
			unit_check_heap();
			_exit(0);
		}
		expect(pid > 0 && waitpid(pid, &status, 0) == pid);
		expect(status == 0);
	}
	ck_assert(await_cycles(1, lose));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("collector");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "lazy", test_lazy }, { "afloat", test_afloat },
		{ "idle", test_idle }, { "abandoned", test_abandoned },
		{ "pause", test_pause },
		{ "pauses", test_pauses }, { "child", test_child },
	};
	TCase *off = unit_case(suite, "off", NULL);

	tcase_add_loop_test(off, test_off, 0, 2);
	unit_case(suite, "interval", test_interval);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
