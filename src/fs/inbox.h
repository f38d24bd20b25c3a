/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Memory into which one thread receives requests, of which every page is there and stays there.
 *
 * The kernel copies a request page by page. Where a page is not there it must bring it, and this it refuses to a process that is being
 * killed: it ends the request with EIO, which the application gets, for it counts as read and not as one to be sent again. So no page
 * may be missing at any moment. It is
 *
 *   written to once, so it is not the common page of zeros;
 *   not inherited by a fork(2), not joined with equal pages, not made a part of a huge one: each of these makes the kernel ask once more
 *   before it writes there;
 *   of a fixed policy, so it is not made to fault to learn which processor uses it;
 *   locked, so it is not swapped out;
 *   pinned, so it is not moved when the kernel makes room for something large: it leaves what an io_uring may read into where it is, if
 *   that is private memory (shared pages it takes away and tries). Nothing is ever read through the ring. Where io_uring is forbidden, a kill
 *   in just that moment is what is left.
 *
 * Of a process that was killed for want of memory the kernel takes private memory before its last thread has ended, but two seconds later
 * (Linux 5.18; before that, it leaves what is locked).
 *
 * Answers have nothing of the kind: their bytes were written by the thread that sends them, just before.
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
	int ring;    /* by which it is pinned, or -1 */
};

/* 0, or -ENOMEM. */
int inbox_open(struct inbox *inbox, size_t size);
/* By the thread that is to receive, before it does. A ring that is closed while the thread that made it still lives interrupts that
 * thread in whatever it waits for, some moments later. -ENOMEM: the limit of locked memory, which here counts for all processes of the
 * user. Any other negative errno: there is no io_uring, or it is forbidden (kernel.io_uring_disabled, a container). */
int inbox_pin(struct inbox *inbox);
/* When that thread has ended. */
void inbox_close(struct inbox *inbox);

/* The next request of the connection: its length. -EINTR: a signal came. -ENODEV: there will be no more, the mount is gone. Another
 * negative errno: the connection is of no use. */
ssize_t inbox_receive(struct inbox *inbox, int fuse_fd);

#endif
