/*
 * reclaim.c - what is lost while the program runs, and what comes back.
 *
 * The second half hides the only pointers to blocks from any collector, waits
 * until bilge says in its record that it has taken them for lost, and has
 * them back.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "victim.h"

#define MIB	(1024ul * 1024)

/* ---------------------------------------------------------- memory stays flat */

#define LIVE	(64 * MIB)
#define KEPT	8192u		/* blocks that stay */
#define THREADS	3u

static size_t
resident(void)
{
	char text[100];
	int fd = open("/proc/self/statm", O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);

	CHECK(n > 0);
	close(fd);
	text[n] = '\0';
	return strtoul(strchr(text, ' '), NULL, 10) * 4096;
}

static void *kept[KEPT];
static size_t to_lose, lost, peak;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Small blocks are common, large ones weigh as much together. */
static NOINLINE size_t
lose_one(unsigned *random)
{
	size_t size = (size_t)64 << (rand_r(random) % 15);

	if (rand_r(random) % (size / 64) != 0)
		size = 64;
	memset(use(malloc(size)), 0xaa, size);
	return size;
}

static void *
lose(void *argument)
{
	unsigned random = (unsigned)(uintptr_t)argument;
	struct timespec pace = { 0, THREADS * 10000000 };
	size_t before, sum;

	do {
		size_t i, now;

		for (sum = 0; sum < MIB; sum += lose_one(&random))
			;
		/* What stays is renewed, too. */
		i = rand_r(&random) % KEPT;
		pthread_mutex_lock(&mutex);
		free(kept[i]);
		kept[i] = memset(malloc(LIVE / KEPT), 1, LIVE / KEPT);
		lost += sum;
		before = lost;
		now = resident();
		if (before > to_lose / 4 && now > peak)
			peak = now;
		pthread_mutex_unlock(&mutex);
		nanosleep(&pace, NULL);
	} while (before < to_lose);
	return NULL;
}

/*
 * The argument is how many MiB; at 100 MiB a second.  Prints the peak after a
 * quarter, in percent of what lives.
 */
static int
flat(const char *arg)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	to_lose = strtoul(arg, NULL, 10) * MIB;
	for (i = 0; i < KEPT; i++)
		kept[i] = memset(malloc(LIVE / KEPT), 1, LIVE / KEPT);
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, lose, (void *)i) == 0);
	for (i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	printf("%zu\n", peak * 100 / LIVE);
	return 0;
}

/* ------------------------------------------------------------- what bilge says */

/* How many events of the record so far have this text? */
static int
events(const char *text)
{
	static char buffer[4 * MIB];
	const char *path = getenv("BILGE_RECORD"), *found = buffer;
	int fd = open(path != NULL ? path : "/dev/null", O_RDONLY), count = 0;
	ssize_t n = read(fd, buffer, sizeof buffer - 1);

	CHECK(n >= 0);
	close(fd);
	buffer[n] = '\0';
	while ((found = strstr(found, text)) != NULL) {
		found++;
		count++;
	}
	scrub();
	return count;
}

/* A program that allocates nothing is not collected: this one does. */
static NOINLINE void
pass_time(void)
{
	struct timespec time = { 0, 2000000 };

	free(memset(use(malloc(MIB)), 0, MIB));
	scrub();
	nanosleep(&time, NULL);
}

static void
wait_cycles(int wanted)
{
	int start = events("\"event\":\"cycle\""), i;

	for (i = 0; i < 3000; i++) {
		if (events("\"event\":\"cycle\"") >= start + wanted)
			return;
		pass_time();
	}
	CHECK(!"cycles go on");
}

/* Until it calls something lost; a note of a message may prevent it. */
static void
wait_condemned(void)
{
	int start = events("\"event\":\"cycle\""), i;
	int clean = events("\"leaked_bytes\":0,\"leaked_sites\"");

	for (i = 0; i < 3000; i++) {
		int now = events("\"event\":\"cycle\"");

		if (now - start > events("\"leaked_bytes\":0,\"leaked_sites\"")
		    - clean)
			return;
		if (now - start >= 4) {
			puts("never lost");
			return;
		}
		pass_time();
	}
	CHECK(!"cycles go on");
}

/* --------------------------------------------------------------- what returns */

#define COUNT	200
#define SIZE	1000

static void *back[COUNT];

/* How blocks are put out of sight, and had back. */
struct way {
	void (*put)(void);
	void (*get)(void);
};

static NOINLINE void *
make(int i)
{
	return memset(use(malloc(SIZE)), 'a' + i % 26, SIZE);
}

static NOINLINE int
is_intact(const char *block, int i)
{
	int at;

	for (at = 64; at < SIZE; at++)
		if (block[at] != 'a' + i % 26)
			return 0;
	return 1;
}

/*
 * The first time they come back in their grace; the second time they come
 * from a place that is known for that, and may stay away as long as they like.
 */
static NOINLINE int
come_back(const struct way *way)
{
	size_t round, rounds = opaque(2);
	int i;

	for (round = 0; round < rounds; round++) {
		way->put();
		scrub();
		if (round == 0)
			wait_condemned();
		else
			wait_cycles(5);
		way->get();
		for (i = 0; i < COUNT; i++)
			CHECK(is_intact(back[i], i));
		wait_cycles(2);
		for (i = 0; i < COUNT; i++)
			CHECK(is_intact(back[i], i));
		for (i = 0; i < COUNT; i++) {
			free(back[i]);
			back[i] = NULL;
		}
	}
	puts("intact");
	return 0;
}

/* Each link is the one of two neighbours xor the other. */
static uintptr_t xor_first, xor_last;

static void
put_xor_list(void)
{
	void *block[COUNT];
	int i;

	for (i = 0; i < COUNT; i++)
		block[i] = make(i);
	for (i = 0; i < COUNT; i++)
		*(uintptr_t *)block[i] =
		    (i > 0 ? (uintptr_t)block[i - 1] : 0) ^
		    (i + 1 < COUNT ? (uintptr_t)block[i + 1] : ~0ul);
	xor_first = hide(block[0]);
	xor_last = hide(block[COUNT - 1]);
}

static void
get_xor_list(void)
{
	uintptr_t last = 0, at = (uintptr_t)reveal(xor_first);
	int i;

	for (i = 0; i < COUNT; i++) {
		uintptr_t next = *(uintptr_t *)at ^ last;

		back[i] = (void *)at;
		last = at;
		at = next;
	}
	CHECK(last == (uintptr_t)reveal(xor_last) && at == ~0ul);
}

static uint32_t compressed[COUNT];
static uintptr_t compressed_base;

static void
put_compressed(void)
{
	int i;

	for (i = 0; i < COUNT; i++) {
		uintptr_t block = (uintptr_t)make(i);

		if (i == 0)
			compressed_base = ~(block & ~0xfffffffful);
		compressed[i] = (uint32_t)((block - ~compressed_base) >> 4);
	}
}

static void
get_compressed(void)
{
	int i;

	for (i = 0; i < COUNT; i++)
		back[i] = (void *)(~compressed_base +
		    ((uintptr_t)compressed[i] << 4));
}

/* All addresses in one message: more than what is noted of a message. */
static void
park(int fd)
{
	void *block[COUNT];
	int i;

	for (i = 0; i < COUNT; i++)
		block[i] = make(i);
	CHECK(write(fd, block, sizeof block) == (ssize_t)sizeof block);
}

static void
fetch(int fd)
{
	CHECK(read(fd, back, sizeof back) == (ssize_t)sizeof back);
}

static int fds[2];

static void
put_pipe(void)
{
	CHECK(pipe(fds) == 0);
	park(fds[1]);
}

static void
get_pipe(void)
{
	fetch(fds[0]);
	close(fds[0]);
	close(fds[1]);
}

static void
put_file(void)
{
	char name[] = "/tmp/victim.XXXXXX";

	fds[0] = mkstemp(name);
	CHECK(fds[0] >= 0 && unlink(name) == 0);
	park(fds[0]);
}

static void
get_file(void)
{
	CHECK(lseek(fds[0], 0, SEEK_SET) == 0);
	fetch(fds[0]);
	close(fds[0]);
}

static pid_t child;

static void
put_process(void)
{
	static char message[sizeof back];
	char byte;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	child = fork();
	if (child == 0) {
		CHECK(read(fds[1], message, sizeof message) ==
		    (ssize_t)sizeof message);
		CHECK(write(fds[1], "!", 1) == 1);
		CHECK(read(fds[1], &byte, 1) == 1);
		CHECK(write(fds[1], message, sizeof message) ==
		    (ssize_t)sizeof message);
		_exit(0);
	}
	park(fds[0]);
	CHECK(read(fds[0], &byte, 1) == 1);
}

static void
get_process(void)
{
	CHECK(write(fds[0], "?", 1) == 1);
	fetch(fds[0]);
	CHECK(waitpid(child, NULL, 0) == child);
	close(fds[0]);
	close(fds[1]);
}

/* Never reachable again, but written to, or freed. */
static uintptr_t secret[COUNT];

static void
put_secret(void)
{
	int i;

	for (i = 0; i < COUNT; i++)
		secret[i] = hide(make(i));
}

static void
get_by_writing(void)
{
	int i;

	for (i = 0; i < COUNT; i++)
		*(int *)reveal(secret[i]) = i;
	scrub();
	wait_cycles(4);
	for (i = 0; i < COUNT; i++) {
		CHECK(*(int *)reveal(secret[i]) == i);
		back[i] = reveal(secret[i]);
	}
}

static void
get_by_freeing(void)
{
	int i;

	for (i = 0; i < COUNT; i++) {
		CHECK(is_intact(reveal(secret[i]), i));
		free(reveal(secret[i]));
	}
	for (i = 0; i < COUNT; i++)
		back[i] = make(i);
}

static int
returned(const char *arg)
{
	static const struct {
		const char *name;
		struct way way;
	} ways[] = {
		{ "xor_list", { put_xor_list, get_xor_list } },
		{ "compressed", { put_compressed, get_compressed } },
		{ "pipe", { put_pipe, get_pipe } },
		{ "file", { put_file, get_file } },
		{ "process", { put_process, get_process } },
		{ "written_to", { put_secret, get_by_writing } },
		{ "freed", { put_secret, get_by_freeing } },
	};
	size_t i;

	for (i = 0; i < sizeof ways / sizeof *ways; i++)
		if (strcmp(arg, ways[i].name) == 0)
			return come_back(&ways[i].way);
	return 98;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "flat", flat },
		{ "returned", returned },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
