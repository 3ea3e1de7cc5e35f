/*
 * hostile.c - programs that take rights, descriptors and calls from
 * themselves, and what was started in them, while cycles run.
 */
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "victim.h"

#define KEPT	2000

static void *kept[KEPT];
static volatile bool is_over;

static NOINLINE void
churn_once(unsigned *random)
{
	int i = rand_r(random) % KEPT;
	size_t size = 16 + rand_r(random) % 2000;

	if (kept[i] != NULL) {
		CHECK(*(int *)kept[i] == i);
		free(kept[i]);
	}
	kept[i] = memset(use(malloc(size)), 0, size);
	*(int *)kept[i] = i;
	memset(use(malloc(500)), 1, 500);	/* lost */
}

/* For so long the program goes on; cycles run meanwhile. */
static void
churn_for(long ms)
{
	struct timespec start, now;
	unsigned random = 1;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (i = 0; i < 200; i++)
			churn_once(&random);
		usleep(200);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 +
	    (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
	for (i = 0; i < KEPT; i++)
		CHECK(kept[i] == NULL || *(int *)kept[i] == i);
}

static int
drops_rights(const char *arg)
{
	char name[64];
	FILE *status;
	int i, tasks = 0;

	churn_for(200);
	if (getuid() == 0) {
		CHECK(setgroups(0, NULL) == 0);
		CHECK(setgid(65534) == 0 && setuid(65534) == 0);
		CHECK(setuid(0) != 0);
	}
	churn_for(300);
	/* No thread is left with other rights than ours. */
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "/proc/self/task/%d/status",
		    getpid() + i);
		status = fopen(name, "r");
		if (status == NULL)
			continue;
		while (fgets(name, sizeof name, status) != NULL)
			if (strncmp(name, "Uid:", 4) == 0)
				CHECK((unsigned)atoi(name + 5) == getuid());
		fclose(status);
		tasks++;
	}
	CHECK(tasks >= 1);
	churn_for(200);
	return 0;
}

static int
no_threads(const char *arg)
{
	struct rlimit limit = { 1, 1 };

	churn_for(100);
	if (getuid() == 0)
		CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
	churn_for(400);
	return 0;
}

static int
closes_all(const char *arg)
{
	int fd;

	churn_for(150);
	for (fd = 3; fd < 70000; fd++)
		close(fd);
	syscall(SYS_close_range, 3, ~0u, 0);
	churn_for(200);
	for (fd = 3; fd < 1000; fd++)
		dup2(0, fd);
	churn_for(200);
	return 0;
}

static int
unshares(const char *arg)
{
	int i;

	for (i = 0; i < 20; i++) {
		churn_for(20);
		CHECK(unshare(CLONE_FS | CLONE_FILES) == 0);
	}
	CHECK(unshare(CLONE_NEWUSER) == 0 || errno == EPERM ||
	    errno == ENOSPC);
	churn_for(200);
	return 0;
}

static int
loses_proc(const char *arg)
{
	churn_for(150);
	if (getuid() == 0 && unshare(CLONE_NEWNS) == 0) {
		CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
		CHECK(umount2("/proc", MNT_DETACH) == 0);
		CHECK(access("/proc/self/maps", R_OK) != 0);
	}
	churn_for(400);
	return 0;
}

/* The argument: kill, errno or trap; with a 0, before there was a cycle. */
static int
filters(const char *arg)
{
	uint32_t action = strncmp(arg, "kill", 4) == 0 ? SECCOMP_RET_KILL_PROCESS
	    : strcmp(arg, "trap") == 0 ? SECCOMP_RET_TRAP
	    : SECCOMP_RET_ERRNO | EPERM;
#define DENY(call)							\
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),		\
	BPF_STMT(BPF_RET | BPF_K, action)
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		DENY(SYS_userfaultfd), DENY(SYS_process_vm_readv),
		DENY(SYS_ptrace), DENY(SYS_clone3), DENY(SYS_perf_event_open),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	if (strchr(arg, '0') == NULL)
		churn_for(150);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	churn_for(400);
	return 0;
}

static void *
churn_thread(void *arg)
{
	void *slots[64] = { NULL };
	unsigned random = (unsigned)(uintptr_t)arg;

	while (!is_over) {
		int i = rand_r(&random) % 64;

		free(slots[i]);
		slots[i] = malloc(rand_r(&random) % 3000);
		use(slots);
	}
	return NULL;
}

/* A fork at any time, and children that go on for a while by themselves. */
static int
forks(const char *arg)
{
	pthread_t thread;
	int i, status, kind;

	for (i = 0; i < 2; i++)
		CHECK(pthread_create(&thread, NULL, churn_thread,
		    (void *)(uintptr_t)i) == 0);
	for (i = 0; i < 60; i++) {
		pid_t child;

		churn_for(3 + i % 17);
		kind = i % 3;
		child = kind == 2 ? _Fork() : fork();
		CHECK(child >= 0);
		if (child == 0) {
			if (kind != 2)
				churn_for(i % 10 == 0 ? 300 : 5);
			if (i % 4 == 1)
				execl("/bin/true", "true", (char *)NULL);
			_exit(0);
		}
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	is_over = true;
	return 0;
}

static int
daemonizes(const char *arg)
{
	int status, fds[2];
	pid_t child;
	char byte;

	CHECK(pipe(fds) == 0);
	churn_for(120);
	child = fork();
	if (child == 0) {
		CHECK(daemon(0, 1) == 0);
		churn_for(300);
		_exit(write(fds[1], "x", 1) != 1);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	close(fds[1]);
	CHECK(read(fds[0], &byte, 1) == 1);
	return 0;
}

static int
huge_pages(const char *arg)
{
	size_t size = 64 << 20;
	char *block = malloc(size), *map;
	void **in_map;

	memset(block, 1, size);
	madvise((void *)(((uintptr_t)block + 0x1fffff) & ~0x1ffffful),
	    size - 0x200000, MADV_HUGEPAGE);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(map != MAP_FAILED);
	madvise(map, size, MADV_HUGEPAGE);
	in_map = (void **)(map + size / 2);
	*in_map = memset(malloc(1000), 'x', 1000);
	churn_for(400);
	CHECK(((char *)*in_map)[500] == 'x');
	CHECK(mlockall(MCL_CURRENT) == 0 || errno == ENOMEM ||
	    errno == EPERM);
	madvise(block + (8 << 20), 16 << 20, MADV_DONTNEED);
	churn_for(200);
	CHECK(block[1] == 1 && block[size - 1] == 1);
	return 0;
}

/* A stop that is under way must not reach the new program. */
static int
execs(const char *arg)
{
	static char long_argument[100000], *arguments[10];
	int status;

	(void)arg;
	/* The kernel copies them first: that takes as long as a stop. */
	memset(long_argument, 'x', sizeof(long_argument) - 1);
	for (int i = 0; i < 9; i++)
		arguments[i] = long_argument;
	for (int i = 0; i < 160; i++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			churn_for(120 + i % 10);
			if (i % 3 == 0)
				execv("/bin/true", arguments);
			else if (i % 3 == 1)
				execlp("true", long_argument, long_argument,
				       long_argument, long_argument, NULL);
			else
				execle("/bin/true", long_argument,
				       long_argument, long_argument, NULL,
				       environ);
			_exit(9);
		}
		/* Some at a time, so that they get in each other's way. */
		if (i < 7)
			continue;
		CHECK(wait(&status) > 0);
		CHECK(status == 0);
	}
	while (wait(&status) > 0)
		CHECK(status == 0);
	/* One that fails leaves all as it was. */
	CHECK(execl("/no/such/program", "x", NULL) == -1 && errno == ENOENT);
	churn_for(200);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "drops_rights", drops_rights },
		{ "no_threads", no_threads },
		{ "closes_all", closes_all },
		{ "unshares", unshares },
		{ "loses_proc", loses_proc },
		{ "filters", filters },
		{ "forks", forks },
		{ "execs", execs },
		{ "daemonizes", daemonizes },
		{ "huge_pages", huge_pages },
		{ NULL, NULL }
	};

	return victim_main(argc, argv, victims);
}
