/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What file systems say of their own errors.
 */
#include "target/gone.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Instead of a count of errors: the file system counts, and does not tell. One that does not count has none. */
#define COUNT_HIDDEN (-1)

/* --- ext4 --- */

/* Of /sys/dev/block/MAJOR:MINOR the last component of where it leads is the name that ext4 goes by. */
static int64_t count_ext4(const char *sysfs, dev_t dev)
{
	char path[PATH_MAX], device[PATH_MAX], text[32] = "";

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", sysfs, major(dev), minor(dev));
	ssize_t len = readlink(path, device, sizeof(device) - 1);
	if (len < 0)
		return COUNT_HIDDEN;
	device[len] = '\0';
	const char *slash = strrchr(device, '/');
	if (snprintf(path, sizeof(path), "%s/fs/ext4/%s/errors_count", sysfs, slash ? slash + 1 : device) >= (int)sizeof(path))
		return COUNT_HIDDEN;
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return COUNT_HIDDEN;
	char *end;
	errno = 0;
	long long count = strtoll(text, &end, 10);
	return errno || end == text || count < 0 ? COUNT_HIDDEN : count;
}

/* --- btrfs --- */

static int64_t count_btrfs(int root_fd)
{
	struct btrfs_ioctl_fs_info_args info = {0};
	int64_t count = 0;
	uint64_t asked = 0;

	if (ioctl(root_fd, BTRFS_IOC_FS_INFO, &info) < 0)
		return COUNT_HIDDEN;
	for (uint64_t id = 0; id <= info.max_id && asked < info.num_devices; id++) {
		struct btrfs_ioctl_get_dev_stats stats = {.devid = id, .nr_items = BTRFS_DEV_STAT_VALUES_MAX};
		if (ioctl(root_fd, BTRFS_IOC_GET_DEV_STATS, &stats) < 0) {
			if (errno == ENODEV)
				continue;
			return COUNT_HIDDEN;
		}
		asked++;
		for (unsigned i = 0; i < BTRFS_DEV_STAT_VALUES_MAX && i < stats.nr_items; i++)
			count += (int64_t)stats.values[i];
	}
	return asked < info.num_devices ? COUNT_HIDDEN : count;
}

/* --- xfs --- */

/* Its interface, as far as it is used, so that no header of xfsprogs is needed. */
struct bulk {
	uint64_t ino; /* at and after this */
	uint32_t flags, asked, got, ag;
	uint64_t unused[5];
	struct {
		uint64_t ino, size, blocks, xflags;
		int64_t times[4];
		uint32_t gen;
		uint32_t others[31];
	} inode;
};
_Static_assert(sizeof(struct bulk) == 64 + 192, "as the kernel has it");
#define XFS_BULKSTAT _IOR('X', 127, char[64])

/* A handle of xfs is the number and the generation; the number is of 32 or 64 bits. */
static bool parse_xfs(const struct handle *handle, uint64_t *ino, uint32_t *gen)
{
	uint32_t short_ino;
	bool is_long = handle->type & 0x80;

	if (handle->len < (is_long ? 12 : 8))
		return false;
	if (is_long) {
		memcpy(ino, handle->bytes, sizeof(*ino));
	} else {
		memcpy(&short_ino, handle->bytes, sizeof(short_ino));
		*ino = short_ino;
	}
	memcpy(gen, handle->bytes + (is_long ? 8 : 4), sizeof(*gen));
	return true;
}

static const char *doubt_xfs(const struct target *target, const struct handle *handle)
{
	struct bulk bulk = {.asked = 1};
	uint32_t gen;

	if (!parse_xfs(handle, &bulk.ino, &gen))
		return "its handle is not one of xfs";
	uint64_t ino = bulk.ino;
	if (ioctl(target->root_fd, XFS_BULKSTAT, &bulk) < 0)
		return errno_name(errno);
	return bulk.got > 0 && bulk.inode.ino == ino && bulk.inode.gen == gen ? "it has the object all the same" : NULL;
}

/* --- the decision --- */

/* ext4 adds an error to its count in a job of the kernel's, maybe after the caller has got its ESTALE; the event is there before. */
static int watch_errors(const struct target *target)
{
	CLEAN_FD int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);

	if (fd < 0 || fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_FS_ERROR, target->root_fd, NULL) < 0)
		return -1;
	return steal_fd(&fd);
}

/* The event is never read, so it stays. */
static bool was_told_of_errors(const struct target *target)
{
	struct pollfd events = {.fd = target->errors_fd, .events = POLLIN};

	return poll(&events, 1, 0) != 0;
}

static int64_t count_errors(const struct target *target)
{
	switch (target->fs_type) {
	case EXT4_SUPER_MAGIC:
		return count_ext4(target->sysfs, target->dev);
	case BTRFS_SUPER_MAGIC:
		return count_btrfs(target->root_fd);
	default:
		return 0;
	}
}

/* The witness, where there is one: ext4 that is shut down opens no file any more, and to open one costs nothing. A sync of the
 * root may cost a flush of the disk. */
static int probe(const struct target *target)
{
	char path[FD_PATH_SIZE];
	struct stat st;

	if (fstat(target->root_fd, &st) < 0)
		return -errno;
	if (target->witness_fd < 0)
		return fsync(target->root_fd) < 0 ? -errno : 0;
	CLEAN_FD int fd = open(target_fd_path(target->witness_fd, path), O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

/* Why the file system is doubted, or NULL. */
static const char *doubt(const struct target *target, const struct handle *handle)
{
	struct statvfs vfs;
	int64_t errors = count_errors(target);

	if (errors == COUNT_HIDDEN || target->fs_errors == COUNT_HIDDEN)
		return "it does not tell whether it has met errors";
	if (errors != target->fs_errors || was_told_of_errors(target))
		return "it has met errors since the start";
	int result = probe(target);
	if (result < 0)
		return errno_name(result);
	if (fstatvfs(target->root_fd, &vfs) < 0)
		return errno_name(errno);
	if (vfs.f_flag & ST_RDONLY)
		return "it is read-only";
	return target->fs_type == XFS_SUPER_MAGIC ? doubt_xfs(target, handle) : NULL;
}

void target_trust(struct target *target, const char *sysfs)
{
	target->sysfs = sysfs;
	cleanup_close(&target->errors_fd);
	target->errors_fd = watch_errors(target);
	target->fs_errors = count_errors(target);
	if (target->fs_errors == COUNT_HIDDEN)
		log_warning(
			"the file system of the target does not tell whether it has met errors, so no object of it is taken for "
			"gone: mount sysfs at %s",
			sysfs);
}

bool target_is_gone(const struct target *target, const struct handle *handle)
{
	const char *why = doubt(target, handle);

	if (why)
		log_warning(
			"an object of the target cannot be opened, and whether it is gone cannot be told: check the file system "
			"of the target, and start anew: reason=\"%s\"",
			why);
	return !why;
}
