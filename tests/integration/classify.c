/*
 * classify.c - lost shapes: which blocks are direct leaks, which indirect.
 */
#include "victim.h"

struct node {
	struct node *to[3];
};

static NOINLINE struct node *
node_create(size_t size)
{
	struct node *node = calloc(1, size);

	CHECK(node != NULL);
	return node;
}

/* Two heads that share one tail: two direct leaks, one indirect. */
static int
shared(const char *arg)
{
	struct node *a = node_create(100), *b = node_create(200);

	a->to[0] = b->to[0] = node_create(300);
	use(a), use(b);
	return 0;
}

/* A ring with something hanging off it: one block of the ring is direct. */
static int
ring_with_tail(const char *arg)
{
	struct node *a = node_create(96), *b = node_create(96);

	a->to[0] = b;
	b->to[0] = a;
	b->to[1] = node_create(200);
	b->to[1]->to[0] = node_create(200);
	use(a);
	return 0;
}

/* A ring that a lost block points at has its head there. */
static int
ring_from_outside(const char *arg)
{
	struct node *a = node_create(96), *b = node_create(96);
	struct node *head = node_create(500);

	a->to[0] = b;
	b->to[0] = a;
	head->to[0] = a;
	use(head);
	return 0;
}

/* Two rings, one pointing at the other: only the first has a head. */
static int
two_rings(const char *arg)
{
	struct node *ring[4];
	int i;

	for (i = 0; i < 4; i++)
		ring[i] = node_create(64);
	ring[0]->to[0] = ring[1];
	ring[1]->to[0] = ring[0];
	ring[2]->to[0] = ring[3];
	ring[3]->to[0] = ring[2];
	ring[1]->to[1] = ring[2];
	memset(use(ring), 0, sizeof ring);
	return 0;
}

/* Deep enough to end every recursive marker. */
static int
long_list(const char *arg)
{
	struct node *head = NULL, *node;
	int i;

	for (i = 0; i < 1000000; i++) {
		node = node_create(24);
		node->to[0] = head;
		head = node;
	}
	use(head);
	return 0;
}

/* Lost through a pointer into the middle: still indirect. */
static int
by_interior(const char *arg)
{
	char **outer = calloc(1, 100);

	outer[1] = (char *)node_create(5000) + 4000;
	use(outer);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "shared", shared },
		{ "ring_with_tail", ring_with_tail },
		{ "ring_from_outside", ring_from_outside },
		{ "two_rings", two_rings },
		{ "long_list", long_list },
		{ "by_interior", by_interior },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
