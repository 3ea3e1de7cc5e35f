/*
 * mappings.c - memory that is neither the heap's nor a stack's nor a
 * variable's.
 */
#include "torture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define PAGE	4096
#define SIZE	(64 * PAGE)
#define PLACE	(37 * PAGE / sizeof(void *) + 11)

static void **
map(int protection, int flags, int fd)
{
	void *start = mmap(NULL, SIZE, protection, flags, fd, 0);

	CHECK(start != MAP_FAILED);
	return (void **)start;
}

static void **
map_file(int fd, int flags)
{
	void **start;

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, SIZE) == 0);
	start = map(PROT_READ | PROT_WRITE, flags, fd);
	close(fd);
	return start;
}

/* A new file without a name, where the tests may write. */
static int
new_file(void)
{
	char path[4096];
	const char *folder = getenv("TORTURE_SCRATCH");
	int fd;

	snprintf(path, sizeof path, "%s/mapped.XXXXXX",
	    folder != NULL ? folder : "/tmp");
	fd = mkstemp(path);
	CHECK(fd >= 0);
	unlink(path);
	return fd;
}

WAY(mapping_private, ANYWHERE)
{
	hold_in(&map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	    -1)[PLACE], seat);
}

WAY(mapping_shared, ANYWHERE)
{
	hold_in(&map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1)[PLACE], seat);
}

WAY(mapping_memory_file, ANYWHERE)
{
	hold_in(&map_file(memfd_create("torture", 0), MAP_SHARED)[PLACE],
	    seat);
}

WAY(mapping_memory_file_private, ANYWHERE)
{
	hold_in(&map_file(memfd_create("torture", 0), MAP_PRIVATE)[PLACE],
	    seat);
}

WAY(mapping_shm, ANYWHERE)
{
	char name[64];
	int fd;

	snprintf(name, sizeof name, "/torture-%d-%u", (int)getpid(),
	    seat->index);
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0);
	shm_unlink(name);
	hold_in(&map_file(fd, MAP_SHARED)[PLACE], seat);
}

WAY(mapping_system_v, ANYWHERE)
{
	int id = shmget(IPC_PRIVATE, SIZE, IPC_CREAT | 0600);
	void *start = shmat(id, NULL, 0);

	shmctl(id, IPC_RMID, NULL);
	CHECK(start != (void *)-1);
	hold_in((void **)start + PLACE, seat);
}

WAY(mapping_file_shared, ANYWHERE)
{
	hold_in(&map_file(new_file(), MAP_SHARED)[PLACE], seat);
}

WAY(mapping_file_private, ANYWHERE)
{
	hold_in(&map_file(new_file(), MAP_PRIVATE)[PLACE], seat);
}

/* The file is shorter than what is mapped of it. */
WAY(mapping_file_short, ANYWHERE)
{
	int fd = new_file();
	void **start;

	CHECK(ftruncate(fd, PAGE) == 0);
	start = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	close(fd);
	hold_in(&start[100], seat);
}

WAY(mapping_break, ANYWHERE)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	void *start;

	pthread_mutex_lock(&mutex);
	start = sbrk(SIZE);
	pthread_mutex_unlock(&mutex);
	CHECK(start != (void *)-1);
	hold_in((void **)start + PLACE, seat);
}

/* The last word of one page, where careless loops stop short. */
WAY(mapping_end, ANYWHERE)
{
	void **start = (void **)map_pages(PAGE);

	hold_in(&start[PAGE / sizeof *start - 1], seat);
}

/* A hole and a page without access lie beside the page that counts. */
WAY(mapping_beside_hole, ANYWHERE)
{
	char *start = (char *)map_pages(5 * PAGE);

	CHECK(mprotect(start, PAGE, PROT_NONE) == 0);
	CHECK(munmap(start + 2 * PAGE, PAGE) == 0);
	CHECK(mprotect(start + 4 * PAGE, PAGE, PROT_NONE) == 0);
	hold_in(start + 3 * PAGE + 64, seat);
}

static void
hold_protected(struct seat *seat, void **start, int protection)
{
	hold_in(&start[PLACE], seat);
	CHECK(mprotect(start, SIZE, protection) == 0);
}

/* Written, then made constant: still followed by the program. */
WAY(mapping_read_only, ANYWHERE)
{
	hold_protected(seat, (void **)map_pages(SIZE), PROT_READ);
}

WAY(mapping_file_read_only, ANYWHERE)
{
	hold_protected(seat, map_file(new_file(), MAP_PRIVATE), PROT_READ);
}

WAY(mapping_shared_read_only, ANYWHERE)
{
	hold_protected(seat, map_file(memfd_create("torture", 0), MAP_SHARED),
	    PROT_READ);
}

WAY(mapping_code, ANYWHERE)
{
	hold_protected(seat, (void **)map_pages(SIZE), PROT_READ | PROT_EXEC);
}

WAY(mapping_write_only, ANYWHERE)
{
	hold_protected(seat, (void **)map_pages(SIZE), PROT_WRITE);
}

WAY(mapping_read_write_code, ANYWHERE)
{
	hold_protected(seat, (void **)map_pages(SIZE),
	    PROT_READ | PROT_WRITE | PROT_EXEC);
}

WAY(mapping_moved, ANYWHERE)
{
	void **start = (void **)map_pages(SIZE), **moved;

	hold_in(&start[PLACE], seat);
	moved = (void **)mremap(start, SIZE, 4 * SIZE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
}

WAY(mapping_advised, ANYWHERE)
{
	void **start = (void **)map_pages(SIZE);

	CHECK(madvise(start, SIZE, MADV_DONTFORK) == 0);
	CHECK(madvise(start, SIZE, MADV_DONTDUMP) == 0);
	hold_in(&start[PLACE], seat);
}

WAY(mapping_huge_page, ANYWHERE)
{
	void **start = (void **)map_pages(4 << 20);

	madvise(start, 4 << 20, MADV_HUGEPAGE);
	hold_in(&start[300001], seat);
}

WAY(mapping_sparse, ANYWHERE)
{
	void **start = (void **)mmap(NULL, (size_t)64 << 30,
	    PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(start != MAP_FAILED);
	hold_in(&start[(size_t)5 << 30], seat);
}

WAY(mapping_grows_down, ANYWHERE)
{
	hold_in(&map(PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1)[PLACE], seat);
}
