/*
 * check_json.c - is this the JSON report of stack.c, with every member?
 * check_json FIRST SECOND LINE: two runs; LINE is where inlined_outer calls.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) check((condition), #condition, __LINE__)

static int failures;

static void
check(int is_true, const char *what, int line)
{
	if (is_true)
		return;
	printf("check_json.c:%d: not so: %s\n", line, what);
	failures++;
}

static json_t *
load(const char *path)
{
	json_error_t error;
	json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (json == NULL) {
		printf("%s:%d: %s\n", path, error.line, error.text);
		exit(1);
	}
	return json;
}

/* The names of an object's members, in their order, with a blank after each. */
static int
has_members(json_t *object, const char *expected)
{
	char names[1024] = "";
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) {
		strcat(names, name);
		strcat(names, " ");
	}
	if (strcmp(names, expected) != 0)
		printf("members: %s\n", names);
	return strcmp(names, expected) == 0;
}

static long long
number(json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *
text(json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return value != NULL ? value : "";
}

static void
check_members(json_t *report)
{
	json_t *leak = json_array_get(json_object_get(report, "leaks"), 0);
	json_t *frame = json_array_get(json_object_get(leak, "frames"), 0);
	json_t *cycles = json_object_get(report, "cycles");

	CHECK(has_members(report,
	    "schema process summary cycles leaks misuses "
	    "quarantined suppressions "));
	CHECK(has_members(json_object_get(report, "process"),
	    "pid exe argv exit_status "));
	CHECK(has_members(json_object_get(report, "summary"),
	    "leaked_bytes leaked_blocks direct_bytes direct_blocks "
	    "indirect_bytes indirect_blocks suppressed_bytes "
	    "suppressed_blocks reclaimed_bytes reclaimed_blocks "
	    "resurrected_blocks misuses quarantined_bytes heap_bytes "
	    "heap_peak_bytes "));
	CHECK(has_members(cycles, "count abandoned barrier marked_bytes "
	    "dirty_pages pause_ns stop_ns exit_pause_ns cpu_ns "
	    "verified "));
	CHECK(has_members(json_object_get(cycles, "pause_ns"),
	    "count p50 p99 max "));
	CHECK(has_members(json_object_get(cycles, "stop_ns"),
	    "p50 p99 max "));
	CHECK(has_members(leak, "id kind bytes blocks first_seen "
	    "reclaimed_bytes frames "));
	CHECK(has_members(frame, "address module offset build_id function "
	    "file line inlined "));
}

/* The stack with the inlined functions is that of the second leak. */
static void
check_values(json_t *report, int outer_line)
{
	json_t *summary = json_object_get(report, "summary");
	json_t *cycles = json_object_get(report, "cycles");
	json_t *leak = json_array_get(json_object_get(report, "leaks"), 1);
	json_t *frames = json_object_get(leak, "frames");
	json_t *inner = json_array_get(frames, 0);
	json_t *outer = json_array_get(frames, 1);
	json_t *plain = json_array_get(frames, 2);

	CHECK(strcmp(text(report, "schema"), "bilge-1") == 0);
	CHECK(number(json_object_get(report, "process"),
	    "exit_status") == 3);
	CHECK(number(summary, "leaked_bytes") == 8100);
	CHECK(number(summary, "leaked_blocks") == 3);
	CHECK(number(summary, "heap_bytes") == 4096);
	CHECK(number(cycles, "count") == 1);
	CHECK(strcmp(text(cycles, "barrier"), "stop") == 0);
	CHECK(json_array_size(json_object_get(report, "leaks")) == 3);

	CHECK(strcmp(text(leak, "kind"), "direct") == 0);
	CHECK(number(leak, "bytes") == 100);
	CHECK(strcmp(text(leak, "first_seen"),
	    "2026-01-31T12:00:00.456Z") == 0);
	CHECK(strcmp(text(inner, "function"), "inlined_inner") == 0);
	CHECK(json_is_true(json_object_get(inner, "inlined")));
	CHECK(strcmp(text(outer, "function"), "inlined_outer") == 0);
	CHECK(json_is_true(json_object_get(outer, "inlined")));
	CHECK(number(outer, "line") == outer_line);
	CHECK(strstr(text(outer, "file"), "/stack.c") != NULL);
	CHECK(strcmp(text(plain, "function"), "plain_callee") == 0);
	CHECK(json_is_false(json_object_get(plain, "inlined")));
	CHECK(strcmp(text(inner, "address"), text(plain, "address")) == 0);
}

int
main(int argc, char **argv)
{
	json_t *first, *second, *a, *b;
	size_t i;

	if (argc != 4)
		return 2;
	first = load(argv[1]);
	second = load(argv[2]);
	check_members(first);
	check_values(first, atoi(argv[3]));

	json_array_foreach(json_object_get(first, "leaks"), i, a) {
		b = json_array_get(json_object_get(second, "leaks"), i);
		CHECK(strlen(text(a, "id")) == 16);
		CHECK(strcmp(text(a, "id"), text(b, "id")) == 0);
	}
	json_decref(first);
	json_decref(second);
	return failures != 0;
}
