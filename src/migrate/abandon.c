/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * First the records are read: the fate of each unfinished file, and which directories are not populated. Then one walk through the
 * target finds the names, since a record knows an object and not how applications call it by now.
 *
 * A record tells of an object by handle, so nothing is done to a file that took its inode number (I4).
 */
#include "migrate/abandon.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "migrate/internal.h"
#include "target/make.h"
#include "target/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <sys/stat.h>

#define AT_ONCE 256
/* A daemon commits within seconds of what it does on the target; a slow disk may take longer. */
#define AFTER_COMMIT_NS (60 * NS_PER_S)

enum fate { FATE_REMOVE, FATE_CHANGED, FATE_DIR };

struct fated {
	uint64_t ino;
	struct handle handle;
	enum fate fate;
	uint64_t absent; /* bytes */
};

struct fates {
	struct fated *all; /* ascending by ino: a file and a directory never share one */
	size_t count, cap;
};

struct giving_up {
	struct abandon *abandon;
	struct fates files, dirs;
	struct statx_timestamp begun; /* when our directory was made: what is older in the target was there before */
	bool begun_known;
};

/* --- the records ------------------------------------------------------------------------------------------------------------ */

static void fates_add(struct fates *fates, const struct fated *fated)
{
	if (fates->count == fates->cap) {
		fates->cap = fates->cap ? fates->cap * 2 : 256;
		fates->all = reallocarray(fates->all, fates->cap, sizeof(*fates->all));
		if (!fates->all)
			abort();
	}
	fates->all[fates->count++] = *fated;
}

static int compare(const void *a, const void *b)
{
	const struct fated *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static const struct fated *fate_of(const struct fates *fates, uint64_t ino, int dirfd, const char *name)
{
	struct handle handle;
	const struct fated *fated =
		fates->count ? bsearch(&(struct fated){.ino = ino}, fates->all, fates->count, sizeof(*fates->all), compare)
			     : NULL;

	if (!fated || target_handle(dirfd, name, &handle) < 0)
		return NULL;
	return handle_equal(&handle, &fated->handle) ? fated : NULL;
}

/* Source bytes that are not here, of those that the file still has room for. */
static int absent_bytes_of(struct giving_up *giving, const struct file_record *record, uint64_t size, uint64_t *absent)
{
	uint64_t limit = record->limit < size ? record->limit : size, segsize = record->segsize;
	uint64_t n_segments = segments_for(limit, segsize);
	CLEAN_FREE uint8_t *resident = must_alloc((n_segments + 7) / 8 + 1);
	int result = store_segments_get(giving->abandon->store, record->ino, resident, n_segments);

	*absent = 0;
	for (uint64_t s = 0; result >= 0 && s < n_segments; s++)
		if (!segment_get(resident, s))
			*absent += (s + 1) * segsize > limit ? limit - s * segsize : segsize;
	return result;
}

static uint64_t ns_of(struct timespec time)
{
	return time.tv_sec < 0 ? 0 : (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* Did somebody write into it past us, while no daemon ran? Our own writes leave the time that the record has, but for those that a
 * kill has cut off. */
static bool changed_by_others(const struct giving_up *giving, const struct file_record *record, const struct stat *st)
{
	if (!record->mtime_valid || (st->st_mtim.tv_sec == record->mtime.sec && st->st_mtim.tv_nsec == record->mtime.nsec))
		return false;
	return !giving->abandon->died_ns || ns_of(st->st_ctim) > giving->abandon->died_ns + AFTER_COMMIT_NS;
}

/* All of it is here, only the record stands: its time and flags are what is left to do. */
static void complete_file(const struct file_record *record, int fd)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = record->mtime.sec, .tv_nsec = record->mtime.nsec}};

	if (record->mtime_valid && futimens(fd, times) < 0)
		log_warning("a file's time cannot be restored: ino=%llu error=%s", (unsigned long long)record->ino,
		            errno_name(errno));
	int result = record->inode_flags ? target_add_flags(fd, record->inode_flags) : 0;
	if (result < 0)
		log_warning("a file's inode flags cannot be set: ino=%llu error=%s", (unsigned long long)record->ino,
		            errno_name(result));
}

static int judge_file(struct giving_up *giving, const struct file_record *record, bool act)
{
	struct abandon_counts *counts = &giving->abandon->counts;
	struct fated fated = {.ino = record->ino, .handle = record->handle};
	struct stat st;
	CLEAN_FD int fd = target_open_handle(giving->abandon->target, &record->handle, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return fd == -ESTALE ? 0 : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	int result = absent_bytes_of(giving, record, (uint64_t)st.st_size, &fated.absent);
	if (result < 0)
		return result;
	bool cut = (uint64_t)st.st_size < record->limit;
	bool others = changed_by_others(giving, record, &st);
	if (fated.absent == 0 && act && !others)
		complete_file(record, fd);
	if (fated.absent == 0)
		return 0;
	fated.fate = record->changed || cut || others ? FATE_CHANGED : FATE_REMOVE;
	fates_add(&giving->files, &fated);
	counts->files_changed += fated.fate == FATE_CHANGED;
	counts->bytes_changed += fated.fate == FATE_CHANGED ? fated.absent : 0;
	counts->files_absent += fated.fate == FATE_REMOVE;
	counts->bytes_absent += fated.fate == FATE_REMOVE ? fated.absent : 0;
	return 0;
}

static int judge_files(struct giving_up *giving, bool act)
{
	struct store *store = giving->abandon->store;
	uint64_t inos[AT_ONCE], after = 0;
	int count;

	while ((count = store_files_after(store, after, inos, AT_ONCE)) > 0) {
		for (int i = 0; i < count; i++) {
			struct file_record *record;
			int result = store_file_get(store, inos[i], &record);
			if (result <= 0)
				return result < 0 ? result : -EIO;
			result = judge_file(giving, record, act);
			file_record_free(record);
			if (result < 0)
				return result;
		}
		after = inos[count - 1];
	}
	return count;
}

static int judge_dirs(struct giving_up *giving)
{
	struct store *store = giving->abandon->store;
	uint64_t inos[AT_ONCE], after = 0;
	int count;

	while ((count = store_dirs_after(store, after, inos, AT_ONCE)) > 0) {
		for (int i = 0; i < count; i++) {
			struct dir_record *record;
			int result = store_dir_get(store, inos[i], &record);
			if (result <= 0)
				return result < 0 ? result : -EIO;
			CLEAN_FD int fd = target_open_handle(giving->abandon->target, &record->handle, O_PATH);
			if (fd >= 0)
				fates_add(&giving->dirs,
				          &(struct fated){.ino = record->ino, .handle = record->handle, .fate = FATE_DIR});
			giving->abandon->counts.dirs_absent += fd >= 0;
			dir_record_free(record);
			if (fd < 0 && fd != -ESTALE)
				return fd;
		}
		after = inos[count - 1];
	}
	return count;
}

static int judge(struct giving_up *giving, bool act)
{
	giving->abandon->counts = (struct abandon_counts){0};
	int result = judge_files(giving, act);

	return result < 0 ? result : judge_dirs(giving);
}

static void forget(struct giving_up *giving)
{
	free(giving->files.all);
	free(giving->dirs.all);
}

/* --- the walk --------------------------------------------------------------------------------------------------------------- */

/* In a directory that is not populated no application has made anything, so what is younger than the migration is ours. Where
 * the file system does not know when an object was born, nothing is. */
static bool made_by_us(const struct giving_up *giving, int dirfd, const char *name)
{
	struct statx st;

	if (!giving->begun_known ||
	    statx(dirfd, name, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH), STATX_BTIME | STATX_MODE, &st) < 0 ||
	    !(st.stx_mask & STATX_BTIME))
		return false;
	return st.stx_btime.tv_sec != giving->begun.tv_sec ? st.stx_btime.tv_sec > giving->begun.tv_sec
	                                                   : st.stx_btime.tv_nsec >= giving->begun.tv_nsec;
}

/* A placeholder: it has a size and not one byte of data. */
static bool is_hollow(int dirfd, const char *name, const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_size == 0)
		return false;
	CLEAN_FD int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
}

/* What an interrupted population left. A daemon that ended in order left placeholders, and besides only what is whole; with what
 * others put there while none ran it must be kept apart. One that died may have left anything half-made. */
static bool is_leftover(const struct giving_up *giving, const struct walk_dir *dir, const char *name, const struct stat *st)
{
	if (!made_by_us(giving, dir->fd, name))
		return false;
	if (!giving->abandon->died_ns)
		return is_hollow(dir->fd, name, st);
	return ns_of(st->st_ctim) <= giving->abandon->died_ns + AFTER_COMMIT_NS;
}

static int enter(void *context, struct walk_dir *dir)
{
	struct giving_up *giving = context;
	CLEAN_FD int fd = target_open_handle(giving->abandon->target, &dir->handle, O_PATH);

	if (fd >= 0 && fate_of(&giving->dirs, dir->ino, fd, ""))
		dir->mark = true; /* and all below it */
	return fd < 0 && fd != -ESTALE ? fd : 0;
}

static int remove_name(struct giving_up *giving, const struct walk_dir *dir, const char *name)
{
	int result = target_unlink(dir->fd, name, 0);

	if (result >= 0)
		result = fault_hit(FAULT_DELETE_NAME);
	if (result < 0) {
		CLEAN_FREE char *path = walk_path(dir, name);
		log_error("a file that has not come over cannot be removed: path=\"%s\" error=%s", path, errno_name(result));
		return result;
	}
	giving->abandon->counts.names_removed++;
	return 1;
}

static int entry(void *context, const struct walk_dir *dir, const char *name, const struct stat *st)
{
	struct giving_up *giving = context;
	const struct abandon *abandon = giving->abandon;
	const struct fated *fated = S_ISREG(st->st_mode) ? fate_of(&giving->files, st->st_ino, dir->fd, name) : NULL;

	if (fated && fated->fate == FATE_CHANGED) {
		CLEAN_FREE char *path = walk_path(dir, name);
		if (abandon->changed)
			abandon->changed(abandon->context, path, fated->absent);
		return 0;
	}
	if (fated || (dir->mark && is_leftover(giving, dir, name, st)))
		return remove_name(giving, dir, name);
	return 0;
}

/* A directory that an interrupted population made, and in which nothing is left. */
static int leave(void *context, const struct walk_dir *dir, const struct walk_dir *child)
{
	struct giving_up *giving = context;

	if (!dir->mark || !giving->abandon->died_ns || !made_by_us(giving, dir->fd, child->name))
		return 0;
	int result = target_unlink(dir->fd, child->name, AT_REMOVEDIR);
	if (result == -ENOTEMPTY || result == -EBUSY)
		return 0;
	giving->abandon->counts.names_removed += result >= 0;
	if (result >= 0)
		result = fault_hit(FAULT_DELETE_NAME);
	return result < 0 ? result : 1;
}

/* --- the whole -------------------------------------------------------------------------------------------------------------- */

static void find_begin(struct giving_up *giving)
{
	struct statx st;

	if (statx(giving->abandon->target->root_fd, TARGET_OURS, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st) < 0 ||
	    !(st.stx_mask & STATX_BTIME))
		return;
	giving->begun = st.stx_btime;
	giving->begun_known = true;
}

int abandon_survey(struct abandon *abandon)
{
	struct giving_up giving = {.abandon = abandon};
	int result = judge(&giving, false);

	forget(&giving);
	return result;
}

int abandon_target(struct abandon *abandon)
{
	struct giving_up giving = {.abandon = abandon};
	struct walk_visitor visitor = {&giving, enter, entry, leave};

	find_begin(&giving);
	int result = judge(&giving, true);
	if (result >= 0)
		result = target_walk(abandon->target, &visitor);
	forget(&giving);
	return result < 0 ? result : target_sync(abandon->target);
}
