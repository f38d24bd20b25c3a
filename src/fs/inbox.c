/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fs/inbox.h"

#include "base/log.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int inbox_open(struct inbox *inbox, size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return -ENOMEM;
	madvise(bytes, size, MADV_DONTDUMP);
	/* Any policy of its own will do. It says ENOSYS where there is one memory for all processors. */
	if (syscall(SYS_mbind, bytes, size, MPOL_LOCAL, NULL, 0, 0) < 0)
		log_debug("memory for requests has no policy of its own: error=%s", errno_name(errno));
	memset(bytes, 0, size);
	*inbox = (struct inbox){.bytes = bytes, .size = size, .locked = mlock(bytes, size) == 0};
	return 0;
}

void inbox_close(struct inbox *inbox)
{
	if (inbox->bytes)
		munmap(inbox->bytes, inbox->size);
	*inbox = (struct inbox){0};
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
