/*
 * why.c - blocks that are held in each way there is, and some that are not.
 *
 * Prints "NAME ADDRESS" for each.  The ways are told apart by
 * `bilge report --why`.
 */
#include "victim.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

struct node {
	struct node *next;
	char data[24];
};

struct {
	long count;
	struct node *list;
} inventory;

static __thread struct node *volatile of_thread;

static sem_t is_ready;

static void
show(const char *name, uintptr_t hidden)
{
	printf("%s %#lx\n", name, (unsigned long)~hidden);
	fflush(stdout);
}

static NOINLINE struct node *
make_node(struct node *next)
{
	struct node *node = use(malloc(sizeof(*node)));		/* LINE node */

	node->next = next;
	return node;
}

/* Three of them, so that the path has a middle. */
static NOINLINE void
fill_inventory(void)
{
	struct node *last = make_node(NULL);

	inventory.list = make_node(make_node(last));
	inventory.count = 3;
	show("variable", hide(last));
	show("inside", hide(last->data));
}

static NOINLINE void
fill_mapping(void)
{
	struct node **page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	page[3] = make_node(NULL);
	show("mapping", hide(page[3]));
}

static NOINLINE void
fill_tls(void)
{
	of_thread = make_node(NULL);
	show("tls", hide(of_thread));
}

static NOINLINE void
lose(void)
{
	struct node *last = make_node(NULL);
	struct node *head = make_node(make_node(last));

	show("lost_last", hide(last));
	show("lost_head", hide(head));
}

static NOINLINE void
free_one(void)
{
	struct node *node = make_node(NULL);
	uintptr_t hidden = hide(node);

	free(node);
	show("freed", hidden);
}

static NOINLINE void
wait_for_ever(struct node *volatile *kept)
{
	sem_post(&is_ready);
	while (*kept != NULL)
		pause();
}

static NOINLINE void
keep_in_frame(void)
{
	struct node *volatile kept[8] = { NULL };

	kept[0] = make_node(NULL);
	show("thread", hide(kept[0]));
	wait_for_ever(kept);
}

static void *
run_thread(void *argument)
{
	pthread_setname_np(pthread_self(), "keeper");
	keep_in_frame();
	return argument;
}

static NOINLINE void
leave(struct node *volatile *kept)
{
	scrub();
	exit(*kept == NULL);
}

static NOINLINE void
keep_in_main_thread(void)
{
	struct node *volatile kept[8] = { NULL };

	kept[0] = make_node(NULL);
	show("stack", hide(kept[0]));
	leave(kept);
}

int
main(void)
{
	pthread_t thread;

	show("nothing", ~(uintptr_t)main);
	sem_init(&is_ready, 0, 0);
	fill_inventory();
	fill_mapping();
	fill_tls();
	lose();
	free_one();
	CHECK(pthread_create(&thread, NULL, run_thread, NULL) == 0);
	while (sem_wait(&is_ready) != 0)
		continue;
	scrub();
	keep_in_main_thread();
}
