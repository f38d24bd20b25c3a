/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Open files and directories, data, holes and link texts.
 */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* One system call's worth: between two of them a request can be cancelled. */
#define READ_STEP (8u << 20)

/* What tells whether the source is in memory. */
#define SMALL_READ (128u << 10)

bool posix_is_openable(const struct handle_parts *parts)
{
	return parts->type == DT_REG || parts->type == DT_DIR;
}

int posix_open_flags(const struct dmm_instance *instance, const struct handle_parts *parts)
{
	/* The clone has no access times to move. */
	int flags = O_RDONLY | (instance->cloned ? 0 : O_NOATIME);

	if (parts->type == DT_DIR)
		return flags | O_DIRECTORY;
	/* A path may lead to another object by now, even to a FIFO; a kernel handle never does. */
	return parts->form == 'P' ? flags | O_NONBLOCK : flags;
}

static int check_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? 0 : -ESTALE;
}

static int describe_directory(struct dmm_file *dir, const struct handle_parts *parts)
{
	struct statx stx;

	if (statx(dir->fd, "", AT_EMPTY_PATH, STATX_WANTED, &stx) < 0)
		return -errno;
	dir->mnt_id = stx.stx_mnt_id;
	dir->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	dir->ino = stx.stx_ino;
	dir->fsid = parts->fsid;
	dir->by_handle = parts->form == 'H';
	return dir->by_handle ? identity_on_root_mount(dir->conn->instance, dir->fd, "", dir->dev, &dir->fsid) : 0;
}

/* The 'P' handle of an entry as far as it is the same for all: below this directory's own handle, or further down the path. */
static size_t make_prefix(unsigned char *prefix, const struct handle_parts *parts, struct dmm_bytes handle)
{
	if (parts->form == 'H')
		return handle_path_head(prefix, DT_UNKNOWN, 0, handle);
	memcpy(prefix, handle.data, handle.len);
	if (parts->path.len == 0)
		return handle.len;
	prefix[handle.len] = '/';
	return handle.len + 1;
}

static struct dmm_file *file_new(struct dmm_conn *conn, int fd, const struct handle_parts *parts, struct dmm_bytes handle)
{
	size_t room = parts->type == DT_DIR ? P_HEAD + handle.len + 1 + DMM_NAME_MAX + 1 : 0;
	struct dmm_file *file = malloc(sizeof(*file) + room);

	if (!file)
		return NULL;
	*file = (struct dmm_file){.conn = conn, .fd = fd};
	if (room)
		file->prefix_len = make_prefix(file->prefix, parts, handle);
	return file;
}

int64_t posix_open_file(struct dmm_conn *conn, struct dmm_request *request)
{
	struct handle_parts parts;
	struct dmm_file *file;
	int fd, ret;

	ret = handle_parse(request->handle, &parts);
	if (ret < 0)
		return ret;
	if (!posix_is_openable(&parts))
		return parts.type == DT_LNK ? -ELOOP : -ENXIO;
	fd = handle_open(conn->instance, &parts, request->handle, posix_open_flags(conn->instance, &parts));
	if (fd < 0)
		return fd;
	if (parts.form == 'P' && parts.type == DT_REG)
		ret = check_regular(fd);
	file = ret < 0 ? NULL : file_new(conn, fd, &parts, request->handle);
	if (!file) {
		close(fd);
		return ret < 0 ? ret : -ENOMEM;
	}
	if (parts.type == DT_DIR)
		ret = describe_directory(file, &parts);
	if (ret < 0) {
		posix_close_file(file);
		return ret;
	}
	request->file = file;
	return 0;
}

void posix_close_file(struct dmm_file *file)
{
	close(file->fd);
	free(file);
}

/* Every so many small reads that were answered from memory, one that was not makes the next ones be read ahead. */
#define COLD_FOR 64

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80
#endif

/* As pread(2); a small one also learns whether the source is in memory. What was read of a large file is not needed again, and does not
 * stay there unless it was there before (Linux 6.14). */
static ssize_t read_step(struct dmm_file *file, char *buf, size_t len, uint64_t off)
{
	atomic_int *cold = &file->conn->instance->cold;
	atomic_bool *no_uncached = &file->conn->instance->no_uncached;
	struct iovec part = {buf, len};
	ssize_t got = -1;

	if (len <= SMALL_READ)
		got = preadv2(file->fd, &part, 1, (off_t)off, RWF_NOWAIT);
	if (got > 0) {
		if (atomic_load_explicit(cold, memory_order_relaxed) > 0)
			atomic_fetch_sub_explicit(cold, 1, memory_order_relaxed);
		return got;
	}
	if (len <= SMALL_READ && got < 0 && errno == EAGAIN)
		atomic_store_explicit(cold, COLD_FOR, memory_order_relaxed);
	if (len > SMALL_READ && !atomic_load_explicit(no_uncached, memory_order_relaxed)) {
		got = preadv2(file->fd, &part, 1, (off_t)off, RWF_DONTCACHE);
		if (got >= 0 || errno != EOPNOTSUPP)
			return got;
		atomic_store(no_uncached, true);
	}
	return pread(file->fd, buf, len, (off_t)off);
}

int64_t posix_read(struct dmm_file *file, struct dmm_request *request)
{
	uint64_t done = 0;

	if (request->off > INT64_MAX || request->len > INT64_MAX - request->off)
		return -EINVAL;
	while (done < request->len) {
		uint64_t left = request->len - done;
		size_t step = left < READ_STEP ? (size_t)left : READ_STEP;
		ssize_t got;

		int ret = request_go_on(request);
		if (ret < 0)
			return ret;
		got = read_step(file, (char *)request->buf + done, step, request->off + done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (uint64_t)got;
	}
	return (int64_t)done;
}

static int report_extent(struct dmm_request *request, uint64_t off, uint64_t end)
{
	struct dmm_extent extent = {.off = off, .len = end - off};

	return request->extent(request, &extent);
}

/* The descriptor's own position moves, which nothing else uses: several requests at a time do not disturb each other. */
int64_t posix_extents(struct dmm_file *file, struct dmm_request *request)
{
	uint64_t at = request->off, end;

	if (request->off > INT64_MAX)
		return 0;
	end = request->len > INT64_MAX - request->off ? INT64_MAX : request->off + request->len;
	while (at < end) {
		off_t data, hole;

		int ret = request_go_on(request);
		if (ret < 0)
			return ret;
		data = lseek(file->fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0 && errno == EINVAL)
			return report_extent(request, at, end);
		if (data < 0)
			return -errno;
		if ((uint64_t)data >= end)
			return 0;
		hole = lseek(file->fd, data, SEEK_HOLE);
		if (hole < 0)
			return errno == ENXIO ? 0 : -errno; /* cut off meanwhile */
		if ((uint64_t)hole > end)
			hole = (off_t)end;
		ret = report_extent(request, (uint64_t)data, (uint64_t)hole);
		if (ret < 0)
			return ret;
		at = (uint64_t)hole;
	}
	return 0;
}

int64_t posix_readlink(struct dmm_conn *conn, struct dmm_request *request)
{
	struct handle_parts parts;
	char text[PATH_MAX];
	ssize_t len;
	int fd, ret, error;

	ret = handle_parse(request->handle, &parts);
	if (ret < 0)
		return ret;
	if (parts.type != DT_LNK)
		return -EINVAL;
	fd = handle_open(conn->instance, &parts, request->handle, O_PATH);
	if (fd < 0)
		return fd;
	len = readlinkat(fd, "", text, sizeof(text));
	error = errno;
	close(fd);
	if (len < 0)
		return error == ENOENT ? -ESTALE : -error; /* ENOENT: not a link any more */
	if ((size_t)len >= sizeof(text) || (uint64_t)len > request->len)
		return -ENAMETOOLONG;
	memcpy(request->buf, text, (size_t)len);
	return len;
}
