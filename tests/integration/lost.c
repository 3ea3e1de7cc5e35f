/*
 * lost.c - a victim that loses 165 blocks, 13935 bytes.
 *
 *            blocks   bytes   direct         indirect
 *   plain       100   10000   100  10000
 *   list         30    1440     1     48      29  1392
 *   tree          7     280     1     40       6   240
 *   ring         10     640     1     64       9   576
 *   loop          1      45     1     45
 *   thread       17    1530    17   1530
 *   all         165   13935   121  11727      44  2208
 *
 * One block is held by a pointer into its middle and five by a global array:
 * they are not lost.  Neither are a hundred that are freed.
 */
#include <pthread.h>

#include "victim.h"

struct node {
	struct node *next;
	struct node *other;
};

static char *interior;
static void *held[5];

static NOINLINE struct node *
node_create(size_t size)
{
	struct node *node = malloc(size);	/* LINE node */

	CHECK(node != NULL);
	memset(node, 0, size);
	return node;
}

static NOINLINE void
lose_plain(void)
{
	int i;

	for (i = 0; i < (int)opaque(100); i++)
		use(malloc(100));	/* LINE plain */
}

static NOINLINE void
lose_list(void)
{
	struct node *head = NULL, *node;
	int i;

	for (i = 0; i < (int)opaque(30); i++) {
		node = node_create(48);	/* LINE list */
		node->next = head;
		head = node;
	}
	use(head);
}

static NOINLINE struct node *
tree_create(int depth)
{
	struct node *node = node_create(40);

	if (depth > 1) {
		node->next = tree_create(depth - 1);
		node->other = tree_create(depth - 1);
	}
	return node;
}

/* A ring of ten, each pointing at both neighbours. */
static NOINLINE void
lose_ring(void)
{
	struct node *first = node_create(64), *last = first;	/* LINE ring */
	int i;

	for (i = 1; i < (int)opaque(10); i++) {
		last->next = node_create(64);
		last->next->other = last;
		last = last->next;
	}
	last->next = first;
	first->other = last;
	use(first);
}

static NOINLINE void
lose_loop(void)
{
	struct node *node = node_create(45);

	node->next = node;
	use(node);
}

static NOINLINE void
lose_text(int length)
{
	char text[128];

	memset(text, 'x', sizeof text);
	text[length] = '\0';
	use(strdup(text));	/* LINE strdup */
}

static void *
thread_main(void *arg)
{
	int i;

	for (i = 0; i < (int)opaque(17); i++)
		lose_text(81 + i);	/* LINE thread */
	return arg;
}

static NOINLINE void
lose_by_thread(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, thread_main, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static NOINLINE void
lose_everything(void)
{
	lose_plain();	/* LINE everything */
	lose_list();
	use(tree_create(3));
	lose_ring();
	lose_loop();
	lose_by_thread();
}

static NOINLINE void
hold_some(void)
{
	void *freed[100];
	int i;

	interior = (char *)malloc(300) + 123;
	for (i = 0; i < 5; i++)
		held[i] = malloc(1000 + i);
	use(&interior), use(held);
	for (i = 0; i < 100; i++)
		freed[i] = malloc(i);
	for (i = 0; i < 100; i++)
		free(freed[i]);
}

int
main(void)
{
	hold_some();
	lose_everything();	/* LINE main */
	scrub();
	puts("lost");
	return 0;
}
