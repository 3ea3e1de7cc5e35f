/*
 * test_ledger.c - what each site has lost so far, and what became of it.
 */
#include "unit.h"

#include "heap/meta.h"
#include "report/ledger.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SITES	3000u

static void
setup(void)
{
	ck_assert_int_eq(meta_init(256 * MIB), 0);
}

static struct account model[SITES][2];

/* Sums of many sites and kinds, against a table. */
START_TEST(test_accounts)
{
	uint64_t state = unit_seed(1);
	size_t accounts = 0, seen = 0, index = 0;
	struct account a;

	ck_assert(!ledger_find(5, true, &a));
	ck_assert(!ledger_next(&index, &a));
	for (unsigned n = 0; n < 50000; n++) {
		uint32_t site = (uint32_t)unit_random(&state, SITES);
		bool is_direct = unit_random(&state, 2);
		struct account *m = &model[site][is_direct];
		uint64_t bytes = unit_random(&state, 1ul << 40);

		switch (unit_random(&state, 4)) {
		case 0:
			ledger_reclaimed(site + 1, is_direct, bytes);
			m->reclaimed_bytes += bytes;
			m->reclaimed_blocks++;
			m->first_ns = 1;
			break;
		case 1:
			ledger_told(site + 1, is_direct);
			m->told_bytes = m->bytes;
			break;
		default:
			ledger_lost(site + 1, is_direct, bytes, n % 7);
			m->bytes += bytes;
			m->blocks += n % 7;
			m->first_ns = 1;
		}
	}
	for (unsigned i = 0; i < 2 * SITES; i++) {
		const struct account *m = &model[i / 2][i % 2];

		accounts += m->first_ns != 0;
		expect(ledger_find(i / 2 + 1, i % 2, &a) ==
		       (m->first_ns != 0));
		if (m->first_ns == 0)
			continue;
		expect(a.site == i / 2 + 1 && a.is_direct == (i % 2 != 0));
		expect(a.bytes == m->bytes && a.blocks == m->blocks);
		expect(a.reclaimed_bytes == m->reclaimed_bytes);
		expect(a.reclaimed_blocks == m->reclaimed_blocks);
		expect(a.told_bytes == m->told_bytes);
		expect(a.first_ns > 1);
	}
	ck_assert_uint_eq(ledger_accounts(), accounts);
	for (index = 0; ledger_next(&index, &a); seen++) {
		struct account *m = &model[a.site - 1][a.is_direct];

		expect(m->first_ns == 1);
		m->first_ns = 2;
	}
	ck_assert_uint_eq(seen, accounts);
}
END_TEST

/* The first time stays the first time. */
START_TEST(test_first)
{
	struct account a, b;

	ledger_lost(7, true, 1, 1);
	ck_assert(ledger_find(7, true, &a));
	usleep(1000);
	ledger_lost(7, true, 1, 1);
	for (uint32_t i = 100; i < 3000; i++)
		ledger_lost(i, true, 1, 1);
	ck_assert(ledger_find(7, true, &b));
	ck_assert_uint_eq(a.first_ns, b.first_ns);
}
END_TEST

START_TEST(test_exempt)
{
	uint64_t state = unit_seed(2);
	static bool is_exempt[SITES];

	for (unsigned n = 0; n < 2000; n++) {
		uint32_t site = (uint32_t)unit_random(&state, SITES - 1) + 1;

		ledger_exempt(site);
		is_exempt[site] = true;
		if (n % 100 == 0)
			for (uint32_t i = 1; i < SITES; i++)
				expect(ledger_is_exempt(i) == is_exempt[i]);
	}
	for (uint32_t i = 1; i < SITES; i++)
		expect(ledger_is_exempt(i) == is_exempt[i]);
	ck_assert(ledger_exempt_all());
	ck_assert(!ledger_exempt_all());
	for (uint32_t i = 0; i < SITES; i++)
		expect(ledger_is_exempt(i));
}
END_TEST

/* What cannot be remembered exempts all (G1). */
START_TEST(test_unknown_site)
{
	ck_assert(!ledger_is_exempt(0));
	ledger_exempt(0);
	ck_assert(ledger_is_exempt(0) && ledger_is_exempt(77));
}
END_TEST

START_TEST(test_no_memory)
{
	struct account a;

	meta_reserve(meta_room());
	ledger_lost(7, true, 1, 1);
	ck_assert(!ledger_find(7, true, &a));
	ck_assert(!ledger_is_exempt(8));
	ledger_exempt(7);
	ck_assert(ledger_is_exempt(7) && ledger_is_exempt(8));
}
END_TEST

/* Memory that ends later: what is known stays known. */
START_TEST(test_little_memory)
{
	struct account a;

	for (uint32_t i = 1; i <= 50; i++)
		ledger_exempt(i);
	ledger_lost(1, true, 1, 1);
	meta_reserve(meta_room());
	for (uint32_t i = 1; i < 5000; i++)
		ledger_lost(i, true, 1, 1);
	ck_assert(ledger_find(1, true, &a) && a.blocks == 2);
	for (uint32_t i = 51; i < 5000; i++)
		ledger_exempt(i);
	for (uint32_t i = 1; i < 5000; i++)
		expect(ledger_is_exempt(i));
}
END_TEST

static void *
lose_some(void *argument)
{
	for (unsigned n = 0; n < 20000; n++)
		ledger_lost((uint32_t)(n % 500 + 1), true, 3, 1);
	return argument;
}

START_TEST(test_threads)
{
	pthread_t threads[4];
	struct account a;

	for (size_t i = 0; i < 4; i++)
		expect(pthread_create(&threads[i], NULL, lose_some, NULL) ==
		       0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (uint32_t i = 1; i <= 500; i++)
		expect(ledger_find(i, true, &a) && a.blocks == 160 &&
		       a.bytes == 480);
}
END_TEST

/* A child has lost nothing yet; what came back is no better there. */
START_TEST(test_child)
{
	struct account a;
	int status;
	pid_t pid;

	ledger_lost(7, true, 1, 1);
	ledger_exempt(9);
	ledger_fork_lock();
	pid = fork();
	ledger_fork_unlock(pid == 0);
	if (pid == 0) {
		expect(ledger_accounts() == 0 && !ledger_find(7, true, &a));
		expect(ledger_is_exempt(9) && !ledger_is_exempt(10));
		ledger_lost(7, true, 5, 1);
		expect(ledger_find(7, true, &a) && a.bytes == 5);
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && status == 0);
	ck_assert(ledger_find(7, true, &a) && a.bytes == 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ledger");
	const struct { const char *name; const TTest *test; } cases[] = {
		{ "accounts", test_accounts }, { "first", test_first },
		{ "exempt", test_exempt },
		{ "unknown_site", test_unknown_site },
		{ "no_memory", test_no_memory },
		{ "little_memory", test_little_memory },
		{ "threads", test_threads }, { "child", test_child },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		tcase_add_checked_fixture(
			unit_case(suite, cases[i].name, cases[i].test),
			setup, NULL);
	return unit_run(suite);
}
