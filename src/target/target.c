/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Taking and leaving a target: the private clone of its mount, our directory and our mark.
 */
#include "target/target.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "target/gone.h"
#include "target/walk.h"
#include "target/witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MARK_SIZE 160

static int clone_mount(const char *path, struct target *target)
{
	CLEAN_FD int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return -errno;
	target->root_fd = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->root_fd < 0)
		return -errno;
	target->tree_fd = steal_fd(&tree);
	return 0;
}

/* Without the right to clone mounts (a container that may mount FUSE only) the plain directory serves as well: it was opened
 * before our mount covers it. */
static int open_root(const char *path, struct target *target)
{
	int result = clone_mount(path, target);
	if (result != -EPERM && result != -ENOSYS)
		return result;
	target->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return target->root_fd < 0 ? -errno : 0;
}

/* ext4 with inline_data keeps small directories in the inode, and then Linux does not find them by their handles once they are out of
 * its memory (ESTALE): each would pass for removed. A new file shows whether it does; it gets no name. */
static bool forgets_directories(const struct target *target, const struct statfs *fs)
{
	int flags = 0;
	CLEAN_FD int fd =
		fs->f_type == EXT4_SUPER_MAGIC ? openat(target->root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

	return fd >= 0 && write(fd, "", 1) == 1 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_INLINE_DATA_FL);
}

int target_open(const char *path, struct target *target, char *error, size_t error_size)
{
	struct stat st;
	struct statfs fs;

	*target = (struct target){.tree_fd = -1, .root_fd = -1, .ours_fd = -1, .links_fd = -1, .witness_fd = -1, .errors_fd = -1};
	int result = open_root(path, target);
	if (result >= 0 && (fstat(target->root_fd, &st) < 0 || fstatfs(target->root_fd, &fs) < 0))
		result = -errno;
	if (result < 0) {
		snprintf(error, error_size, "cannot open the target %s: %s; it must be an existing directory", path,
		         strerror(-result));
		target_close(target);
		return result;
	}
	result = target_handle(target->root_fd, "", &target->root_handle);
	if (result < 0) {
		snprintf(error, error_size,
		         "the file system of the target %s has no file handles (%s); use one that has them: ext4, xfs, btrfs, "
		         "tmpfs",
		         path, strerror(-result));
		target_close(target);
		return -EOPNOTSUPP;
	}
	if (forgets_directories(target, &fs)) {
		snprintf(error, error_size,
		         "the ext4 of the target %s has the feature inline_data, with which directories are lost sight of; "
		         "make one with mkfs.ext4 -O ^inline_data",
		         path);
		target_close(target);
		return -EOPNOTSUPP;
	}
	target->dev = st.st_dev;
	target->root_ino = st.st_ino;
	target->on_overlay = fs.f_type == OVERLAYFS_SUPER_MAGIC;
	target->fs_type = (uint32_t)fs.f_type;
	target_trust(target, "/sys");
	return 0;
}

void target_close(struct target *target)
{
	target_witness_close(target);
	cleanup_close(&target->errors_fd);
	cleanup_close(&target->links_fd);
	cleanup_close(&target->ours_fd);
	cleanup_close(&target->root_fd);
	cleanup_close(&target->tree_fd);
	target->root_fd = target->tree_fd = target->ours_fd = target->links_fd = target->errors_fd = -1;
}

static int open_or_make_dir(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void restore_times(int fd, const struct stat *st)
{
	struct timespec times[2] = {st->st_atim, st->st_mtim};
	if (futimens(fd, times) < 0)
		log_warning("cannot restore the times of the target's root: error=%s", errno_name(errno));
}

int target_adopt(struct target *target)
{
	struct stat before;
	if (fstat(target->root_fd, &before) < 0)
		return -errno;
	CLEAN_FD int ours = open_or_make_dir(target->root_fd, TARGET_OURS);
	if (ours < 0)
		return ours;
	CLEAN_FD int links = open_or_make_dir(ours, TARGET_LINKS);
	if (links < 0)
		return links;
	restore_times(target->root_fd, &before);
	target->ours_fd = steal_fd(&ours);
	target->links_fd = steal_fd(&links);
	return 0;
}

void target_withdraw(struct target *target)
{
	struct stat before;
	if (fstat(target->root_fd, &before) < 0)
		return;
	if (target->ours_fd >= 0 && unlinkat(target->ours_fd, TARGET_LINKS, AT_REMOVEDIR) == 0 &&
	    unlinkat(target->root_fd, TARGET_OURS, AT_REMOVEDIR) == 0)
		restore_times(target->root_fd, &before);
}

int target_put_mark(const struct target *target, const char *uuid)
{
	if (fsetxattr(target->root_fd, TARGET_MARK, uuid, strlen(uuid), 0) < 0 && errno != EOPNOTSUPP)
		return -errno;
	return target_sync(target);
}

/* The mark, whose parts are separated by blanks: the uuid and, while we leave, the times that the root is to have. */
static int read_mark(const struct target *target, char mark[MARK_SIZE])
{
	ssize_t len = fgetxattr(target->root_fd, TARGET_MARK, mark, MARK_SIZE - 1);
	if (len < 0)
		return errno == EOPNOTSUPP ? -ENODATA : -errno;
	mark[len] = '\0';
	return 0;
}

int target_mark(const struct target *target, char *uuid, size_t size)
{
	char mark[MARK_SIZE];
	int result = read_mark(target, mark);
	if (result < 0)
		return result;
	size_t len = strcspn(mark, " ");
	if (len >= size)
		return -ERANGE;
	memcpy(uuid, mark, len);
	uuid[len] = '\0';
	return 0;
}

int target_occupied(const struct target *target)
{
	int fd = openat(target->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int failure = -errno;
		close(fd);
		return failure;
	}
	int occupied = 0;
	for (struct dirent *entry; !occupied && (errno = 0, entry = readdir(dir));) {
		const char *name = entry->d_name;
		occupied = strcmp(name, ".") && strcmp(name, "..") && strcmp(name, TARGET_OURS) && strcmp(name, "lost+found");
	}
	closedir(dir);
	return occupied;
}

/* Removes a tree below a directory. It is ours and flat by construction, so plain recursion does. */
static int remove_tree(int parent, const char *name)
{
	int result = target_unlink(parent, name, 0); /* a file may be immutable by now */
	if (result >= 0)
		return fault_hit(FAULT_OURS_REMOVED);
	if (result != -EISDIR && result != -EPERM)
		return result;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int failure = -errno;
		close(fd);
		return failure;
	}
	result = 0;
	for (struct dirent *entry; result == 0 && (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			result = remove_tree(dirfd(dir), entry->d_name);
	}
	closedir(dir);
	if (result == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		result = -errno;
	return result < 0 ? result : fault_hit(FAULT_OURS_REMOVED);
}

/* The times of the root change when our directory goes: the mark remembers them, so that they are given back after a crash as well.
 * Without a mark they are as they are now. */
static int keep_root_times(const struct target *target, struct stat *st)
{
	char mark[MARK_SIZE];
	long long atime, mtime;

	if (fstat(target->root_fd, st) < 0)
		return -errno;
	if (read_mark(target, mark) < 0)
		return 0;
	char *times = strchr(mark, ' ');
	if (times && sscanf(times, " %lld.%ld %lld.%ld", &atime, &st->st_atim.tv_nsec, &mtime, &st->st_mtim.tv_nsec) == 4) {
		st->st_atim.tv_sec = (time_t)atime;
		st->st_mtim.tv_sec = (time_t)mtime;
		return 0;
	}
	size_t len = strcspn(mark, " ");
	snprintf(mark + len, sizeof(mark) - len, " %lld.%09ld %lld.%09ld", (long long)st->st_atim.tv_sec, st->st_atim.tv_nsec,
	         (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	return fsetxattr(target->root_fd, TARGET_MARK, mark, strlen(mark), 0) < 0 || fsync(target->root_fd) < 0 ? -errno : 0;
}

int target_disown(struct target *target)
{
	struct stat before;
	int result = keep_root_times(target, &before);
	if (result >= 0)
		result = remove_tree(target->root_fd, TARGET_OURS);
	if (result < 0)
		return result;
	restore_times(target->root_fd, &before);
	if (fremovexattr(target->root_fd, TARGET_MARK) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return -errno;
	result = fault_hit(FAULT_OURS_UNMARKED);
	return result < 0 ? result : target_sync(target);
}

int target_handle(int dirfd, const char *name, struct handle *handle)
{
	union {
		struct file_handle head;
		char room[sizeof(struct file_handle) + HANDLE_BYTES_MAX];
	} raw = {.head.handle_bytes = HANDLE_BYTES_MAX};
	int mount_id;

	if (name_to_handle_at(dirfd, name, &raw.head, &mount_id, *name ? 0 : AT_EMPTY_PATH) < 0)
		return -errno;
	handle->type = raw.head.handle_type;
	handle->len = (uint16_t)raw.head.handle_bytes;
	memcpy(handle->bytes, raw.head.f_handle, handle->len);
	return 0;
}

int target_open_handle(const struct target *target, const struct handle *handle, int flags)
{
	union {
		struct file_handle head;
		char room[sizeof(struct file_handle) + HANDLE_BYTES_MAX];
	} raw = {.head = {.handle_bytes = handle->len, .handle_type = handle->type}};

	memcpy(raw.head.f_handle, handle->bytes, handle->len);
	int fd = open_by_handle_at(target->root_fd, &raw.head, flags | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 || errno != ESTALE)
		return fd < 0 ? -errno : fd;
	return target_is_gone(target, handle) ? -ESTALE : -EIO;
}

int target_path(const struct target *target, int fd, char *path, size_t size)
{
	char link[FD_PATH_SIZE], root[PATH_MAX], object[PATH_MAX];
	ssize_t root_len = readlink(target_fd_path(target->root_fd, link), root, sizeof(root) - 1);
	ssize_t len = readlink(target_fd_path(fd, link), object, sizeof(object) - 1);

	if (root_len < 0 || len < 0)
		return errno == ENAMETOOLONG ? -ENAMETOOLONG : -ESTALE;
	if (len == sizeof(object) - 1)
		return -ENAMETOOLONG;
	root[root_len] = object[len] = '\0';
	root_len = root_len == 1 ? 0 : root_len; /* "/" */
	if (strncmp(object, root, (size_t)root_len) || (object[root_len] && object[root_len] != '/'))
		return -ESTALE;
	const char *below = object + root_len + (object[root_len] == '/');
	if (strlen(below) >= size)
		return -ENAMETOOLONG;
	strcpy(path, below);
	return 0;
}

int target_sync(const struct target *target)
{
	return syncfs(target->root_fd) < 0 ? -errno : 0;
}

const char *target_fd_path(int fd, char path[FD_PATH_SIZE])
{
	snprintf(path, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
	return path;
}

int target_check_name(const char *name, size_t len)
{
	if (len == 0 || memchr(name, '/', len) || memchr(name, '\0', len))
		return -EINVAL;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.') ? -EINVAL : 0;
}
