/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See swap.h. All is done below one descriptor of the state's directory.
 */
#include "state/swap.h"

#include "state/store_private.h"

#include "base/cleanup.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM "rebuild"
#define KEPT_MAX 1000u

struct swap {
	char *dir, *path;
	int dir_fd, lock_fd;
	bool has_room;
};

int swap_begin(const char *dir, struct swap **begun, char *error, size_t error_size)
{
	struct swap *swap = calloc(1, sizeof(*swap));
	int result = swap && (swap->dir = strdup(dir)) && asprintf(&swap->path, "%s/" ROOM, dir) >= 0 ? 0 : -ENOMEM;

	if (!swap)
		return result;
	swap->lock_fd = -1;
	swap->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (result >= 0 && swap->dir_fd < 0) {
		result = -errno;
		snprintf(error, error_size, "cannot open the directory of the state, %s: %s", dir, strerror(-result));
	}
	if (result >= 0)
		result = store_take_lock(swap->dir_fd, dir, &swap->lock_fd, error, error_size);
	if (result < 0)
		swap_end(swap);
	else
		*begun = swap;
	return result;
}

static int remove_room(struct swap *swap)
{
	static const char *const files[] = {ROOM "/data.mdb", ROOM "/lock.mdb", ROOM "/lock", ROOM "/new/data.mdb",
	                                    ROOM "/new/lock.mdb"};

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (unlinkat(swap->dir_fd, files[i], 0) < 0 && errno != ENOENT)
			return -errno;
	if (unlinkat(swap->dir_fd, ROOM "/new", AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return unlinkat(swap->dir_fd, ROOM, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int swap_make_room(struct swap *swap)
{
	int result = remove_room(swap);

	if (result >= 0 && mkdirat(swap->dir_fd, ROOM, 0700) < 0)
		result = -errno;
	swap->has_room = result >= 0;
	return result;
}

const char *swap_path(const struct swap *swap)
{
	return swap->path;
}

static int keep_old(struct swap *swap, char *kept, size_t size)
{
	for (unsigned n = 1; n < KEPT_MAX; n++) {
		snprintf(kept, size, n == 1 ? "data.mdb.damaged" : "data.mdb.damaged-%u", n);
		if (renameat2(swap->dir_fd, "data.mdb", swap->dir_fd, kept, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno == ENOENT) {
			*kept = '\0';
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int swap_commit(struct swap *swap, char *kept, size_t size)
{
	int result = keep_old(swap, kept, size);

	if (result >= 0)
		result = fault_hit(FAULT_REBUILD_ASIDE);
	/* The table of readers belongs to the old one. */
	if (result >= 0 && unlinkat(swap->dir_fd, "lock.mdb", 0) < 0 && errno != ENOENT)
		result = -errno;
	if (result >= 0 && renameat2(swap->dir_fd, ROOM "/data.mdb", swap->dir_fd, "data.mdb", RENAME_NOREPLACE) < 0)
		result = -errno;
	if (result >= 0 && fsync(swap->dir_fd) < 0)
		result = -errno;
	return result;
}

void swap_end(struct swap *swap)
{
	if (swap->has_room)
		remove_room(swap);
	cleanup_close(&swap->lock_fd);
	cleanup_close(&swap->dir_fd);
	free(swap->dir);
	free(swap->path);
	free(swap);
}
