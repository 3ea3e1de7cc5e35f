/*
 * mutate.c - threads that never stop moving the only pointer to something.
 *
 *	mutate [SECONDS [SEED [THREADS [LOST_MIB]]]]
 *
 * For a collector that runs all the time.  A block that is taken while it can be
 * reached is overwritten by the next that gets its memory, and then seen:
 *
 * A reference is a node's address plus the low four bits of its number, so it
 * is an interior pointer, and says when it leads to another node than it was
 * made for.  A node says what it is and how deep below the roots, and holds a
 * pattern made of its number; all of it is looked at on the way.
 *
 * Shared nodes form a graph that all threads change as they like, with atomic
 * stores only.  Nobody frees them: where the last pointer is overwritten they
 * are lost, alone, in trees and, because each points back to its parent, in
 * rings.  Each has an owned tree.
 *
 * Owned trees have one pointer to each node.  Whoever takes the root out of its
 * place has the tree to himself: he grows and prunes it, copies and resizes its
 * nodes, moves subtrees to other trees, gives it to another place, frees or
 * loses it.
 *
 * While something is moved, the only pointer to it is hidden for a while, in
 * general or vector registers, in thread-local storage, deep in the stack, in
 * a mapping, or as the argument or the result of a thread.
 *
 * Some pointers are written by the kernel, which no page fault of ours sees.
 *
 * LOST_MIB (default 50) is what may be lost in a second by all threads.  With
 * 0, or when memory only grows, the graph is only relinked.
 *
 * Compiled with -DKINDS=2 all roots are where bdwgc looks too: under
 * tests/bench/bdwgc_redirect.so it shows that the program itself hides nothing.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../clock.h"
#include "random.h"

#define THREADS_MAX	64
#define PLACES		256	/* of each kind */
#ifndef KINDS
#define KINDS		3	/* of places */
#endif
#define LEVELS		4	/* of nodes, the leaves have 0 */
#define LINKS		4	/* to the level below */
#define LIFETIME	20000	/* operations of a thread */
#define HIDDEN_MAX	2000	/* turns of a loop: well below a cycle */
#define HIDDEN_LONG	4000000 /* several cycles */
#define RESIDENT_MAX	3072	/* MiB, where nobody takes what is lost */
#define MAGIC_SHARED	UINT64_C(0x5348415245444e44)
#define MAGIC_OWNED	UINT64_C(0x4f574e45444e4f44)

/* A node's address and the low bits of its number; 0: none. */
#define TAG		UINT64_C(15)

struct node {
	/* Fixed when the node is made. */
	uint64_t magic;
	uint64_t number;
	uint32_t level;
	uint32_t size;		/* bytes of the node */

	/* Atomic, of shared nodes; those of owned nodes have one user. */
	_Atomic uintptr_t parent;	/* shared only */
	_Atomic uintptr_t tree;		/* shared only: an owned tree */
	_Atomic uintptr_t link[LINKS];

	/* Fixed: a pattern. */
	uint64_t data[];
};

/* Places where references may be; the arrays lie in bss, heap and mapping. */
static _Atomic uintptr_t shared_bss[PLACES], owned_bss[PLACES];
static _Atomic uintptr_t *shared_roots[KINDS], *owned_roots[KINDS];

static __thread uintptr_t pocket;
static __thread int channel[2];		/* a pipe to ourselves */

static uint64_t seed, begin_ns;
static _Atomic uint64_t lost_rate = UINT64_C(50) << 20;
static _Atomic uint64_t lost, numbers, operations, threads_made;
static _Atomic bool is_over;

#define CHECK(x) \
	(__builtin_expect(!!(x), 1) ? (void)0 : fail(__LINE__, #x))

static _Noreturn void
fail(int line, const char *what)
{
	dprintf(STDERR_FILENO, "mutate.c:%d: not true: %s (seed %lu)\n", line,
	    what, (unsigned long)seed);
	abort();
}

/* ------------------------------------------------------------------ the nodes */

/* What can be lost is paid for in advance; returns false where it is too much. */
static bool
may_lose(size_t size)
{
	double allowed = (double)atomic_load(&lost_rate) *
	    (double)(now_ns() - begin_ns) / 1e9;

	if ((double)atomic_load(&lost) >= allowed)
		return false;
	atomic_fetch_add(&lost, size);
	return true;
}

static uint64_t
pattern(const struct node *n, size_t i)
{
	/* Odd and in the upper half: no address. */
	return (mix(n->number + i) | UINT64_C(1) << 63) | 1;
}

static size_t
words(const struct node *n)
{
	return (n->size - sizeof(*n)) / sizeof(n->data[0]);
}

static void
fill(struct node *n)
{
	for (size_t i = 0; i < words(n); i++)
		n->data[i] = pattern(n, i);
}

static void
check_node(const struct node *n, uint64_t magic)
{
	size_t count;

	CHECK(n->magic == magic);
	CHECK(n->level < LEVELS && n->size >= sizeof(*n));
	count = words(n);
	if (count == 0)
		return;
	CHECK(n->data[0] == pattern(n, 0));
	CHECK(n->data[count / 2] == pattern(n, count / 2));
	CHECK(n->data[count - 1] == pattern(n, count - 1));
}

static size_t
pick_size(uint64_t *state)
{
	size_t limit = 16;

	if (pick(state, 200) == 0)
		limit = 8192;
	else if (pick(state, 8) == 0)
		limit = 256;
	return sizeof(struct node) + pick(state, limit) * sizeof(uint64_t);
}

static uintptr_t
refer(const struct node *n)
{
	return (uintptr_t)n + (n->number & TAG);
}

static struct node *
follow(uintptr_t ref, uint64_t magic)
{
	struct node *n = (struct node *)(ref & ~TAG);

	if (ref == 0)
		return NULL;
	CHECK((n->number & TAG) == (ref & TAG));
	check_node(n, magic);
	return n;
}

static struct node *
allocate(size_t size, uint64_t *state)
{
	void *p = NULL;

	switch (pick(state, 8)) {
	case 0:
		p = calloc(1, size);
		for (size_t i = 0; p != NULL && i < size / 8; i++)
			CHECK(((uint64_t *)p)[i] == 0);
		break;
	case 1:
		CHECK(posix_memalign(&p, 64, size) == 0);
		break;
	case 2:
		p = malloc(16);
		CHECK(p != NULL);
		p = realloc(p, size);
		break;
	default:
		p = malloc(size);
	}
	CHECK(p != NULL);
	return memset(p, 0, sizeof(struct node));
}

static struct node *
make_node(uint64_t magic, unsigned level, uint64_t *state)
{
	size_t size = pick_size(state);
	struct node *n = allocate(size, state);

	n->magic = magic;
	n->number = mix(atomic_fetch_add(&numbers, 1));
	n->level = level;
	n->size = (uint32_t)size;
	fill(n);
	return n;
}

/* ------------------------------------------------------------------- hiding */

static void
spin(size_t turns)
{
	while (turns-- > 0)
		__asm__ volatile("pause");
}

static __attribute__((noinline)) uintptr_t
hide_in_stack(uintptr_t ref, size_t depth, size_t turns)
{
	volatile uintptr_t here = ref;

	ref = 0;
	__asm__ volatile("" : "+r"(ref));
	if (depth == 0)
		spin(turns);
	else
		here = hide_in_stack(here, depth - 1, turns);
	return here;
}

/* The loop has the reference in one register and nowhere else. */
static __attribute__((noinline)) uintptr_t
hide_in_register(uintptr_t ref, size_t turns)
{
	__asm__ volatile("1: pause; dec %1; jns 1b"
	    : "+r"(ref), "+r"(turns) : : "cc");
	return ref;
}

static __attribute__((noinline)) uintptr_t
hide_in_vector(uintptr_t ref, size_t turns)
{
	__asm__ volatile(
	    "movq %0, %%xmm9; xor %k0, %k0;"
	    "1: pause; dec %1; jns 1b;"
	    "movq %%xmm9, %0; pxor %%xmm9, %%xmm9"
	    : "+r"(ref), "+r"(turns) : : "cc", "xmm9");
	return ref;
}

static uintptr_t
hide_in_tls(uintptr_t ref, size_t turns)
{
	uintptr_t before = pocket;

	pocket = ref;
	ref = 0;
	__asm__ volatile("" : "+r"(ref) : : "memory");
	spin(turns);
	ref = pocket;
	pocket = before;
	return ref;
}

/*
 * hide - the caller has the only reference, and gets it back.  Callers above
 * keep no copy they would use, but the compiler may have left one.
 */
static uintptr_t
hide(uintptr_t ref, uint64_t *state)
{
	size_t turns = pick(state, HIDDEN_MAX);

	if (pick(state, 10000) == 0)
		turns = pick(state, HIDDEN_LONG);
	else if (pick(state, 4) != 0)
		turns = 0;
	switch (pick(state, 5)) {
	case 0: return hide_in_stack(ref, pick(state, 50), turns);
	case 1: return hide_in_register(ref, turns);
	case 2: return hide_in_vector(ref, turns);
	case 3: return hide_in_tls(ref, turns);
	}
	return ref;
}

/* --------------------------------------------------------------- owned trees */

static void
free_tree(uintptr_t ref)
{
	struct node *n = follow(ref, MAGIC_OWNED);

	if (n == NULL)
		return;
	for (unsigned i = 0; i < LINKS; i++)
		free_tree(n->link[i]);
	for (size_t i = 0; i < words(n); i++)
		CHECK(n->data[i] == pattern(n, i));
	n->magic = ~n->magic;
	free(n);
}

/* size_of - all below a reference, with the owned trees of shared nodes. */
static size_t
size_of(uintptr_t ref, uint64_t magic)
{
	struct node *n = follow(ref, magic);
	size_t size = 0;

	if (n == NULL)
		return 0;
	for (unsigned i = 0; i < LINKS; i++)
		size += size_of(n->link[i], magic);
	return size + n->size + size_of(n->tree, MAGIC_OWNED);
}

static void
discard_tree(uintptr_t ref, uint64_t *state)
{
	struct node *n;

	if (ref == 0)
		return;
	if (pick(state, 2) == 0 || !may_lose(size_of(ref, MAGIC_OWNED))) {
		free_tree(ref);
		return;
	}
	/* Lost as it is, or as a ring. */
	n = follow(ref, MAGIC_OWNED);
	if (pick(state, 2) == 0)
		n->parent = ref;
}

/* any_link - a link in this tree, and the level of what it may hold. */
static _Atomic uintptr_t *
any_link(uintptr_t ref, uint64_t *state, unsigned *ret_level)
{
	struct node *n = follow(ref, MAGIC_OWNED);
	_Atomic uintptr_t *link;

	for (;;) {
		link = &n->link[pick(state, LINKS)];
		if (*link == 0 || n->level == 1 || pick(state, 3) == 0)
			break;
		n = follow(*link, MAGIC_OWNED);
	}
	*ret_level = n->level - 1;
	return link;
}

static uintptr_t
make_tree(unsigned level, uint64_t *state)
{
	struct node *n = make_node(MAGIC_OWNED, level, state);

	for (unsigned i = 0; level > 0 && i < LINKS; i++)
		if (pick(state, 2) == 0)
			n->link[i] = make_tree(level - 1, state);
	return refer(n);
}

static uintptr_t
resize(uintptr_t ref, uint64_t *state)
{
	struct node *n = follow(ref, MAGIC_OWNED);
	size_t size = pick_size(state);

	n = realloc(n, size);
	CHECK(n != NULL);
	n->size = (uint32_t)size;
	fill(n);
	return refer(n);
}

static uintptr_t
copy(uintptr_t ref, uint64_t *state)
{
	struct node *n = follow(ref, MAGIC_OWNED), *m = malloc(n->size);

	CHECK(m != NULL);
	memcpy(m, n, n->size);
	if (may_lose(n->size) && pick(state, 2) == 0)
		return refer(m);	/* the old one still points at all */
	memset(n, 0xee, n->size);
	free(n);
	return refer(m);
}

/* Nothing but bytes to the compiler: a link may be moved in pieces. */
static void
rotate(uintptr_t ref)
{
	struct node *n = follow(ref, MAGIC_OWNED);
	uintptr_t last = n->link[LINKS - 1];

	memmove((char *)n->link + sizeof(last), (char *)n->link,
	    (LINKS - 1) * sizeof(last));
	n->link[0] = last;
}

/* copy_link - some of them by the kernel; "from" has its reference still. */
static void
copy_link(_Atomic uintptr_t *to, _Atomic uintptr_t *from, uint64_t *state)
{
	if (pick(state, 16) != 0) {
		*to = *from;
		return;
	}
	CHECK(write(channel[1], from, sizeof(*from)) == sizeof(*from));
	CHECK(read(channel[0], to, sizeof(*to)) == sizeof(*to));
}

static void
swap_subtrees(uintptr_t a, uintptr_t b, uint64_t *state)
{
	unsigned a_level, b_level;
	_Atomic uintptr_t *x = any_link(a, state, &a_level);
	_Atomic uintptr_t *y = any_link(b, state, &b_level);
	uintptr_t ref;

	if (a_level != b_level)
		return;
	ref = *x;
	*x = 0;
	ref = hide(ref, state);
	copy_link(x, y, state);
	*y = ref;
}

static uintptr_t
change_tree(uintptr_t ref, uint64_t *state)
{
	_Atomic uintptr_t *link;
	unsigned level;

	if (ref == 0)
		return make_tree(LEVELS - 1, state);
	switch (pick(state, 6)) {
	case 0: return resize(ref, state);
	case 1: return copy(ref, state);
	case 2: rotate(ref); return ref;
	case 3:
		link = any_link(ref, state, &level);
		discard_tree(atomic_exchange(link, 0), state);
		*link = make_tree(level, state);
		return ref;
	case 4:
		link = any_link(ref, state, &level);
		if (*link != 0)
			*link = copy(*link, state);
		return ref;
	default:
		if (pick(state, 8) != 0)
			return ref;
		discard_tree(ref, state);
		return 0;
	}
}

/* ---------------------------------------------------------- the shared graph */

/*
 * walk - to a node on the level above "level"; NULL where the way ends before.
 * Others change the graph meanwhile, but nothing that was found goes away.
 */
static struct node *
walk(unsigned level, uint64_t *state)
{
	struct node *n = follow(shared_roots[pick(state, KINDS)]
	    [pick(state, PLACES)], MAGIC_SHARED), *p;

	for (; n != NULL && n->level > level + 1;
	     n = follow(n->link[pick(state, LINKS)], MAGIC_SHARED)) {
		CHECK(n->level < LEVELS);
		p = follow(n->parent, MAGIC_SHARED);
		CHECK(p == NULL || p->level == n->level + 1);
	}
	return n;
}

/* shared_place - where a reference to a node of this level may be. */
static _Atomic uintptr_t *
shared_place(unsigned level, uint64_t *state, struct node **ret_parent)
{
	*ret_parent = NULL;
	if (level == LEVELS - 1)
		return &shared_roots[pick(state, KINDS)][pick(state, PLACES)];
	*ret_parent = walk(level, state);
	return *ret_parent == NULL ? NULL
	    : &(*ret_parent)->link[pick(state, LINKS)];
}

static void
put_shared(_Atomic uintptr_t *place, struct node *parent, uintptr_t ref)
{
	struct node *n = follow(ref, MAGIC_SHARED);

	if (n != NULL && parent != NULL)
		atomic_store(&n->parent, refer(parent));
	atomic_store(place, ref);
}

/* graft - a new node takes over what the old one in its place has. */
static void
graft(_Atomic uintptr_t *place, struct node *parent, unsigned level,
      uint64_t *state)
{
	struct node *old = follow(*place, MAGIC_SHARED), *new, *other;
	bool is_alone = pick(state, 4) != 0;

	if (old != NULL && !may_lose(old->size))
		return;
	new = make_node(MAGIC_SHARED, level, state);
	for (unsigned i = 0; level > 0 && i < LINKS; i++) {
		uintptr_t ref = 0;

		if (old != NULL && is_alone)
			ref = old->link[i];
		else if ((other = walk(level - 1, state)) != NULL)
			ref = other->link[i];
		put_shared(&new->link[i], new, ref);
	}
	/* What is left in the old node would be lost with it. */
	if (old != NULL && pick(state, 2) == 0)
		new->tree = atomic_exchange(&old->tree, 0);
	put_shared(place, parent, refer(new));
}

static void
change_graph(uint64_t *state)
{
	unsigned level = (unsigned)pick(state, LEVELS);
	struct node *a_parent, *b_parent;
	_Atomic uintptr_t *a = shared_place(level, state, &a_parent);
	_Atomic uintptr_t *b = shared_place(level, state, &b_parent);
	uintptr_t ref;

	if (a == NULL || b == NULL)
		return;
	switch (pick(state, 8)) {
	case 0:
	case 1:
		graft(a, a_parent, level, state);
		break;
	case 2:
		/* A second pointer, and one less to something. */
		if (*b == 0 || may_lose(sizeof(struct node)))
			put_shared(b, b_parent, atomic_load(a));
		break;
	default:
		ref = atomic_exchange(a, 0);
		ref = hide(ref, state);
		ref = atomic_exchange(b, ref);
		put_shared(a, a_parent, ref);
	}
}

/* -------------------------------------------------------------- the threads */

static _Atomic uintptr_t *
owned_place(uint64_t *state)
{
	struct node *n;

	if (pick(state, 2) == 0) {
		n = walk((unsigned)pick(state, LEVELS - 1), state);
		if (n != NULL)
			return &n->tree;
	}
	return &owned_roots[pick(state, KINDS)][pick(state, PLACES)];
}

static uintptr_t
put_owned(uintptr_t ref, uint64_t *state)
{
	return atomic_exchange(owned_place(state), ref);
}

static void
change_owned(uint64_t *state)
{
	uintptr_t ref = put_owned(0, state), other;

	ref = hide(change_tree(ref, state), state);
	other = put_owned(0, state);
	if (ref != 0 && other != 0)
		swap_subtrees(ref, other, state);
	discard_tree(put_owned(ref, state), state);
	discard_tree(put_owned(other, state), state);
}

struct life {
	uint64_t state;
	uintptr_t ref;		/* an owned tree that comes with it */
};

/* live - returns a tree, for who is to come. */
static void *
live(void *argument)
{
	struct life *life = argument;
	uint64_t state = life->state;
	uintptr_t ref = life->ref;
	size_t left = pick(&state, LIFETIME);

	life->ref = 0;
	free(life);
	CHECK(pipe(channel) == 0);
	discard_tree(put_owned(ref, &state), &state);
	for (; left > 0 && !atomic_load(&is_over); left--) {
		change_graph(&state);
		change_owned(&state);
		atomic_fetch_add_explicit(&operations, 2,
		    memory_order_relaxed);
	}
	close(channel[0]);
	close(channel[1]);
	return (void *)put_owned(0, &state);
}

/* live_again - one thread after the other, each with what the last one left. */
static void *
live_again(void *unused)
{
	uintptr_t ref = 0;

	(void)unused;
	while (!atomic_load(&is_over)) {
		struct life *life = malloc(sizeof(*life));
		pthread_t thread;
		void *result;

		CHECK(life != NULL);
		life->state = mix(seed + atomic_fetch_add(&threads_made, 1));
		life->ref = ref;
		ref = 0;
		CHECK(pthread_create(&thread, NULL, live, life) == 0);
		life = NULL;
		CHECK(pthread_join(thread, &result) == 0);
		ref = (uintptr_t)result;
	}
	free_tree(ref);
	return NULL;
}

/* ------------------------------------------------------------------- the end */

static void
begin_places(void)
{
	size_t size = PLACES * sizeof(shared_bss[0]);
	void *mapping = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(mapping != MAP_FAILED);
	shared_roots[0] = shared_bss;
	owned_roots[0] = owned_bss;
	shared_roots[1] = calloc(1, size);
	owned_roots[1] = calloc(1, size);
#if KINDS > 2
	shared_roots[2] = mapping;
	owned_roots[2] = shared_roots[2] + PLACES;
#endif
	CHECK(shared_roots[1] != NULL && owned_roots[1] != NULL);
}

/* Shared parts count as often as they are reached: a bound, and a check. */
static size_t
live_size(void)
{
	size_t size = 0;

	for (unsigned kind = 0; kind < KINDS; kind++)
		for (unsigned i = 0; i < PLACES; i++)
			size += size_of(shared_roots[kind][i], MAGIC_SHARED) +
			    size_of(owned_roots[kind][i], MAGIC_OWNED);
	return size;
}

static long
resident_mib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file != NULL) {
		if (fscanf(file, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(file);
	}
	return pages * sysconf(_SC_PAGESIZE) >> 20;
}

int
main(int argc, char **argv)
{
	struct timespec tick = { 0, 50000000 };
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
	unsigned threads = argc > 3 ? (unsigned)atoi(argv[3]) : 4;
	pthread_t keepers[THREADS_MAX];

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : now_ns();
	if (argc > 4)
		lost_rate = strtoull(argv[4], NULL, 0) << 20;
	CHECK(threads >= 1 && threads <= THREADS_MAX);
	printf("mutate %u %lu %u %lu\n", seconds, (unsigned long)seed, threads,
	    (unsigned long)(lost_rate >> 20));
	fflush(stdout);

	begin_places();
	begin_ns = now_ns();
	for (unsigned i = 0; i < threads; i++)
		CHECK(pthread_create(&keepers[i], NULL, live_again,
				     NULL) == 0);
	while (now_ns() - begin_ns < (uint64_t)seconds * 1000000000) {
		nanosleep(&tick, NULL);
		if (lost_rate > 0 && resident_mib() > RESIDENT_MAX) {
			dprintf(STDERR_FILENO, "mutate: nothing more is lost: "
			    "%d MiB are resident\n", RESIDENT_MAX);
			atomic_store(&lost_rate, 0);
		}
	}
	atomic_store(&is_over, true);
	for (unsigned i = 0; i < threads; i++)
		CHECK(pthread_join(keepers[i], NULL) == 0);

	printf("%lu operations, %lu threads, %lu nodes, at most %lu MiB live, "
	    "%lu MiB lost, %ld MiB resident\n",
	    (unsigned long)atomic_load(&operations),
	    (unsigned long)atomic_load(&threads_made),
	    (unsigned long)atomic_load(&numbers),
	    (unsigned long)(live_size() >> 20),
	    (unsigned long)(atomic_load(&lost) >> 20), resident_mib());
	return 0;
}
