/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Memory into which one thread receives requests, of which every page is there and stays there.
 *
 * The kernel copies a request page by page. Where a page is not there it must bring it, and this it refuses to a process that is being
 * killed: it ends the request with EIO, which the application gets, for it counts as read and not as one to be sent again. So no page
 * may be missing at any moment. It is
 *
 *   written to once, so it is not the common page of zeros, and the kernel need not ask whether it may be written;
 *   shared memory, which a fork(2) leaves as it is, and which is neither joined with equal pages, nor made a part of a huge one, nor
 *   taken away from a process that was killed for want of memory before its last thread has ended;
 *   locked, so it is not swapped out;
 *   of a fixed policy, so that it is not made to fault to learn which processor uses it.
 *
 * What is left is the moment in which the kernel moves a page to another place in memory.
 *
 * For answers nothing of the kind is needed: their bytes were written by the thread that sends them, just before.
 */
#ifndef DMM_FS_INBOX_H
#define DMM_FS_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct inbox {
	void *bytes; /* of the last request */
	size_t size;
	bool locked; /* false: the limit of locked memory is reached (RLIMIT_MEMLOCK), and there is no CAP_IPC_LOCK */
};

/* 0, or -ENOMEM. */
int inbox_open(struct inbox *inbox, size_t size);
void inbox_close(struct inbox *inbox);

/* The next request of the connection: its length. -EINTR: a signal came. -ENODEV: there will be no more, the mount is gone. Another
 * negative errno: the connection is of no use. */
ssize_t inbox_receive(struct inbox *inbox, int fuse_fd);

#endif
