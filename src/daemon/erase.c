/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One walk counts or removes. lost+found of a file system that is the target stays, since its checker wants to have it.
 */
#include "daemon/erase.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "target/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>

struct erasing {
	struct erase_counts *counts;
	bool act;
};

static int enter(void *context, struct walk_dir *dir)
{
	(void)context;
	if (dir->parent && !dir->parent->parent && strcmp(dir->name, "lost+found") == 0)
		dir->mark = true; /* and all in it */
	return 0;
}

static int take(const struct erasing *erasing, const struct walk_dir *dir, const char *name, int flags)
{
	if (!erasing->act)
		return 0;
	int result = target_unlink(dir->fd, name, flags);
	if (result >= 0)
		result = fault_hit(FAULT_DELETE_NAME);
	if (result >= 0)
		return 1;
	CLEAN_FREE char *path = walk_path(dir, name);
	log_error("cannot be removed: path=\"%s\" error=%s", path, errno_name(result));
	return result;
}

static int entry(void *context, const struct walk_dir *dir, const char *name, const struct stat *st)
{
	struct erasing *erasing = context;

	if (dir->mark)
		return 0;
	int result = take(erasing, dir, name, 0);
	if (result < 0)
		return result;
	erasing->counts->files++;
	if (!erasing->act || st->st_nlink == 1) /* the last of its names gives the room back */
		erasing->counts->bytes += (uint64_t)st->st_blocks * 512 / (st->st_nlink ? st->st_nlink : 1);
	return result;
}

static int leave(void *context, const struct walk_dir *dir, const struct walk_dir *child)
{
	struct erasing *erasing = context;

	if (child->mark)
		return 0;
	int result = take(erasing, dir, child->name, AT_REMOVEDIR);
	erasing->counts->dirs += result >= 0;
	return result;
}

static int walk(const struct target *target, bool act, struct erase_counts *counts)
{
	struct erasing erasing = {.counts = counts, .act = act};

	*counts = (struct erase_counts){0};
	return target_walk(target, &(struct walk_visitor){&erasing, enter, entry, leave});
}

int erase_survey(const struct target *target, struct erase_counts *counts)
{
	return walk(target, false, counts);
}

int erase_target(const struct target *target, struct erase_counts *counts)
{
	int result = walk(target, true, counts);

	return result < 0 ? result : target_sync(target);
}

int erase_check_mounts(const char *target, char *error, size_t error_size)
{
	size_t len = strcmp(target, "/") == 0 ? 0 : strlen(target);
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	int result = 0;

	if (!mounts)
		return -errno;
	for (struct mntent *mount; !result && (mount = getmntent(mounts));) {
		if (strncmp(mount->mnt_dir, target, len) || mount->mnt_dir[len] != '/' || !mount->mnt_dir[len + 1])
			continue;
		snprintf(error, error_size, "%s is mounted below the target %s: unmount it first, what is in it is to stay",
		         mount->mnt_dir, target);
		result = -EBUSY;
	}
	endmntent(mounts);
	return result;
}
