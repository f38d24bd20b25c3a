/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where source, target and mount point lie to each other and to what is mounted already.
 */
#include "daemon/place.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* The type of the topmost mount at exactly this path; false: nothing is mounted there. */
static bool type_mounted_at(const char *path, char *type, size_t size)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	bool found = false;

	if (!mounts)
		return false;
	for (struct mntent *mount; (mount = getmntent(mounts));) {
		if (strcmp(mount->mnt_dir, path) == 0) {
			snprintf(type, size, "%s", mount->mnt_type);
			found = true;
		}
	}
	endmntent(mounts);
	return found;
}

bool place_is_ours(const char *path)
{
	char type[64];

	return type_mounted_at(path, type, sizeof(type)) && strcmp(type, "fuse.dmmfs") == 0;
}

int place_clear(const char *mountpoint, char *error, size_t error_size)
{
	char type[64];

	while (type_mounted_at(mountpoint, type, sizeof(type)) && strcmp(type, "fuse.dmmfs") == 0) {
		struct statfs st; /* stat(2) is answered from what the kernel kept. ECONNABORTED: it dies just now */
		if (statfs(mountpoint, &st) == 0 || (errno != ENOTCONN && errno != ECONNABORTED)) {
			snprintf(error, error_size, "%s is mounted by dmmfs already; see dmmfs-admin list", mountpoint);
			return -EBUSY;
		}
		log_warning("the daemon of an earlier mount has died; its mount is detached: mountpoint=%s", mountpoint);
		if (umount2(mountpoint, MNT_DETACH) < 0) {
			int failure = -errno;
			snprintf(error, error_size, "the dead mount at %s cannot be detached: %s", mountpoint,
			         strerror(-failure));
			return failure;
		}
	}
	return 0;
}

int place_lies_inside(const char *inner, const char *outer)
{
	struct stat wanted, now, above;
	CLEAN_FD int fd = open(inner, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || stat(outer, &wanted) < 0)
		return -errno;
	for (;;) {
		if (fstat(fd, &now) < 0)
			return -errno;
		if (now.st_dev == wanted.st_dev && now.st_ino == wanted.st_ino)
			return 1;
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0 || fstat(up, &above) < 0) {
			int failure = -errno;
			if (up >= 0)
				close(up);
			return failure;
		}
		close(fd);
		fd = up;
		if (above.st_dev == now.st_dev && above.st_ino == now.st_ino)
			return 0;
	}
}

int place_check_nesting(const char *source, const char *target, char *error, size_t error_size)
{
	int target_inside = place_lies_inside(target, source);
	int source_inside = target_inside < 0 ? target_inside : place_lies_inside(source, target);

	if (target_inside < 0 || source_inside < 0) {
		int failure = target_inside < 0 ? target_inside : source_inside;
		snprintf(error, error_size, "cannot look at %s and %s: %s", source, target, strerror(-failure));
		return failure;
	}
	if (target_inside && source_inside)
		snprintf(error, error_size, "source and target are the same directory, %s; name two", target);
	else if (target_inside)
		snprintf(error, error_size, "the target %s lies inside the source %s; put it elsewhere", target, source);
	else if (source_inside)
		snprintf(error, error_size, "the source %s lies inside the target %s; put one of them elsewhere", source, target);
	return target_inside || source_inside ? -EINVAL : 0;
}

int place_check_state(const char *source, const char *statedir, char *error, size_t error_size)
{
	CLEAN_FREE char *parent = strdup(statedir); /* the directory itself may be still to be made */

	if (!parent || place_lies_inside(dirname(parent), source) != 1)
		return 0; /* a parent that is not there is met when the directory is made */
	snprintf(error, error_size, "the state directory %s lies inside the source %s; put it elsewhere", statedir, source);
	return -EINVAL;
}

static bool is_empty(DIR *dir)
{
	struct dirent *entry;

	while ((entry = readdir(dir)) && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0))
		;
	return !entry;
}

void place_warn_of_empty(const char *source)
{
	struct stat here, above;
	DIR *dir = opendir(source);

	if (dir && is_empty(dir) && fstat(dirfd(dir), &here) == 0 && fstatat(dirfd(dir), "..", &above, 0) == 0 &&
	    here.st_dev == above.st_dev)
		log_warning("the source %s is an empty directory, and nothing is mounted there: is its file system mounted?", source);
	if (dir)
		closedir(dir);
}
