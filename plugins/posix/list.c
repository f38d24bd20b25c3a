/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Directories and attributes: getdents64(2), then for each entry one statx(2), one name_to_handle_at(2) and, where it is known, one
 * listxattrat(2). An entry that is gone
 * by then, or cannot be examined, is reported with its error; the rest goes on.
 */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* About a thousand entries with names of usual length. */
#define LIST_BYTES (32 * 1024)

/* Of a cold source so much is read ahead, of small files alone, for one request. */
#define AHEAD_FILE_BYTES (128u << 10)
#define AHEAD_BYTES (16ull << 20)

#define LOOK_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)

static struct dmm_time time_from_statx(const struct statx_timestamp *stamp)
{
	return (struct dmm_time){.sec = stamp->tv_sec, .nsec = stamp->tv_nsec};
}

/* Only those flags of chattr(1) that statx(2) knows: the others would need an open and an ioctl for every object. */
static uint32_t flags_from_statx(uint64_t attributes)
{
	return (attributes & STATX_ATTR_COMPRESSED ? FS_COMPR_FL : 0u) |
	       (attributes & STATX_ATTR_IMMUTABLE ? FS_IMMUTABLE_FL : 0u) | (attributes & STATX_ATTR_APPEND ? FS_APPEND_FL : 0u) |
	       (attributes & STATX_ATTR_NODUMP ? FS_NODUMP_FL : 0u);
}

void attr_from_statx(struct dmm_attr *attr, const struct statx *stx, uint64_t fsid)
{
	*attr = (struct dmm_attr){
		.valid = DMM_ATTR_OWNER | DMM_ATTR_NLINK | DMM_ATTR_USED | DMM_ATTR_ATIME | DMM_ATTR_CTIME,
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = stx->stx_uid,
		.gid = stx->stx_gid,
		.rdev_major = stx->stx_rdev_major,
		.rdev_minor = stx->stx_rdev_minor,
		.flags = flags_from_statx(stx->stx_attributes),
		.size = stx->stx_size,
		.used = stx->stx_blocks * 512,
		.fsid = fsid,
		.fileid = stx->stx_ino,
		.atime = time_from_statx(&stx->stx_atime),
		.mtime = time_from_statx(&stx->stx_mtime),
		.ctime = time_from_statx(&stx->stx_ctime),
		.btime = time_from_statx(&stx->stx_btime),
	};
	if (stx->stx_mask & STATX_BTIME)
		attr->valid |= DMM_ATTR_BTIME;
	if (stx->stx_attributes_mask & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP))
		attr->valid |= DMM_ATTR_FLAGS;
}

static uint64_t device_of(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

/* The 'H' form. 1 when the object needs the other one. */
static int name_by_handle(struct dmm_file *dir, const char *name, const struct statx *stx, uint64_t *fsid,
                          unsigned char handle[H_HANDLE_MAX], struct dmm_bytes *bytes)
{
	int len;

	if (!dir->by_handle || stx->stx_mnt_id != dir->mnt_id)
		return 1;
	len = handle_of(dir->fd, name, (unsigned char)IFTODT(stx->stx_mode), handle);
	if (len == -EOVERFLOW || len == -EOPNOTSUPP)
		return 1;
	if (len < 0)
		return len;
	*bytes = (struct dmm_bytes){handle, (size_t)len};
	return identity_on_root_mount(dir->conn->instance, dir->fd, name, device_of(stx), fsid);
}

/* The 'P' form, in the directory's own work space. */
static int name_by_path(struct dmm_file *dir, const char *name, size_t name_len, const struct statx *stx, uint64_t *fsid,
                        struct dmm_bytes *bytes)
{
	if (dir->prefix_len + name_len > DMM_HANDLE_MAX)
		return -ENAMETOOLONG;
	if (stx->stx_mnt_id != dir->mnt_id)
		*fsid = identity_below_mount(dir->fsid, dir->ino, name);
	else if (device_of(stx) != dir->dev)
		*fsid = identity_other_device(dir->fsid, device_of(stx));
	else
		*fsid = dir->fsid;
	handle_set_type(dir->prefix, (unsigned char)IFTODT(stx->stx_mode));
	handle_set_fsid(dir->prefix, *fsid);
	memcpy(dir->prefix + dir->prefix_len, name, name_len);
	*bytes = (struct dmm_bytes){dir->prefix, dir->prefix_len + name_len};
	return 0;
}

/* listxattrat(2), since Linux 6.13, without a descriptor for each object; the number is the same everywhere. Most objects have none. */
#ifndef SYS_listxattrat
#define SYS_listxattrat 465
#endif

static bool has_no_xattrs(struct dmm_file *dir, const char *name)
{
	struct dmm_instance *instance = dir->conn->instance;

	if (atomic_load_explicit(&instance->no_listxattrat, memory_order_relaxed))
		return false;
	long len = syscall(SYS_listxattrat, dir->fd, name, AT_SYMLINK_NOFOLLOW, NULL, (size_t)0);
	if (len < 0 && (errno == ENOSYS || errno == EPERM)) /* or a filter of system calls that does not know it */
		atomic_store(&instance->no_listxattrat, true);
	return len == 0;
}

/* Files whose data is not in memory are read one after the other by whoever lists them; the disk is faster when it is told of many. */
static void read_ahead(struct dmm_file *dir, const char *name, const struct statx *stx, uint64_t *bytes)
{
	if (!S_ISREG(stx->stx_mode) || stx->stx_size == 0 || stx->stx_size > AHEAD_FILE_BYTES || *bytes > AHEAD_BYTES ||
	    atomic_load_explicit(&dir->conn->instance->cold, memory_order_relaxed) <= 0)
		return;
	int fd = openat(dir->fd, name,
	                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (dir->conn->instance->cloned ? 0 : O_NOATIME));
	if (fd < 0)
		return; /* the reader will see why */
	posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	close(fd);
	*bytes += stx->stx_size;
}

static int report(struct dmm_file *dir, struct dmm_request *request, const char *name, uint64_t *ahead_bytes)
{
	struct dmm_entry entry = {.name = name, .name_len = strlen(name)};
	unsigned char handle[H_HANDLE_MAX];
	struct statx stx;
	uint64_t fsid = 0;
	int ret;

	if (statx(dir->fd, name, LOOK_FLAGS, STATX_WANTED, &stx) < 0) {
		entry.error = errno;
		return request->entry(request, &entry);
	}
	ret = name_by_handle(dir, name, &stx, &fsid, handle, &entry.handle);
	if (ret > 0)
		ret = name_by_path(dir, name, entry.name_len, &stx, &fsid, &entry.handle);
	if (ret < 0) {
		entry.error = -ret;
		entry.handle = (struct dmm_bytes){NULL, 0};
	} else {
		attr_from_statx(&entry.attr, &stx, fsid);
		entry.attr.valid |= has_no_xattrs(dir, name) ? DMM_ATTR_NO_XATTRS : 0;
		read_ahead(dir, name, &stx, ahead_bytes);
	}
	return request->entry(request, &entry);
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int64_t posix_list(struct dmm_file *dir, struct dmm_request *request)
{
	char buf[LIST_BYTES] __attribute__((aligned(8)));
	uint64_t ahead_bytes = 0;
	int64_t count = 0;

	/* Again when all that came was "." and ".."; zero entries would mean the end. */
	while (count == 0) {
		ssize_t len;

		int ret = request_go_on(request);
		if (ret < 0)
			return ret;
		len = getdents64(dir->fd, buf, sizeof(buf));
		if (len < 0)
			return -errno;
		if (len == 0)
			break;
		for (ssize_t at = 0; at < len;) {
			const struct dirent64 *dirent = (const void *)(buf + at);

			at += dirent->d_reclen;
			if (is_dots(dirent->d_name))
				continue;
			ret = report(dir, request, dirent->d_name, &ahead_bytes);
			if (ret < 0)
				return ret;
			count++;
		}
	}
	return count;
}

static int64_t report_fd(struct dmm_conn *conn, struct dmm_request *request, int fd, const struct handle_parts *parts,
                         struct dmm_bytes handle)
{
	struct dmm_entry entry = {.name = "", .handle = handle};
	uint64_t fsid = parts->fsid;
	struct statx stx;
	int ret = 0;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, &stx) < 0)
		return -errno;
	if (parts->form == 'H')
		ret = identity_on_root_mount(conn->instance, fd, "", device_of(&stx), &fsid);
	if (ret < 0)
		return ret;
	attr_from_statx(&entry.attr, &stx, fsid);
	ret = request->entry(request, &entry);
	return ret < 0 ? ret : 1;
}

int64_t posix_root(struct dmm_conn *conn, struct dmm_request *request)
{
	struct dmm_instance *instance = conn->instance;
	unsigned char bytes[H_HANDLE_MAX > P_HEAD ? H_HANDLE_MAX : P_HEAD];
	struct handle_parts parts;
	struct dmm_bytes handle = {bytes, 0};
	int len;

	if (instance->handles)
		len = handle_of(instance->root_fd, "", DT_DIR, bytes);
	else
		len = (int)handle_path_head(bytes, DT_DIR, instance->fsid, (struct dmm_bytes){NULL, 0});
	if (len < 0)
		return len;
	handle.len = (size_t)len;
	len = handle_parse(handle, &parts);
	return len < 0 ? len : report_fd(conn, request, instance->root_fd, &parts, handle);
}

int64_t posix_attr(struct dmm_conn *conn, struct dmm_request *request)
{
	struct handle_parts parts;
	int64_t ret;
	int fd;

	ret = handle_parse(request->handle, &parts);
	if (ret < 0)
		return ret;
	fd = handle_open(conn->instance, &parts, request->handle, O_PATH);
	if (fd < 0)
		return fd;
	ret = report_fd(conn, request, fd, &parts, request->handle);
	close(fd);
	return ret;
}
