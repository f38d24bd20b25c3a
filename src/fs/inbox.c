/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fs/inbox.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int inbox_open(struct inbox *inbox, size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return -ENOMEM;
	/* Each of these is refused where the kernel cannot do what it is to forbid. */
	madvise(bytes, size, MADV_DONTFORK);
	madvise(bytes, size, MADV_UNMERGEABLE);
	madvise(bytes, size, MADV_NOHUGEPAGE);
	madvise(bytes, size, MADV_DONTDUMP);
	syscall(SYS_mbind, bytes, size, MPOL_LOCAL, NULL, 0, 0); /* any policy of its own will do */
	memset(bytes, 0, size);
	*inbox = (struct inbox){.bytes = bytes, .size = size, .locked = mlock(bytes, size) == 0, .ring = -1};
	return 0;
}

int inbox_pin(struct inbox *inbox)
{
	struct io_uring_params params = {0};
	struct iovec all = {.iov_base = inbox->bytes, .iov_len = inbox->size};
	CLEAN_FD int ring = (int)syscall(SYS_io_uring_setup, 1, &params); /* closed by an exec(2) */

	if (ring < 0 || syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &all, 1) < 0)
		return -errno;
	inbox->ring = steal_fd(&ring);
	return 0;
}

void inbox_close(struct inbox *inbox)
{
	if (!inbox->bytes)
		return;
	if (inbox->ring >= 0)
		close(inbox->ring);
	munmap(inbox->bytes, inbox->size);
	*inbox = (struct inbox){.ring = -1};
}

ssize_t inbox_receive(struct inbox *inbox, int fuse_fd)
{
	ssize_t len;

	do
		len = read(fuse_fd, inbox->bytes, inbox->size);
	while (len < 0 && errno == ENOENT); /* it was taken back while it was copied */
	if (len < 0)
		return -errno;
	return (size_t)len < sizeof(struct fuse_in_header) ? -EIO : len;
}
