/*
 * kernel.h - what this kernel offers the collector.
 */
#ifndef BILGE_KERNEL_H
#define BILGE_KERNEL_H

/* kernel_barrier - can writes be tracked by userfaultfd?  "yes", or why not. */
const char *kernel_barrier(void);

#endif
