/*
 * uaf.c - what programs do with blocks after they have freed them.
 *
 * Those that read must find zeros and never another block's contents; what
 * those that write have done is told, and nobody else has it; what is freed
 * twice ends the program.  Each is compiled so that nothing is known of the
 * order in which blocks are used.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "victim.h"

/* Blocks like the one that was freed, full of what it must never hold. */
#define NOISE	0x5a

/* churn - allocate and free what several quarantines hold, and some to keep. */
static NOINLINE void
churn(size_t size)
{
	char *kept[64] = { NULL };
	size_t i, count = 6 * 1024 * 1024 / size + 200;

	for (i = 0; i < count; i++) {
		char *block = malloc(size);

		memset(block, NOISE, size);
		free(kept[i % 64]);
		kept[i % 64] = block;
		if (i % (count / 16 + 1) == 0)
			usleep(2000);
	}
	for (i = 0; i < 64; i++) {
		free(kept[i]);
		kept[i] = NULL;
	}
}

static void
expect_clear(const void *block, size_t size)
{
	const char *bytes = use((void *)(uintptr_t)block);
	size_t i;

	for (i = 0; i < size; i++)
		CHECK(bytes[i] == 0);
}

struct node {
	struct node *next;
	long value;
	char text[48];
};

/* ------------------------------------------------------------ those that read */

static int
reads_string(const char *arg)
{
	char *name = strdup("a name that was freed");

	free(use(name));
	churn(22);
	CHECK(strlen(use(name)) == 0);
	return 0;
}

static int
reads_size(const char *arg)
{
	size_t size = strtoul(arg, NULL, 10);
	char *block = malloc(size);

	memset(block, 1, size);
	free(use(block));
	churn(size);
	expect_clear(block, size);
	return 0;
}

static int
reads_list(const char *arg)
{
	struct node *head = calloc(1, sizeof *head), *n = head;
	int i, seen = 0;

	for (i = 0; i < 10; i++, n = n->next) {
		n->next = calloc(1, sizeof *n);
		n->value = i;
	}
	/* The loop that everybody writes once. */
	for (n = head; n != NULL; n = n->next, seen++)
		free(use(n));
	CHECK(seen == 1);
	churn(sizeof *n);
	return 0;
}

static int
reads_function_pointer(const char *arg)
{
	struct { int (*call)(const char *); char rest[80]; } *object;

	object = malloc(sizeof *object);
	object->call = reads_string;
	free(use(object));
	churn(sizeof *object);
	CHECK(((__typeof__(object))use(object))->call == NULL);
	return 0;
}

static struct node *cursor;

static int
reads_global(const char *arg)
{
	cursor = calloc(1, sizeof *cursor);
	cursor->value = 7;
	free(use(cursor));
	churn(sizeof *cursor);
	CHECK(((struct node *)use(cursor))->value == 0);
	return 0;
}

static __thread struct node *in_tls;

static int
reads_tls(const char *arg)
{
	in_tls = calloc(1, sizeof *in_tls);
	in_tls->value = 7;
	free(use(in_tls));
	churn(sizeof *in_tls);
	CHECK(((struct node *)use(in_tls))->value == 0);
	return 0;
}

static int
reads_from_heap(const char *arg)
{
	struct node **holder = malloc(sizeof *holder);

	*holder = calloc(1, sizeof **holder);
	(*holder)->value = 7;
	free(use(*holder));
	churn(sizeof **holder);
	CHECK((*holder)->value == 0);
	free(holder);
	return 0;
}

static int
reads_interior(const char *arg)
{
	char *block = malloc(4000), *inside = block + 2000;

	memset(block, 1, 4000);
	free(use(block));
	block = NULL;
	churn(4000);
	expect_clear(inside, 100);
	return 0;
}

static int
reads_behind_end(const char *arg)
{
	long *array = malloc(16 * sizeof *array), *end = array + 16;

	memset(array, 1, 16 * sizeof *array);
	free(use(array));
	array = NULL;
	scrub();
	churn(16 * sizeof *array);
	expect_clear((long *)use(end) - 16, 16 * sizeof *array);
	return 0;
}

static int
reads_moved(const char *arg)
{
	char *old = malloc(100), *moved;

	memset(old, 1, 100);
	cursor = (struct node *)old;
	moved = realloc(use(old), 100000);
	CHECK(moved != (char *)cursor && moved[99] == 1);
	churn(100);
	expect_clear(cursor, 100);
	free(moved);
	return 0;
}

static int
reads_grown_array(const char *arg)
{
	size_t count = 4, i;
	long *array = calloc(count, sizeof *array), *element = &array[1];

	*element = 42;
	for (i = 0; i < 8; i++) {
		count *= 4;
		array = realloc(use(array), count * sizeof *array);
	}
	CHECK(array[1] == 42);
	if (element != &array[1])
		CHECK(*(long *)use(element) == 0);
	free(array);
	return 0;
}

static int
reads_large(const char *arg)
{
	char *block = malloc(4 << 20);

	memset(block, 1, 4 << 20);
	free(use(block));
	churn(4 << 20);
	expect_clear(block, 4 << 20);
	return 0;
}

static int
reads_aligned(const char *arg)
{
	void *block;

	CHECK(posix_memalign(&block, 4096, 10000) == 0);
	memset(block, 1, 10000);
	free(use(block));
	churn(10000);
	expect_clear(block, 10000);
	return 0;
}

static void *
free_it(void *block)
{
	free(use(block));
	return NULL;
}

static void
free_elsewhere(void *block)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, free_it, block) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static int
reads_freed_elsewhere(const char *arg)
{
	char *block = malloc(64);

	memset(block, 1, 64);
	free_elsewhere(block);
	churn(64);
	expect_clear(block, 64);
	return 0;
}

static void *
churn_in_thread(void *size)
{
	churn((size_t)size);
	return NULL;
}

static int
reads_while_others_allocate(const char *arg)
{
	char *block = malloc(64);
	pthread_t threads[4];
	int i;

	memset(block, 1, 64);
	free(use(block));
	for (i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, churn_in_thread,
		    (void *)64) == 0);
	for (i = 0; i < 1000; i++) {
		expect_clear(block, 64);
		usleep(50);
	}
	for (i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	expect_clear(block, 64);
	return 0;
}

static int
reads_in_child(const char *arg)
{
	char *block = malloc(64);
	int status;
	pid_t pid;

	memset(block, 1, 64);
	free(use(block));
	pid = fork();
	if (pid == 0) {
		churn(64);
		expect_clear(block, 64);
		_exit(7);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	expect_clear(block, 64);
	return 0;
}

static sigjmp_buf back;

static int
reads_after_jump(const char *arg)
{
	char *volatile block = malloc(64);

	memset(block, 1, 64);
	if (sigsetjmp(back, 1) == 0) {
		free(use(block));
		siglongjmp(back, 1);
	}
	churn(64);
	expect_clear(block, 64);
	return 0;
}

static char *volatile for_handler;

static void
on_signal(int number)
{
	(void)number;
	free(for_handler);
}

static int
reads_freed_in_handler(const char *arg)
{
	for_handler = malloc(64);
	memset(for_handler, 1, 64);
	CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
	raise(SIGUSR1);
	churn(64);
	expect_clear(for_handler, 64);
	return 0;
}

static void
at_exit(void)
{
	expect_clear(for_handler, 64);
}

static int
reads_at_exit(const char *arg)
{
	for_handler = malloc(64);
	memset(for_handler, 1, 64);
	CHECK(atexit(at_exit) == 0);
	free(for_handler);
	churn(64);
	return 0;
}

static int
reads_through_mapping(const char *arg)
{
	char **page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	page[100] = malloc(64);
	memset(page[100], 1, 64);
	free(page[100]);
	churn(64);
	expect_clear(page[100], 64);
	return 0;
}

static int
reads_through_shared_mapping(const char *arg)
{
	char **page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(page != MAP_FAILED);
	page[100] = malloc(64);
	memset(page[100], 1, 64);
	free(page[100]);
	churn(64);
	expect_clear(page[100], 64);
	return 0;
}

/* A stack without locks: the top is not what it was (ABA). */
static int
reads_popped(const char *arg)
{
	struct node *top = calloc(1, sizeof *top), *next;
	struct node *seen, *fresh;

	top->next = calloc(1, sizeof *top);
	seen = top;
	next = top->next;
	free(use(top));			/* another thread has popped both */
	free(use(next));
	churn(sizeof *top);
	fresh = malloc(sizeof *fresh);
	CHECK(fresh != seen);		/* compare-and-swap would fail */
	free(fresh);
	return 0;
}

static int
reads_line(const char *arg)
{
	char text[] = "first\nsecond, which is longer\n", *line = NULL, *old;
	FILE *f = fmemopen(text, strlen(text), "r");
	size_t size = 0;

	CHECK(getline(&line, &size, f) > 0);
	old = line;
	free(use(line));
	line = NULL;
	size = 0;
	churn(120);
	CHECK(getline(&line, &size, f) > 0 && line != old);
	expect_clear(old, 6);
	free(line);
	fclose(f);
	return 0;
}

/* ----------------------------------------------------------- those that write */

static int
writes(const char *arg)
{
	char *block = malloc(64);

	free(use(block));
	((char *)use(block))[40] = 1;
	churn(64);
	return 0;
}

static int
writes_size(const char *arg)
{
	size_t size = strtoul(arg, NULL, 10);
	char *block = malloc(size);

	free(use(block));
	((char *)use(block))[size - 1] = 1;
	churn(64);
	return 0;
}

/* No cycle comes before the end. */
static int
writes_last(const char *arg)
{
	char *block = malloc(64);

	free(use(block));
	((char *)use(block))[0] = 1;
	return 0;
}

static int
writes_and_forgets(const char *arg)
{
	uintptr_t hidden = hidden_block(64);

	free(reveal(hidden));
	((char *)reveal(hidden))[0] = 1;
	scrub();
	churn(64);
	return 0;
}

static int
writes_moved(const char *arg)
{
	char *old = malloc(100), *moved;

	cursor = (struct node *)old;
	moved = realloc(use(old), 100000);
	((char *)use(cursor))[50] = 1;
	churn(100);
	free(moved);
	return 0;
}

static void *
write_it(void *block)
{
	((char *)use(block))[8] = 1;
	return NULL;
}

static int
writes_elsewhere(const char *arg)
{
	char *block = malloc(64);
	pthread_t thread;

	free(use(block));
	CHECK(pthread_create(&thread, NULL, write_it, block) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	churn(64);
	return 0;
}

static int
writes_by_read(const char *arg)
{
	char *block = malloc(64);
	int fds[2];

	CHECK(pipe(fds) == 0 && write(fds[1], "abc", 3) == 3);
	free(use(block));
	CHECK(read(fds[0], use(block), 64) == 3);
	churn(64);
	return 0;
}

static int
writes_by_recv(const char *arg)
{
	char *block = malloc(64);
	int fds[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CHECK(write(fds[1], "abc", 3) == 3);
	free(use(block));
	CHECK(recv(fds[0], use(block), 64, 0) == 3);
	churn(64);
	return 0;
}

static int
writes_large(const char *arg)
{
	char *block = malloc(3 << 20);

	memset(block, 1, 3 << 20);
	free(use(block));
	((char *)use(block))[1234567] = 1;
	churn(64);
	return 0;
}

static int
writes_aligned(const char *arg)
{
	void *block;

	CHECK(posix_memalign(&block, 4096, 10000) == 0);
	free(use(block));
	((char *)use(block))[9999] = 1;
	churn(64);
	return 0;
}

static int
writes_count(const char *arg)
{
	struct { long users; char rest[60]; } *object;

	object = malloc(sizeof *object);
	object->users = 1;
	if (--object->users == 0)
		free(use(object));
	((__typeof__(object))use(object))->users--;
	churn(sizeof *object);
	return 0;
}

static int
writes_list(const char *arg)
{
	struct node *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);

	a->next = b;
	free(use(b));
	a->next->next = a;	/* appended to what is gone */
	churn(sizeof *a);
	free(a);
	return 0;
}

static int
writes_in_child(const char *arg)
{
	char *block = malloc(64);
	int status;
	pid_t pid;

	free(use(block));
	pid = fork();
	if (pid == 0) {
		((char *)use(block))[8] = 1;
		churn(64);
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	expect_clear(block, 64);
	return 0;
}

/* ------------------------------------------------------- those that free twice */

static int
frees_twice(const char *arg)
{
	char *block = malloc(strtoul(arg, NULL, 10));

	free(use(block));
	free(use(block));
	return 0;
}

static int
frees_twice_later(const char *arg)
{
	cursor = malloc(64);
	free(use(cursor));
	churn(64);
	free(use(cursor));
	return 0;
}

static int
frees_twice_elsewhere(const char *arg)
{
	char *block = malloc(64);

	free(use(block));
	free_elsewhere(block);
	return 0;
}

static int
frees_moved(const char *arg)
{
	cursor = malloc(100);
	use(realloc(use(cursor), 100000));
	free(use(cursor));
	return 0;
}

static int
frees_inside(const char *arg)
{
	char *block = malloc(100);

	free(use(block));
	free((char *)use(block) + 16);
	return 0;
}

static int
reallocs_freed(const char *arg)
{
	char *block = malloc(100);

	free(use(block));
	use(realloc(use(block), 200));
	return 0;
}

/* ------------------------------------------------------- those we cannot see */

/* Only that nothing breaks: such pointers are not seen (bilge(7)). */
static int
hides(const char *arg)
{
	uintptr_t hidden[100];
	int i;

	for (i = 0; i < 100; i++) {
		hidden[i] = hidden_block(64);
		free(reveal(hidden[i]));
	}
	scrub();
	churn(64);
	for (i = 0; i < 100; i++)
		CHECK(hidden[i] != 0);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "reads_string", reads_string },
		{ "reads_size", reads_size },
		{ "reads_list", reads_list },
		{ "reads_function_pointer", reads_function_pointer },
		{ "reads_global", reads_global },
		{ "reads_tls", reads_tls },
		{ "reads_from_heap", reads_from_heap },
		{ "reads_interior", reads_interior },
		{ "reads_behind_end", reads_behind_end },
		{ "reads_moved", reads_moved },
		{ "reads_grown_array", reads_grown_array },
		{ "reads_large", reads_large },
		{ "reads_aligned", reads_aligned },
		{ "reads_freed_elsewhere", reads_freed_elsewhere },
		{ "reads_while_others_allocate", reads_while_others_allocate },
		{ "reads_in_child", reads_in_child },
		{ "reads_after_jump", reads_after_jump },
		{ "reads_freed_in_handler", reads_freed_in_handler },
		{ "reads_at_exit", reads_at_exit },
		{ "reads_through_mapping", reads_through_mapping },
		{ "reads_through_shared_mapping",
		    reads_through_shared_mapping },
		{ "reads_popped", reads_popped },
		{ "reads_line", reads_line },
		{ "writes", writes },
		{ "writes_size", writes_size },
		{ "writes_last", writes_last },
		{ "writes_and_forgets", writes_and_forgets },
		{ "writes_moved", writes_moved },
		{ "writes_elsewhere", writes_elsewhere },
		{ "writes_by_read", writes_by_read },
		{ "writes_by_recv", writes_by_recv },
		{ "writes_large", writes_large },
		{ "writes_aligned", writes_aligned },
		{ "writes_count", writes_count },
		{ "writes_list", writes_list },
		{ "writes_in_child", writes_in_child },
		{ "frees_twice", frees_twice },
		{ "frees_twice_later", frees_twice_later },
		{ "frees_twice_elsewhere", frees_twice_elsewhere },
		{ "frees_moved", frees_moved },
		{ "frees_inside", frees_inside },
		{ "reallocs_freed", reallocs_freed },
		{ "hides", hides },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
