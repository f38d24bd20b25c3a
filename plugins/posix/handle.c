/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Handles: see posix.h for the two forms. Both carry the type of the object, so that a FIFO or a device is never opened: that
 * could hang, or do something.
 *
 *   'H' type handle_type(int) bytes
 *   'P' type fsid(u64) base_len(u16) base path
 *
 * A path is resolved beneath its base without following any symbolic link (invariant I8), in pieces, since it may be longer than
 * PATH_MAX. Numbers are in the machine's own byte order: a handle never leaves it.
 */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define H_HEAD (2 + sizeof(int))
#define AT_TYPE 1
#define AT_FSID 2
#define AT_BASE_LEN (2 + sizeof(uint64_t))

/* RESOLVE_BENEATH answers EAGAIN when something was renamed or mounted meanwhile and it cannot tell whether it escaped. */
#define RESOLVE_TRIES 32

struct kernel_handle {
	struct file_handle head;
	unsigned char bytes[KERNEL_HANDLE_MAX];
};

int handle_parse(struct dmm_bytes handle, struct handle_parts *parts)
{
	const unsigned char *at = handle.data;
	uint16_t base_len;

	if (handle.len < 2)
		return -EINVAL;
	*parts = (struct handle_parts){.form = (char)at[0], .type = at[AT_TYPE]};
	if (parts->form == 'H')
		return handle.len > H_HEAD && handle.len <= H_HANDLE_MAX ? 0 : -EINVAL;
	if (parts->form != 'P' || handle.len < P_HEAD)
		return -EINVAL;
	memcpy(&parts->fsid, at + AT_FSID, sizeof(parts->fsid));
	memcpy(&base_len, at + AT_BASE_LEN, sizeof(base_len));
	if (base_len > handle.len - P_HEAD || base_len > H_HANDLE_MAX || (base_len > 0 && base_len <= H_HEAD))
		return -EINVAL;
	parts->base = (struct dmm_bytes){at + P_HEAD, base_len};
	parts->path = (struct dmm_bytes){at + P_HEAD + base_len, handle.len - P_HEAD - base_len};
	if (parts->path.len > 0 && memchr(parts->path.data, '\0', parts->path.len))
		return -EINVAL;
	return 0;
}

int handle_of(int fd, const char *name, unsigned char type, unsigned char handle[H_HANDLE_MAX])
{
	struct kernel_handle kernel;
	int mount_id;

	kernel.head.handle_bytes = KERNEL_HANDLE_MAX;
	if (name_to_handle_at(fd, name, &kernel.head, &mount_id, *name ? 0 : AT_EMPTY_PATH) < 0)
		return -errno;
	if (kernel.head.handle_bytes == 0 || kernel.head.handle_bytes > KERNEL_HANDLE_MAX)
		return -EOVERFLOW;
	handle[0] = 'H';
	handle[AT_TYPE] = type;
	memcpy(handle + 2, &kernel.head.handle_type, sizeof(int));
	memcpy(handle + H_HEAD, kernel.head.f_handle, kernel.head.handle_bytes);
	return (int)(H_HEAD + kernel.head.handle_bytes);
}

size_t handle_path_head(unsigned char *handle, unsigned char type, uint64_t fsid, struct dmm_bytes base)
{
	uint16_t base_len = (uint16_t)base.len;

	handle[0] = 'P';
	handle[AT_TYPE] = type;
	memcpy(handle + AT_FSID, &fsid, sizeof(fsid));
	memcpy(handle + AT_BASE_LEN, &base_len, sizeof(base_len));
	if (base.len > 0)
		memcpy(handle + P_HEAD, base.data, base.len);
	return P_HEAD + base.len;
}

void handle_set_type(unsigned char *handle, unsigned char type)
{
	handle[AT_TYPE] = type;
}

void handle_set_fsid(unsigned char *handle, uint64_t fsid)
{
	memcpy(handle + AT_FSID, &fsid, sizeof(fsid));
}

static int open_kernel_handle(const struct dmm_instance *instance, struct dmm_bytes handle, int flags)
{
	const unsigned char *at = handle.data;
	struct kernel_handle kernel;
	int fd;

	kernel.head.handle_bytes = (unsigned)(handle.len - H_HEAD);
	memcpy(&kernel.head.handle_type, at + 2, sizeof(int));
	memcpy(kernel.head.f_handle, at + H_HEAD, kernel.head.handle_bytes);
	fd = open_by_handle_at(instance->root_fd, &kernel.head, flags | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};

	for (int i = 0; i < RESOLVE_TRIES; i++) {
		int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

		if (fd >= 0)
			return fd;
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

/* How many bytes of the path make up the next piece: all when they fit, else up to the last '/' that does. */
static size_t next_piece(const char *path, size_t len)
{
	const char *slash;

	if (len < PATH_MAX)
		return len;
	slash = memrchr(path, '/', PATH_MAX - 1);
	return slash ? (size_t)(slash - path) : 0;
}

static int walk(int start, struct dmm_bytes path, int flags)
{
	const char *at = path.data;
	size_t left = path.len;
	char piece[PATH_MAX];
	int dir = start;

	for (;;) {
		size_t len = next_piece(at, left);
		bool last = len == left;
		int fd;

		if (len == 0 && left > 0)
			fd = -ENAMETOOLONG;
		else {
			memcpy(piece, len ? at : ".", len ? len : 1);
			piece[len ? len : 1] = '\0';
			fd = open_beneath(dir, piece, last ? flags : O_PATH | O_DIRECTORY);
		}
		if (dir != start)
			close(dir);
		if (fd < 0 || last)
			return fd;
		dir = fd;
		at += len + 1;
		left -= len + 1;
	}
}

static int open_path(const struct dmm_instance *instance, const struct handle_parts *parts, int flags)
{
	int base, fd;

	if (parts->base.len == 0)
		return walk(instance->root_fd, parts->path, flags);
	base = open_kernel_handle(instance, parts->base, O_PATH | O_DIRECTORY);
	if (base < 0)
		return base;
	fd = walk(base, parts->path, flags);
	close(base);
	return fd;
}

static int open_either(const struct dmm_instance *instance, const struct handle_parts *parts, struct dmm_bytes handle, int flags)
{
	return parts->form == 'H' ? open_kernel_handle(instance, handle, flags) : open_path(instance, parts, flags);
}

int handle_open(const struct dmm_instance *instance, const struct handle_parts *parts, struct dmm_bytes handle, int flags)
{
	int fd = open_either(instance, parts, handle, flags);

	/* O_NOATIME is for the owner and for CAP_FOWNER; who is neither can still read. */
	if (fd == -EPERM && (flags & O_NOATIME))
		fd = open_either(instance, parts, handle, flags & ~O_NOATIME);
	return fd;
}
