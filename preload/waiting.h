/*
 * waiting.h - system calls that wait, made with syscall(2).
 */
#ifndef BILGE_WAITING_H
#define BILGE_WAITING_H

/*
 * waiting_call - make a system call of any number; one that waits and that no
 * kernel restarts goes on after a stop, for what is left of its time.
 * Returns: as the kernel, -errno.
 */
long waiting_call(long number, const long arguments[6]);

#endif
