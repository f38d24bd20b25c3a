/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Is there something of a path that somebody has a wish for? A wish with a slip of the pen would be granted to nobody, and what it was
 * meant for be decided otherwise.
 */
#include "migrate/rebuild_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct found {
	uint8_t *handle;
	size_t len;
};

static int keep_handle(void *context, const struct dmm_entry *entry)
{
	struct found *found = context;

	found->len = entry->handle.len;
	found->handle = memcpy(must_alloc(entry->handle.len), entry->handle.data, entry->handle.len);
	return 0;
}

/* The entry of a directory by its name; what there was gives way to it. 1, 0 or negative errno. */
static int step(struct source *source, const char *name, size_t len, struct found *found)
{
	struct origins origins = {0};
	struct origin *next = NULL;
	int result = origins_list(source, (struct dmm_bytes){found->handle, found->len}, &origins);

	for (size_t i = 0; result >= 0 && i < origins.count; i++)
		if (strlen(origins.all[i]->name) == len && memcmp(origins.all[i]->name, name, len) == 0)
			next = origins.all[i];
	if (next) {
		free(found->handle);
		found->len = next->handle.len;
		found->handle = memcpy(must_alloc(found->len), next->handle.data ? next->handle.data : "", found->len);
	}
	origins_free(&origins);
	return result == -ENOTDIR || result == -ENOENT ? 0 : result < 0 ? result : next != NULL;
}

static int at_source(struct source *source, const char *path)
{
	struct found found = {0};
	int result = source_root(source, keep_handle, &found);

	for (result = result < 0 ? result : 1; result == 1 && *path;) {
		size_t len = strcspn(path, "/");
		result = len ? step(source, path, len, &found) : 1;
		path += len + strspn(path + len, "/");
	}
	free(found.handle);
	return result;
}

/* Names of one component each: nothing leads out of the tree. */
static int on_target(const struct target *target, const char *path)
{
	struct stat st;
	CLEAN_FD int dir = openat(target->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEAN_FREE char *copy = strdup(path);
	char *rest = NULL;

	if (dir < 0 || !copy)
		return dir < 0 ? -errno : -ENOMEM;
	for (char *name = strtok_r(copy, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
		if (strcmp(name, "..") == 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		int next = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close(dir);
		dir = next;
	}
	return 1;
}

int rebuild_path_exists(const struct rebuild *rebuild, const char *path)
{
	int result = on_target(rebuild->target, path);

	return result ? result : at_source(rebuild->source, path);
}
