/*
 * test_squad.c - more hands while the world stands.
 */
#include "unit.h"

#include "base/sys.h"
#include "collect/squad.h"

#include <sys/wait.h>
#include <unistd.h>

static _Atomic unsigned done[64], all;

static void
count(unsigned member)
{
	atomic_fetch_add(&done[member], 1);
	atomic_fetch_add(&all, 1);
}

static void
expect_rounds(unsigned rounds, unsigned members)
{
	for (unsigned i = 0; i < members; i++)
		expect(load_relaxed(&done[i]) == rounds);
	expect(load_relaxed(&all) == rounds * members);
}

/* Each member does each job once, and none is at it afterwards (D1). */
START_TEST(test_rounds)
{
	unsigned members;

	squad_begin();
	squad_run(count);
	members = load_relaxed(&all);
	ck_assert_uint_ge(members, 1);
	ck_assert_uint_le(members, sys_cpu_count());
	for (unsigned round = 2; round < 3000; round++) {
		squad_run(count);
		expect_rounds(round, members);
	}
	squad_end();
	ck_assert_uint_eq(unit_count_threads(), 1);
	/* Alone there is one hand. */
	squad_run(count);
	ck_assert_uint_eq(load_relaxed(&done[0]), 3000);
}
END_TEST

/* Nobody is waited for in a child who does not exist there. */
START_TEST(test_child)
{
	int pid, status;

	squad_begin();
	pid = fork();
	if (pid == 0) {
		squad_fork_child();
		squad_run(count);
		_exit(load_relaxed(&all) != 1);
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	squad_end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("squad");

	tcase_add_checked_fixture(unit_case(suite, "rounds", test_rounds),
				  unit_core_defaults, NULL);
	tcase_add_checked_fixture(unit_case(suite, "child", test_child),
				  unit_core_defaults, NULL);
	return unit_run(suite);
}
