/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Random trees, their lists, and their comparison.
 */
#include "model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define DIRS 24
#define FILES 120
#define LONG_PAST 1600000000 /* all times of a tree are before this, all times of a run after it */

static void die(const char *what, const char *path)
{
	fprintf(stderr, "model: %s %s: %s\n", what, path, strerror(errno));
	exit(2);
}

/* --- making --- */

static void set_some_xattrs(const char *path, mode_t mode)
{
	unsigned char value[300];

	if (S_ISLNK(mode))
		return;
	if (one_in(4)) {
		random_fill(value, sizeof(value), random_below(1000));
		if (setxattr(path, "user.model", value, random_below(sizeof(value)), 0) < 0 && errno != EPERM)
			die("setxattr", path);
	}
	if (one_in(6) && setxattr(path, "system.posix_acl_access", value, random_acl(value), 0) < 0)
		die("acl", path);
	if (S_ISDIR(mode) && one_in(3) && setxattr(path, "system.posix_acl_default", value, random_acl(value), 0) < 0)
		die("default acl", path);
}

static void set_attributes(const char *path)
{
	struct stat st;
	unsigned owner = user_uid((unsigned)random_below(USERS)), group = user_uid((unsigned)random_below(USERS));

	if (lstat(path, &st) < 0 || lchown(path, owner, group) < 0)
		die("chown", path);
	mode_t mode = S_ISDIR(st.st_mode) ? (one_in(4) ? (mode_t)random_below(010000) : 0755 | (one_in(4) ? S_ISGID : 0))
	                                  : (one_in(2) ? (mode_t)random_below(010000) : 0644);
	if (!S_ISLNK(st.st_mode) && chmod(path, mode) < 0)
		die("chmod", path);
	set_some_xattrs(path, st.st_mode);
}

static void set_times(const char *path)
{
	struct timespec times[2];

	for (int i = 0; i < 2; i++)
		times[i] = (struct timespec){(time_t)random_below(LONG_PAST), (long)random_below(1000000000)};
	if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		die("utimens", path);
}

static void make_regular(const char *path, uint64_t segsize)
{
	static unsigned char data[DATA_MAX];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t size = one_in(8) ? 0 : random_offset(segsize, segsize * 8);

	if (fd < 0)
		die("create", path);
	for (unsigned pieces = 1 + (unsigned)random_below(4); size && pieces; pieces--) {
		uint64_t off = one_in(2) ? 0 : random_below(size);
		uint64_t len = size - off < DATA_MAX ? size - off : DATA_MAX;
		random_fill(data, len, random_below(UINT32_MAX));
		if (pwrite(fd, data, len, (off_t)off) < 0)
			die("write", path);
	}
	if (ftruncate(fd, (off_t)size) < 0)
		die("truncate", path);
	close(fd);
}

static void make_one(const char *path, const char *other, uint64_t segsize)
{
	switch (random_below(12)) {
	case 0:
		if (symlink(one_in(2) ? "f1" : "nowhere", path) < 0)
			die("symlink", path);
		return;
	case 1:
		if (mknod(path, S_IFIFO | 0644, 0) < 0)
			die("fifo", path);
		return;
	case 2:
	case 3:
		if (link(other, path) == 0)
			return;
	}
	make_regular(path, segsize);
}

void tree_make(const char *dir, uint64_t segsize)
{
	static char paths[DIRS + FILES][PATH_ROOM];
	size_t count = 0;

	if (chdir(dir) < 0)
		die("chdir", dir);
	for (unsigned i = 0; i < DIRS; i++) {
		const char *parent = i && !one_in(4) ? paths[random_below(i)] : ".";
		snprintf(paths[count++], PATH_ROOM, "%.900s/d%u", parent, i);
		if (mkdir(paths[i], 0755) < 0)
			die("mkdir", paths[i]);
	}
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(paths[count], PATH_ROOM, "%.900s/f%u", one_in(6) ? "." : paths[random_below(DIRS)], i);
		make_one(paths[count], i ? paths[DIRS + random_below(i)] : "", segsize);
		count++;
	}
	for (size_t i = 0; i < count; i++)
		set_attributes(paths[i]);
	for (size_t i = count; i-- > 0;) /* directories last: making their entries moved their times */
		set_times(paths[i]);
	set_times(".");
}

/* --- listing --- */

static char **found;
static size_t n_found, found_cap;

static void list_below(const char *dir, unsigned depth)
{
	DIR *stream = opendir(*dir ? dir : ".");

	for (struct dirent *entry; stream && (entry = readdir(stream));) {
		char path[PATH_ROOM];
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", entry->d_name) >= (int)sizeof(path))
			continue;
		if (n_found == found_cap) {
			found_cap = found_cap ? found_cap * 2 : 256;
			found = realloc(found, found_cap * sizeof(*found));
		}
		found[n_found++] = strdup(path);
		if (entry->d_type == DT_DIR && depth < 30)
			list_below(path, depth + 1);
	}
	if (stream)
		closedir(stream);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t tree_list(char ***paths)
{
	for (size_t i = 0; i < n_found; i++)
		free(found[i]);
	n_found = 0;
	list_below("", 0);
	qsort(found, n_found, sizeof(*found), by_name); /* the order of a directory is not the same in two runs */
	*paths = found;
	return n_found;
}

/* --- comparing --- */

void stat_digest(const struct stat *st, struct digest *digest)
{
	bool now = st->st_mtim.tv_sec > LONG_PAST;

	memset(digest, 0, sizeof(*digest)); /* the gaps are compared, too */
	digest->mode = st->st_mode;
	digest->uid = st->st_uid;
	digest->gid = st->st_gid;
	digest->nlink = st->st_nlink;
	digest->size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;
	digest->rdev = st->st_rdev;
	digest->mtime_sec = now ? -1 : st->st_mtim.tv_sec;
	digest->mtime_nsec = now ? -1 : st->st_mtim.tv_nsec;
}

static unsigned differences;

static void differ(const char *path, const char *what)
{
	printf("differs: %s: %s\n", path, what);
	differences++;
}

static void compare_stat(const char *path, const struct stat st[SIDES])
{
	struct digest a, b;
	char text[400];

	stat_digest(&st[PLAIN], &a);
	stat_digest(&st[MOUNT], &b);
	if (memcmp(&a, &b, sizeof(a)) == 0)
		return;
	snprintf(text, sizeof(text), "mode %o %o uid %u %u gid %u %u nlink %ju %ju size %ju %ju mtime %jd.%09jd %jd.%09jd",
	         a.mode, b.mode, a.uid, b.uid, a.gid, b.gid, (uintmax_t)a.nlink, (uintmax_t)b.nlink, (uintmax_t)a.size,
	         (uintmax_t)b.size, (intmax_t)a.mtime_sec, (intmax_t)a.mtime_nsec, (intmax_t)b.mtime_sec, (intmax_t)b.mtime_nsec);
	differ(path, text);
}

static void compare_data(const char *path, const int dirs[SIDES], uint64_t size)
{
	static unsigned char bufs[SIDES][1u << 16];
	int fds[SIDES];

	for (unsigned s = 0; s < SIDES; s++)
		fds[s] = openat(dirs[s], path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	for (uint64_t at = 0; at < size; at += sizeof(bufs[0])) {
		ssize_t got[SIDES];
		for (unsigned s = 0; s < SIDES; s++)
			got[s] = pread(fds[s], bufs[s], sizeof(bufs[s]), (off_t)at);
		if (got[PLAIN] == got[MOUNT] && got[PLAIN] >= 0 && memcmp(bufs[PLAIN], bufs[MOUNT], (size_t)got[PLAIN]) == 0)
			continue;
		char text[100];
		size_t byte = 0;
		while (byte < sizeof(bufs[0]) && bufs[PLAIN][byte] == bufs[MOUNT][byte])
			byte++;
		snprintf(text, sizeof(text), "data, %zd and %zd bytes at %ju, first at %ju", got[PLAIN], got[MOUNT],
		         (uintmax_t)at, (uintmax_t)(at + byte));
		differ(path, text);
		break;
	}
	for (unsigned s = 0; s < SIDES; s++)
		close(fds[s]);
}

static void compare_xattrs(const char *path, const int dirs[SIDES])
{
	char names[4096];

	/* Of the oracle's names; one that only the mount has changes the length of the list. */
	if (fchdir(dirs[PLAIN]) < 0)
		die("chdir", "plain");
	ssize_t len = llistxattr(path, names, sizeof(names));
	if (fchdir(dirs[MOUNT]) < 0)
		die("chdir", "mount");
	if (llistxattr(path, NULL, 0) < len || (llistxattr(path, NULL, 0) > len && len >= 0 && strcmp(path, ".")))
		differ(path, "the lists of extended attributes");
	for (char *name = names; name < names + len; name += strlen(name) + 1) {
		unsigned char values[SIDES][8192];
		ssize_t lens[SIDES];
		for (unsigned s = 0; s < SIDES; s++) {
			if (fchdir(dirs[s]) < 0)
				die("chdir", "side");
			lens[s] = lgetxattr(path, name, values[s], sizeof(values[s]));
		}
		if (lens[0] != lens[1] || (lens[0] > 0 && memcmp(values[0], values[1], (size_t)lens[0])))
			differ(path, name);
	}
}

static void compare_link(const char *path, const int dirs[SIDES])
{
	char texts[SIDES][PATH_MAX] = {0};

	for (unsigned s = 0; s < SIDES; s++)
		if (readlinkat(dirs[s], path, texts[s], PATH_MAX - 1) < 0)
			die("readlink", path);
	if (strcmp(texts[PLAIN], texts[MOUNT]))
		differ(path, "link text");
}

static void compare_one(const char *path, const int dirs[SIDES])
{
	struct stat st[SIDES];

	for (unsigned s = 0; s < SIDES; s++) {
		if (fstatat(dirs[s], path, &st[s], AT_SYMLINK_NOFOLLOW) < 0) {
			differ(path, s == PLAIN ? "is not in the oracle" : "is missing");
			return;
		}
	}
	compare_stat(path, st);
	compare_xattrs(path, dirs);
	if (S_ISREG(st[PLAIN].st_mode) && S_ISREG(st[MOUNT].st_mode))
		compare_data(path, dirs, (uint64_t)st[PLAIN].st_size);
	if (S_ISLNK(st[PLAIN].st_mode) && S_ISLNK(st[MOUNT].st_mode))
		compare_link(path, dirs);
}

int tree_compare(const char *plain, const char *other)
{
	const int dirs[SIDES] = {open(plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	                         open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	char **paths;

	if (dirs[0] < 0 || dirs[1] < 0)
		die("open", plain);
	differences = 0;
	for (unsigned s = 0; s < SIDES; s++) {
		if (fchdir(dirs[s]) < 0)
			die("chdir", "side");
		size_t count = tree_list(&paths);
		for (size_t i = 0; i < count; i++) {
			struct stat st;
			/* Second round: only what the first could not see. */
			if (s == PLAIN || fstatat(dirs[PLAIN], paths[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
				compare_one(paths[i], dirs);
		}
	}
	compare_one(".", dirs);
	close(dirs[0]);
	close(dirs[1]);
	return differences ? -1 : 0;
}
