/*
 * trace.c - what one cycle did, for people and for the record.
 */
#include "report/trace.h"

#include "base/fmt.h"
#include "base/sys.h"
#include "report/record.h"
#include "settings/options.h"
#include "settings/stats.h"

/* Fixed by trace_start(). */
static uint64_t start_ns;

void
trace_start(void)
{
	start_ns = sys_monotonic_ns();
}

/*
 * put_scaled - value / unit with as many decimals as make three digits, but
 * no more than `most`.
 */
static void
put_scaled(struct fmt *f, uint64_t value, uint64_t unit, unsigned most)
{
	uint64_t whole = value / unit, rest = value % unit;
	unsigned decimals = whole >= 100 ? 0 : whole >= 10 ? 1 : 2;

	fmt_number(f, whole);
	decimals = MIN(decimals, most);
	if (decimals == 0)
		return;
	fmt_char(f, '.');
	for (; decimals > 0; decimals--) {
		rest *= 10;
		fmt_char(f, (char)('0' + rest / unit));
		rest %= unit;
	}
}

static void
put_ms(struct fmt *f, uint64_t ns)
{
	put_scaled(f, ns, NSEC_PER_MSEC, 2);
}

static void
put_mb(struct fmt *f, uint64_t bytes)
{
	put_scaled(f, bytes, MIB, 1);
}

/* has_goal - or does the heap's size not drive cycles at all? */
static bool
has_goal(const struct pacer_plan *plan)
{
	return plan->goal_bytes < UINT64_MAX / 8;
}

static void
print_line(const struct cycle_report *r, const struct pacer_plan *plan)
{
	uint64_t since = sys_monotonic_ns() - start_ns;
	uint64_t ms = (r->begin_ns - start_ns) / NSEC_PER_MSEC;
	char line[400];
	struct fmt f;

	fmt_init(&f, line, sizeof(line));
	fmt_print(&f, "bilge: gc %lu @%lu.%03us %lu%%: ",
		  (unsigned long)r->number, (unsigned long)(ms / 1000),
		  (unsigned)(ms % 1000),
		  (unsigned long)(stats.cycle.cpu_ns / MAX(since / 100, 1u)));
	put_ms(&f, r->first_stop_ns);
	fmt_char(&f, '+');
	put_ms(&f, r->concurrent_ns);
	fmt_char(&f, '+');
	put_ms(&f, r->second_stop_ns);
	fmt_text(&f, " ms clock, ");
	fmt_number(&f, r->used_before / MIB);
	fmt_text(&f, "->");
	fmt_number(&f, r->used_after / MIB);
	fmt_text(&f, " MB, ");
	if (has_goal(plan))
		fmt_print(&f, "%lu MB goal, leaked ",
			  (unsigned long)(plan->goal_bytes / MIB));
	else
		fmt_text(&f, "no goal, leaked ");
	put_mb(&f, r->sweep.lost_bytes);
	fmt_print(&f, " MB in %lu sites, reclaimed ",
		  (unsigned long)r->sweep.lost_sites);
	put_mb(&f, r->sweep.reclaimed_bytes);
	fmt_print(&f, " MB, dirty %lu pages, %lu threads, %s",
		  (unsigned long)r->dirty_pages, (unsigned long)r->threads,
		  r->barrier);
	if (options->free == FREE_GUARD) {
		fmt_text(&f, ", quarantine ");
		put_mb(&f, r->quarantined_before);
		fmt_text(&f, "->");
		put_mb(&f, r->guard.kept_bytes);
		fmt_text(&f, " MB");
	}
	fmt_char(&f, '\n');
	fmt_end(&f);
	sys_write_stderr(line, MIN(f.length, sizeof(line) - 1));
}

/* What the writer of the event is given. */
struct subject {
	const struct cycle_report *report;
	const struct pacer_plan *plan;
};

static void
write_cycle(struct record *record, const void *argument)
{
	const struct subject *subject = argument;
	const struct cycle_report *r = subject->report;
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{ "number", r->number },
		{ "first_stop_ns", r->first_stop_ns },
		{ "concurrent_ns", r->concurrent_ns },
		{ "second_stop_ns", r->second_stop_ns },
		{ "cpu_ns", r->cpu_ns },
		{ "heap_before", r->used_before },
		{ "heap_after", r->used_after },
		{ "marked_bytes", r->live_bytes },
		{ "root_bytes", r->root_bytes },
		{ "leaked_bytes", r->sweep.lost_bytes },
		{ "leaked_sites", r->sweep.lost_sites },
		{ "reclaimed_bytes", r->sweep.reclaimed_bytes },
		{ "resurrected_blocks", r->sweep.resurrected_blocks },
		{ "quarantined_before", r->quarantined_before },
		{ "quarantined_bytes", r->guard.kept_bytes },
		{ "dirty_pages", r->dirty_pages },
		{ "threads", r->threads },
	};
	struct event e;

	if (!record_begin_event(&e, record, "cycle"))
		return;
	record_put_time(&e.fmt, "time", sys_realtime_ns());
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		fmt_print(&e.fmt, ",\"%s\":%lu", numbers[i].key,
			  (unsigned long)numbers[i].value);
	if (has_goal(subject->plan))
		fmt_print(&e.fmt, ",\"goal\":%lu",
			  (unsigned long)subject->plan->goal_bytes);
	else
		fmt_text(&e.fmt, ",\"goal\":null");
	fmt_print(&e.fmt, ",\"barrier\":\"%s\"", r->barrier);
	record_end_event(&e);
}

void
trace_cycle(const struct cycle_report *report, const struct pacer_plan *plan)
{
	const struct subject subject = { report, plan };

	if (options->trace)
		print_line(report, plan);
	record_write(write_cycle, &subject);
}
