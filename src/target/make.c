/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making an object and applying its metadata with as few system calls as the object needs.
 */
#include "target/make.h"

#include "base/cleanup.h"
#include "base/kernel.h"
#include "base/log.h"
#include "target/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define CAPABILITY "security.capability"
#define NFS4_ACL "system.nfs4_acl"

static int make_file(int dirfd, const char *name, mode_t mode)
{
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
	return fd < 0 ? -errno : fd;
}

static int make_dir(int dirfd, const char *name, mode_t mode)
{
	if (mkdirat(dirfd, name, mode & 07777) < 0)
		return -errno;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int target_make(int dirfd, const char *name, const struct dmm_attr *attr, const char *link_text)
{
	int result;

	switch (attr->mode & S_IFMT) {
	case S_IFREG:
		return make_file(dirfd, name, attr->mode);
	case S_IFDIR:
		return make_dir(dirfd, name, attr->mode);
	case S_IFLNK:
		result = symlinkat(link_text, dirfd, name);
		break;
	case S_IFBLK:
	case S_IFCHR:
	case S_IFIFO:
	case S_IFSOCK:
		result = mknodat(dirfd, name, attr->mode & (S_IFMT | 07777), makedev(attr->rdev_major, attr->rdev_minor));
		break;
	default:
		return -EPROTO;
	}
	if (result < 0)
		return -errno;
	int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int full(int error)
{
	return error == -ENOSPC || error == -EDQUOT ? error : 0;
}

static int note(const struct apply *apply, const char *what, int error)
{
	if (error < 0 && !full(error))
		apply->loss(apply->context, what, error);
	return full(error);
}

static bool is_path(mode_t mode)
{
	return !S_ISREG(mode) && !S_ISDIR(mode);
}

static int set_xattr(int fd, const char *path, const char *name, const void *value, size_t len)
{
	int result = path ? setxattr(path, name, value, len, 0) : fsetxattr(fd, name, value, len, 0);
	return result < 0 ? -errno : 0;
}

/* "No space" is what ext4 says, too, when an object has no room for an attribute, however empty the file system is: then waiting for
 * room would never end. */
#define ROOM_BYTES (1u << 20)

static int xattr_error(int fd, int error)
{
	struct statfs fs;

	if (error != -ENOSPC || fstatfs(fd, &fs) < 0)
		return error;
	return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= ROOM_BYTES ? -E2BIG : error;
}

static int apply_xattrs(int fd, const char *path, const struct apply *apply)
{
	const struct xattr_set *set = apply->xattrs;
	const void *capability = NULL;
	uint32_t capability_len = 0;

	for (size_t at = 0; set && at < set->len;) {
		const char *name = set->data + at;
		uint32_t len;
		at += strlen(name) + 1;
		memcpy(&len, set->data + at, sizeof(len));
		const void *value = set->data + at + sizeof(len);
		at += sizeof(len) + len;
		if (strcmp(name, CAPABILITY) == 0) {
			capability = value;
			capability_len = len;
			continue;
		}
		int result = xattr_error(fd, set_xattr(fd, path, name, value, len));
		if (result == -EOPNOTSUPP && strcmp(name, NFS4_ACL) == 0 && set_xattr(fd, path, TARGET_NFS4_ACL, value, len) == 0)
			result = -ENOTRECOVERABLE;
		result = note(apply, name, result);
		if (result < 0)
			return result;
	}
	if (capability && apply->drop_set_id)
		return note(apply, CAPABILITY, -EKEYREJECTED);
	if (capability)
		return note(apply, CAPABILITY, set_xattr(fd, path, CAPABILITY, capability, capability_len));
	return 0;
}

static int apply_mode(int fd, const char *path, mode_t mode)
{
	return (path ? chmod(path, mode & 07777) : fchmod(fd, mode & 07777)) < 0 ? -errno : 0;
}

/* An object made in a directory with a default ACL has got an access ACL, and a directory a default ACL as well. */
static void drop_inherited_acl(int fd, const char *path, mode_t mode)
{
	if (path)
		removexattr(path, ACL_ACCESS);
	else
		fremovexattr(fd, ACL_ACCESS);
	if (S_ISDIR(mode))
		fremovexattr(fd, ACL_DEFAULT);
}

static int apply_times(int fd, const struct dmm_attr *attr)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = attr->mtime.sec, .tv_nsec = attr->mtime.nsec},
	};
	if (attr->valid & DMM_ATTR_ATIME)
		times[0] = (struct timespec){.tv_sec = attr->atime.sec, .tv_nsec = attr->atime.nsec};
	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* An owner or a group that is at the source and not here: the object stays root's there, and must then not run with root's rights. */
static int without_owner(const struct apply *apply, struct dmm_attr *attr)
{
	bool user = attr->valid & DMM_ATTR_UID, group = attr->valid & DMM_ATTR_GID;
	uint32_t lost = S_ISREG(attr->mode) ? attr->mode & ((user ? 0 : S_ISUID) | (group ? 0 : S_ISGID)) : 0;
	int result = user ? 0 : note(apply, "owner", -ENODATA);

	if (result == 0 && !group)
		result = note(apply, "group", -ENODATA);
	if (result == 0 && lost)
		result = note(apply, "set-id", -ENODATA);
	attr->mode &= ~lost;
	attr->uid = user ? attr->uid : (uid_t)-1; /* chown(2) leaves it */
	attr->gid = group ? attr->gid : (gid_t)-1;
	return result;
}

static bool differs(uint32_t wanted, uint32_t now)
{
	return wanted != UINT32_MAX && wanted != now;
}

int target_apply(int fd, const struct apply *apply)
{
	struct dmm_attr known = *apply->attr;
	const struct dmm_attr *attr = &known;
	char path_room[FD_PATH_SIZE];
	const char *path = is_path(attr->mode) ? target_fd_path(fd, path_room) : NULL;
	struct stat now;
	int result = 0;

	if (fstat(fd, &now) < 0)
		return -errno;
	if (apply->drop_set_id && S_ISREG(attr->mode) && attr->mode & (S_ISUID | S_ISGID)) {
		known.mode &= ~(uint32_t)(S_ISUID | S_ISGID);
		result = note(apply, "set-id", -EKEYREJECTED);
	}
	if (result == 0 && !(attr->valid & DMM_ATTR_OWNER))
		result = without_owner(apply, &known);
	bool chowned = differs(attr->uid, now.st_uid) || differs(attr->gid, now.st_gid);
	if (result == 0 && chowned && fchownat(fd, "", attr->uid, attr->gid, AT_EMPTY_PATH) < 0)
		result = note(apply, "owner", -errno);
	if (result == 0 && apply->inherited_acl && !S_ISLNK(attr->mode))
		drop_inherited_acl(fd, path, attr->mode);
	bool set_id = attr->mode & (S_ISUID | S_ISGID);
	bool mode_differs = (now.st_mode & 07777) != (attr->mode & 07777) || (chowned && set_id) || apply->inherited_acl;
	if (result == 0 && mode_differs && !S_ISLNK(attr->mode))
		result = note(apply, "mode", apply_mode(fd, path, attr->mode));
	if (result == 0 && apply->xattrs && apply->xattrs->count)
		result = apply_xattrs(fd, path, apply);
	if (result == 0)
		result = note(apply, "times", apply_times(fd, attr));
	return result;
}

int target_forget_xattrs(int fd, const struct xattr_set *keep)
{
	CLEAN_FREE char *names = malloc(XATTR_LIST_MAX);
	size_t value_len;
	ssize_t len = names ? flistxattr(fd, names, XATTR_LIST_MAX) : 0;

	if (!names)
		return -ENOMEM;
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		bool of_source =
			strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 || strcmp(name, CAPABILITY) == 0;
		if (of_source && !xattr_set_find(keep, name, &value_len) && fremovexattr(fd, name) < 0 && errno != ENODATA)
			return -errno;
	}
	return 0;
}

int target_add_flags(int fd, uint32_t flags)
{
	unsigned int now;

	if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return -errno;
	now |= flags;
	return ioctl(fd, FS_IOC_SETFLAGS, &now) < 0 ? -errno : 0;
}

int target_unlock_flags(int fd)
{
	unsigned int now;

	if (ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return -errno;
	if (!(now & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return 0;
	now &= ~(unsigned int)(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ioctl(fd, FS_IOC_SETFLAGS, &now) < 0 ? -errno : 0;
}

int64_t target_copy_range(int from, int to, uint64_t off, uint64_t len)
{
	off_t in = (off_t)off, out = (off_t)off;
	uint64_t done = 0;

	while (done < len) {
		ssize_t n = copy_file_range(from, &in, to, &out, len - done, 0);
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS))
			return -EOPNOTSUPP;
		if (n < 0)
			return -errno;
		done += (uint64_t)n;
	}
	return (int64_t)done;
}

int target_share_range(int from, int to, uint64_t off, uint64_t len)
{
	struct file_clone_range range = {.src_fd = from, .src_offset = off, .src_length = len, .dest_offset = off};

	if (ioctl(to, FICLONERANGE, &range) == 0)
		return 0;
	return errno == ENOTTY || errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

void target_reserve(int fd, uint64_t off, uint64_t len)
{
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) < 0)
		log_debug("no room is taken ahead: error=%s", errno_name(errno));
}

static bool all_zero(const char *buf, size_t len)
{
	return len == 0 || (buf[0] == 0 && memcmp(buf, buf + 1, len - 1) == 0);
}

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80
#endif

/* What is written at once the kernel keeps in memory in one piece, if that is large. Then ext4 looks at each block of it for every small
 * write of an application (6.18), and it is slow to find room for. Smaller ones cost time here, and when they are read by a mapping. */
#define PIECE (128u << 10)

static ssize_t write_some(int fd, const char *buf, uint64_t off, uint64_t len, unsigned how)
{
	uint64_t piece = PIECE - off % PIECE;
	struct iovec all = {(char *)(uintptr_t)buf, len};

	if (how & TARGET_UNCACHED)
		return pwritev2(fd, &all, 1, (off_t)off, RWF_DONTCACHE);
	return pwrite(fd, buf, len < piece ? len : piece, (off_t)off);
}

static int write_all(int fd, const char *buf, uint64_t off, uint64_t len, unsigned how)
{
	while (len > 0) {
		ssize_t n = write_some(fd, buf, off, len, how);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

#define ZERO_BLOCK 4096u

int target_write(int fd, const void *buf, uint64_t off, uint64_t len, unsigned how)
{
	const char *bytes = buf;

	/* Linux 6.14 and 6.15 may drop a page that somebody has changed in the moment in which it was written back. */
	if ((how & TARGET_UNCACHED) && !kernel_is_since(6, 16))
		return -EOPNOTSUPP;
	if (!(how & TARGET_SPARSE))
		return write_all(fd, bytes, off, len, how);
	for (uint64_t at = 0; at < len;) {
		uint64_t run = at;
		while (run < len && all_zero(bytes + run, len - run < ZERO_BLOCK ? len - run : ZERO_BLOCK))
			run += ZERO_BLOCK;
		at = run;
		while (run < len && !all_zero(bytes + run, len - run < ZERO_BLOCK ? len - run : ZERO_BLOCK))
			run += ZERO_BLOCK;
		if (run > len)
			run = len;
		if (at < run) {
			int result = write_all(fd, bytes + at, off + at, run - at, how);
			if (result < 0)
				return result;
		}
		at = run;
	}
	return 0;
}

int xattr_set_add(struct xattr_set *set, const char *name, const void *value, size_t len)
{
	size_t name_len = strlen(name) + 1;
	uint32_t value_len = (uint32_t)len;
	size_t need = set->len + name_len + sizeof(value_len) + len;

	if (need > set->cap) {
		size_t cap = need * 2;
		char *data = realloc(set->data, cap);
		if (!data)
			return -ENOMEM;
		set->data = data;
		set->cap = cap;
	}
	memcpy(set->data + set->len, name, name_len);
	memcpy(set->data + set->len + name_len, &value_len, sizeof(value_len));
	memcpy(set->data + set->len + name_len + sizeof(value_len), value, len);
	set->len = need;
	set->count++;
	return 0;
}

const void *xattr_set_find(const struct xattr_set *set, const char *name, size_t *value_len)
{
	for (size_t at = 0; at < set->len;) {
		const char *found = set->data + at;
		uint32_t len;
		at += strlen(found) + 1;
		memcpy(&len, set->data + at, sizeof(len));
		at += sizeof(len) + len;
		if (strcmp(found, name) != 0)
			continue;
		*value_len = len;
		return set->data + at - len;
	}
	return NULL;
}

void xattr_set_clear(struct xattr_set *set)
{
	set->len = 0;
	set->count = 0;
}

void xattr_set_free(struct xattr_set *set)
{
	free(set->data);
	*set = (struct xattr_set){0};
}
