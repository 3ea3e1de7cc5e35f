/*
 * record.h - the machine-readable account of one process.
 *
 * One JSON object a line, each with "event".  Addresses and offsets are
 * strings "0x...": JSON numbers lose bits above 2^53.  Times are UTC,
 * "2026-01-31T12:00:00.123Z".  Strings from the system (paths, arguments)
 * are written byte for byte where they are UTF-8; any other byte b becomes
 * U+DC80 + (b - 0x80), written \udcXX, as Python's surrogateescape does.
 *
 *   {"event":"start","schema":"bilge-1","time":T,"pid":1,"exe":"/usr/bin/x",
 *    "argv":["x","-a"],"settings":{"LEAKS":"report",...},"barrier":"stop"}
 *        barrier: the one that cycles will begin with if it works; each event
 *        "cycle" names the one it had.
 *   {"event":"module","id":0,"path":"/lib/libc.so.6","base":A,"start":A,
 *    "end":A,"build_id":"58254ca9..."}
 *        base: load bias (address minus the file's virtual address);
 *        start, end: its mapping; build_id: "" when the file has none.  A
 *        module is written before the first frame that names it.
 *   {"event":"leak","time":T,"site":7,"kind":"direct","bytes":100,
 *    "blocks":2,"first_seen":T,"reclaimed_bytes":0,
 *    "frames":[{"address":A,"module":0,"offset":A,"symbol":"f"},...]}
 *        address: where the call returns to; the call itself is at address
 *        minus 1.  offset: address - base.  module: null outside any module,
 *        then there is no offset.  symbol: the exported name the address lies
 *        in, absent when there is none.  No frames: the stack was not kept.
 *        The last such event of a site and kind counts.
 *   {"event":"cycle","time":T,"number":1,"first_stop_ns":0, ...}
 *        one collection of the running program: report/trace.c.
 *   {"event":"resurrected","time":T,"site":7,"address":A,"how":"reached",
 *    "frames":[...]}
 *        a leak that came back: it was "reached" again, has "changed", or the
 *        program "freed" it.  frames: where it was allocated.
 *   {"event":"misuse","time":T,"function":"free","address":A,
 *    "what":"double free","frames":[...]}
 *        "what":"write after free": the block in quarantine at this address, of
 *        "size" bytes, was written to at "at", an offset; frames: where it was
 *        allocated, "freed_by": where it was freed; "function" is "".
 *   {"event":"quarantined","time":T,"site":7,"bytes":100,"blocks":2,
 *    "frames":[...]}
 *        freed blocks that pointers still lead to, by where they were
 *        allocated; written at the end.
 *   "why", "thread", "mappings", "site", "held", "lost"
 *        what holds each block: report/why.h.
 *   {"event":"end","time":T,"exit_status":0,"leaked_bytes":0, ... }
 *        the members of "summary" and, as "cycles", of "cycles" in the JSON
 *        report (bilge(1)).  exit_status is null when it is not known.
 *        checked: true after the check that is made once, when the program
 *        ends or asks for it (__lsan_do_leak_check()); without such an event
 *        it was not made, or was abandoned.
 */
#ifndef BILGE_RECORD_H
#define BILGE_RECORD_H

#include "base/fmt.h"
#include "report/leaks.h"

/* Where lines go: a file, or a memory file for one report. */
struct record {
	int fd;			/* -1: nowhere */
	bool is_file;		/* BILGE_RECORD: checked before each write */
	bool has_failed;	/* a line could not be written */
	uint32_t modules_said;	/* modules [0, this) have been written */
};

/*
 * record_open - the file named by BILGE_RECORD, or none.
 *
 * A second process that finds the file in use by a living one writes to
 * PATH.PID instead.
 *
 * Context: early, and forked.
 */
void record_open(void);

/* record_open_memory - a record of its own for rendering one report. */
bool record_open_memory(struct record *record);

/* record_start - to the file if other is NULL, else to that alone. */
void record_start(struct record *other);

/* Write one event each, to the file and, unless NULL, to another record. */
void record_leaks(struct record *other, const struct leak_group *groups,
		  size_t count);
void record_misuse(const char *function, const void *address,
		   const char *what, const uintptr_t *frames, uint32_t count);
void record_end(struct record *other, int exit_status, bool is_checked);

/* The same to one record only, which is not the file. */
void record_leaks_to(struct record *record, const struct leak_group *groups,
		     size_t count);
void record_end_to(struct record *record, int exit_status);

/*
 * record_resurrected - a condemned block has come back.
 * Units: how, "reached", "changed", "freed" or "touched"; pc, the instruction
 *        that touched it, 0 when it is not known.
 */
void record_resurrected(uint32_t site, uintptr_t address, const char *how,
			uintptr_t pc);

/* A block in quarantine that was written to. */
struct overwrite {
	uintptr_t address;
	size_t size;			/* bytes the program had asked for */
	size_t offset;			/* of the first word that was written */
	uint32_t site, freed_site;
};

/* record_overwritten - to the file if other is NULL, else to that alone. */
void record_overwritten(struct record *other,
			const struct overwrite *overwrite);

/* record_quarantined - what of the quarantine is pointed at. */
void record_quarantined(struct record *other, const struct leak_group *groups,
			size_t count);

/* record_is_kept - is there a file that somebody asked for? */
bool record_is_kept(void);

/*
 * record_write - have other modules write events of their own to the file.
 *
 * record_begin_event() and what follows are called from `write` alone: with
 * RANK_RECORD held.  A begun event is ended; none is begun that cannot be
 * written.  record_say_modules() writes the modules that are new.
 */
void record_write(void (*write)(struct record *, const void *),
		  const void *argument);

/* Where the event being written goes. */
struct event {
	struct fmt fmt;		/* first: flush gets its address */
	struct record *record;
	int fd;
	bool is_lent;		/* fd is a copy, for this event */
};

bool record_begin_event(struct event *e, struct record *record,
			const char *name);
void record_end_event(struct event *e);

/* record_put_time - a member of an event. */
void record_put_time(struct fmt *f, const char *key, uint64_t ns);
void record_say_modules(struct record *record);

/*
 * record_expand - %p pid, %e program, %t time in a path.
 * Returns: false when it does not fit.
 */
bool record_expand(const char *path, char *ret_path, size_t size);

void record_fork_lock(void);
void record_fork_unlock(bool in_child);

#endif
