/*
 * kernel.c - calls that leave an address with the kernel, or bring it back.
 *
 * The program may keep no other copy meanwhile.  Each call is made as it is;
 * what is noted of it changes neither its result nor errno.
 */
#include "preload/preload.h"
#include "preload/lend.h"
#include "preload/next.h"
#include "preload/transfer.h"
#include "preload/waiting.h"

#include "base/arch.h"
#include "base/bits.h"
#include "base/sys.h"

#include <link.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

NEXT_DEFINE(epoll_ctl);
NEXT_DEFINE(timer_create);
NEXT_DEFINE(mq_notify);
NEXT_DEFINE(mq_close);
NEXT_DEFINE(mq_send);
NEXT_DEFINE(mq_receive);
NEXT_DEFINE(sigqueue);
NEXT_DEFINE(pthread_sigqueue);
NEXT_DEFINE(msgsnd);
NEXT_DEFINE(msgrcv);
NEXT_DEFINE(write);
NEXT_DEFINE(read);
NEXT_DEFINE(send);
NEXT_DEFINE(recv);

/* ---------------------------------------------------------- sets and timers */

static void
note_epoll(int call, const struct epoll_event *event)
{
	if (call != EPOLL_CTL_DEL && event != NULL)
		kernelrefs_note(KERNELREF_EPOLL, 0,
				(uintptr_t)event->data.u64);
}

PUBLIC int
epoll_ctl(int set, int call, int fd, struct epoll_event *event)
{
	int result = NEXT(epoll_ctl)(set, call, fd, event);

	if (result == 0)
		note_epoll(call, event);
	return result;
}

static void
note_timer(const struct sigevent *event)
{
	/* Of the others libc keeps the value. */
	if (event != NULL && event->sigev_notify != SIGEV_THREAD)
		kernelrefs_note(KERNELREF_TIMER, 0,
				(uintptr_t)event->sigev_value.sival_ptr);
}

PUBLIC int
timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
	int result = NEXT(timer_create)(clock, event, timer);

	if (result == 0)
		note_timer(event);
	return result;
}

/* note_notify - one at a time: that this one was taken says it is the only. */
static void
note_notify(mqd_t queue, const struct sigevent *event)
{
	kernelrefs_drop_all(KERNELREF_NOTIFY, (uint64_t)queue);
	if (event != NULL)
		kernelrefs_note(KERNELREF_NOTIFY, (uint64_t)queue,
				(uintptr_t)event->sigev_value.sival_ptr);
}

PUBLIC int
mq_notify(mqd_t queue, const struct sigevent *event)
{
	int result = NEXT(mq_notify)(queue, event);

	if (result == 0)
		note_notify(queue, event);
	return result;
}

PUBLIC int
mq_close(mqd_t queue)
{
	/* Before: afterwards the number may be another thread's queue. */
	kernelrefs_drop_all(KERNELREF_NOTIFY, (uint64_t)queue);
	return NEXT(mq_close)(queue);
}

/* ------------------------------------------------------------------ signals */

static void
note_signal(int pid, int sig, const void *address)
{
	if (pid == sys_getpid())
		kernelrefs_note(KERNELREF_SIGNAL, (uint64_t)sig,
				(uintptr_t)address);
}

PUBLIC int
sigqueue(pid_t pid, int sig, const union sigval value)
{
	int result = NEXT(sigqueue)(pid, sig, value);

	if (result == 0)
		note_signal(pid, sig, value.sival_ptr);
	return result;
}

PUBLIC int
pthread_sigqueue(pthread_t thread, int sig, const union sigval value)
{
	int result = NEXT(pthread_sigqueue)(thread, sig, value);

	if (result == 0)
		kernelrefs_note(KERNELREF_SIGNAL, (uint64_t)sig,
				(uintptr_t)value.sival_ptr);
	return result;
}

/* ------------------------------------------------------ asynchronous input */

typedef void change_fn(enum kernelref, uint64_t, uintptr_t);

/*
 * change_requests - note or drop requests, of which the kernel keeps the
 * address and a word.  They may not be there at all: the kernel will say so.
 */
static void
change_requests(change_fn *change, aio_context_t context, long first, long end,
		struct iocb **requests)
{
	for (long i = first; i < end; i++) {
		if (!sys_is_readable((uintptr_t)&requests[i]))
			return;
		change(KERNELREF_AIO, context, (uintptr_t)requests[i]);
		if (sys_is_readable((uintptr_t)&requests[i]->aio_data))
			change(KERNELREF_AIO, context,
			       requests[i]->aio_data);
	}
}

/* A function of libaio, or the system call behind it. */
typedef long call_fn(long, long, long, long, long, long);

static void
give_buffers(long count, struct iocb **requests)
{
	for (long i = 0; i < count; i++) {
		if (!sys_is_readable((uintptr_t)&requests[i]))
			return;
		if (sys_is_readable((uintptr_t)&requests[i]->aio_buf))
			bilge_give((const void *)(uintptr_t)
				   requests[i]->aio_buf);
	}
}

static long
submit(call_fn *call, aio_context_t context, long count,
       struct iocb **requests)
{
	long result;

	/* They are filled when it suits the kernel. */
	if (unlikely(fence_lends))
		give_buffers(count, requests);
	/* Before: another thread may get the first of them back at once. */
	change_requests(kernelrefs_note, context, 0, count, requests);
	/* libaio's are of type int. */
	result = (int)call((long)context, count, (long)requests, 0, 0, 0);
	change_requests(kernelrefs_drop, context, MAX(result, 0), count,
			requests);
	return result;
}

/* Both give back -EINTR: libaio's functions, and the system call behind. */
static NOINLINE long
wait_for_events(call_fn *call, aio_context_t context, long min, long max,
		struct io_event *events, long timeout, long mask)
{
	struct timeout t = { .is_limited = false };
	long result;

	if (timeout != 0 && sys_is_readable((uintptr_t)timeout) &&
	    sys_is_readable((uintptr_t)timeout + 8))
		timeout_begin(&t, CLOCK_MONOTONIC,
			      (const struct timespec *)timeout);
	restart_arm();
	result = (int)call((long)context, min, max, (long)events, timeout,
			   mask);
	while (unlikely(result == -EINTR) && restart_is_due()) {
		restart_arm();
		result = (int)call((long)context, min, max, (long)events,
				   t.is_limited ? (long)timeout_left(&t)
						: timeout, mask);
	}
	return result;
}

static long
get_events(call_fn *call, aio_context_t context, long min, long max,
	   struct io_event *events, long timeout, long mask)
{
	long result = LENT(events, (size_t)max * sizeof(*events),
			   wait_for_events(call, context, min, max, events,
					   timeout, mask));

	for (long i = 0; i < result; i++) {
		kernelrefs_drop(KERNELREF_AIO, context, events[i].obj);
		kernelrefs_drop(KERNELREF_AIO, context, events[i].data);
	}
	return result;
}

static long
destroy(call_fn *call, aio_context_t context)
{
	/* Before: afterwards the number may be another thread's context. */
	kernelrefs_drop_all(KERNELREF_AIO, context);
	return (int)call((long)context, 0, 0, 0, 0, 0);
}

#define CALL_FN(name)							\
static long								\
call_##name(long a, long b, long c, long d, long e, long f)		\
{									\
	return arch_syscall(SYS_##name, a, b, c, d, e, f);		\
}

CALL_FN(io_submit)
CALL_FN(io_getevents)
CALL_FN(io_pgetevents)
CALL_FN(io_destroy)

/* ------------------------------------------------------------------ syscall */

/* Called by name from below. */
long kernel_syscall(long number, long a, long b, long c, long d, long e,
		    long f);
void *kernel_next_syscall(const long *arguments);

/* give_arguments - what will be written we do not know, nor for how long. */
static void
give_arguments(const long *arguments, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bilge_give((const void *)arguments[i]);
}

static long
make_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	switch (number) {
	case SYS_io_submit:
		return submit(call_io_submit, (aio_context_t)a, b,
			      (struct iocb **)c);
	case SYS_io_getevents:
		return get_events(call_io_getevents, (aio_context_t)a, b, c,
				  (struct io_event *)d, e, f);
	case SYS_io_pgetevents:
		return get_events(call_io_pgetevents, (aio_context_t)a, b, c,
				  (struct io_event *)d, e, f);
	case SYS_io_destroy:
		return destroy(call_io_destroy, (aio_context_t)a);
	}
	result = waiting_call(number, (long[6]){ a, b, c, d, e, f });
	if (result != 0)
		return result;
	switch (number) {
	case SYS_epoll_ctl:
		note_epoll((int)b, (const struct epoll_event *)d);
		break;
	case SYS_timer_create:
		note_timer((const struct sigevent *)b);
		break;
	case SYS_mq_notify:
		note_notify((mqd_t)a, (const struct sigevent *)b);
		break;
	case SYS_rt_sigqueueinfo:
		note_signal((int)a, (int)b, ((siginfo_t *)c)->si_ptr);
		break;
	case SYS_rt_tgsigqueueinfo:
		note_signal((int)a, (int)c, ((siginfo_t *)d)->si_ptr);
		break;
	}
	return result;
}

long
kernel_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	switch (number) {
	case SYS_io_submit:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_destroy:
		break;
	default:
		if (unlikely(fence_lends))
			give_arguments((long[6]){ a, b, c, d, e, f }, 6);
	}
	result = make_call(number, a, b, c, d, e, f);
	if (result >= 0 || result < -4095)
		return result;
	errno = (int)-result;
	return -1;
}

NEXT_DEFINE(syscall);

/* only_waits - a system call that writes nothing, and is made all the time. */
static bool
only_waits(long number, long operation)
{
	switch (operation & FUTEX_CMD_MASK) {
	case FUTEX_WAIT:
	case FUTEX_WAKE:
	case FUTEX_WAIT_BITSET:
	case FUTEX_WAKE_BITSET:
		return number == SYS_futex;
	}
	return false;
}

/*
 * kernel_next_syscall - Units: arguments, the last first, as they are pushed
 * below; behind the number and the return address comes the seventh.
 */
void *
kernel_next_syscall(const long *arguments)
{
	if (unlikely(fence_lends) && !only_waits(arguments[5],
						arguments[3]))
		give_arguments(arguments, 8);
	return (void *)NEXT(syscall);
}

/*
 * syscall - any other call is passed on by a jump, nothing touched: clone
 * comes back on another stack, vfork twice.
 */
#define TO_OURS(number)	"cmpq $" #number ", %rdi\n\tje 1f\n\t"

__asm__(".text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n\t"
	/* The one that is made all the time. */
	"cmpq $202, %rdi\n\tje 2f\n\t"	/* futex */
	/* Those that wait and that no kernel restarts. */
	TO_OURS(7)		/* poll */
	TO_OURS(23)		/* select */
	TO_OURS(34)		/* pause */
	TO_OURS(35)		/* nanosleep */
	TO_OURS(65)		/* semop */
	TO_OURS(69)		/* msgsnd */
	TO_OURS(70)		/* msgrcv */
	TO_OURS(128)		/* rt_sigtimedwait */
	TO_OURS(130)		/* rt_sigsuspend */
	TO_OURS(220)		/* semtimedop */
	TO_OURS(230)		/* clock_nanosleep */
	TO_OURS(232)		/* epoll_wait */
	TO_OURS(270)		/* pselect6 */
	TO_OURS(271)		/* ppoll */
	TO_OURS(281)		/* epoll_pwait */
	TO_OURS(441)		/* epoll_pwait2 */
	/* Those that leave an address with the kernel, or bring it back. */
	TO_OURS(129)		/* rt_sigqueueinfo */
	TO_OURS(207)		/* io_destroy */
	TO_OURS(208)		/* io_getevents */
	TO_OURS(209)		/* io_submit */
	TO_OURS(222)		/* timer_create */
	TO_OURS(233)		/* epoll_ctl */
	TO_OURS(244)		/* mq_notify */
	TO_OURS(297)		/* rt_tgsigqueueinfo */
	TO_OURS(333)		/* io_pgetevents */
	"2:\n\t"
	"pushq %rdi\n\tpushq %rsi\n\tpushq %rdx\n\t"
	"pushq %rcx\n\tpushq %r8\n\tpushq %r9\n\t"
	"movq %rsp, %rdi\n\t"
	"subq $8, %rsp\n\t"
	"call kernel_next_syscall\n\t"
	"addq $8, %rsp\n\t"
	"popq %r9\n\tpopq %r8\n\tpopq %rcx\n\t"
	"popq %rdx\n\tpopq %rsi\n\tpopq %rdi\n\t"
	"jmpq *%rax\n"
	"1:\n\t"
	"jmp kernel_syscall\n"
	".size syscall, .-syscall\n");

static_assert(SYS_poll == 7 && SYS_select == 23 && SYS_pause == 34 &&
	      SYS_nanosleep == 35 && SYS_semop == 65 && SYS_msgsnd == 69 &&
	      SYS_msgrcv == 70 && SYS_rt_sigtimedwait == 128 &&
	      SYS_rt_sigsuspend == 130 && SYS_semtimedop == 220 &&
	      SYS_clock_nanosleep == 230 && SYS_epoll_wait == 232 &&
	      SYS_pselect6 == 270 && SYS_ppoll == 271 &&
	      SYS_epoll_pwait == 281 && SYS_epoll_pwait2 == 441 &&
	      SYS_futex == 202, "the numbers above");
static_assert(SYS_rt_sigqueueinfo == 129 && SYS_io_destroy == 207 &&
	      SYS_io_getevents == 208 && SYS_io_submit == 209 &&
	      SYS_timer_create == 222 && SYS_epoll_ctl == 233 &&
	      SYS_mq_notify == 244 && SYS_rt_tgsigqueueinfo == 297 &&
	      SYS_io_pgetevents == 333, "the numbers above");

/* ------------------------------------------------------------------- libaio */

NEXT_DEFINE(io_submit);
NEXT_DEFINE(io_getevents);
NEXT_DEFINE(io_pgetevents);
NEXT_DEFINE(io_destroy);

/*
 * Declared with room for any arguments: a library may have a function of its
 * own of such a name, which takes what it will.
 */
PUBLIC call_fn io_submit, io_getevents, io_pgetevents, io_destroy;

/*
 * local_function - what a caller means that sees libraries nobody else does:
 * those loaded with RTLD_LOCAL.
 */
static call_fn *
local_function(const char *name, void *caller)
{
	struct link_map *map = NULL;
	void *handle, *found;
	Dl_info info;

	if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) == 0 ||
	    map == NULL)
		return NULL;
	handle = loader_open(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
	if (handle == NULL)
		return NULL;
	found = dlsym(handle, name);
	loader_close(handle);
	return (call_fn *)found;
}

/*
 * aio_function - the one behind ours, or the system call; *ret_is_libaio, it
 * is what we know.
 */
static call_fn *
aio_function(call_fn *next, const char *name, call_fn *system_call,
	     void *caller, bool *ret_is_libaio)
{
	Dl_info info;

	if (next == NULL)
		next = local_function(name, caller);
	if (next == NULL)
		next = system_call;
	*ret_is_libaio = next == system_call ||
			 (dladdr((void *)next, &info) != 0 &&
			  strstr(info.dli_fname, "/libaio.so") != NULL);
	return next;
}

#define AIO_FUNCTION(name, is_libaio)					\
	aio_function(NEXT(name), #name, call_##name,			\
		     __builtin_return_address(0), is_libaio)

/* LIBAIO - ours, or what another library has under this name. */
#define LIBAIO(name, ours)						\
long									\
name(long a, long b, long c, long d, long e, long f)			\
{									\
	bool is_libaio;							\
	call_fn *call = AIO_FUNCTION(name, &is_libaio);			\
									\
	return is_libaio ? (ours) : call(a, b, c, d, e, f);		\
}

LIBAIO(io_submit, submit(call, (aio_context_t)a, b, (struct iocb **)c))
LIBAIO(io_getevents, get_events(call, (aio_context_t)a, b, c,
				(struct io_event *)d, e, f))
LIBAIO(io_pgetevents, get_events(call, (aio_context_t)a, b, c,
				 (struct io_event *)d, e, f))
LIBAIO(io_destroy, destroy(call, (aio_context_t)a))

/* ------------------------------------------------------ pointers on the way */

/* Longer messages are data. */
#define MESSAGE_MAX	256

/* What is queued where; in a pipe, by which pipe. */
#define IN_SOCKET	UINT64_C(1)
#define IN_QUEUE	UINT64_C(2)
#define IN_MESSAGES(id)	(UINT64_C(1) << 32 | (uint32_t)(id))

/* has_address - are there addresses of the heap among these words? */
static bool
has_address(const void *data, size_t size)
{
	uintptr_t word;

	for (size_t i = 0; i < size; i += sizeof(word)) {
		memcpy(&word, (const char *)data + i, sizeof(word));
		if (arena_contains(word))
			return true;
	}
	return false;
}

/* is_short - whole words, and few. */
static bool
is_short(size_t size)
{
	return size > 0 && size <= MESSAGE_MAX &&
	       size % sizeof(uintptr_t) == 0;
}

/* can_be_read - asked quickly of most. */
static bool
can_be_read(uintptr_t start, uintptr_t end)
{
	return bilge_is_on_stack(start, end, stacks_main_end()) ||
	       arena_contains(start) ||
	       (sys_is_readable(ALIGN_DOWN(start, 8)) &&
		((start ^ (end - 1)) < ARCH_PAGE_SIZE ||
		 sys_is_readable(ALIGN_DOWN(end - 1, 8))));
}

/*
 * carries_address - asked of all that is sent: nearly always not.  The data
 * may not be there at all: the kernel will say so.
 */
static bool
carries_address(const void *data, size_t size)
{
	uintptr_t start = (uintptr_t)data;

	return is_short(size) && can_be_read(start, start + size) &&
	       has_address(data, size);
}

static NOINLINE void
change_words(change_fn *change, uint64_t key, const void *data, size_t size)
{
	uintptr_t word;

	for (size_t i = 0; key != 0 && i < size; i += sizeof(word)) {
		memcpy(&word, (const char *)data + i, sizeof(word));
		change(KERNELREF_MESSAGE, key, word);
	}
}

/* key_of - of what a descriptor is.  Returns: 0, nothing that passes it on. */
static uint64_t
key_of(int fd)
{
	struct stat st;

	if (sys_fstat(fd, &st) != 0)
		return 0;
	if (S_ISFIFO(st.st_mode))
		return bits_mix(st.st_dev * 31 + st.st_ino) | 1;
	return S_ISSOCK(st.st_mode) ? IN_SOCKET : 0;
}

/* sent - of what was noted before, the kernel did not take all. */
static void
sent(uint64_t key, const void *data, size_t size, ssize_t taken)
{
	size_t done = taken < 0 ? 0 : ALIGN_UP((size_t)taken,
					       sizeof(uintptr_t));

	if (done < size)
		change_words(kernelrefs_drop, key, (const char *)data + done,
			     size - done);
}

static void
received(uint64_t key, const void *data, ssize_t size)
{
	change_words(kernelrefs_drop, key, data, (size_t)size);
}

static bool
is_message(const void *data, ssize_t size)
{
	return size > 0 && kernelrefs_has(KERNELREF_MESSAGE) &&
	       is_short((size_t)size) && has_address(data, (size_t)size);
}

PUBLIC ssize_t
write(int fd, const void *data, size_t size)
{
	struct transfer t = transfer_begin(fd, SO_SNDTIMEO);
	uint64_t key = 0;
	ssize_t result;

	bilge_show(data, size);
	if (unlikely(carries_address(data, size)))
		key = key_of(fd);
	if (unlikely(key != 0))
		change_words(kernelrefs_note, key, data, size);
	result = TRANSFER(&t, NEXT(write)(fd, data, size));
	result = TRANSFER_REST(&t, TRANSFER_WRITE, data, size, result, 0);
	if (unlikely(key != 0))
		sent(key, data, size, result);
	return result;
}

PUBLIC ssize_t
read(int fd, void *data, size_t size)
{
	struct transfer t = transfer_begin(fd, SO_RCVTIMEO);
	ssize_t result = LENT(data, size,
			      TRANSFER(&t, NEXT(read)(fd, data, size)));

	if (unlikely(is_message(data, result)))
		received(key_of(fd), data, result);
	return result;
}

PUBLIC ssize_t
send(int fd, const void *data, size_t size, int flags)
{
	struct transfer t = transfer_begin(fd, SO_SNDTIMEO);
	bool carries;
	ssize_t result;

	bilge_show(data, size);
	carries = carries_address(data, size);
	if (unlikely(carries))
		change_words(kernelrefs_note, IN_SOCKET, data, size);
	result = TRANSFER(&t, NEXT(send)(fd, data, size, flags));
	result = TRANSFER_REST(&t, TRANSFER_SEND, data, size, result, flags);
	if (unlikely(carries))
		sent(IN_SOCKET, data, size, result);
	return result;
}

PUBLIC ssize_t
recv(int fd, void *data, size_t size, int flags)
{
	struct transfer t = transfer_begin(fd, SO_RCVTIMEO);
	ssize_t result = LENT(data, size, ({
		ssize_t first = TRANSFER(&t, NEXT(recv)(fd, data, size,
							flags));

		if (unlikely((flags & (MSG_WAITALL | MSG_PEEK)) ==
			     MSG_WAITALL) && first > 0)
			first = TRANSFER_REST(&t, TRANSFER_RECEIVE, data,
					      size, first, flags);
		first; }));

	if (unlikely(is_message(data, result)) && (flags & MSG_PEEK) == 0)
		received(IN_SOCKET, data, result);
	return result;
}

PUBLIC int
mq_send(mqd_t queue, const char *data, size_t size, unsigned priority)
{
	int result;

	if (likely(!carries_address(data, size)))
		return NEXT(mq_send)(queue, data, size, priority);
	change_words(kernelrefs_note, IN_QUEUE, data, size);
	result = NEXT(mq_send)(queue, data, size, priority);
	if (result != 0)
		sent(IN_QUEUE, data, size, -1);
	return result;
}

PUBLIC ssize_t
mq_receive(mqd_t queue, char *data, size_t size, unsigned *priority)
{
	ssize_t result = LENT2(data, size, priority, sizeof(*priority),
			       NEXT(mq_receive)(queue, data, size, priority));

	if (unlikely(is_message(data, result)))
		received(IN_QUEUE, data, result);
	return result;
}

/* A message of msgsnd(2) is a number of type long and what follows it. */
static const void *
text_of(const void *message)
{
	return (const char *)message + sizeof(long);
}

PUBLIC int
msgsnd(int queue, const void *message, size_t size, int flags)
{
	int result;

	if (likely(!carries_address(text_of(message), size)))
		return RESTART_SAME(NEXT(msgsnd)(queue, message, size,
						 flags));
	change_words(kernelrefs_note, IN_MESSAGES(queue), text_of(message),
		     size);
	result = RESTART_SAME(NEXT(msgsnd)(queue, message, size, flags));
	if (result != 0)
		sent(IN_MESSAGES(queue), text_of(message), size, -1);
	return result;
}

PUBLIC ssize_t
msgrcv(int queue, void *message, size_t size, long type, int flags)
{
	ssize_t result = LENT(message, size + sizeof(long), RESTART_SAME(
		NEXT(msgrcv)(queue, message, size, type, flags)));

	if (result > 0 && unlikely(is_message(text_of(message), result)) &&
	    (flags & MSG_COPY) == 0)
		received(IN_MESSAGES(queue), text_of(message), result);
	return result;
}
