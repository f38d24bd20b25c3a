/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk keeps a stack of directories, each with the names of those below it that are still to come; a descriptor is open only
 * while its directory is looked at. So the depth of the tree costs memory for names and no descriptors.
 */
#include "target/walk.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "target/make.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* Names, each with its NUL, one behind the other. */
struct packed_names {
	char *bytes;
	size_t used, room;
};

struct level {
	struct level *below; /* the parent's */
	struct walk_dir dir;
	char *name;
	struct timespec times[2]; /* before anything was taken */
	struct packed_names subdirs;
	size_t next; /* of the subdirectories */
};

struct walk {
	const struct target *target;
	const struct walk_visitor *visitor;
	struct level *top;
};

static int add_name(struct packed_names *names, const char *name)
{
	size_t len = strlen(name) + 1;

	if (names->room - names->used < len) {
		size_t room = (names->used + len) * 2;
		char *grown = realloc(names->bytes, room);
		if (!grown)
			return -ENOMEM;
		names->bytes = grown;
		names->room = room;
	}
	memcpy(names->bytes + names->used, name, len);
	names->used += len;
	return 0;
}

/* --- levels ----------------------------------------------------------------------------------------------------------------- */

/* Takes a directory that is open as the next level. */
static int push(struct walk *walk, int fd, const char *name)
{
	struct level *level = calloc(1, sizeof(*level));
	struct stat st;
	int result = level ? target_handle(fd, "", &level->dir.handle) : -ENOMEM;

	if (result >= 0 && fstat(fd, &st) < 0)
		result = -errno;
	if (result >= 0 && !(level->name = strdup(name)))
		result = -ENOMEM;
	if (result < 0) {
		free(level);
		return result;
	}
	level->dir.parent = walk->top ? &walk->top->dir : NULL;
	level->dir.mark = walk->top && walk->top->dir.mark;
	level->dir.name = level->name;
	level->dir.ino = st.st_ino;
	level->dir.fd = -1;
	level->times[0] = st.st_atim;
	level->times[1] = st.st_mtim;
	level->below = walk->top;
	walk->top = level;
	return 0;
}

static void pop(struct walk *walk)
{
	struct level *level = walk->top;

	walk->top = level->below;
	free(level->subdirs.bytes);
	free(level->name);
	free(level);
}

static void keep_times(struct level *level)
{
	if (futimens(level->dir.fd, level->times) < 0)
		log_warning("the times of a directory cannot be kept: ino=%llu error=%s", (unsigned long long)level->dir.ino,
		            errno_name(errno));
}

static int open_level(struct walk *walk, struct level *level)
{
	return target_open_handle(walk->target, &level->dir.handle, O_RDONLY | O_DIRECTORY);
}

/* --- entries ---------------------------------------------------------------------------------------------------------------- */

static bool is_ours(const struct level *level, const char *name)
{
	return !level->below && strcmp(name, TARGET_OURS) == 0;
}

/* All names first: what is taken meanwhile must not disturb the listing. */
static int list(struct level *level, struct packed_names *names)
{
	int fd = openat(level->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (!stream) {
		result = -errno;
		close(fd);
		return result;
	}
	errno = 0;
	for (struct dirent *entry; result >= 0 && (entry = readdir(stream)); errno = 0) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") && strcmp(name, "..") && !is_ours(level, name))
			result = add_name(names, name);
	}
	if (result >= 0 && errno)
		result = -errno;
	closedir(stream);
	return result;
}

/* 1 when something was taken. */
static int visit_one(struct walk *walk, struct level *level, const char *name)
{
	struct stat st;

	if (fstatat(level->dir.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return add_name(&level->subdirs, name);
	return walk->visitor->entry(walk->visitor->context, &level->dir, name, &st);
}

static int visit_entries(struct walk *walk, struct level *level)
{
	struct packed_names names = {0};
	bool took = false;
	CLEAN_FD int fd = open_level(walk, level);

	if (fd < 0)
		return fd;
	level->dir.fd = fd;
	int result = list(level, &names);
	for (size_t at = 0; result >= 0 && at < names.used; at += strlen(names.bytes + at) + 1) {
		result = visit_one(walk, level, names.bytes + at);
		took = took || result > 0;
	}
	if (took)
		keep_times(level);
	level->dir.fd = -1;
	free(names.bytes);
	return result;
}

/* --- directories ------------------------------------------------------------------------------------------------------------ */

static int open_beneath(const struct target *target, int dirfd, const char *name)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	struct stat st;
	CLEAN_FD int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_dev == target->dev ? steal_fd(&fd) : -EXDEV;
}

static int enter(struct walk *walk, int fd, const char *name)
{
	int result = push(walk, fd, name);

	if (result >= 0 && walk->visitor->enter)
		result = walk->visitor->enter(walk->visitor->context, &walk->top->dir);
	return result < 0 ? result : visit_entries(walk, walk->top);
}

static int enter_next(struct walk *walk, struct level *level)
{
	const char *name = level->subdirs.bytes + level->next;
	CLEAN_FD int dirfd = open_level(walk, level);

	level->next += strlen(name) + 1;
	if (dirfd < 0)
		return dirfd;
	CLEAN_FD int fd = open_beneath(walk->target, dirfd, name);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0; /* gone, or another thing by now */
	if (fd < 0) {
		CLEAN_FREE char *path = walk_path(&level->dir, name);
		log_error("a directory of the target cannot be entered: path=\"%s\" error=%s", path, errno_name(fd));
		return fd;
	}
	return enter(walk, fd, name);
}

static int leave_top(struct walk *walk)
{
	struct level *level = walk->top, *parent = level->below;
	int result = 0;

	if (parent && walk->visitor->leave) {
		CLEAN_FD int fd = open_level(walk, parent);
		if (fd < 0)
			return fd;
		parent->dir.fd = fd;
		result = walk->visitor->leave(walk->visitor->context, &parent->dir, &level->dir);
		if (result > 0)
			keep_times(parent);
		parent->dir.fd = -1;
	}
	pop(walk);
	return result;
}

int target_walk(const struct target *target, const struct walk_visitor *visitor)
{
	struct walk walk = {.target = target, .visitor = visitor};
	int result = enter(&walk, target->root_fd, "");

	while (result >= 0 && walk.top)
		result = walk.top->next < walk.top->subdirs.used ? enter_next(&walk, walk.top) : leave_top(&walk);
	while (walk.top)
		pop(&walk);
	return result < 0 ? result : 0;
}

char *walk_path(const struct walk_dir *dir, const char *name)
{
	size_t len = name ? strlen(name) : 0;
	for (const struct walk_dir *at = dir; at->parent; at = at->parent)
		len += strlen(at->name) + 1;
	char *path = malloc(len + 1), *end = path ? path + len : NULL;
	if (!path)
		abort();
	*end = '\0';
	if (name) {
		end -= strlen(name);
		memcpy(end, name, strlen(name));
	}
	for (const struct walk_dir *at = dir; at->parent; at = at->parent) {
		if (*end)
			*--end = '/';
		end -= strlen(at->name);
		memcpy(end, at->name, strlen(at->name));
	}
	memmove(path, end, strlen(end) + 1);
	return path;
}

/* --- removing --------------------------------------------------------------------------------------------------------------- */

/* Takes away the flags that forbid changes; which there were. */
static unsigned unlock(int fd)
{
	unsigned flags = 0;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return 0;
	flags &= FS_IMMUTABLE_FL | FS_APPEND_FL;
	return flags && target_unlock_flags(fd) >= 0 ? flags : 0;
}

static void lock_again(int fd, unsigned flags)
{
	int result = flags ? target_add_flags(fd, flags) : 0;

	if (result < 0)
		log_warning("inode flags cannot be set again: error=%s", errno_name(result));
}

int target_unlink(int dirfd, const char *name, int flags)
{
	struct stat st;

	if (unlinkat(dirfd, name, flags) == 0 || errno == ENOENT)
		return 0;
	if (errno != EPERM || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	/* Nothing else has such flags, and opening a device may do something. */
	CLEAN_FD int fd = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
	                          ? openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
	                          : -1;
	unsigned of_dir = unlock(dirfd), of_object = unlock(fd);
	int result = unlinkat(dirfd, name, flags) < 0 && errno != ENOENT ? -errno : 0;
	lock_again(fd, of_object);
	lock_again(dirfd, of_dir);
	return result;
}

int target_link(int fd, int dirfd, const char *name)
{
	char path[FD_PATH_SIZE];
	struct stat st;

	if (linkat(fd, "", dirfd, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != EPERM || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -errno;
	CLEAN_FD int open_fd = open(target_fd_path(fd, path), O_RDONLY | O_CLOEXEC);
	unsigned flags = unlock(open_fd);
	int result = linkat(fd, "", dirfd, name, AT_EMPTY_PATH) < 0 ? -errno : 0;
	lock_again(open_fd, flags);
	return result;
}
