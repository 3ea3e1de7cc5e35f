/*
 * stats.c - what we count.  Owns the counters; see stats.h.
 */
#include "settings/stats.h"

#include "base/bits.h"

struct stats stats = { .barrier = "stop", .barrier_foreseen = "stop" };

/* bucket_of - values below 8 have one each. */
static unsigned
bucket_of(uint64_t value)
{
	unsigned log;

	if (value < 8)
		return (unsigned)value;
	log = bits_log2(value);
	return log * 8 + (unsigned)((value >> (log - 3)) & 7);
}

/* bucket_end - the largest value of a bucket. */
static uint64_t
bucket_end(unsigned bucket)
{
	unsigned log = bucket / 8;

	if (bucket < 24)
		return bucket;
	return ((UINT64_C(8) + bucket % 8 + 1) << (log - 3)) - 1;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->max = MAX(h->max, value);
	h->buckets[bucket_of(value)]++;
}

uint64_t
histogram_quantile(const struct histogram *h, unsigned permille)
{
	uint64_t rank = (h->count * permille + 999) / 1000, seen = 0;

	for (unsigned i = 0; i < ARRAY_LEN(h->buckets); i++) {
		seen += h->buckets[i];
		if (seen >= rank && seen > 0)
			return MIN(bucket_end(i), h->max);
	}
	return h->max;
}
