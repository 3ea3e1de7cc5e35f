/*
 * sys.c - every system call the library makes.
 *
 * Owns nothing.  See sys.h for the contract.
 */
#include "base/sys.h"

#include "base/arch.h"
#include "base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/*
 * Descriptors below are left to the program; fewer where it may have no more.
 * Who closes or looks at "all" of them often means the first 256.
 */
#define FD_MIN		500
#define FD_MIN_FEW	200

#define CALL0(n)	 arch_syscall(n, 0, 0, 0, 0, 0, 0)
#define CALL1(n, a)	 arch_syscall(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(n, a, b)	 arch_syscall(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(n, a, b, c) \
	arch_syscall(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(n, a, b, c, d) \
	arch_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL5(n, a, b, c, d, e) \
	arch_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), \
		     (long)(e), 0)
#define CALL6(n, a, b, c, d, e, f) \
	arch_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), \
		     (long)(e), (long)(f))

long
sys_mmap(uintptr_t addr, size_t size, int prot, int flags, int fd,
	 uint64_t offset)
{
	return CALL6(SYS_mmap, addr, size, prot, flags, fd, offset);
}

int
sys_munmap(uintptr_t addr, size_t size)
{
	return (int)CALL2(SYS_munmap, addr, size);
}

int
sys_mprotect(uintptr_t addr, size_t size, int prot)
{
	return (int)CALL3(SYS_mprotect, addr, size, prot);
}

int
sys_madvise(uintptr_t addr, size_t size, int advice)
{
	return (int)CALL3(SYS_madvise, addr, size, advice);
}

long
sys_mremap(uintptr_t addr, size_t old_size, size_t new_size, int flags,
	   uintptr_t new_addr)
{
	return CALL5(SYS_mremap, addr, old_size, new_size, flags, new_addr);
}

bool
sys_is_readable(uintptr_t addr)
{
	/*
	 * The kernel reads the set before it looks at how: a bad address is
	 * EFAULT, a good one EINVAL.  No filter forbids this call.
	 */
	return CALL4(SYS_rt_sigprocmask, ~0, addr, NULL, 8) != -EFAULT;
}

/*
 * retry_with_room - the program has used up its descriptors: allow one more
 * for the moment of this call, where the hard limit lets us.
 */
static int
retry_with_room(long call, long a, long b, long c, long d)
{
	struct rlimit old, raised;
	int fd;

	if (sys_getrlimit(RLIMIT_NOFILE, &old) != 0 ||
	    old.rlim_cur >= old.rlim_max)
		return -EMFILE;
	raised = old;
	raised.rlim_cur = old.rlim_max;
	CALL4(SYS_prlimit64, 0, RLIMIT_NOFILE, &raised, NULL);
	fd = (int)CALL4(call, a, b, c, d);
	CALL4(SYS_prlimit64, 0, RLIMIT_NOFILE, &old, NULL);
	return fd;
}

int
sys_open(const char *path, int flags, int mode)
{
	int fd = (int)CALL4(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC,
			    mode);

	if (fd == -EMFILE)
		fd = retry_with_room(SYS_openat, AT_FDCWD, (long)path,
				     flags | O_CLOEXEC, mode);
	return fd;
}

int
sys_close(int fd)
{
	return (int)CALL1(SYS_close, fd);
}

long
sys_read(int fd, void *buffer, size_t size)
{
	long n;

	do
		n = CALL3(SYS_read, fd, buffer, size);
	while (n == -EINTR);
	return n;
}

long
sys_pread(int fd, void *buffer, size_t size, uint64_t offset)
{
	return CALL4(SYS_pread64, fd, buffer, size, offset);
}

long
sys_copy_from(uintptr_t from, void *to, size_t size)
{
	/*
	 * Not process_vm_readv(2): filters take it for a debugger's, and end
	 * the process.
	 */
	int fd = sys_open("/proc/thread-self/mem", O_RDONLY, 0);
	long n;

	if (fd < 0)
		return fd;
	n = sys_pread(fd, to, size, from);
	sys_close(fd);
	return n == 0 || n == -EIO ? -EFAULT : n;
}

long
sys_write(int fd, const void *buffer, size_t size)
{
	return CALL3(SYS_write, fd, buffer, size);
}

static int
write_all(int fd, const char *p, size_t size)
{
	while (size > 0) {
		long n = sys_write(fd, p, size);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int
sys_write_all(int fd, const void *buffer, size_t size)
{
	const uint64_t raised = UINT64_C(1) << (SIGPIPE - 1) |
				UINT64_C(1) << (SIGXFSZ - 1);
	struct timespec now = { 0, 0 };
	uint64_t old, pending = 0;
	int error;

	sys_sigprocmask(SIG_BLOCK, &raised, &old);
	CALL2(SYS_rt_sigpending, &pending, 8);
	error = write_all(fd, buffer, size);
	/* Take back what we raised, unless one was waiting already. */
	if ((error == -EPIPE || error == -EFBIG) && (pending & raised) == 0)
		CALL4(SYS_rt_sigtimedwait, &raised, NULL, &now, 8);
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
	return error;
}

/* Owner thread. */
static __thread bool has_own_files
	__attribute__((tls_model("initial-exec")));

int
sys_own_files(void)
{
	/* CLOSE_RANGE_UNSHARE: nothing is copied that is closed at once. */
	int error = (int)CALL3(SYS_close_range, 0, ~0u, 1u << 1);

	if (error != 0)
		return error;
	has_own_files = true;
	/* 0 to 2 stand for what they always do: nothing else gets them. */
	if (sys_memfd_create("bilge", 0) == 0)
		for (int fd = 1; fd <= 2; fd++)
			sys_dup3(0, fd, 0);
	return 0;
}

void
sys_share_files(void)
{
	has_own_files = true;
}

bool
sys_has_own_files(void)
{
	return has_own_files;
}

int
sys_program_fd(int fd)
{
	int process = (int)CALL2(SYS_pidfd_open, sys_getpid(), 0);
	int copy = process;

	if (process >= 0) {
		copy = (int)CALL3(SYS_pidfd_getfd, process, fd, 0);
		sys_close(process);
	}
	return copy;
}

int
sys_write_stderr(const void *buffer, size_t size)
{
	int fd = has_own_files ? sys_program_fd(2) : 2;
	int error = fd < 0 ? fd : sys_write_all(fd, buffer, size);

	if (has_own_files && fd >= 0)
		sys_close(fd);
	return error;
}

long
sys_lseek(int fd, int64_t offset, int whence)
{
	return CALL3(SYS_lseek, fd, offset, whence);
}

int
sys_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)CALL3(SYS_ioctl, fd, request, argument);
}

long
sys_getdents(int fd, void *buffer, size_t size)
{
	return CALL3(SYS_getdents64, fd, buffer, size);
}

long
sys_readlink(const char *path, char *buffer, size_t size)
{
	return CALL4(SYS_readlinkat, AT_FDCWD, path, buffer, size);
}

int
sys_fstat(int fd, struct stat *ret)
{
	/* The kernel's struct stat is libc's on this processor. */
	return (int)CALL2(SYS_fstat, fd, ret);
}

int
sys_ftruncate(int fd, uint64_t size)
{
	return (int)CALL2(SYS_ftruncate, fd, size);
}

int
sys_access(const char *path, int mode)
{
	return (int)CALL3(SYS_faccessat, AT_FDCWD, path, mode);
}

int
sys_dup3(int from, int to, int flags)
{
	return (int)CALL3(SYS_dup3, from, to, flags);
}

int
sys_fcntl(int fd, int command, long argument)
{
	return (int)CALL3(SYS_fcntl, fd, command, argument);
}

int
sys_keep_high(int fd)
{
	int high;

	if (fd < 0)
		return fd;
	high = sys_fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN);
	if (high < 0)
		high = sys_fcntl(fd, F_DUPFD_CLOEXEC, FD_MIN_FEW);
	if (high < 0)
		return fd;
	sys_close(fd);
	return high;
}

int
sys_poll(int fd, short events)
{
	struct pollfd poll = { .fd = fd, .events = events };

	return (int)CALL3(SYS_poll, &poll, 1, 0);
}

int
sys_flock(int fd, int operation)
{
	return (int)CALL2(SYS_flock, fd, operation);
}

int
sys_memfd_create(const char *name, unsigned flags)
{
	int fd = (int)CALL2(SYS_memfd_create, name, flags);

	if (fd == -EMFILE)
		fd = retry_with_room(SYS_memfd_create, (long)name,
				     (long)flags, 0, 0);
	return fd;
}

int
sys_close_range(unsigned first, unsigned last)
{
	return (int)CALL3(SYS_close_range, first, last, 0);
}

int
sys_getpid(void)
{
	return (int)CALL0(SYS_getpid);
}

int
sys_gettid(void)
{
	return (int)CALL0(SYS_gettid);
}

int
sys_tgkill(int pid, int tid, int sig)
{
	return (int)CALL3(SYS_tgkill, pid, tid, sig);
}

int
sys_tgqueue(int pid, int tid, int sig, void *value)
{
	siginfo_t info = { .si_signo = sig, .si_code = SI_QUEUE };

	info.si_pid = pid;
	info.si_value.sival_ptr = value;
	return (int)CALL4(SYS_rt_tgsigqueueinfo, pid, tid, sig, &info);
}

int
sys_getrlimit(int resource, struct rlimit *ret)
{
	return (int)CALL4(SYS_prlimit64, 0, resource, NULL, ret);
}

int
sys_execve(const char *path, char *const argv[], char *const envp[])
{
	return (int)CALL3(SYS_execve, path, argv, envp);
}

int
sys_wait(int pid, int *ret_status)
{
	int error;

	do
		error = (int)CALL4(SYS_wait4, pid, ret_status, __WALL, NULL);
	while (error == -EINTR);
	return error < 0 ? error : 0;
}

int
sys_peek_child(int type, int id, int options)
{
	siginfo_t info = { .si_pid = 0 };
	int error = (int)CALL5(SYS_waitid, type, id, &info,
			       options | WNOHANG | WNOWAIT, NULL);

	return error < 0 ? error : info.si_pid != 0;
}

int
sys_membarrier(int command)
{
	return (int)CALL3(SYS_membarrier, command, 0, 0);
}

int
sys_sched_yield(void)
{
	return (int)CALL0(SYS_sched_yield);
}

_Noreturn void
sys_exit_group(int status)
{
	for (;;)
		CALL1(SYS_exit_group, status);
}

void sys_sigreturn(void);
__asm__(".text\n"
	".hidden sys_sigreturn\n"
	".type sys_sigreturn, @function\n"
	/* The nop belongs to the idiom by which unwinders know the frame. */
	"nop\n"
	"sys_sigreturn:\n"
	"	mov $15, %rax\n"
	"	syscall\n"
	".size sys_sigreturn, . - sys_sigreturn\n");

int
sys_sigaction(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sys_action action = {
		.handler = handler,
		.flags = (unsigned long)flags | SYS_SA_RESTORER,
		.restorer = sys_sigreturn,
		.mask = ~UINT64_C(0),
	};

	return (int)CALL4(SYS_rt_sigaction, sig, &action, NULL, 8);
}

uint64_t
sys_sigpending(void)
{
	uint64_t set = 0;

	return CALL2(SYS_rt_sigpending, &set, sizeof(set)) == 0 ? set : 0;
}

uintptr_t
sys_alternate_stack(void)
{
	stack_t stack = { .ss_sp = NULL };

	CALL2(SYS_sigaltstack, NULL, &stack);
	return (uintptr_t)stack.ss_sp;
}

void
sys_disable_alternate_stack(void)
{
	stack_t stack = { .ss_flags = SS_DISABLE };

	CALL2(SYS_sigaltstack, &stack, NULL);
}

int
sys_sigaction_exchange(int sig, const struct sys_action *action,
		       struct sys_action *ret_old)
{
	return (int)CALL4(SYS_rt_sigaction, sig, action, ret_old, 8);
}

int
sys_sigqueue_self(int sig, const siginfo_t *info)
{
	return (int)CALL4(SYS_rt_tgsigqueueinfo, sys_getpid(), sys_gettid(),
			  sig, info);
}

bool
sys_is_writable(uintptr_t addr)
{
	/*
	 * A futex call that wakes nobody and, on the way, ORs nothing into the
	 * word: it has to be writable for that.
	 */
	static _Atomic uint32_t nobody;

	return CALL6(SYS_futex, &nobody, FUTEX_WAKE_OP, 0, 0, addr,
		     FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)) != -EFAULT;
}

int
sys_sigprocmask(int how, const uint64_t *set, uint64_t *ret_old)
{
	return (int)CALL4(SYS_rt_sigprocmask, how, set, ret_old, 8);
}

int
sys_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec limit = {
		.tv_sec = (time_t)(timeout_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NSEC_PER_SEC),
	};

	return (int)CALL4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
			  timeout_ns == 0 ? NULL : &limit);
}

bool
sys_futex_peek(uintptr_t word, uint32_t value, bool is_private)
{
	struct timespec none = { 0, 0 };

	return CALL4(SYS_futex, word, is_private ? FUTEX_WAIT_PRIVATE
		     : FUTEX_WAIT, value, &none) == -ETIMEDOUT;
}

int
sys_futex_wake(_Atomic uint32_t *word, unsigned count)
{
	return (int)CALL3(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
}

void
sys_wait_cleared(_Atomic uint32_t *word)
{
	uint32_t value;

	while ((value = load_acquire(word)) != 0)
		CALL4(SYS_futex, word, FUTEX_WAIT, value, NULL);
}

int
sys_set_nice(int tid, int nice)
{
	return (int)CALL3(SYS_setpriority, PRIO_PROCESS, tid, nice);
}

unsigned
sys_cpu_count(void)
{
	uint64_t set[128] = { 0 };
	long size = CALL3(SYS_sched_getaffinity, 0, sizeof(set), set);
	unsigned count = 0;

	for (long i = 0; i < size / 8; i++)
		count += bits_count(set[i]);
	return MAX(count, 1u);
}

bool
sys_is_filtered(void)
{
	return CALL1(SYS_prctl, PR_GET_SECCOMP) != 0;
}

int
sys_userfaultfd(void)
{
	/*
	 * A filter that does not know the call may end the program for it, and
	 * containers, whose filters deny it, lose nothing.
	 */
	if (sys_is_filtered())
		return -EPERM;
	return (int)CALL1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK |
			  UFFD_USER_MODE_ONLY);
}

void
sys_sleep_ns(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_nsec = (long)(ns % NSEC_PER_SEC),
	};

	CALL4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}

int
sys_timer_create(int sig, int tid)
{
	/* sigevent(3type): libc has names of its own for its fields. */
	struct {
		uint64_t value;
		int32_t signo;
		int32_t notify;
		int32_t tid;
		char pad[44];
	} event = { .signo = sig, .notify = SIGEV_THREAD_ID, .tid = tid };
	int timer;
	int error = (int)CALL3(SYS_timer_create, CLOCK_MONOTONIC, &event,
			       &timer);

	return error < 0 ? error : timer;
}

int
sys_timer_set(int timer, uint64_t ns)
{
	struct itimerspec when = {
		.it_value = { (time_t)(ns / NSEC_PER_SEC),
			      (long)(ns % NSEC_PER_SEC) },
	};

	return (int)CALL4(SYS_timer_settime, timer, TIMER_ABSTIME, &when, NULL);
}

int
sys_timer_delete(int timer)
{
	return (int)CALL1(SYS_timer_delete, timer);
}

uint64_t
sys_minor_faults(void)
{
	struct rusage usage = { .ru_minflt = 0 };

	CALL2(SYS_getrusage, RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

/* The shortest that the kernel grants, kernel/sched/syscalls.c. */
#define PROMPT_SLICE_NS	(100 * NSEC_PER_USEC)

void
sys_be_prompt(bool is_prompt)
{
	/* struct sched_attr, which not every libc has; its first version. */
	struct {
		uint32_t size;
		uint32_t policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime;	/* of a normal thread: its slice */
		uint64_t deadline;
		uint64_t period;
	} attr = { .size = 0 };

	if (sys_is_filtered() ||
	    CALL4(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) != 0 ||
	    (attr.policy != SCHED_OTHER && attr.policy != SCHED_BATCH))
		return;
	attr.runtime = is_prompt ? PROMPT_SLICE_NS : 0;
	CALL3(SYS_sched_setattr, 0, &attr, 0);
	/* 0: as it was when the thread began. */
	CALL2(SYS_prctl, PR_SET_TIMERSLACK, is_prompt ? 1 : 0);
}

/* Fixed by sys_set_clock(). */
static int (*quick_clock)(clockid_t, struct timespec *);

void
sys_set_clock(int (*clock)(clockid_t, struct timespec *))
{
	quick_clock = clock;
}

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	/* libc's goes through the vDSO: no system call, no lock, no errno. */
	if ((quick_clock != NULL ? quick_clock(clock, &t)
	    : (int)CALL2(SYS_clock_gettime, clock, &t)) != 0)
		return 0;
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t
sys_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t
sys_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t
sys_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t
sys_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}
