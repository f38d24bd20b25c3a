/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sorted, so that a path is found, and what lies below a directory lies together.
 */
#include "property/paths.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct paths {
	size_t count;
	char **sorted;
	char bytes[];
};

/* --- reading --- */

static const char *path_complaint(const char *path)
{
	if (strlen(path) >= PATH_MAX)
		return "longer than a path can be";
	for (const char *name = path; *name;) {
		size_t len = strcspn(name, "/");
		if (len == 0 && name[len] == '/')
			return "an empty name between two slashes";
		if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
			return "'.' or '..' for a name";
		name += len + (name[len] == '/');
	}
	return NULL;
}

/* Cuts what does not belong to the path off both ends. */
static char *trim(char *path)
{
	while (path[0] == '/' || (path[0] == '.' && path[1] == '/'))
		path += path[0] == '/' ? 1 : 2;
	for (size_t len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	return path;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of paths->bytes, which ends with a NUL behind `len`. */
static int split(struct paths *paths, const char *name, size_t len, char *error, size_t error_size)
{
	char separator = memchr(paths->bytes, '\0', len) ? '\0' : '\n';
	size_t line = 0, cap = 0;

	for (char *at = paths->bytes, *end = at + len; at < end;) {
		char *stop = memchr(at, separator, (size_t)(end - at));
		stop = stop ? stop : end;
		*stop = '\0';
		line++;
		char *path = trim(at);
		at = stop + 1;
		const char *complaint = path_complaint(path);
		if (complaint) {
			snprintf(error, error_size, "line %zu of %s is no path: %s in '%.200s'", line, name, complaint, path);
			return -EINVAL;
		}
		if (!*path)
			continue;
		if (paths->count == PATHS_COUNT_MAX) {
			snprintf(error, error_size, "%s has more than %u paths", name, PATHS_COUNT_MAX);
			return -E2BIG;
		}
		if (paths->count == cap) {
			cap = cap ? cap * 2 : 64;
			char **larger = realloc(paths->sorted, cap * sizeof(*larger));
			if (!larger)
				return -ENOMEM;
			paths->sorted = larger;
		}
		paths->sorted[paths->count++] = path;
	}
	if (paths->count)
		qsort(paths->sorted, paths->count, sizeof(*paths->sorted), compare);
	return 0;
}

int paths_parse(const char *name, const char *bytes, size_t len, struct paths **made, char *error, size_t error_size)
{
	struct paths *paths = malloc(sizeof(*paths) + len + 1);

	if (!paths)
		return -ENOMEM;
	paths->count = 0;
	paths->sorted = NULL;
	memcpy(paths->bytes, bytes, len);
	paths->bytes[len] = '\0';
	int result = split(paths, name, len, error, error_size);
	if (result < 0)
		paths_free(paths);
	else
		*made = paths;
	return result;
}

static int read_all(int fd, char *bytes, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = read(fd, bytes + got, len - got);
		if (n == 0)
			return -ENODATA;
		if (n < 0 && errno != EINTR)
			return -errno;
		got += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int paths_read(const char *file, struct paths **paths, char *error, size_t error_size)
{
	struct stat st;
	CLEAN_FD int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0) {
		int failure = -errno;
		snprintf(error, error_size, "the list %s cannot be read: %s", file, strerror(-failure));
		return failure;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)PATHS_BYTES_MAX) {
		snprintf(error, error_size, "the list %s is no regular file of at most %u MiB", file, PATHS_BYTES_MAX >> 20);
		return -EINVAL;
	}
	CLEAN_FREE char *bytes = malloc((size_t)st.st_size + 1);
	int result = bytes ? read_all(fd, bytes, (size_t)st.st_size) : -ENOMEM;
	if (result < 0) {
		snprintf(error, error_size, "the list %s cannot be read: %s", file, strerror(-result));
		return result;
	}
	return paths_parse(file, bytes, (size_t)st.st_size, paths, error, error_size);
}

void paths_free(struct paths *paths)
{
	if (!paths)
		return;
	free(paths->sorted);
	free(paths);
}

size_t paths_count(const struct paths *paths)
{
	return paths->count;
}

const char *paths_at(const struct paths *paths, size_t index)
{
	return paths->sorted[index];
}

/* --- asking --- */

/* How the first `len` bytes of `path`, and then `after` if that is not NUL, compare with an entry. */
static int compare_head(const char *path, size_t len, char after, const char *entry)
{
	int order = strncmp(path, entry, len);

	if (order)
		return order;
	return (int)(unsigned char)after - (int)(unsigned char)entry[len];
}

/* The first entry that is not less. */
static size_t lower_bound(const struct paths *paths, const char *path, size_t len, char after)
{
	size_t low = 0, high = paths->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_head(path, len, after, paths->sorted[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool paths_match(const struct paths *paths, const char *path)
{
	for (size_t len = 0; path[len];) {
		len += strcspn(path + len, "/");
		size_t at = lower_bound(paths, path, len, '\0');
		if (at < paths->count && compare_head(path, len, '\0', paths->sorted[at]) == 0)
			return true;
		len += path[len] == '/';
	}
	return false;
}

bool paths_lead(const struct paths *paths, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 0)
		return paths->count > 0;
	size_t at = lower_bound(paths, dir, len, '/');
	return at < paths->count && strncmp(paths->sorted[at], dir, len) == 0 && paths->sorted[at][len] == '/';
}
