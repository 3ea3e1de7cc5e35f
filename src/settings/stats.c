/*
 * stats.c - what we count.  Owns the counters; see stats.h.
 */
#include "settings/stats.h"

struct stats stats;
