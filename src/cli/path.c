/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A path is resolved part by part: `done` is resolved, `rest` is not yet looked at. A link replaces the head of the rest.
 */
#include "cli/path.h"

#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LINKS_MAX 40 /* the kernel's own limit */
#define PATH_BYTES (16 * PATH_MAX)

struct walk {
	char done[PATH_BYTES], rest[PATH_BYTES];
	unsigned links;
};

bool path_is_below(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	while (len > 1 && prefix[len - 1] == '/')
		len--;
	if (len == 1 && prefix[0] == '/')
		return path[0] == '/';
	return len > 0 && strncmp(path, prefix, len) == 0 && (path[len] == '/' || path[len] == 0);
}

static int set_rest(struct walk *walk, const char *head, const char *tail)
{
	char joined[PATH_BYTES];
	int len = snprintf(joined, sizeof(joined), "%s%s%s", head, *tail ? "/" : "", tail);
	if (len >= (int)sizeof(joined))
		return -ENAMETOOLONG;
	strcpy(walk->rest, joined);
	return 0;
}

static void go_up(struct walk *walk)
{
	char *slash = strrchr(walk->done, '/');
	if (slash)
		*slash = 0; /* of "" the parent is "": the root */
}

static int append(struct walk *walk, const char *name)
{
	size_t len = strlen(walk->done);
	if (len + strlen(name) + 2 > sizeof(walk->done))
		return -ENAMETOOLONG;
	sprintf(walk->done + len, "/%s", name);
	return 0;
}

/* If what was just appended is a link, takes it off again and puts what it says before the rest. */
static int follow_link(struct walk *walk)
{
	char value[PATH_MAX];
	ssize_t len = readlink(walk->done, value, sizeof(value) - 1);
	if (len < 0)
		return errno == EINVAL || errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ENAMETOOLONG
		               ? 0
		               : -errno;
	if (++walk->links > LINKS_MAX)
		return -ELOOP;
	value[len] = 0;
	go_up(walk);
	if (value[0] == '/')
		walk->done[0] = 0;
	return set_rest(walk, value, walk->rest);
}

/* Takes the head of the rest. Whether to stop is asked anew each time: ".." may have led out again. */
static int step(struct walk *walk, bool (*stop)(void *context, const char *path), void *context)
{
	char name[PATH_BYTES];
	char *head = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(head, "/");
	memcpy(name, head, len);
	name[len] = 0;
	memmove(walk->rest, head + len, strlen(head + len) + 1);
	if (len == 0 || strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0) {
		go_up(walk);
		return 0;
	}
	int error = append(walk, name);
	bool last = walk->rest[strspn(walk->rest, "/")] == 0;
	return error || last || (stop && stop(context, walk->done)) ? error : follow_link(walk);
}

int path_resolve(const char *cwd, const char *path, bool (*stop)(void *context, const char *path), void *context, char **resolved)
{
	CLEAN_FREE struct walk *walk = calloc(1, sizeof(*walk));
	if (!walk)
		return -ENOMEM;
	if (!*path)
		return -ENOENT;
	if (path[0] != '/' && strcmp(cwd, "/") != 0 && strlen(cwd) < sizeof(walk->done))
		strcpy(walk->done, cwd);
	int error = set_rest(walk, path, "");
	while (!error && walk->rest[0])
		error = step(walk, stop, context);
	if (error)
		return error;
	*resolved = strdup(walk->done[0] ? walk->done : "/");
	return *resolved ? 0 : -ENOMEM;
}
