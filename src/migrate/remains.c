/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A record knows an object by its handle, and a file is removed by its names. The entry of the ledger has one, as it was then; the
 * kernel may know another; when that were not all, the tree is walked once for all files that have names left.
 */
#include "migrate/remains.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "migrate/internal.h"
#include "target/make.h"
#include "target/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RANGES_TOLD 64

/* --- what becomes of it --- */

struct ranges {
	char *text;
	size_t size, len;
	unsigned told, more;
};

static void tell_range(struct ranges *ranges, uint64_t from, uint64_t to)
{
	if (ranges->told == RANGES_TOLD || ranges->len + 64 > ranges->size) {
		ranges->more++;
		return;
	}
	ranges->len += (size_t)snprintf(ranges->text + ranges->len, ranges->size - ranges->len, "%s%llu-%llu",
	                                ranges->told ? ", " : "", (unsigned long long)from, (unsigned long long)to);
	ranges->told++;
}

/* The absent segments below the limit, in bytes, both ends included. */
static int tell_absent(struct store *store, const struct file_record *file, char *text, size_t size)
{
	uint64_t n = segments_for(file->limit, file->segsize), from = 0;
	CLEAN_FREE uint8_t *resident = must_alloc((n + 7) / 8);
	struct ranges ranges = {.text = text, .size = size - 32};
	int result = store_segments_get(store, file->ino, resident, n);
	bool absent = false;

	*text = '\0';
	for (uint64_t s = 0; result >= 0 && s <= n; s++) {
		bool now = s < n && !segment_get(resident, s);
		if (now && !absent)
			from = s * file->segsize;
		else if (!now && absent)
			tell_range(&ranges, from, (s * file->segsize < file->limit ? s * file->segsize : file->limit) - 1);
		absent = now;
	}
	if (ranges.more)
		snprintf(text + ranges.len, size - ranges.len, " and %u more", ranges.more);
	return result < 0 ? result : 0;
}

static bool is_gone(const struct target *target, const struct handle *handle)
{
	CLEAN_FD int fd = target_open_handle(target, handle, O_PATH);

	return fd == -ESTALE;
}

static int tell_file(struct store *store, const struct target *target, uint64_t ino, char *text, size_t size)
{
	struct file_record *file;
	int found = store_file_get(store, ino, &file), result = 0;

	if (found < 0)
		return found;
	if (found == 0 || is_gone(target, &file->handle)) {
		snprintf(text, size, "no application wants it any more");
	} else if (!file->changed) {
		snprintf(text, size, "removed from the target, where it was not whole");
	} else {
		int len =
			snprintf(text, size, "kept, since an application changed it; never fetched, these bytes read as zeros: ");
		result = tell_absent(store, file, text + len, size - (size_t)len);
	}
	if (found > 0)
		file_record_free(file);
	return result;
}

struct telling {
	struct store *store;
	const struct target *target;
	int (*each)(void *context, const struct error_record *record);
	void *context;
};

static int tell(void *context, const struct error_record *record)
{
	const struct telling *telling = context;
	struct error_record told = *record;
	char text[4096];
	int result = 0;

	if (record->state != ERROR_WAIVED || record->kind == ERROR_PROTOCOL)
		return 0;
	told.detail = text;
	if (strcmp(record->what, VERIFY_WHAT) == 0)
		snprintf(text, sizeof(text), "kept as it is: not what was read from the source");
	else if (record->kind == ERROR_OF_FILE)
		result = tell_file(telling->store, telling->target, record->ino, text, sizeof(text));
	else if (record->kind == ERROR_OF_DIR)
		snprintf(text, sizeof(text), "an empty directory: its entries never came over");
	else if (record->kind == ERROR_OF_NAME)
		snprintf(text, sizeof(text), "never made");
	else
		told.detail = record->detail;
	return result < 0 ? result : telling->each(telling->context, &told);
}

int remains_tell(struct store *store, const struct target *target, int (*each)(void *context, const struct error_record *record),
                 void *context)
{
	return store_errors_walk(store, tell, &(struct telling){store, target, each, context});
}

/* --- is it all waived? --- */

struct waivers {
	uint64_t *inos[2]; /* by kind, a directory's and a file's, ascending */
	size_t counts[2], caps[2];
};

static int gather(void *context, const struct error_record *record)
{
	struct waivers *waivers = context;
	enum error_kind kind = record->kind;

	/* What a verification found was whole: its waiver says nothing of an object that has a record. */
	if (record->state != ERROR_WAIVED || kind > ERROR_OF_FILE || strcmp(record->what, VERIFY_WHAT) == 0)
		return 0;
	if (waivers->counts[kind] == waivers->caps[kind]) {
		waivers->caps[kind] = waivers->caps[kind] ? waivers->caps[kind] * 2 : 64;
		waivers->inos[kind] = reallocarray(waivers->inos[kind], waivers->caps[kind], sizeof(uint64_t));
		if (!waivers->inos[kind])
			abort();
	}
	waivers->inos[kind][waivers->counts[kind]++] = record->ino;
	return 0;
}

static int by_ino(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* 1: it has a record and is there, and nobody accepts that it does not come. */
static int is_pending(struct store *store, const struct target *target, const struct waivers *waivers, enum error_kind kind,
                      uint64_t ino)
{
	struct dir_record *dir;
	struct file_record *file;
	bool alive;

	if (waivers->counts[kind] && bsearch(&ino, waivers->inos[kind], waivers->counts[kind], sizeof(ino), by_ino))
		return 0;
	int found = kind == ERROR_OF_DIR ? store_dir_get(store, ino, &dir) : store_file_get(store, ino, &file);
	if (found <= 0)
		return found;
	if (kind == ERROR_OF_DIR) {
		alive = !is_gone(target, &dir->handle);
		dir_record_free(dir);
	} else {
		alive = !is_gone(target, &file->handle);
		file_record_free(file);
	}
	return alive;
}

static int look_for_pending(struct store *store, const struct target *target, const struct waivers *waivers, enum error_kind kind)
{
	uint64_t inos[256], after = 0;
	int count, result = 0;

	do {
		count = kind == ERROR_OF_DIR ? store_dirs_after(store, after, inos, 256)
		                             : store_files_after(store, after, inos, 256);
		for (int i = 0; result == 0 && i < count; i++)
			result = is_pending(store, target, waivers, kind, inos[i]);
		after = count > 0 ? inos[count - 1] : 0;
	} while (result == 0 && count > 0);
	return result ? result : count;
}

int remains_pending(struct store *store, const struct target *target)
{
	struct waivers waivers = {0};
	int result = store_errors_walk(store, gather, &waivers);

	for (int kind = ERROR_OF_DIR; kind <= ERROR_OF_FILE; kind++)
		if (waivers.counts[kind])
			qsort(waivers.inos[kind], waivers.counts[kind], sizeof(uint64_t), by_ino);
	if (result >= 0)
		result = look_for_pending(store, target, &waivers, ERROR_OF_DIR);
	if (result == 0)
		result = look_for_pending(store, target, &waivers, ERROR_OF_FILE);
	free(waivers.inos[ERROR_OF_DIR]);
	free(waivers.inos[ERROR_OF_FILE]);
	return result;
}

/* --- removing a file --- */

struct doomed {
	uint64_t ino;
	struct handle handle;
};

struct settling {
	struct store *store;
	const struct target *target;
	struct doomed *left; /* files that have names nobody knows */
	size_t n_left, cap;
	int error;
	struct statx_timestamp begun; /* when our directory was made: what is older in the target was there before */
	bool begun_known;
};

/* The directory looks as if it had never held it. One that is immutable gives it up all the same. */
static int remove_name(int dirfd, const char *name)
{
	struct stat st;
	int flags = 0;

	if (fstat(dirfd, &st) < 0)
		return -errno;
	int error = unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	if (error == -EPERM && ioctl(dirfd, FS_IOC_GETFLAGS, &flags) == 0 && target_unlock_flags(dirfd) >= 0) {
		error = unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
		if (target_add_flags(dirfd, (uint32_t)flags) < 0)
			log_warning("the flags of a directory cannot be set again: name=\"%s\"", name);
	}
	futimens(dirfd, (struct timespec[2]){st.st_atim, st.st_mtim});
	return error < 0 ? error : fault_hit(FAULT_REMAINS_REMOVED);
}

static bool is_this(int dirfd, const char *name, const struct doomed *doomed)
{
	struct handle handle;
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == doomed->ino && S_ISREG(st.st_mode) &&
	       target_handle(dirfd, name, &handle) >= 0 && handle_equal(&handle, &doomed->handle);
}

/* `path` below the root, if it is still a name of the file. */
static int remove_path(const struct target *target, const char *path, const struct doomed *doomed)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (!*name || snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".") >= (int)sizeof(dir))
		return 0;
	CLEAN_FD int dirfd = (int)syscall(SYS_openat2, target->root_fd, dir, &how, sizeof(how));
	if (dirfd < 0 || !is_this(dirfd, name, doomed))
		return 0;
	return remove_name(dirfd, name);
}

/* One of its names, as the kernel knows it. */
static int remove_known(const struct target *target, int fd, const struct doomed *doomed)
{
	char link[FD_PATH_SIZE], root[PATH_MAX], path[PATH_MAX];
	ssize_t root_len = readlink(target_fd_path(target->root_fd, link), root, sizeof(root) - 1);
	ssize_t len = readlink(target_fd_path(fd, link), path, sizeof(path) - 1);

	if (root_len < 0 || len < 0)
		return 0;
	root[root_len] = path[len] = '\0';
	const char *below = root_len > 1 && strncmp(path, root, (size_t)root_len) == 0 ? path + root_len : path;
	return remove_path(target, below + strspn(below, "/"), doomed);
}

/* Our staging name is no name of the administrator's, and goes with all that is ours. */
static bool has_names(struct settling *settling, int fd, uint64_t ino)
{
	struct link_record link;
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink > (store_link_of_ino(settling->store, ino, &link) > 0);
}

static int remove_file(struct settling *settling, const struct error_record *record, const struct file_record *file)
{
	struct doomed doomed = {file->ino, file->handle};
	CLEAN_FD int fd = target_open_handle(settling->target, &file->handle, O_PATH);
	if (fd < 0)
		return fd == -ESTALE ? 0 : fd;
	int result = remove_path(settling->target, record->path, &doomed);
	if (result >= 0 && has_names(settling, fd, file->ino))
		result = remove_known(settling->target, fd, &doomed);
	if (result < 0 || !has_names(settling, fd, file->ino))
		return result;
	if (settling->n_left == settling->cap) {
		settling->cap = settling->cap ? settling->cap * 2 : 16;
		settling->left = realloc(settling->left, settling->cap * sizeof(*settling->left));
		if (!settling->left)
			abort();
	}
	settling->left[settling->n_left++] = doomed;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct doomed *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Takes dirfd over. Directories of this file system alone, without our own. */
static int walk(struct settling *settling, int dirfd, bool is_root)
{
	DIR *stream = fdopendir(dirfd);
	int result = 0;

	if (!stream) {
		result = -errno;
		close(dirfd);
		return result;
	}
	for (struct dirent *entry; result >= 0 && (entry = readdir(stream));) {
		const char *name = entry->d_name;
		struct stat st;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (is_root && strcmp(name, TARGET_OURS) == 0) ||
		    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != settling->target->dev)
			continue;
		const struct doomed *doomed =
			bsearch(&(struct doomed){.ino = st.st_ino}, settling->left, settling->n_left, sizeof(*doomed), compare);
		int child = S_ISDIR(st.st_mode) ? openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (child >= 0)
			result = walk(settling, child, false);
		else if (doomed && is_this(dirfd, name, doomed))
			result = remove_name(dirfd, name);
	}
	closedir(stream);
	return result;
}

static int remove_left(struct settling *settling)
{
	if (settling->n_left == 0)
		return 0;
	log_info("names of waived files are looked for in all of the target: files=%zu", settling->n_left);
	qsort(settling->left, settling->n_left, sizeof(*settling->left), compare);
	int dirfd = openat(settling->target->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd < 0 ? -errno : walk(settling, dirfd, true);
}

/* --- what an attempt has left in a directory --- */

static void find_begin(struct settling *settling)
{
	struct statx st;

	settling->begun_known = statx(settling->target->root_fd, TARGET_OURS, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) == 0 &&
	                        (st.stx_mask & STATX_BTIME);
	if (settling->begun_known)
		settling->begun = st.stx_btime;
}

static bool is_made_since(const struct settling *settling, int dirfd, const char *name)
{
	const struct statx_timestamp *begun = &settling->begun;
	struct statx st;

	if (!settling->begun_known || statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) < 0 ||
	    !(st.stx_mask & STATX_BTIME))
		return false;
	return st.stx_btime.tv_sec != begun->tv_sec ? st.stx_btime.tv_sec > begun->tv_sec
	                                            : st.stx_btime.tv_nsec >= begun->tv_nsec;
}

/* 0 also when it is a directory with something in it, which no attempt has made. */
static int remove_leftover(int dirfd, const char *name, bool is_dir)
{
	int result = target_unlink(dirfd, name, is_dir ? AT_REMOVEDIR : 0);

	if (is_dir && (result == -ENOTEMPTY || result == -EEXIST))
		return 0;
	return result < 0 ? result : fault_hit(FAULT_REMAINS_REMOVED);
}

/* Its entries never came over, so no application has seen or made any. But an attempt that failed on the way has left objects that
 * have no record, and files among them no bytes. */
static int remove_leftovers(const struct settling *settling, int dirfd, bool is_root)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (!stream) {
		result = -errno;
		close(fd);
		return result;
	}
	for (struct dirent *entry; result >= 0 && (entry = readdir(stream));) {
		const char *name = entry->d_name;
		struct stat st;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (is_root && strcmp(name, TARGET_OURS) == 0) ||
		    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != settling->target->dev ||
		    !is_made_since(settling, dirfd, name))
			continue;
		result = remove_leftover(dirfd, name, S_ISDIR(st.st_mode));
	}
	closedir(stream);
	return result;
}

/* --- keeping --- */

static int give(int fd, const struct moment *atime, const struct moment *mtime, uint32_t flags)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	if (atime)
		times[0] = (struct timespec){.tv_sec = atime->sec, .tv_nsec = atime->nsec};
	if (mtime)
		times[1] = (struct timespec){.tv_sec = mtime->sec, .tv_nsec = mtime->nsec};
	if (futimens(fd, times) < 0)
		return -errno;
	return flags ? target_add_flags(fd, flags) : 0;
}

static int settle_file(struct settling *settling, const struct error_record *record)
{
	struct file_record *file;
	int result = store_file_get(settling->store, record->ino, &file);

	if (result <= 0)
		return result;
	if (!file->changed) {
		result = remove_file(settling, record, file);
	} else {
		CLEAN_FD int fd = target_open_handle(settling->target, &file->handle, O_RDONLY);
		result = fd < 0 ? (fd == -ESTALE ? 0 : fd)
		                : give(fd, NULL, file->mtime_valid ? &file->mtime : NULL, file->inode_flags);
	}
	file_record_free(file);
	return result;
}

static int settle_dir(struct settling *settling, const struct error_record *record)
{
	struct dir_record *dir;
	int result = store_dir_get(settling->store, record->ino, &dir);

	if (result <= 0)
		return result;
	CLEAN_FD int fd = target_open_handle(settling->target, &dir->handle, O_RDONLY | O_DIRECTORY);
	result = fd < 0 ? (fd == -ESTALE ? 0 : fd) : remove_leftovers(settling, fd, dir->ino == settling->target->root_ino);
	if (fd >= 0 && result >= 0)
		result = give(fd, &dir->atime, &dir->mtime, dir->inode_flags);
	dir_record_free(dir);
	return result;
}

static int settle(void *context, const struct error_record *record)
{
	struct settling *settling = context;

	if (record->state != ERROR_WAIVED)
		return 0;
	int result = record->kind == ERROR_OF_FILE  ? settle_file(settling, record)
	             : record->kind == ERROR_OF_DIR ? settle_dir(settling, record)
	                                            : 0;
	if (result < 0)
		log_error("what is waived cannot be settled: path=\"%s\" error=%s", record->path, errno_name(result));
	return result < 0 ? result : 0;
}

int remains_settle(struct store *store, const struct target *target)
{
	struct settling settling = {.store = store, .target = target};

	find_begin(&settling);
	int result = store_errors_walk(store, settle, &settling);

	if (result >= 0)
		result = remove_left(&settling);
	free(settling.left);
	return result < 0 ? result : target_sync(target);
}
