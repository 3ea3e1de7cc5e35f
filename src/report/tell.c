/*
 * tell.c - the reports: what goes into them, and where they go.
 *
 * Owns the decision whether standard error is still the place for a report.
 *
 * Not here: how a report looks (the command; text.c where it cannot be had),
 * the record (record.c).
 */
#include "report/tell.h"

#include "base/panic.h"
#include "base/sys.h"
#include "collect/guard.h"
#include "heap/meta.h"
#include "report/held.h"
#include "report/ledger.h"
#include "report/record.h"
#include "report/render.h"
#include "report/text.h"
#include "report/why.h"
#include "settings/options.h"
#include "settings/stats.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Fixed by tell_start(). */
static struct {
	dev_t stderr_device;
	ino_t stderr_inode;
} tell;

void
tell_start(void)
{
	struct stat st;

	if (sys_fstat(2, &st) != 0)
		return;
	tell.stderr_device = st.st_dev;
	tell.stderr_inode = st.st_ino;
}

/*
 * is_stderr - is descriptor 2 where errors go?  A program that closed it may
 * have opened a file of its own there; one that logs to a file appends.
 */
static bool
is_stderr(int fd)
{
	struct stat st;

	if (sys_fstat(fd, &st) != 0)
		return false;
	return (st.st_dev == tell.stderr_device &&
		st.st_ino == tell.stderr_inode) || !S_ISREG(st.st_mode) ||
	       (sys_fcntl(fd, F_GETFL, 0) & O_APPEND) != 0;
}

/* open_stderr - to be closed where the caller has descriptors of its own. */
static int
open_stderr(void)
{
	return sys_has_own_files() ? sys_program_fd(2) : 2;
}

static void
close_report(int fd)
{
	if (fd != 2 || sys_has_own_files())
		sys_close(fd);
}

static int
open_report(void)
{
	char path[PATH_MAX];
	int fd;

	if (strcmp(options->report, "stderr") == 0) {
		fd = open_stderr();
		if (fd < 0 || is_stderr(fd))
			return fd;
		close_report(fd);
		return -1;
	}
	if (strcmp(options->report, "none") == 0)
		return -1;
	if (!record_expand(options->report, path, sizeof(path))) {
		say("the path of BILGE_REPORT is too long");
		return open_stderr();
	}
	/* Appended: what other processes reported there is not lost. */
	fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	if (fd < 0) {
		say("the report %s cannot be written (error %d)", path, -fd);
		return open_stderr();
	}
	return fd;
}

static void
print_report(struct record *memory, const struct leak_group *groups,
	     size_t count)
{
	int fd = open_report();


	if (fd < 0)
		return;
	if (memory == NULL || memory->has_failed ||
	    !render_report(memory->fd, fd, environ))
		text_write(fd, groups, count);
	close_report(fd);
}

static void
sum_up(const struct leak_group *groups, size_t count)
{
	stats.leak = (struct leak_stats){ 0 };
	for (size_t i = 0; i < count; i++) {
		if (groups[i].is_direct) {
			stats.leak.direct_bytes += groups[i].bytes;
			stats.leak.direct_blocks += groups[i].blocks;
		} else {
			stats.leak.indirect_bytes += groups[i].bytes;
			stats.leak.indirect_blocks += groups[i].blocks;
		}
	}
}

/* add_account - what the ledger has of a group's site. */
static void
add_account(struct leak_group *g, const struct account *a)
{
	g->first_ns = a->first_ns;
	g->reclaimed_bytes = a->reclaimed_bytes;
	g->bytes += a->reclaimed_bytes;
	g->blocks += a->reclaimed_blocks;
}

static bool
has_group(const struct leak_group *groups, size_t count,
	  const struct account *a)
{
	for (size_t i = 0; i < count; i++)
		if (groups[i].site == a->site &&
		    groups[i].is_direct == a->is_direct)
			return true;
	return false;
}

/*
 * with_accounts - the groups, since when each site's leaks are known, and what
 * of them was reclaimed.
 * Returns: memory of *ret_count groups for meta_unmap(); NULL: there is none,
 *          or no cycle has found anything.
 */
static struct leak_group *
with_accounts(const struct leak_group *groups, size_t count,
	      size_t *ret_count, size_t *ret_bytes)
{
	size_t most = count + ledger_accounts(), all = count, at = 0;
	struct leak_group *merged;
	struct account a;

	if (most == count)
		return NULL;
	*ret_bytes = most * sizeof(*merged);
	merged = meta_map(*ret_bytes);
	if (merged == NULL)
		return NULL;
	memcpy(merged, groups, count * sizeof(*merged));
	for (size_t i = 0; i < count; i++)
		if (ledger_find(groups[i].site, groups[i].is_direct, &a))
			add_account(&merged[i], &a);
	while (ledger_next(&at, &a)) {
		if (a.reclaimed_blocks == 0 || all == most ||
		    has_group(groups, count, &a))
			continue;
		merged[all].site = a.site;
		merged[all].is_direct = a.is_direct;
		add_account(&merged[all++], &a);
	}
	*ret_count = all;
	return merged;
}

/* tell_text - write these leaks where BILGE_REPORT says, by a record. */
static void
tell_text(const struct leak_group *groups, size_t count)
{
	struct record memory;
	bool has_memory = record_open_memory(&memory);

	if (has_memory) {
		record_start(&memory);
		record_leaks_to(&memory, groups, count);
		record_end_to(&memory, -1);
	}
	print_report(has_memory ? &memory : NULL, groups, count);
	if (has_memory)
		sys_close(memory.fd);
}

/* How much a site's leaks grow before the text tells of them again. */
#define TELL_FACTOR	2

void
tell_growth(const struct cycle_report *report)
{
	bool with_text = options_is_given("REPORT");
	const struct leak_group *groups;
	struct leak_group grown[64];
	size_t count, grown_count = 0;

	(void)report;
	groups = leaks_groups(&count);
	for (size_t i = 0; i < count; i++) {
		struct leak_group g = groups[i];
		struct account a;

		if (!ledger_find(g.site, g.is_direct, &a))
			continue;
		g.bytes = a.bytes;
		g.blocks = a.blocks;
		g.first_ns = a.first_ns;
		g.reclaimed_bytes = a.reclaimed_bytes;
		record_leaks(NULL, &g, 1);
		if (!with_text || grown_count == ARRAY_LEN(grown) ||
		    a.bytes < TELL_FACTOR * a.told_bytes)
			continue;
		ledger_told(g.site, g.is_direct);
		grown[grown_count++] = g;
	}
	if (grown_count == 0)
		return;
	sum_up(grown, grown_count);
	tell_text(grown, grown_count);
}

/* tell_quarantine - Units: memory, NULL: only the record is told. */
static void
tell_quarantine(struct record *memory)
{
	const struct overwrite *overwrites;
	const struct leak_group *kept;
	size_t count;

	overwrites = guard_overwrites(&count);
	for (size_t i = 0; memory != NULL && i < count; i++)
		record_overwritten(memory, &overwrites[i]);
	kept = guard_kept(&count);
	record_quarantined(memory, kept, count);
}

size_t
tell_all(int exit_status, bool is_last)
{
	const struct leak_group *groups;
	struct leak_group *merged;
	struct record memory;
	bool has_memory;
	size_t count, misuses, merged_bytes = 0;

	groups = leaks_groups(&count);
	merged = with_accounts(groups, count, &count, &merged_bytes);
	if (merged != NULL)
		groups = merged;
	sum_up(groups, count);
	guard_overwrites(&misuses);
	has_memory = count + misuses > 0 && record_open_memory(&memory);
	if (has_memory)
		record_start(&memory);
	record_leaks(has_memory ? &memory : NULL, groups, count);
	tell_quarantine(has_memory ? &memory : NULL);
	if (held_get() != NULL)
		why_write(held_get());
	record_end(has_memory ? &memory : NULL, exit_status, is_last);
	if (count + misuses > 0)
		print_report(has_memory ? &memory : NULL, groups, count);
	if (has_memory)
		sys_close(memory.fd);
	if (merged != NULL)
		meta_unmap(merged, merged_bytes);
	return stats.leak.direct_blocks + stats.leak.indirect_blocks;
}
