/*
 * surface.c - the allocation functions, one by one, against their promises.
 *
 * Each case holds for glibc too and is run there first: it describes what
 * programs are used to, not what we would like.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>

#include "victim.h"

static const size_t sizes[] = {
	0, 1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127,
	128, 129, 200, 255, 256, 257, 500, 511, 512, 513, 1000, 1023, 1024,
	1025, 2000, 2048, 3000, 4095, 4096, 4097, 5000, 8192, 10000, 16384,
	20000, 32768, 40000, 65535, 65536, 65537, 100000, 131072, 200000,
	262144, 500000, 1 << 20, (1 << 20) + 1, 3 << 20, 16 << 20, 40 << 20
};
#define SIZES	(sizeof sizes / sizeof sizes[0])

static void
fill(void *block, size_t size, unsigned seed)
{
	unsigned char *byte = block;
	size_t i;

	for (i = 0; i < size; i++)
		byte[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

static bool
is_filled(const void *block, size_t size, unsigned seed)
{
	const unsigned char *byte = block;
	size_t i;

	for (i = 0; i < size; i++)
		if (byte[i] != (unsigned char)(seed + i * 7 + (i >> 8)))
			return false;
	return true;
}

static bool
is_zero(const void *block, size_t size)
{
	const unsigned char *byte = block;

	return size == 0 ||
	    (byte[0] == 0 && memcmp(byte, byte + 1, size - 1) == 0);
}

static bool
is_aligned(const void *block, size_t alignment)
{
	return (uintptr_t)block % alignment == 0;
}

static int
basic(const char *arg)
{
	void *block[SIZES];
	size_t i;

	for (i = 0; i < SIZES; i++) {
		block[i] = malloc(sizes[i]);
		CHECK(block[i] != NULL);
		CHECK(is_aligned(block[i], 16));
		CHECK(malloc_usable_size(block[i]) >= sizes[i]);
		fill(block[i], sizes[i], i);
	}
	for (i = 0; i < SIZES; i++) {
		CHECK(is_filled(block[i], sizes[i], i));
		free(block[i]);
	}
	return 0;
}

/* Blocks of no size are blocks: each has an address of its own. */
static int
no_size(const char *arg)
{
	void *block[100];
	int i, j;

	for (i = 0; i < 100; i++) {
		block[i] = i % 2 == 0 ? malloc(opaque(0)) :
		    calloc(opaque(0), 8);
		CHECK(block[i] != NULL);
		for (j = 0; j < i; j++)
			CHECK(block[i] != block[j]);
	}
	for (i = 0; i < 100; i++)
		free(block[i]);
	free(NULL);
	return 0;
}

static int
too_large(const char *arg)
{
	static const size_t huge[] = {
		(size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 15,
		SIZE_MAX - 4096, SIZE_MAX / 2 + 2, (size_t)PTRDIFF_MAX
	};
	void *block = malloc(100), *result;
	size_t i;

	fill(block, 100, 1);
	for (i = 0; i < sizeof huge / sizeof huge[0]; i++) {
		size_t size = opaque(huge[i]);

		errno = 0;
		CHECK(malloc(size) == NULL && errno == ENOMEM);
		errno = 0;
		CHECK(calloc(1, size) == NULL && errno == ENOMEM);
		errno = 0;
		CHECK(calloc(size, 1) == NULL && errno == ENOMEM);
		errno = 0;
		CHECK(realloc(NULL, size) == NULL && errno == ENOMEM);
		errno = 0;
		result = realloc(block, size);
		CHECK(result == NULL && errno == ENOMEM);
		CHECK(is_filled(block, 100, 1));
		errno = 0;
		CHECK(memalign(64, size) == NULL && errno == ENOMEM);
		errno = 0;
		CHECK(aligned_alloc(64, size) == NULL && errno == ENOMEM);
		errno = 0;
		CHECK(valloc(size) == NULL && errno == ENOMEM);
		errno = 0;
		CHECK(pvalloc(size) == NULL && errno == ENOMEM);
		result = block;
		CHECK(posix_memalign(&result, 64, size) == ENOMEM);
		CHECK(result == block);
	}
	free(block);
	return 0;
}

static int
overflow(const char *arg)
{
	void *block = malloc(100), *result;
	size_t half = opaque((size_t)1 << 32);

	fill(block, 100, 2);
	errno = 0;
	CHECK(calloc(half, half) == NULL && errno == ENOMEM);
	errno = 0;
	CHECK(calloc(opaque(SIZE_MAX), 2) == NULL && errno == ENOMEM);
	errno = 0;
	CHECK(calloc(opaque(SIZE_MAX / 16 + 2), 16) == NULL &&
	    errno == ENOMEM);
	errno = 0;
	CHECK(reallocarray(NULL, half, half) == NULL && errno == ENOMEM);
	errno = 0;
	result = reallocarray(block, opaque(SIZE_MAX / 16 + 2), 16);
	CHECK(result == NULL && errno == ENOMEM);
	CHECK(is_filled(block, 100, 2));
	block = reallocarray(block, 1000, 10);
	CHECK(block != NULL && is_filled(block, 100, 2));
	CHECK(reallocarray(block, 0, 10) == NULL);
	return 0;
}

/* Fresh memory is zero by itself; memory used before must be made so. */
static int
zeroed(const char *arg)
{
	void *block[8];
	size_t i;
	int round, j;

	for (i = 0; i < SIZES; i++)
		for (round = 0; round < 4; round++) {
			for (j = 0; j < 8; j++) {
				block[j] = round == 3 ?
				    calloc(sizes[i], 1) : calloc(1, sizes[i]);
				CHECK(block[j] != NULL);
				CHECK(is_aligned(block[j], 16));
				CHECK(is_zero(block[j], sizes[i]));
				memset(block[j], 0xff,
				    malloc_usable_size(block[j]));
				if (sizes[i] > 1 << 20)
					free(block[j]);
			}
			for (j = 0; j < 8 && sizes[i] <= 1 << 20; j++)
				free(block[j]);
		}
	return 0;
}

static int
resize(const char *arg)
{
	char *block = NULL, *again;
	size_t i, j, kept;

	/* From every size to every size, up and down. */
	for (i = 0; i < SIZES; i++)
		for (j = 0; j < SIZES; j++) {
			if (sizes[i] + sizes[j] > 4 << 20)
				continue;
			block = realloc(NULL, sizes[i]);
			CHECK(block != NULL);
			fill(block, sizes[i], i + j);
			again = realloc(block, sizes[j]);
			if (sizes[j] == 0) {
				CHECK(again == NULL);
				continue;
			}
			CHECK(again != NULL && is_aligned(again, 16));
			CHECK(malloc_usable_size(again) >= sizes[j]);
			kept = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
			CHECK(is_filled(again, kept, i + j));
			fill(again, sizes[j], 3);
			free(again);
		}
	return 0;
}

/* 1 KiB to 64 MiB and back, in steps of every kind. */
static int
resize_large(const char *arg)
{
	size_t size = 1024, next;
	char *block = malloc(size);

	fill(block, size, 9);
	for (; size < 64 << 20; size = next) {
		next = size + size / 3 + 1000;
		block = realloc(block, next);
		CHECK(block != NULL && is_filled(block, size, 9));
		fill(block, next, 9);
	}
	for (; size > 1024; size = next) {
		next = size / 3;
		block = realloc(block, next);
		CHECK(block != NULL && is_filled(block, next, 9));
	}
	free(block);

	/* A block from an aligned call can be resized like any other. */
	block = memalign(1 << 16, 1000);
	fill(block, 1000, 4);
	block = realloc(block, 300000);
	CHECK(block != NULL && is_filled(block, 1000, 4));
	free(block);
	return 0;
}

static int
aligned(const char *arg)
{
	size_t alignment, i;
	void *block[SIZES];

	for (alignment = 8; alignment <= 1 << 24; alignment *= 2) {
		for (i = 0; i < SIZES && sizes[i] <= 1 << 20; i += 3) {
			block[i] = NULL;
			if (i % 2 == 0)
				block[i] = memalign(alignment, sizes[i]);
			else
				CHECK(posix_memalign(&block[i], alignment,
				    sizes[i]) == 0);
			CHECK(block[i] != NULL);
			CHECK(is_aligned(block[i], alignment));
			CHECK(is_aligned(block[i], 16));
			CHECK(malloc_usable_size(block[i]) >= sizes[i]);
			fill(block[i], sizes[i], i);
		}
		for (i = 0; i < SIZES && sizes[i] <= 1 << 20; i += 3) {
			CHECK(is_filled(block[i], sizes[i], i));
			free(block[i]);
		}
	}
	return 0;
}

static int
aligned_oddly(const char *arg)
{
	static const size_t odd[] = { 0, 1, 2, 3, 5, 24, 48, 100, 1000, 5000 };
	void *block = &block;
	size_t i, needed;

	/* memalign rounds an alignment up to a power of two. */
	for (i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		for (needed = 16; needed < odd[i]; needed *= 2)
			;
		block = memalign(opaque(odd[i]), 77);
		CHECK(block != NULL && is_aligned(block, needed));
		memset(block, 1, 77);
		free(block);
	}
	errno = 0;
	CHECK(memalign(opaque(SIZE_MAX), 8) == NULL && errno == EINVAL);

	/* posix_memalign refuses it and leaves everything as it was. */
	block = &block;
	for (i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		errno = 1234;
		CHECK(posix_memalign(&block, opaque(odd[i]), 8) == EINVAL);
		CHECK(block == &block && errno == 1234);
	}
	CHECK(posix_memalign(&block, 4, 8) == EINVAL);
	CHECK(posix_memalign(&block, 64, 0) == 0);
	CHECK(is_aligned(block, 64));
	free(block);
	return 0;
}

static int
pages(const char *arg)
{
	size_t page = sysconf(_SC_PAGESIZE), i;
	void *block;

	for (i = 0; i < SIZES && sizes[i] <= 1 << 20; i++) {
		block = valloc(sizes[i]);
		CHECK(block != NULL && is_aligned(block, page));
		fill(block, sizes[i], 1);
		free(block);
		block = pvalloc(sizes[i]);
		CHECK(block != NULL && is_aligned(block, page));
		CHECK(malloc_usable_size(block) >=
		    (sizes[i] + page - 1) / page * page);
		memset(block, 1, malloc_usable_size(block));
		free(block);
		block = aligned_alloc(page, sizes[i]);
		CHECK(block != NULL && is_aligned(block, page));
		fill(block, sizes[i], 1);
		free(block);
	}
	return 0;
}

/* All of it may be written, and a neighbour does not notice. */
static int
usable(const char *arg)
{
	char *block[3];
	size_t i, size;
	int j;

	CHECK(malloc_usable_size(NULL) == 0);
	for (i = 0; i < SIZES && sizes[i] <= 4 << 20; i++) {
		for (j = 0; j < 3; j++) {
			block[j] = malloc(sizes[i]);
			size = malloc_usable_size(block[j]);
			CHECK(size >= sizes[i]);
			fill(block[j], size, j);
		}
		for (j = 0; j < 3; j++) {
			size = malloc_usable_size(block[j]);
			CHECK(is_filled(block[j], size, j));
			block[j] = realloc(block[j], size);
			CHECK(is_filled(block[j], size, j));
			free(block[j]);
		}
	}
	return 0;
}

static int
errno_kept(const char *arg)
{
	size_t i;

	for (i = 0; i < SIZES; i++) {
		void *block = malloc(sizes[i]);

		errno = 4321;
		free(block);
		CHECK(errno == 4321);
	}
	errno = 4321;
	free(NULL);
	CHECK(errno == 4321);
	return 0;
}

static int
answers(const char *arg)
{
	size_t size = 64 << 20;
	struct mallinfo2 before = mallinfo2(), after;
	char *block = malloc(size), *text = NULL;
	size_t length = 0;
	FILE *stream;

	memset(block, 1, size);
	after = mallinfo2();
	CHECK(after.uordblks + after.hblkhd >=
	    before.uordblks + before.hblkhd + size);
	CHECK(after.arena + after.hblkhd >= size);
	free(block);
	after = mallinfo2();
	CHECK(after.uordblks + after.hblkhd <=
	    before.uordblks + before.hblkhd + size / 2);

	CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
	CHECK(mallopt(M_ARENA_MAX, 2) == 1);
	CHECK(malloc_trim(0) == 0 || malloc_trim(0) <= 1);

	stream = open_memstream(&text, &length);
	CHECK(stream != NULL);
	CHECK(malloc_info(0, stream) == 0);
	CHECK(fclose(stream) == 0);
	CHECK(strncmp(text, "<malloc version=", 16) == 0);
	CHECK(strstr(text, "</malloc>") != NULL);
	free(text);
	CHECK(malloc_info(1, stdout) != 0);
	return 0;
}

/* On standard error, as the page says. */
static int
statistics(const char *arg)
{
	malloc_stats();
	return 0;
}

/* Names that this glibc may not have yet; "all": they must be there. */
static int
newer(const char *arg)
{
	void (*release)(void *, size_t), (*release_aligned)(void *, size_t,
	    size_t), (*old_free)(void *);
	bool must = strcmp(arg, "all") == 0;

	*(void **)&release = dlsym(RTLD_DEFAULT, "free_sized");
	*(void **)&release_aligned = dlsym(RTLD_DEFAULT,
	    "free_aligned_sized");
	*(void **)&old_free = dlsym(RTLD_DEFAULT, "cfree");
	CHECK(!must || release != NULL);
	CHECK(!must || release_aligned != NULL);
	CHECK(!must || old_free != NULL);
	if (release != NULL) {
		release(malloc(100), 100);
		release(calloc(3, 100), 300);
		release(NULL, 0);
	}
	if (release_aligned != NULL) {
		release_aligned(aligned_alloc(64, 640), 64, 640);
		release_aligned(NULL, 64, 0);
	}
	if (old_free != NULL)
		old_free(malloc(100));
	return 0;
}

/* Blocks wander between threads; each carries its own pattern. */
#define SHARED	512
static struct {
	unsigned char *block;
	size_t size;
	unsigned seed;
} shared[SHARED];
static pthread_mutex_t locks[SHARED];

static void *
wander(void *arg)
{
	unsigned random = (unsigned)(uintptr_t)arg + 1, i, round;

	for (round = 0; round < 100000; round++) {
		i = rand_r(&random) % SHARED;
		pthread_mutex_lock(&locks[i]);
		if (shared[i].block != NULL) {
			CHECK(is_filled(shared[i].block, shared[i].size,
			    shared[i].seed));
			free(shared[i].block);
		}
		shared[i].size = rand_r(&random) % 20 != 0 ?
		    rand_r(&random) % 300 : rand_r(&random) % 9000;
		shared[i].seed = rand_r(&random);
		shared[i].block = malloc(shared[i].size);
		CHECK(shared[i].block != NULL);
		fill(shared[i].block, shared[i].size, shared[i].seed);
		pthread_mutex_unlock(&locks[i]);
	}
	return NULL;
}

static int
threads(const char *arg)
{
	pthread_t thread[4];
	int i;

	for (i = 0; i < SHARED; i++)
		pthread_mutex_init(&locks[i], NULL);
	for (i = 0; i < 4; i++)
		CHECK(pthread_create(&thread[i], NULL, wander,
		    (void *)(uintptr_t)i) == 0);
	for (i = 0; i < 4; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	for (i = 0; i < SHARED; i++)
		free(shared[i].block);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "basic", basic },
		{ "no_size", no_size },
		{ "too_large", too_large },
		{ "overflow", overflow },
		{ "zeroed", zeroed },
		{ "resize", resize },
		{ "resize_large", resize_large },
		{ "aligned", aligned },
		{ "aligned_oddly", aligned_oddly },
		{ "pages", pages },
		{ "usable", usable },
		{ "errno_kept", errno_kept },
		{ "answers", answers },
		{ "statistics", statistics },
		{ "newer", newer },
		{ "threads", threads },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
