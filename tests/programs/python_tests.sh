#!/bin/bash
# python_tests.sh - a part of python's own test suite, test by test.
. "$(dirname "$0")/harness.sh"

# The modules that use memory in most ways and whose verdicts do not hang on
# the machine's speed, network or terminal.
modules='test_array test_bytes test_ctypes test_deque test_dict
	test_dictviews test_exceptions test_fork1 test_gc test_generators
	test_json test_list test_memoryview test_mmap test_re
	test_struct test_thread test_threading.ThreadTests
	test_threading.ThreadJoinOnShutdown test_threading.ConditionTests
	test_tuple test_weakset test_zlib'

# Hundreds of interpreters start in these.
case_limit=180

# One line per test and its verdict.  Threads print between test and verdict,
# and times differ: only the lines of verdicts are kept.
own_tests()
{
	local names='' module
	for module in $modules; do
		names="$names test.$module"
	done
	PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 \
		/usr/bin/python3 -m unittest -v $names >log 2>&1 || true
	grep -E '\.\.\. (ok|FAIL|ERROR|skipped|expected)|^(FAIL|ERROR):|^(OK|FAILED)' \
		log | sed 's/ in [0-9.]*s$//' >verdicts
	tail -n 1 verdicts
	test "$(wc -l <verdicts)" -gt 1500
	rm log
}

compare own_tests 'python3[.0-9]*'
finish
