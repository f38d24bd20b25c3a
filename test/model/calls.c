/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The calls on names and attributes, and the table of all; those on data are in data.c. A call runs in the root of its side.
 */
#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

void out_add(struct outcome *out, const void *data, size_t len)
{
	if (out->len + len > out->cap) {
		out->cap = (out->len + len) * 2;
		out->data = realloc(out->data, out->cap);
		if (!out->data)
			abort();
	}
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

void out_ret(struct outcome *out, long ret)
{
	out->ret = ret < 0 ? -1 : ret;
	out->err = ret < 0 ? errno : 0;
}

void out_stat(struct outcome *out, const struct stat *st)
{
	struct digest digest;

	stat_digest(st, &digest);
	out_add(out, &digest, sizeof(digest));
}

/* After a call, what became of the name. */
static void out_lstat(struct outcome *out, const char *path)
{
	struct stat st;
	int error = errno;

	if (lstat(path, &st) == 0)
		out_stat(out, &st);
	errno = error;
}

static void call_stat(const struct args *a, unsigned side, struct outcome *out)
{
	struct stat st;

	out_ret(out, a->bits & 1 ? stat(a->path, &st) : lstat(a->path, &st));
	if (out->ret == 0)
		out_stat(out, &st);
}

static void call_access(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, faccessat(AT_FDCWD, a->path, (int)(a->bits % 8), AT_EACCESS));
}

static void call_mkdir(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, mkdir(a->path, a->mode));
	out_lstat(out, a->path);
}

static void call_mknod(const struct args *a, unsigned side, struct outcome *out)
{
	static const mode_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	mode_t type = types[a->bits % 5];

	out_ret(out, mknod(a->path, type | (a->mode & 07777), type == S_IFCHR ? makedev(1, 3) : makedev(7, 99)));
	out_lstat(out, a->path);
}

static void call_symlink(const struct args *a, unsigned side, struct outcome *out)
{
	static const char *const texts[] = {"f1", "n1", "nowhere", "d1/f2", ""};

	out_ret(out, symlink(texts[a->bits % 5], a->path));
}

static void call_readlink(const struct args *a, unsigned side, struct outcome *out)
{
	char text[PATH_MAX];

	out_ret(out, readlink(a->path, text, 1 + a->bits % 100));
	if (out->ret > 0)
		out_add(out, text, (size_t)out->ret);
}

static void call_link(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, linkat(AT_FDCWD, a->path, AT_FDCWD, a->path2, a->bits & 1 ? AT_SYMLINK_FOLLOW : 0));
	out_lstat(out, a->path2);
}

static void call_unlink(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, unlink(a->path));
}

static void call_rmdir(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, rmdir(a->path));
}

static void call_rename(const struct args *a, unsigned side, struct outcome *out)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE | RENAME_NOREPLACE};

	out_ret(out, renameat2(AT_FDCWD, a->path, AT_FDCWD, a->path2, flags[a->bits % 5]));
	out_lstat(out, a->path);
	out_lstat(out, a->path2);
}

static void call_chmod(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, chmod(a->path, a->mode));
	out_lstat(out, a->path);
}

static void call_chown(const struct args *a, unsigned side, struct outcome *out)
{
	uid_t uid = a->bits & 1 ? (uid_t)-1 : user_uid((a->bits >> 4) % USERS);
	gid_t gid = a->bits & 2 ? (gid_t)-1 : user_uid((a->bits >> 8) % USERS);

	/* A change of nothing would differ: the kernel sends the same message for it as for a write that takes set-id bits away. */
	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		gid = user_uid((a->bits >> 8) % USERS);
	out_ret(out, fchownat(AT_FDCWD, a->path, uid, gid, a->bits & 4 ? AT_SYMLINK_NOFOLLOW : 0));
	out_lstat(out, a->path);
}

static void call_utimens(const struct args *a, unsigned side, struct outcome *out)
{
	static const long special[] = {UTIME_NOW, UTIME_OMIT};
	struct timespec times[2];

	for (unsigned i = 0; i < 2; i++) {
		times[i] = (struct timespec){(time_t)(a->seed % 1500000000), (long)(a->seed % 1000000000)};
		if ((a->bits >> (4 * i)) % 3 == 0)
			times[i].tv_nsec = special[(a->bits >> (4 * i)) % 2];
	}
	out_ret(out, utimensat(AT_FDCWD, a->path, times, a->bits & 1024 ? AT_SYMLINK_NOFOLLOW : 0));
	out_lstat(out, a->path);
}

static void call_truncate(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, truncate(a->path, (off_t)a->off));
	out_lstat(out, a->path);
}

/* --- directories --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void call_readdir(const struct args *a, unsigned side, struct outcome *out)
{
	static char names[4096][NAME_MAX + 3];
	char *sorted[4096];
	size_t count = 0;
	DIR *stream = opendir(a->path);

	out_ret(out, stream ? 0 : -1);
	for (struct dirent *entry; stream && count < 4096 && (entry = readdir(stream)); count++) {
		names[count][0] = (char)entry->d_type;
		strcpy(names[count] + 1, entry->d_name);
		sorted[count] = names[count] + 1;
	}
	if (!stream)
		return;
	closedir(stream);
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 0; i < count; i++)
		out_add(out, sorted[i] - 1, strlen(sorted[i]) + 1);
}

static void call_fsync_dir(const struct args *a, unsigned side, struct outcome *out)
{
	int fd = open(a->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	out_ret(out, fd);
	if (fd < 0)
		return;
	out_ret(out, a->bits & 1 ? fsync(fd) : fdatasync(fd));
	close(fd);
}

static void call_statvfs(const struct args *a, unsigned side, struct outcome *out)
{
	struct statvfs st;

	out_ret(out, statvfs(a->path, &st));
	if (out->ret == 0) {
		out_add(out, &st.f_bsize, sizeof(st.f_bsize));
		out_add(out, &st.f_blocks, sizeof(st.f_blocks));
		out_add(out, &st.f_namemax, sizeof(st.f_namemax));
	}
}

/* --- extended attributes --- */

static const char *xattr_name(const struct args *a)
{
	static const char *const names[] = {
		"user.model", "user.a",  "user.b", "trusted.t", "system.posix_acl_access", "system.posix_acl_default",
		"security.s", "nonsense"};

	return names[(a->bits >> 8) % 8];
}

static void call_setxattr(const struct args *a, unsigned side, struct outcome *out)
{
	static const int flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	static unsigned char value[1024];
	const char *name = xattr_name(a);
	size_t len = a->len % 1000;

	random_fill(value, sizeof(value), a->seed);
	if (strncmp(name, "system.", 7) == 0 && a->bits % 16) {
		random_seed_push(a->seed);
		len = random_acl(value);
		random_seed_pop();
	}
	out_ret(out, a->bits & 4 ? lsetxattr(a->path, name, value, len, flags[(a->bits >> 4) % 4])
	                         : setxattr(a->path, name, value, len, flags[(a->bits >> 4) % 4]));
	out_lstat(out, a->path);
}

static void call_getxattr(const struct args *a, unsigned side, struct outcome *out)
{
	char value[2048];
	size_t room = a->bits & 4 ? sizeof(value) : a->bits & 8 ? 0 : 16;

	out_ret(out,
	        a->bits & 2 ? lgetxattr(a->path, xattr_name(a), value, room) : getxattr(a->path, xattr_name(a), value, room));
	if (out->ret > 0 && room)
		out_add(out, value, (size_t)out->ret);
}

static void call_removexattr(const struct args *a, unsigned side, struct outcome *out)
{
	out_ret(out, a->bits & 4 ? lremovexattr(a->path, xattr_name(a)) : removexattr(a->path, xattr_name(a)));
	out_lstat(out, a->path);
}

static void call_listxattr(const struct args *a, unsigned side, struct outcome *out)
{
	char names[4096], *sorted[128];
	size_t count = 0;
	ssize_t len = llistxattr(a->path, names, a->bits % 8 ? sizeof(names) : 3);

	out_ret(out, len);
	for (char *name = names; name < names + len && count < 128; name += strlen(name) + 1)
		sorted[count++] = name;
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 0; i < count; i++)
		out_add(out, sorted[i], strlen(sorted[i]) + 1);
}

/* Flags that keep a file as usable as it was. */
#define PLAY_FLAGS (FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL)

static void call_flags(const struct args *a, unsigned side, struct outcome *out)
{
	int fd = open(a->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	unsigned int flags;
	struct stat st;

	out_ret(out, fd);
	if (fd < 0)
		return;
	out->ret = 0;
	if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		out_ret(out, ioctl(fd, FS_IOC_GETFLAGS, &flags));
		if (out->ret == 0 && a->bits & 1) {
			flags ^= a->bits & PLAY_FLAGS;
			out_ret(out, ioctl(fd, FS_IOC_SETFLAGS, &flags));
			ioctl(fd, FS_IOC_GETFLAGS, &flags);
		}
		flags &= PLAY_FLAGS;
		out_add(out, &flags, sizeof(flags));
	}
	close(fd);
}

const struct call calls[] = {
	{"stat", 40, false, call_stat},          {"access", 12, false, call_access},
	{"mkdir", 12, false, call_mkdir},        {"mknod", 12, false, call_mknod},
	{"symlink", 8, false, call_symlink},     {"readlink", 5, false, call_readlink},
	{"link", 12, false, call_link},          {"unlink", 18, false, call_unlink},
	{"rmdir", 8, false, call_rmdir},         {"rename", 30, false, call_rename},
	{"chmod", 15, false, call_chmod},        {"chown", 15, false, call_chown},
	{"utimens", 15, true, call_utimens},     {"truncate", 12, true, call_truncate},
	{"readdir", 20, false, call_readdir},    {"fsyncdir", 3, false, call_fsync_dir},
	{"statvfs", 3, false, call_statvfs},     {"setxattr", 15, false, call_setxattr},
	{"getxattr", 10, false, call_getxattr},  {"removexattr", 8, false, call_removexattr},
	{"listxattr", 8, false, call_listxattr}, {"flags", 6, false, call_flags},
	{"open", 60, true, data_open},           {"close", 10, true, data_close},
	{"tmpfile", 5, false, data_tmpfile},     {"read", 60, true, data_read},
	{"write", 60, true, data_write},         {"append", 10, true, data_append},
	{"fstat", 10, true, data_fstat},         {"ftruncate", 15, true, data_truncate},
	{"fallocate", 25, true, data_allocate},  {"seek", 25, true, data_seek},
	{"copy", 20, true, data_copy},           {"map", 30, true, data_map},
	{"fsync", 4, true, data_sync},           {"locks", 6, false, data_locks},
};
const size_t n_calls = sizeof(calls) / sizeof(*calls);
