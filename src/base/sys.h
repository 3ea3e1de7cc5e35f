/*
 * sys.h - every system call the library makes, straight to the kernel.
 *
 * libc's wrappers are not used: they set errno, some are cancellation points
 * and some are interposed by us.  Each function returns what the kernel
 * returns, a failure as -errno.
 *
 * Defaults: any context.
 */
#ifndef BILGE_SYS_H
#define BILGE_SYS_H

#include "base/base.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

/* Memory.  sys_map returns MAP_FAILED's place as a negative number. */
long sys_mmap(uintptr_t addr, size_t size, int prot, int flags, int fd,
	      uint64_t offset);
int sys_munmap(uintptr_t addr, size_t size);
int sys_mprotect(uintptr_t addr, size_t size, int prot);
int sys_madvise(uintptr_t addr, size_t size, int advice);
long sys_mremap(uintptr_t addr, size_t old_size, size_t new_size, int flags,
		uintptr_t new_addr);
/* sys_is_readable - can the 8 bytes at a multiple of 8 be read? */
bool sys_is_readable(uintptr_t addr);
/*
 * sys_copy_from - copy memory that may not be there.
 * Returns: bytes copied, fewer than size where it ends; -EFAULT, nothing is
 *          there; another -errno where /proc is not to be had.
 * Cost:    three system calls.  Who copies much reads /proc/thread-self/mem.
 */
long sys_copy_from(uintptr_t from, void *to, size_t size);

/* Files. */
/* sys_open, sys_memfd_create - a used up soft limit does not stop them. */
int sys_open(const char *path, int flags, int mode);
int sys_close(int fd);
long sys_read(int fd, void *buffer, size_t size);
long sys_pread(int fd, void *buffer, size_t size, uint64_t offset);
long sys_write(int fd, const void *buffer, size_t size);
/*
 * sys_write_all - retries short writes and EINTR; 0 or -errno.  A closed pipe
 * or a file size limit is an error and nothing else: no signal is raised.
 */
int sys_write_all(int fd, const void *buffer, size_t size);
/* sys_write_stderr - the same, to the program's standard error. */
int sys_write_stderr(const void *buffer, size_t size);

/*
 * A thread of ours may have descriptors of its own, so that what it opens takes
 * no number that the program expects.
 *
 * sys_own_files      from now on the calling thread has, and none is open;
 * sys_share_files    it was made by one that has;
 * sys_has_own_files  does it?
 * sys_program_fd     a copy of one of the program's.
 */
int sys_own_files(void);
void sys_share_files(void);
bool sys_has_own_files(void);
int sys_program_fd(int fd);

long sys_lseek(int fd, int64_t offset, int whence);
int sys_ioctl(int fd, unsigned long request, void *argument);

/* An entry of a directory; the kernel's struct linux_dirent64. */
struct sys_entry {
	uint64_t inode;
	int64_t offset;
	unsigned short size;
	unsigned char type;
	char name[];
};
long sys_getdents(int fd, void *buffer, size_t size);
long sys_readlink(const char *path, char *buffer, size_t size);
int sys_fstat(int fd, struct stat *ret);
int sys_ftruncate(int fd, uint64_t size);
int sys_access(const char *path, int mode);
int sys_dup3(int from, int to, int flags);
int sys_fcntl(int fd, int command, long argument);
/*
 * sys_keep_high - the same descriptor at a number out of the program's way, if
 * one is free; an error is passed on.
 */
int sys_keep_high(int fd);
/* sys_poll - 1: one of the events, or an error, is there now; 0: none. */
int sys_poll(int fd, short events);
int sys_flock(int fd, int operation);
int sys_memfd_create(const char *name, unsigned flags);
int sys_close_range(unsigned first, unsigned last);

/* Processes and threads. */
int sys_getpid(void);
int sys_gettid(void);
int sys_tgkill(int pid, int tid, int sig);
/* sys_tgqueue - the same, with a value: si_code is SI_QUEUE. */
int sys_tgqueue(int pid, int tid, int sig, void *value);
int sys_getrlimit(int resource, struct rlimit *ret);
int sys_execve(const char *path, char *const argv[], char *const envp[]);
/* sys_wait - wait for a child of any kind; 0 or -errno. */
int sys_wait(int pid, int *ret_status);
/*
 * sys_peek_child - what waitid(2) would find now, and leaves.
 * Returns: 1 a child, 0 it would wait, -errno.
 */
int sys_peek_child(int type, int id, int options);
int sys_membarrier(int command);
int sys_sched_yield(void);
_Noreturn void sys_exit_group(int status);

/* Signals.  A set is the kernel's: one bit a signal, bit 0 is signal 1. */
int sys_sigaction(int sig, void (*handler)(int, siginfo_t *, void *),
		  int flags);

/* The kernel's struct sigaction; libc's has another layout. */
struct sys_action {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

/* The kernel's own flag, in every action that libc or we install. */
#define SYS_SA_RESTORER	0x04000000ul

/* sys_is_handler - is it a function?  SIG_DFL and SIG_IGN are 0 and 1. */
ALWAYS_INLINE bool
sys_is_handler(const struct sys_action *action)
{
	return (uintptr_t)action->handler > 1;
}

/* sys_sigaction_exchange - either may be NULL. */
int sys_sigaction_exchange(int sig, const struct sys_action *action,
			   struct sys_action *ret_old);

/* sys_sigqueue_self - send the calling thread a signal with this siginfo. */
int sys_sigqueue_self(int sig, const siginfo_t *info);

/*
 * sys_is_writable - can the 4 bytes at a multiple of 4 be written?  They keep
 * their value, also where others change it at the same time.
 */
bool sys_is_writable(uintptr_t addr);
/* sys_sigpending - those that wait to be unblocked by the caller. */
uint64_t sys_sigpending(void);
/* sys_alternate_stack - the calling thread's; 0: it has none. */
uintptr_t sys_alternate_stack(void);
/* sys_disable_alternate_stack - from now on the calling thread has none. */
void sys_disable_alternate_stack(void);
int sys_sigprocmask(int how, const uint64_t *set, uint64_t *ret_old);

/* Futexes: private unless named otherwise. */
int sys_futex_wait(_Atomic uint32_t *word, uint32_t value,
		   uint64_t timeout_ns);
/* sys_futex_peek - would waiting there wait?  Also where nothing is. */
bool sys_futex_peek(uintptr_t word, uint32_t value, bool is_private);
int sys_futex_wake(_Atomic uint32_t *word, unsigned count);

/*
 * sys_wait_cleared - until the kernel has cleared a word that names a thread
 * made with CLONE_CHILD_CLEARTID.
 */
void sys_wait_cleared(_Atomic uint32_t *word);

/* sys_set_nice - of one thread. */
int sys_set_nice(int tid, int nice);

/* sys_cpu_count - processors this process may use, at least 1. */
unsigned sys_cpu_count(void);

/* sys_thread_cpu_ns - what the calling thread has computed so far. */
uint64_t sys_thread_cpu_ns(void);

/*
 * sys_timer_create - a timer that sends a thread of this process a signal.
 * Returns: its number or -errno.
 * sys_timer_set - Units: ns, on the monotonic clock; once.
 */
int sys_timer_create(int sig, int tid);
int sys_timer_set(int timer, uint64_t ns);
int sys_timer_delete(int timer);

/* sys_minor_faults - of all threads of the process, so far. */
uint64_t sys_minor_faults(void);

/* sys_is_filtered - may a system call be forbidden, or end the process? */
bool sys_is_filtered(void);

/*
 * sys_userfaultfd - for faults of user code only: needs no privilege.
 * Errors: -EPERM under a seccomp filter, which is not tried.
 */
int sys_userfaultfd(void);

/* sys_sleep_ns - for at least this long. */
void sys_sleep_ns(uint64_t ns);

/*
 * sys_be_prompt - run the calling thread soon after it wakes, and wake it in
 * time, or no longer; as far as the kernel does that (Linux 6.12, sched(7):
 * who wants a short slice gets it early) and allows it.
 */
void sys_be_prompt(bool is_prompt);

/*
 * sys_set_clock - what reads clocks without a system call: libc's function,
 * whose name is interposed.  Context: early.
 */
void sys_set_clock(int (*clock)(clockid_t, struct timespec *));

/* Clocks, nanoseconds. */
uint64_t sys_monotonic_ns(void);
uint64_t sys_realtime_ns(void);
/* sys_coarse_ns - monotonic, a tick (1-4 ms) old at most; no system call. */
uint64_t sys_coarse_ns(void);

#endif
