/*
 * pause.c - the world stands, and how long it did.
 */
#include "collect/pause.h"

#include "base/sys.h"
#include "settings/stats.h"

/* A thread in a slow path of ours needs microseconds; in a fault, a disk. */
#define STOP_LIMIT_NS	(3 * NSEC_PER_SEC)

int
pause_begin(uintptr_t own_sp, bool is_last, struct stop_failure *ret_failure)
{
	int error = stop_begin(STOP_LIMIT_NS, own_sp, is_last, ret_failure);

	/* At exit nobody waits for the world to go on. */
	if (error == 0 && !is_last)
		histogram_add(&stats.cycle.stop_ns, pause_ns());
	return error;
}

uint64_t
pause_ns(void)
{
	return sys_monotonic_ns() - stop_signal_ns();
}

uint64_t
pause_end(void)
{
	uint64_t ns = pause_ns(), cpu_ns = sys_thread_cpu_ns();

	stop_end();
	/*
	 * To wake them takes a while, but those that are awake may take the
	 * processor from us: that is none of the pause.
	 */
	ns += sys_thread_cpu_ns() - cpu_ns;
	histogram_add(&stats.cycle.pause_ns, ns);
	return ns;
}
