/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The root of a source: a private clone of the mount it is on and of every mount below it, made read-only and without access
 * times, so that nothing here can write to the source, whatever the rest does (invariant I5). The clone also keeps what is
 * mounted over the source later out of sight. It is not in any mount namespace and goes away with its descriptor.
 *
 * Mounts below the source come along, as with cp -a: the clone is recursive. What is mounted there after we started is not seen.
 *
 * Where cloning is not permitted (no CAP_SYS_ADMIN, an older kernel) a plain descriptor and O_NOATIME have to do.
 */
#include "posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static int explain(const struct dmm_config *config, const char *path, int error)
{
	char *to = config->error;
	size_t size = config->error_size;

	switch (error) {
	case ENOENT:
		snprintf(to, size, "The source %s does not exist; check the path, or mount what should be there first.", path);
		break;
	case ENOTDIR:
		snprintf(to, size, "The source %s is not a directory; name the directory whose content is to be moved.", path);
		break;
	case EACCES:
	case EPERM:
		snprintf(to, size, "The source %s cannot be read (%s); run dmmfs as root, or permit it to read and search there.",
		         path, strerror(error));
		break;
	case ELOOP:
		snprintf(to, size, "The source %s leads through too many symbolic links; name the directory itself.", path);
		break;
	default:
		snprintf(to, size, "The source %s cannot be opened (%s); try \"ls -la %s\" and mend what that reports.", path,
		         strerror(error), path);
	}
	return -error;
}

/* A descriptor of the clone's root, or negative errno. The path may lead through symbolic links: it is the administrator's.
 *
 * The descriptor of open_tree() stays open, too: were it closed, the mounts would lose their namespace, and the kernel then
 * takes a lock of all mounts, and sums up counters of all processors, at the end of every path lookup. */
static int clone_mounts(const char *path, int *tree_fd)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODEV,
		.attr_clr = MOUNT_ATTR__ATIME,
		/* Neither shows us what is mounted later, nor shows anyone what we do. */
		.propagation = MS_PRIVATE,
	};
	int tree, root = -1, error;

	tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return -errno;
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0)
		root = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0) {
		*tree_fd = tree;
		return root;
	}
	error = errno;
	close(tree);
	return -error;
}

/* File systems whose handles mean the same object after the inode left the cache, and after a restart. Others (FUSE, FAT,
 * overlayfs without nfs_export) give handles that go stale: there the path is the better name. */
static bool lasting_handles(int fd)
{
	static const unsigned good[] = {
		0xef53 /* ext2, ext3, ext4 */, 0x58465342 /* xfs */,      0x9123683e /* btrfs */,    0x01021994 /* tmpfs */,
		0xf2f52010 /* f2fs */,         0x2fc12fc1 /* zfs */,      0xca451a4e /* bcachefs */, 0x6969 /* nfs */,
		0x3153464a /* jfs */,          0x01161970 /* gfs2 */,     0x7461636f /* ocfs2 */,    0x3434 /* nilfs2 */,
		0xe0f5e1e2 /* erofs */,        0x73717368 /* squashfs */, 0x9660 /* iso9660 */,      0x15013346 /* udf */,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if ((unsigned)fs.f_type == good[i])
			return true;
	return false;
}

/* Whether a handle of the root leads back to it: needs CAP_DAC_READ_SEARCH as well as the file system's support. */
static bool handles_work(struct dmm_instance *instance, const struct statx *root)
{
	unsigned char bytes[H_HANDLE_MAX];
	struct handle_parts parts;
	struct dmm_bytes handle = {bytes, 0};
	struct statx again;
	int len, fd;
	bool same;

	if (!(root->stx_mask & STATX_MNT_ID) || !lasting_handles(instance->root_fd))
		return false;
	len = handle_of(instance->root_fd, "", DT_DIR, bytes);
	if (len < 0)
		return false;
	handle.len = (size_t)len;
	if (handle_parse(handle, &parts) < 0)
		return false;
	fd = handle_open(instance, &parts, handle, O_PATH);
	if (fd < 0)
		return false;
	same = statx(fd, "", AT_EMPTY_PATH, STATX_INO, &again) == 0 && again.stx_ino == root->stx_ino;
	close(fd);
	return same;
}

void root_close(struct dmm_instance *instance)
{
	close(instance->root_fd);
	if (instance->tree_fd >= 0)
		close(instance->tree_fd);
}

int root_open(struct dmm_instance *instance, const struct dmm_config *config, const char *path)
{
	struct statx stx;
	int fd;

	/* First the plain way, for an error that says what is wrong with the path. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return explain(config, path, errno);

	instance->tree_fd = -1;
	instance->root_fd = clone_mounts(path, &instance->tree_fd);
	instance->cloned = instance->root_fd >= 0;
	if (instance->cloned) {
		close(fd);
	} else {
		if (instance->log)
			instance->log(DMM_LOG_INFO,
			              "no private clone of the source's mounts, O_NOATIME has to do: path=%s error=%s", path,
			              strerror(-instance->root_fd));
		instance->root_fd = fd;
	}

	if (statx(instance->root_fd, "", AT_EMPTY_PATH, STATX_WANTED, &stx) < 0) {
		int error = errno;

		root_close(instance);
		return explain(config, path, error);
	}
	instance->mnt_id = stx.stx_mnt_id;
	instance->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	instance->fsid = identity_of_fd(instance->root_fd, instance->dev);
	instance->birth_time = stx.stx_mask & STATX_BTIME;
	instance->handles = handles_work(instance, &stx);
	return 0;
}
