/*
 * barrier_stop.c - no barrier: marking is done while the world stands.
 *
 * Always works.  A cycle only opens, disarms and closes it.
 */
#include "collect/barrier.h"

static int
stop_open(void)
{
	return 0;
}

static void
stop_close(bool is_forked)
{
	(void)is_forked;
}

static int
stop_track(uintptr_t start, uintptr_t end)
{
	(void)start;
	(void)end;
	return 0;
}

static int
stop_collect(uintptr_t start, uintptr_t end, bool rearm,
	     void (*visit)(uintptr_t, uintptr_t, void *), void *argument)
{
	(void)rearm;
	visit(start, end, argument);
	return 0;
}

static void
stop_disarm(void)
{
}

const struct barrier barrier_stop = {
	.name = "stop",
	.is_concurrent = false,
	.open = stop_open,
	.close = stop_close,
	.track = stop_track,
	.collect = stop_collect,
	.disarm = stop_disarm,
};
