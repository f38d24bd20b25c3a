/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the file system of a target can hold. See limits.h.
 */
#include "target/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define YEAR_1901 (-2147483648ll)
#define YEAR_1980 315532800ll
#define YEAR_2038 2147483647ll
#define YEAR_2107 4354819199ll
#define YEAR_2446 15032385535ll

#define GiB ((uint64_t)1 << 30)
#define TiB ((uint64_t)1 << 40)

/* Largest files: of ext4 as many blocks as 32 bits can count, which `blocks` says. */
static const struct known {
	const char *type;
	uint64_t file_max, blocks;
	int64_t time_min_s, time_max_s;
	uint64_t xattr_blocks; /* attributes of an object fit into so many blocks, and what the inode has room for */
	bool folds_case, dos_names, plain_only;
} known[] = {
	{.type = "ext4", .blocks = UINT32_MAX, .time_min_s = YEAR_1901, .time_max_s = YEAR_2446, .xattr_blocks = 1},
	{.type = "ext3", .file_max = 2 * TiB, .time_min_s = YEAR_1901, .time_max_s = YEAR_2038, .xattr_blocks = 1},
	{.type = "ext2", .file_max = 2 * TiB, .time_min_s = YEAR_1901, .time_max_s = YEAR_2038, .xattr_blocks = 1},
	{.type = "vfat",
         .file_max = 4 * GiB - 1,
         .time_min_s = YEAR_1980,
         .time_max_s = YEAR_2107,
         .folds_case = true,
         .dos_names = true,
         .plain_only = true},
	{.type = "exfat",
         .time_min_s = YEAR_1980,
         .time_max_s = YEAR_2107,
         .folds_case = true,
         .dos_names = true,
         .plain_only = true},
	{.type = "ntfs3", .folds_case = false, .dos_names = true},
};

/* Of the topmost mount of this device; the numbers of btrfs are of its own, it is known by its magic number. */
static void find_type(const struct target *target, const struct statfs *fs, char *type, size_t size)
{
	char wanted[32], device[32], found[32], line[8192];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	snprintf(wanted, sizeof(wanted), "%u:%u", major(target->dev), minor(target->dev));
	while (mounts && fgets(line, sizeof(line), mounts)) {
		const char *rest = strstr(line, " - ");
		if (rest && sscanf(line, "%*u %*u %31s", device) == 1 && strcmp(device, wanted) == 0 &&
		    sscanf(rest, " - %31s", found) == 1)
			snprintf(type, size, "%s", found);
	}
	if (mounts)
		fclose(mounts);
	if (!*type && (unsigned long)fs->f_type == 0x9123683eul)
		snprintf(type, size, "btrfs");
}

static void apply_known(struct target_limits *limits)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct known *of = &known[i];
		if (strcmp(of->type, limits->type) != 0)
			continue;
		if (of->blocks)
			limits->file_max = of->blocks * limits->block_bytes;
		if (of->file_max)
			limits->file_max = of->file_max;
		if (of->time_max_s) {
			limits->time_min_s = of->time_min_s;
			limits->time_max_s = of->time_max_s;
		}
		if (of->xattr_blocks)
			limits->xattr_max = of->xattr_blocks * limits->block_bytes;
		limits->folds_case = of->folds_case;
		limits->dos_names = of->dos_names;
		limits->plain_only = of->plain_only;
	}
}

int target_limits(const struct target *target, struct target_limits *limits)
{
	struct statfs fs;
	int flags = 0;
	if (fstatfs(target->root_fd, &fs) < 0)
		return -errno;
	uint64_t block = (uint64_t)(fs.f_frsize ? fs.f_frsize : fs.f_bsize);
	*limits = (struct target_limits){
		.free_bytes = (uint64_t)fs.f_bavail * block,
		.free_bytes_root = (uint64_t)fs.f_bfree * block,
		.block_bytes = block,
		.free_inodes = fs.f_files ? (uint64_t)fs.f_ffree : UINT64_MAX,
		.read_only = fs.f_flags & ST_RDONLY,
		.name_max = (uint64_t)fs.f_namelen,
		.file_max = INT64_MAX,
		.time_min_s = INT64_MIN,
		.time_max_s = INT64_MAX,
		.xattr_max = UINT64_MAX,
	};
	find_type(target, &fs, limits->type, sizeof(limits->type));
	apply_known(limits);
	if (ioctl(target->root_fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_CASEFOLD_FL))
		limits->folds_case = true; /* what is made in there inherits it */
	return 0;
}

/* A file system that knows the kind of attribute says that there is none of this name, others that they do not know it. */
int target_holds_xattr(const struct target *target, const char *name)
{
	char value[1];
	if (fgetxattr(target->root_fd, name, value, sizeof(value)) >= 0 || errno == ENODATA || errno == ERANGE)
		return 1;
	return errno == EOPNOTSUPP ? 0 : -errno;
}

void target_look_only(const struct target *target)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOATIME, .attr_clr = MOUNT_ATTR__ATIME};
	if (target->tree_fd >= 0)
		mount_setattr(target->tree_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)); /* of the private clone alone */
}
