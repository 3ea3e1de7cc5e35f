/*
 * claim.h - where a cache's next slots come from.
 */
#ifndef BILGE_CLAIM_H
#define BILGE_CLAIM_H

#include "heap/cache.h"

/*
 * claim_refill - claim a word of a class, from the cache's own spans, from
 * spans of ended threads, or from a new span.
 * Returns:  false when there is no memory.
 * Context:  mutator, inside mutator_hold(), cache entered.
 */
bool claim_refill(struct cache *cache, unsigned class, bool with_sites);

#endif
