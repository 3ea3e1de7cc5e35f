/*
 * unit.c - what the unit tests share.
 */
#include "unit.h"

#include "base/panic.h"
#include "base/sys.h"
#include "collect/candidate.h"
#include "collect/cycle.h"
#include "collect/marker.h"
#include "heap/meta.h"
#include "report/depot.h"
#include "report/modules.h"
#include "settings/options.h"
#include "world/mutator.h"
#include "world/stop.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* No test needs so long; it is for a machine that is busy with others. */
#define TIME_LIMIT_S	60

#define TRAP_FLAG	0x100

#ifdef __SANITIZE_ADDRESS__
PUBLIC const char *__asan_default_options(void);

/* Tests raise signals, lose blocks and scan stacks on purpose. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0:handle_segv=0:handle_abort=0:"
	       "detect_stack_use_after_return=0:use_sigaltstack=0";
}
#endif

_Noreturn void
unit_fail(const char *file, int line, const char *what)
{
	/* First without any lock: the world may stand still. */
	dprintf(2, "%s:%d: not true: %s\n", file, line, what);
	ck_abort_msg("%s:%d: not true: %s", file, line, what);
	abort();
}

int
unit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	printf("TEST_SEED=%lu\n", (unsigned long)unit_seed(0));
	fflush(stdout);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

TCase *
unit_case(Suite *suite, const char *name, const TTest *test)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, TIME_LIMIT_S);
	if (test != NULL)
		tcase_add_test(tcase, test);
	suite_add_tcase(suite, tcase);
	return tcase;
}

/* --------------------------------------------------------------- randomness */

uint64_t
unit_seed(unsigned own)
{
	/* Read before Check forks: all tests of a program share it. */
	static uint64_t seed;
	const char *chosen = getenv("TEST_SEED");
	struct timespec now;

	if (seed == 0 && chosen != NULL)
		seed = strtoull(chosen, NULL, 0);
	if (seed == 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = bits_mix((uint64_t)now.tv_sec * NSEC_PER_SEC +
				(uint64_t)now.tv_nsec + (uint64_t)getpid()) >>
		       32 | 1;
	}
	return own == 0 ? seed : bits_mix(seed + own) | 1;
}

size_t
unit_random(uint64_t *state, size_t limit)
{
	/* xorshift64* (Vigna, "An experimental exploration ..."). */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return ((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 16) % limit;
}

size_t
unit_random_size(uint64_t *state, size_t limit)
{
	/* As many sizes of each order of magnitude. */
	unsigned order = (unsigned)unit_random(state, bits_log2(limit) + 1);

	return unit_random(state, ((size_t)1 << order) + 1);
}

/* --------------------------------------------------------------------- heap */

void
unit_heap(unsigned pad, bool with_sites)
{
	ck_assert_int_eq(heap_init(), 0);
	heap_configure(pad, with_sites, false);
	mutator_set_stop_signal(SIGSTKFLT);
	ck_assert(heap_thread_begin(false));
}

void
unit_core(const char *const *settings)
{
	ck_assert_int_eq(heap_init(), 0);
	options_parse((char *const *)settings);
	heap_configure(1, true, options->leaks == LEAKS_RECLAIM ||
		       options->verify);
	stop_set_signal((int)options->signal);
	ck_assert_int_eq(depot_init(), 0);
	ck_assert_int_eq(modules_init(), 0);
	ck_assert(heap_thread_begin(false));
	/* The first address of the heap stands in our data: arena_view. */
	unit_hidden_block(1);
}

void
unit_core_defaults(void)
{
	static const char *const settings[] = { NULL };

	unit_core(settings);
}

NOINLINE int
unit_cycle_check(void)
{
	__builtin_unwind_init();
	return cycle_check((uintptr_t)__builtin_frame_address(0) -
			   ARCH_SAVED_REGISTERS, false);
}

/* Everything that is found out about a heap. */
struct findings {
	size_t taken;
	size_t listed;		/* spans with SPAN_LISTED */
	size_t linked;		/* spans with is_linked */
};

static void
check_bitmaps(const struct span *span, struct findings *found)
{
	for (uint32_t w = 0; w < span->words; w++) {
		uint64_t beyond = ~span_word_mask(span, w);
		uint64_t free = span->own[w].free & ~beyond;
		uint64_t returned = load_relaxed(&span->returned[w]);
		uint64_t claimed = span->own[w].claimed;

		expect((free & returned) == 0);			/* S1 */
		expect((free & claimed) == 0);			/* C2 */
		expect((returned & claimed) == 0);
		if (free != 0)						/* C1 */
			expect(span->is_linked);
		/* S2 */
		expect(((span->full >> w) & 1) == (~span->own[w].free == 0));
		expect(!((span->rich >> w) & 1) || free != 0);
		if (returned != 0)				/* [R] */
			expect(load_relaxed(&span->remote) & SPAN_LISTED);
		expect((~span->own[w].free & beyond) == 0);		/* S3 */
		expect((beyond & (returned | claimed |
				  load_relaxed(&span->mark[w]) |
				  load_relaxed(&span->quarantined[w]) |
				  span->condemned[w])) == 0);
		found->taken += bits_count(~(beyond | free | returned |
					     claimed));
	}
}

static void
check_span(struct span *span, void *argument)
{
	struct findings *found = argument;
	const struct cache *owner = load_relaxed(&span->owner);
	const struct cache *fast = load_relaxed(&span->fast_owner);
	uint32_t remote = load_relaxed(&span->remote);

	expect(arena_span_of(span->run) == span);			/* S4 */
	if (span_is_large(span)) {
		expect(owner == NULL && fast == NULL);
		expect(span_base(span) + span->large_bytes ==
		       span->run + span->run_units * UNIT_SIZE);
		found->taken += !(load_relaxed(&span->returned[0]) & 1);
		return;
	}
	check_bitmaps(span, found);
	expect(fast == NULL ||
	       (fast == (span->site == NULL ? owner : CACHE_NOTING(owner)) &&
		remote == 0 && span->is_linked));
	expect(remote < SPAN_VISITOR);
	found->linked += span->is_linked;
	found->listed += remote & SPAN_LISTED;
}

/* check_ring - the spans of a class that may have free bits. */
static void
check_ring(const struct cache *cache, unsigned class, struct findings *found)
{
	const struct span *first = cache->spans[class], *s = first;

	if (first == NULL)
		return;
	do {
		expect(arena_span_of(s->run) == s);			/* C5 */
		expect(load_relaxed(&s->owner) == cache);
		expect(s->class == class && s->is_linked);
		expect(s->next->prev == s && s->prev->next == s);
		expect(!s->is_spare || span_is_empty(s));
		found->linked--;
		s = s->next;
	} while (s != first);
}

static void
check_cache(struct cache *cache, void *argument)
{
	struct findings *found = argument;

	expect(!cache_is_busy(cache));
	for (unsigned class = 0; class < CLASS_COUNT; class++)
		check_ring(cache, class, found);
	for (struct span *s = load_relaxed(&cache->returned); s != NULL;
	     s = s->next_listed) {
		expect(arena_span_of(s->run) == s);			/* C5 */
		expect(load_relaxed(&s->remote) & SPAN_LISTED);
		expect(found->listed-- > 0);				/* C3 */
	}
}

size_t
unit_check_heap(void)
{
	struct findings found = { 0 };

	arena_for_each_span(check_span, &found);
	cache_for_each(check_cache, &found);
	expect(found.linked == 0);					/* C1 */
	expect(found.listed == 0);					/* C3 */
#ifdef BILGE_DEBUG
	expect(arena_is_valid());
#endif
	return found.taken;
}

bool
unit_is_marked(uintptr_t block)
{
	struct block b;

	expect(candidate_find(block, &b));
	return (load_relaxed(&b.span->mark[b.slot / WORD_BITS]) >>
		(b.slot % WORD_BITS)) & 1;
}

void
unit_drain(void)
{
	/* Small steps: each begins where the last one ended. */
	while (!marker_drain(marker_of(0), 64 * KIB))
		continue;
}

void
unit_mark(const void *start, const void *end)
{
	expect(marker_begin(true));
	marker_whiten();
	marker_scan_range((uintptr_t)start, (uintptr_t)end);
	unit_drain();
}

void
unit_starve(void)
{
	const size_t keep = 5 * MIB;

	expect(meta_room() > keep);
	expect(meta_reserve(meta_room() - keep) != NULL);
}

/* ---------------------------------------------------------- hidden pointers */

NOINLINE struct hidden
unit_hidden_block(size_t size)
{
	void *block = heap_alloc(size, true);
	struct hidden hidden = unit_hide(block);

	expect(block != NULL);
	heap_note(block, size, SITE_UNKNOWN);
	__asm__ volatile("" : "+r"(hidden.word));
	return hidden;
}

NOINLINE void
unit_scrub_registers(void)
{
	__asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
			 "pxor %%xmm2, %%xmm2\n\tpxor %%xmm3, %%xmm3\n\t"
			 "pxor %%xmm4, %%xmm4\n\tpxor %%xmm5, %%xmm5\n\t"
			 "pxor %%xmm6, %%xmm6\n\tpxor %%xmm7, %%xmm7\n\t"
			 "pxor %%xmm8, %%xmm8\n\tpxor %%xmm9, %%xmm9\n\t"
			 "xorl %%eax, %%eax\n\txorl %%ecx, %%ecx\n\t"
			 "xorl %%edx, %%edx\n\txorl %%esi, %%esi\n\t"
			 "xorl %%edi, %%edi\n\t"
			 : : : "rax", "rcx", "rdx", "rsi", "rdi", "memory");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" : : : "memory");
}

NOINLINE void
unit_scrub(void)
{
	char below[32 * 1024];

	explicit_bzero(below, sizeof(below));
	unit_scrub_registers();
}

/* --------------------------------------------------------------- reachability */

void
unit_search(struct unit_node *nodes, unsigned *queue, unsigned first)
{
	unsigned head = 0, tail = 0;

	if (nodes[first].is_reachable)
		return;
	nodes[first].is_reachable = true;
	queue[tail++] = first;
	while (head < tail) {
		const struct unit_node *node = &nodes[queue[head++]];

		for (unsigned e = 0; e < node->edge_count; e++) {
			unsigned next = node->edges[e];

			if (!nodes[next].is_reachable) {
				nodes[next].is_reachable = true;
				queue[tail++] = next;
			}
		}
	}
}

/* ----------------------------------------------------------------- stepping */

static struct {
	void (*each)(const ucontext_t *);
	enum { STEP_BEGIN, STEP_ON, STEP_END } state;
} step;

static void
on_trap(int sig, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;

	(void)sig;
	(void)info;
	if (step.state == STEP_BEGIN) {
		context->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
		step.state = STEP_ON;
	} else if (step.state == STEP_END) {
		context->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	} else {
		step.each(context);
	}
}

void
unit_step(void (*run)(void), void (*each)(const ucontext_t *))
{
	struct sigaction action = { .sa_flags = SA_SIGINFO };

	action.sa_sigaction = on_trap;
	expect(sigaction(SIGTRAP, &action, NULL) == 0);
	step.each = each;
	step.state = STEP_BEGIN;
	raise(SIGTRAP);
	run();
	step.state = STEP_END;
	raise(SIGTRAP);
}

bool
unit_signals_are_blocked(const ucontext_t *context)
{
	return sigismember(&context->uc_sigmask, SIGALRM);
}

unsigned
unit_count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned count = 0;

	expect(dir != NULL);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* ------------------------------------------------------------------- output */

void
unit_block_all(uint64_t *ret_mask)
{
	const uint64_t all = ~UINT64_C(0);

	expect(sys_sigprocmask(SIG_BLOCK, &all, ret_mask) == 0);
}

const char *
unit_capture(void (*run)(void))
{
	static char text[64 * 1024];
	int saved = dup(2), fd = memfd_create("stderr", 0);
	ssize_t n;

	expect(saved >= 0 && fd >= 0 && dup2(fd, 2) == 2);
	run();
	expect(dup2(saved, 2) == 2);
	n = pread(fd, text, sizeof(text) - 1, 0);
	expect(n >= 0);
	text[n] = '\0';
	close(fd);
	close(saved);
	return text;
}

unsigned
unit_count(const char *text, const char *part)
{
	unsigned count = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		count++;
	return count;
}
