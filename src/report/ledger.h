/*
 * ledger.h - what each site has lost so far, and what became of it.
 * Defaults: Context: mutator inside mutator_hold() with signals masked,
 *           collector.  Locks: takes RANK_LEDGER.
 */
#ifndef BILGE_LEDGER_H
#define BILGE_LEDGER_H

#include "base/base.h"

/* One account: a site's direct or indirect leaks. */
struct account {
	uint32_t site;
	bool is_direct;
	uint64_t first_ns;		/* realtime, when it was first seen */
	uint64_t bytes, blocks;		/* lost while the program ran */
	uint64_t reclaimed_bytes, reclaimed_blocks;
	uint64_t told_bytes;		/* in the last text about it */
};

/* ledger_lost - blocks of a site are found to be lost. */
void ledger_lost(uint32_t site, bool is_direct, uint64_t bytes,
		 uint64_t blocks);

/* ledger_reclaimed - a block of a site was given back. */
void ledger_reclaimed(uint32_t site, bool is_direct, uint64_t bytes);

/*
 * ledger_exempt - a block of this site came back: the site is never reclaimed
 * again.  Without memory for the note no site is.
 */
void ledger_exempt(uint32_t site);
bool ledger_is_exempt(uint32_t site);

/*
 * ledger_suspect - in this cycle a block of this site was reached again, by
 * words that may be stale.  Three such cycles of LEDGER_MEMORY make the site
 * exempt.
 *
 * ledger_patience - how many cycles more than others its blocks wait, because
 * of that: 3, then 15.
 */
#define LEDGER_MEMORY	32u
void ledger_suspect(uint32_t site, uint64_t cycle);
unsigned ledger_patience(uint32_t site, uint64_t cycle);

/*
 * ledger_exempt_all - a reclaimed block was still in use: no more of that.
 * Returns: false when all were exempt before.
 */
bool ledger_exempt_all(void);

/* ledger_find - a copy of an account; false when there is none. */
bool ledger_find(uint32_t site, bool is_direct, struct account *ret);

/* ledger_told - the text has told this account as it is now. */
void ledger_told(uint32_t site, bool is_direct);

/* ledger_next - accounts by index, with gaps; false after the last one. */
bool ledger_next(size_t *index, struct account *ret);

/* ledger_accounts - how many there are. */
size_t ledger_accounts(void);

void ledger_fork_lock(void);
void ledger_fork_unlock(bool in_child);

#endif
