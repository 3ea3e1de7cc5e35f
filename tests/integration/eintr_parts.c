/*
 * eintr_parts.c - calls that move more than fits at once.  See eintr.c.
 */
#include "eintr_calls.h"
#include "victim.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Many times what a pipe or a socket holds. */
#define SIZE	((size_t)600000)
#define PIECE	1000

static _Atomic bool *over;

/* What is at a place of the stream. */
static char
expected(size_t at)
{
	return (char)(at % 251);
}

static char *
make_data(void)
{
	char *data = malloc(SIZE);

	CHECK(data != NULL);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = expected(i);
	return data;
}

static size_t
make_vector(char *data, struct iovec parts[PIECE])
{
	size_t count = 0;

	/* Of different sizes, some of them empty. */
	for (size_t at = 0, size = 0; at < SIZE; at += size, count++) {
		size = at + 1000 * count < SIZE ? 1000 * count : SIZE - at;
		parts[count] = (struct iovec){ data + at, size };
	}
	return count;
}

static ssize_t
by_write(int fd, char *data)
{
	return write(fd, data, SIZE);
}

static ssize_t
by_writev(int fd, char *data)
{
	struct iovec parts[PIECE];

	return writev(fd, parts, (int)make_vector(data, parts));
}

static ssize_t
by_send(int fd, char *data)
{
	return send(fd, data, SIZE, 0);
}

static ssize_t
by_sendto(int fd, char *data)
{
	return sendto(fd, data, SIZE, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t
by_sendmsg(int fd, char *data)
{
	struct iovec parts[PIECE];
	struct msghdr message = { .msg_iov = parts };

	message.msg_iovlen = make_vector(data, parts);
	return sendmsg(fd, &message, 0);
}

static const struct {
	const char *name;
	ssize_t (*move)(int, char *);
	bool is_socket;
} ways[] = {
	{ "write to a pipe", by_write, false },
	{ "writev to a pipe", by_writev, false },
	{ "write to a socket", by_write, true },
	{ "writev to a socket", by_writev, true },
	{ "send", by_send, true },
	{ "sendto", by_sendto, true },
	{ "sendmsg", by_sendmsg, true },
};

#define WAYS	(sizeof(ways) / sizeof(*ways))

static void
make_channel(bool is_socket, int fds[2])
{
	struct timeval time = { 1000, 0 };

	if (!is_socket) {
		CHECK(pipe(fds) == 0);
		return;
	}
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CHECK(setsockopt(fds[1], SOL_SOCKET, SO_SNDTIMEO, &time,
			 sizeof(time)) == 0);
}

/* take - read it all, in small pieces and not fast. */
static void *
take(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char data[8192];
	ssize_t n;

	for (size_t at = 0; (n = read(fd, data, sizeof(data))) > 0; at += n) {
		for (ssize_t i = 0; i < n; i++)
			CHECK(data[i] == expected((at + i) % SIZE));
		usleep(100);
	}
	CHECK(n == 0);
	return NULL;
}

static void *
give(void *argument)
{
	size_t way = (size_t)argument;
	char *data = make_data();
	pthread_t taker;
	int fds[2];

	make_channel(ways[way].is_socket, fds);
	CHECK(pthread_create(&taker, NULL, take, (void *)(intptr_t)fds[0]) ==
	      0);
	while (!*over) {
		ssize_t moved = ways[way].move(fds[1], data);

		if (moved == (ssize_t)SIZE)
			continue;
		fprintf(stderr, "%s moved %zd bytes: %s\n", ways[way].name,
			moved, strerror(errno));
		break;
	}
	close(fds[1]);
	pthread_join(taker, NULL);
	close(fds[0]);
	free(data);
	return NULL;
}

/* The other way round: who receives wants all, and gets it in small pieces. */
static void *
trickle(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char *data = make_data();

	while (!*over) {
		for (size_t at = 0; at < SIZE; at += 20000) {
			CHECK(write(fd, data + at, 20000) == 20000);
			usleep(200);
		}
	}
	close(fd);
	free(data);
	return NULL;
}

static void *
want_all(void *argument)
{
	char *data = malloc(SIZE);
	pthread_t giver;
	int fds[2];
	ssize_t n;

	(void)argument;
	CHECK(data != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CHECK(pthread_create(&giver, NULL, trickle,
			     (void *)(intptr_t)fds[1]) == 0);
	while ((n = recv(fds[0], data, SIZE, MSG_WAITALL)) > 0)
		if (n != (ssize_t)SIZE)
			fprintf(stderr, "recv got %zd bytes\n", n);
	pthread_join(giver, NULL);
	close(fds[0]);
	free(data);
	return NULL;
}

static void *
want_random(void *argument)
{
	char *data = malloc(SIZE);

	(void)argument;
	CHECK(data != NULL);
	while (!*over) {
		ssize_t n = getrandom(data, SIZE, 0);

		if (n != (ssize_t)SIZE)
			fprintf(stderr, "getrandom got %zd bytes\n", n);
		usleep(1000);
	}
	free(data);
	return NULL;
}

/* A part of a datagram is all there is: nobody waits for another. */
static void *
want_datagrams(void *argument)
{
	char data[100];
	int fds[2];

	(void)argument;
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	while (!*over) {
		CHECK(send(fds[1], "hello", 5, 0) == 5);
		CHECK(recv(fds[0], data, sizeof(data), MSG_WAITALL) == 5);
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

unsigned
parts_begin(pthread_t threads[PARTS_MAX], _Atomic bool *is_over)
{
	unsigned count = 0;

	over = is_over;
	for (size_t i = 0; i < WAYS; i++)
		CHECK(pthread_create(&threads[count++], NULL, give,
				     (void *)i) == 0);
	CHECK(pthread_create(&threads[count++], NULL, want_all, NULL) == 0);
	CHECK(pthread_create(&threads[count++], NULL, want_random, NULL) == 0);
	CHECK(pthread_create(&threads[count++], NULL, want_datagrams, NULL) ==
	      0);
	return count;
}

void
parts_end(pthread_t threads[PARTS_MAX], unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}
