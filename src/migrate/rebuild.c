/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk over both trees. See rebuild.h.
 */
#include "migrate/rebuild_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "migrate/listing.h"
#include "migrate/make.h"
#include "target/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

const char *rebuild_kind_name(enum rebuild_kind kind)
{
	static const char *const names[REBUILD_KINDS] = {
		[REBUILD_DIFFERS] = "differs",
		[REBUILD_KIND] = "kind",
		[REBUILD_BLANK] = "blank",
		[REBUILD_MISSING] = "missing",
		[REBUILD_ONLY_TARGET] = "only-target",
		[REBUILD_RENAMED] = "renamed",
		[REBUILD_UNREADABLE] = "unreadable",
	};
	return names[kind];
}

void *grow(void *all, size_t count, size_t *cap, size_t size)
{
	if (count < *cap)
		return all;
	*cap = *cap ? *cap * 2 : 64;
	all = reallocarray(all, *cap, size);
	if (!all)
		abort();
	return all;
}

static char *join_path(const char *dir, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
		abort();
	return path;
}

/* --- what is told ------------------------------------------------------------------------------------------------------------- */

void tell(struct rebuilding *rebuilding, enum rebuild_kind kind, const char *path, const char *detail, uint64_t bytes,
          enum rebuild_choice choice)
{
	struct rebuild *rebuild = rebuilding->rebuild;

	rebuild->counts.findings[kind]++;
	rebuild->found(rebuild->context, &(struct rebuild_finding){kind, path, detail, bytes, choice});
}

/* The choice for a path is one for all below it; the longest that fits wins. */
enum rebuild_choice choice_of(struct rebuilding *rebuilding, const char *path)
{
	struct rebuild_path *best = NULL;

	for (size_t i = 0; i < rebuilding->rebuild->n_paths; i++) {
		struct rebuild_path *one = &rebuilding->rebuild->paths[i];
		size_t len = strlen(one->path);
		if (strncmp(one->path, path, len) == 0 && (len == 0 || !path[len] || path[len] == '/') &&
		    (!best || len >= strlen(best->path)))
			best = one;
	}
	if (!best)
		return CHOICE_NONE;
	best->used = true;
	return best->choice;
}

static void tell_progress(struct rebuilding *rebuilding)
{
	struct rebuild *rebuild = rebuilding->rebuild;
	const struct rebuild_counts *counts = &rebuild->counts;
	uint64_t now = clock_monotonic_ns();

	if (!rebuild->progress || now - rebuilding->told_ns < NS_PER_S / 4)
		return;
	rebuilding->told_ns = now;
	rebuild->progress(rebuild->context,
	                  counts->dirs + counts->files_same + counts->files_absent + counts->files_differ + counts->others_same,
	                  counts->bytes_same);
}

/* --- listing ------------------------------------------------------------------------------------------------------------------- */

static int take_origin(void *context, const struct dmm_entry *entry)
{
	struct origins *origins = context;
	struct origin *origin = must_alloc(sizeof(*origin) + entry->handle.len + entry->name_len + 1);

	*origin = (struct origin){.attr = entry->attr, .error = entry->error};
	origin->handle = (struct dmm_bytes){memcpy(origin + 1, entry->handle.data ? entry->handle.data : "", entry->handle.len),
	                                    entry->handle.len};
	origin->name = memcpy((char *)(origin + 1) + entry->handle.len, entry->name, entry->name_len);
	origins->all = grow(origins->all, origins->count, &origins->cap, sizeof(*origins->all));
	origins->all[origins->count++] = origin;
	return 0;
}

static int by_origin_name(const void *a, const void *b)
{
	return strcmp((*(struct origin *const *)a)->name, (*(struct origin *const *)b)->name);
}

static void forget_origins(void *context)
{
	struct origins *origins = context;

	while (origins->count)
		free(origins->all[--origins->count]);
}

int origins_list(struct source *source, struct dmm_bytes dir, struct origins *origins)
{
	int result = list_whole(
		&(struct whole_listing){
			.source = source, .handle = dir, .entry = take_origin, .anew = forget_origins, .context = origins},
		NULL);

	if (origins->count)
		qsort(origins->all, origins->count, sizeof(*origins->all), by_origin_name);
	return result;
}

void origins_free(struct origins *origins)
{
	forget_origins(origins);
	free(origins->all);
}

struct names {
	char **all;
	size_t count, cap;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_target(int dirfd, bool root, struct names *names)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream) {
		int failure = -errno;
		cleanup_close(&fd);
		return failure;
	}
	errno = 0;
	for (struct dirent *entry; (entry = readdir(stream)); errno = 0) {
		const char *name = entry->d_name;
		if (!strcmp(name, ".") || !strcmp(name, "..") ||
		    (root && (!strcmp(name, TARGET_OURS) || !strcmp(name, "lost+found"))))
			continue;
		names->all = grow(names->all, names->count, &names->cap, sizeof(*names->all));
		names->all[names->count] = strdup(name);
		if (!names->all[names->count++])
			abort();
	}
	int result = -errno;
	closedir(stream);
	if (names->count)
		qsort(names->all, names->count, sizeof(*names->all), by_name);
	return result;
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->all[i]);
	free(names->all);
}

/* --- what is missing ------------------------------------------------------------------------------------------------------------ */

static struct pair *pair_new(const struct handle *handle, uint64_t ino, struct dmm_bytes source, const struct dmm_attr *attr,
                             const char *path)
{
	struct pair *pair = must_alloc(sizeof(*pair) + source.len + strlen(path) + 1);

	*pair = (struct pair){.handle = *handle, .ino = ino, .attr = *attr};
	pair->source = (struct dmm_bytes){memcpy(pair + 1, source.data, source.len), source.len};
	pair->path = memcpy((char *)(pair + 1) + source.len, path, strlen(path) + 1);
	return pair;
}

/* The entry goes over to the list. */
static void add_missing(struct rebuilding *rebuilding, const struct pair *dir, struct origin **origin, enum rebuild_choice choice)
{
	struct pair *last = rebuilding->n_dirs ? rebuilding->dirs[rebuilding->n_dirs - 1] : NULL;

	if (!last || last->ino != dir->ino) {
		rebuilding->dirs = grow(rebuilding->dirs, rebuilding->n_dirs, &rebuilding->dirs_cap, sizeof(*rebuilding->dirs));
		last = rebuilding->dirs[rebuilding->n_dirs++] =
			pair_new(&dir->handle, dir->ino, dir->source, &dir->attr, dir->path);
	}
	rebuilding->missing =
		grow(rebuilding->missing, rebuilding->n_missing, &rebuilding->missing_cap, sizeof(*rebuilding->missing));
	rebuilding->missing[rebuilding->n_missing++] =
		(struct missing){.dir = last, .origin = *origin, .path = join_path(dir->path, (*origin)->name), .choice = choice};
	*origin = NULL;
}

static bool is_skipped(struct rebuilding *rebuilding, const char *path, const struct origin *origin)
{
	const struct dmm_attr *attr = &origin->attr;
	struct rule_object object = {.path = path,
	                             .is_dir = S_ISDIR(attr->mode),
	                             .size = S_ISREG(attr->mode) ? attr->size : 0,
	                             .mtime_s = attr->mtime.sec,
	                             .owner = attr->uid};
	int clause = rebuilding->rules ? rules_match(rebuilding->rules, &object, time(NULL)) : -1;

	return clause >= 0 && rules_verb(rebuilding->rules, (unsigned)clause) == RULE_SKIP;
}

/* --- one object on both sides ------------------------------------------------------------------------------------------------- */

struct meeting {
	struct rebuilding *rebuilding;
	const struct pair *dir;
	int dirfd;
	struct origin **origin;
	char *path;
	struct stat st;
};

static const struct origin *origin_of(const struct meeting *meeting)
{
	return *meeting->origin;
}

/* The source's is wanted: what has the name moves aside. */
static int take(struct meeting *meeting)
{
	struct rebuilding *rebuilding = meeting->rebuilding;
	int result = rebuilding->rebuild->store ? make_aside(meeting->dirfd, origin_of(meeting)->name) : 0;

	if (result >= 0)
		add_missing(rebuilding, meeting->dir, meeting->origin, CHOICE_NONE);
	return result;
}

/* Kept as it is, and never compared again. */
static int keep(struct meeting *meeting)
{
	CLEAN_FD int fd = openat(meeting->dirfd, origin_of(meeting)->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : record_file(meeting->rebuilding, fd, &meeting->st, origin_of(meeting), NULL);
}

static int tell_unreadable(struct meeting *meeting, int error)
{
	char detail[256];

	if (source_is_outage(error) || error == -ECANCELED || error == -ENOMEM)
		return error;
	snprintf(detail, sizeof(detail), "it cannot be compared: %s", strerror(-error));
	tell(meeting->rebuilding, REBUILD_UNREADABLE, meeting->path, detail, 0, CHOICE_KEEP);
	return keep(meeting);
}

static int settle_conflict(struct meeting *meeting, enum rebuild_kind kind, const char *detail)
{
	enum rebuild_choice choice = choice_of(meeting->rebuilding, meeting->path);

	tell(meeting->rebuilding, kind, meeting->path, detail, 0, choice);
	return choice == CHOICE_TAKE ? take(meeting) : keep(meeting);
}

static void forget_absent(struct compared *compared)
{
	memset(compared->absent, 0, compared->n_segments / 8 + 1);
	compared->absent_bytes = 0;
}

/* 1: the source's is to be taken. */
static int judge_file(struct meeting *meeting, struct compared *compared)
{
	struct rebuilding *rebuilding = meeting->rebuilding;
	struct rebuild_counts *counts = &rebuilding->rebuild->counts;
	uint64_t here = (uint64_t)meeting->st.st_size, there = origin_of(meeting)->attr.size;
	bool blank = compared->absent_bytes && !compared->time_kept;
	bool differs = compared->differ_bytes || here != there;
	enum rebuild_choice choice = differs || blank ? choice_of(rebuilding, meeting->path) : CHOICE_NONE;
	char detail[256] = "";

	counts->bytes_same += compared->limit - compared->absent_bytes;
	if (!differs && !blank) {
		counts->files_same += !compared->absent_bytes;
		counts->files_absent += compared->absent_bytes > 0;
		counts->bytes_absent += compared->absent_bytes;
		return 0;
	}
	if (choice == CHOICE_KEEP)
		forget_absent(compared);
	counts->files_differ++;
	counts->bytes_absent += choice == CHOICE_TAKE ? 0 : compared->absent_bytes;
	if (here != there)
		snprintf(detail, sizeof(detail), "%llu bytes long here, %llu at the source%s", (unsigned long long)here,
		         (unsigned long long)there,
		         here < there && !compared->differ_bytes
		                 ? ", and the same as far as it goes: cut by an application, or a copy that was cut off"
		                 : "");
	else if (!differs)
		snprintf(detail, sizeof(detail),
		         "an application changed it, and these bytes are holes: they come from the source, unless they were cut "
		         "off "
		         "or punched");
	tell(rebuilding, differs ? REBUILD_DIFFERS : REBUILD_BLANK, meeting->path, detail,
	     differs ? compared->differ_bytes : compared->absent_bytes, choice);
	return choice == CHOICE_TAKE;
}

static int compare_one(struct meeting *meeting, int fd)
{
	struct compared compared = {0};
	int result = compare_file(meeting->rebuilding->rebuild, fd, &meeting->st, origin_of(meeting), &compared);

	if (result < 0)
		result = tell_unreadable(meeting, result);
	else if ((result = judge_file(meeting, &compared)) > 0)
		result = take(meeting);
	else
		result = record_file(meeting->rebuilding, fd, &meeting->st, origin_of(meeting), &compared);
	compared_free(&compared);
	return result;
}

static int open_to_read(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int meet_file(struct meeting *meeting)
{
	CLEAN_FD int fd = open_to_read(meeting->dirfd, origin_of(meeting)->name);

	return fd < 0 ? tell_unreadable(meeting, fd) : compare_one(meeting, fd);
}

static bool same_link_text(const struct meeting *meeting, int *error)
{
	char here[PATH_MAX], there[PATH_MAX];
	ssize_t len = readlinkat(meeting->dirfd, origin_of(meeting)->name, here, sizeof(here) - 1);

	*error =
		len < 0 ? -errno
			: source_readlink(meeting->rebuilding->rebuild->source, origin_of(meeting)->handle, there, sizeof(there));
	if (*error < 0)
		return false;
	here[len] = '\0';
	return strcmp(here, there) == 0;
}

static int meet_other(struct meeting *meeting)
{
	const struct dmm_attr *attr = &origin_of(meeting)->attr;
	int error = 0;
	bool same = S_ISLNK(attr->mode) ? same_link_text(meeting, &error)
	            : S_ISBLK(attr->mode) || S_ISCHR(attr->mode)
	                    ? makedev(attr->rdev_major, attr->rdev_minor) == meeting->st.st_rdev
	                    : true;

	if (error < 0)
		return tell_unreadable(meeting, error);
	if (!same)
		return settle_conflict(meeting, REBUILD_KIND,
		                       S_ISLNK(attr->mode) ? "the link leads elsewhere" : "it is another device");
	meeting->rebuilding->rebuild->counts.others_same++;
	return keep(meeting);
}

/* --- files with several names -------------------------------------------------------------------------------------------------- */

/* The object that waits in the staging directory, which has another inode than the name at hand, or has none yet. */
static int meet_staged(const struct meeting *meeting, const struct shared *shared)
{
	struct meeting staged = *meeting;
	CLEAN_FD int fd = target_open_handle(meeting->rebuilding->rebuild->target, &shared->handle,
	                                     S_ISREG(origin_of(meeting)->attr.mode) ? O_RDONLY | O_NONBLOCK : O_PATH);

	if (fd < 0 || fstat(fd, &staged.st) < 0)
		return fd < 0 ? fd : -errno;
	struct compared compared = {0};
	int result = S_ISREG(staged.st.st_mode)
	                     ? compare_file(meeting->rebuilding->rebuild, fd, &staged.st, origin_of(meeting), &compared)
	                     : 0;
	if (result >= 0)
		result = record_file(meeting->rebuilding, fd, &staged.st, origin_of(meeting),
		                     S_ISREG(staged.st.st_mode) ? &compared : NULL);
	compared_free(&compared);
	return result < 0 && !source_is_outage(result) ? 0 : result;
}

/* 1: this name is seen to; 0: it is to be met like any other. */
static int meet_shared(struct meeting *meeting, bool present)
{
	const struct dmm_attr *attr = &origin_of(meeting)->attr;
	bool fresh;
	int error;

	if (S_ISDIR(attr->mode) || !(attr->valid & DMM_ATTR_NLINK) || attr->nlink < 2)
		return 0;
	CLEAN_FD int fd = present ? openat(meeting->dirfd, origin_of(meeting)->name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	struct shared *shared = shared_find(meeting->rebuilding, origin_of(meeting), fd, &meeting->st, &fresh, &error);
	if (!shared)
		return error;
	bool same = present && shared->ino == meeting->st.st_ino;
	shared->seen += same;
	if (same)
		return !fresh;
	if (fresh)
		error = meet_staged(meeting, shared);
	return error < 0 ? error : 0;
}

/* --- the walk ------------------------------------------------------------------------------------------------------------------- */

static int push(struct meeting *meeting)
{
	struct handle handle;
	int result = target_handle(meeting->dirfd, origin_of(meeting)->name, &handle);

	if (result < 0)
		return result;
	struct pair *pair =
		pair_new(&handle, meeting->st.st_ino, origin_of(meeting)->handle, &origin_of(meeting)->attr, meeting->path);
	pair->next = meeting->rebuilding->pairs;
	meeting->rebuilding->pairs = pair;
	return 0;
}

static int meet(struct meeting *meeting)
{
	const struct origin *origin = origin_of(meeting);

	if (origin->error)
		return tell_unreadable(meeting, -origin->error);
	if (S_ISDIR(origin->attr.mode) && S_ISDIR(meeting->st.st_mode))
		return push(meeting);
	if ((origin->attr.mode & S_IFMT) != (meeting->st.st_mode & S_IFMT))
		return settle_conflict(meeting, REBUILD_KIND, "it is another kind of object than at the source");
	int result = meet_shared(meeting, true);
	if (result != 0)
		return result < 0 ? result : 0;
	return S_ISREG(origin->attr.mode) ? meet_file(meeting) : meet_other(meeting);
}

static int miss(struct meeting *meeting)
{
	struct rebuilding *rebuilding = meeting->rebuilding;
	enum rebuild_choice choice = choice_of(rebuilding, meeting->path);
	int result = origin_of(meeting)->error || choice == CHOICE_KEEP ? 0 : meet_shared(meeting, false);

	if (result >= 0 && is_skipped(rebuilding, meeting->path, origin_of(meeting)))
		return record_skip(rebuilding, meeting->dir->ino, meeting->path);
	if (result < 0)
		return result;
	add_missing(rebuilding, meeting->dir, meeting->origin, choice);
	return 0;
}

static void stray(struct rebuilding *rebuilding, int dirfd, const char *name, char *path, const struct stat *st)
{
	struct strayed strayed = {.path = path, .st = *st};
	struct stat dir;

	if (fstat(dirfd, &dir) < 0 || target_handle(dirfd, "", &strayed.dir) < 0 ||
	    target_handle(dirfd, name, &strayed.handle) < 0) {
		free(path);
		return;
	}
	strayed.dir_ino = dir.st_ino;
	rebuilding->strayed =
		grow(rebuilding->strayed, rebuilding->n_strayed, &rebuilding->strayed_cap, sizeof(*rebuilding->strayed));
	rebuilding->strayed[rebuilding->n_strayed++] = strayed;
}

/* What only the target has. Below a directory of that kind only what may be a placeholder is told of. */
static int only_here(struct rebuilding *rebuilding, int dirfd, const char *name, char *path, bool top)
{
	CLEAN_FREE char *own = path;
	struct stat st;
	struct names names = {0};

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	CLEAN_FD int fd = S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) ? open_to_read(dirfd, name) : -1;
	int result = S_ISDIR(st.st_mode) && fd >= 0 && st.st_dev == rebuilding->rebuild->target->dev
	                     ? list_target(fd, false, &names)
	                     : 0;
	bool hollow = S_ISDIR(st.st_mode) ? names.count == 0 : S_ISREG(st.st_mode) && fd >= 0 && file_has_holes(fd, &st);
	if (hollow) {
		stray(rebuilding, dirfd, name, path, &st);
		own = NULL;
	} else if (top) {
		tell(rebuilding, REBUILD_ONLY_TARGET, path, S_ISDIR(st.st_mode) ? "with all that is in it" : "",
		     S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0, CHOICE_NONE);
	}
	for (size_t i = 0; result >= 0 && i < names.count; i++)
		result = only_here(rebuilding, fd, names.all[i], join_path(path, names.all[i]), false);
	names_free(&names);
	return result;
}

static int merge(struct rebuilding *rebuilding, const struct pair *dir, int dirfd, struct origins *origins, struct names *names)
{
	int result = 0;

	for (size_t o = 0, n = 0; result >= 0 && (o < origins->count || n < names->count);) {
		int order = o == origins->count ? 1 : n == names->count ? -1 : strcmp(origins->all[o]->name, names->all[n]);
		if (order > 0) {
			result = only_here(rebuilding, dirfd, names->all[n], join_path(dir->path, names->all[n]), true);
			n++;
			continue;
		}
		struct meeting meeting = {.rebuilding = rebuilding, .dir = dir, .dirfd = dirfd, .origin = &origins->all[o]};
		meeting.path = join_path(dir->path, origins->all[o]->name);
		if (order == 0 && fstatat(dirfd, names->all[n], &meeting.st, AT_SYMLINK_NOFOLLOW) < 0)
			result = -errno;
		else
			result = order < 0 ? miss(&meeting) : meet(&meeting);
		free(meeting.path);
		tell_progress(rebuilding);
		o++;
		n += order == 0;
	}
	return result;
}

/* Nothing is in it, while the source has something. */
static int meet_empty(struct rebuilding *rebuilding, const struct pair *dir, int dirfd, size_t count, bool *absent)
{
	struct stat st;
	char detail[128];

	if (fstat(dirfd, &st) < 0)
		return -errno;
	bool time_kept = st.st_mtim.tv_sec == dir->attr.mtime.sec && (uint32_t)st.st_mtim.tv_nsec == dir->attr.mtime.nsec;
	enum rebuild_choice choice = time_kept ? CHOICE_NONE : choice_of(rebuilding, dir->path);
	*absent = choice != CHOICE_KEEP;
	if (!time_kept) {
		snprintf(detail, sizeof(detail), "it is empty here, at the source it has %zu name%s", count,
		         count == 1 ? "" : "s");
		tell(rebuilding, REBUILD_MISSING, dir->path, detail, 0, choice);
	}
	rebuilding->rebuild->counts.dirs_absent += *absent;
	return *absent ? record_dir(rebuilding, &dir->handle, dir->ino, dir->source, &dir->attr) : 0;
}

static int walk_lists(struct rebuilding *rebuilding, const struct pair *dir, int dirfd, struct origins *origins,
                      struct names *names)
{
	bool absent = false;
	int result = names->count == 0 && origins->count ? meet_empty(rebuilding, dir, dirfd, origins->count, &absent) : 0;

	if (result < 0 || absent)
		return result;
	rebuilding->rebuild->counts.dirs++;
	result = record_populated(rebuilding);
	return result < 0 ? result : merge(rebuilding, dir, dirfd, origins, names);
}

static int walk_pair(struct rebuilding *rebuilding, const struct pair *dir)
{
	struct origins origins = {0};
	struct names names = {0};
	char detail[256];
	CLEAN_FD int dirfd = target_open_handle(rebuilding->rebuild->target, &dir->handle, O_RDONLY | O_DIRECTORY);
	int result = dirfd < 0 ? dirfd : list_target(dirfd, dir->ino == rebuilding->rebuild->target->root_ino, &names);

	if (result >= 0) {
		result = origins_list(rebuilding->rebuild->source, dir->source, &origins);
		if (result >= 0) {
			result = walk_lists(rebuilding, dir, dirfd, &origins, &names);
		} else if (*dir->path && !source_is_outage(result) && result != -ECANCELED) {
			snprintf(detail, sizeof(detail), "it cannot be listed at the source: %s", strerror(-result));
			tell(rebuilding, REBUILD_UNREADABLE, dir->path, detail, 0, CHOICE_KEEP);
			result = 0;
		}
	}
	origins_free(&origins);
	names_free(&names);
	return result;
}

static int take_root(void *context, const struct dmm_entry *entry)
{
	struct rebuilding *rebuilding = context;
	const struct target *target = rebuilding->rebuild->target;

	if (entry->error || !S_ISDIR(entry->attr.mode))
		return entry->error ? -entry->error : -ENOTDIR;
	rebuilding->pairs = pair_new(&target->root_handle, target->root_ino, entry->handle, &entry->attr, "");
	rebuilding->root = (struct dmm_bytes){memcpy(must_alloc(entry->handle.len), entry->handle.data, entry->handle.len),
	                                      entry->handle.len};
	return 0;
}

/* --- the whole ------------------------------------------------------------------------------------------------------------------ */

static int settle_missing(struct rebuilding *rebuilding)
{
	int result = moved_match(rebuilding);

	for (size_t i = 0; result >= 0 && i < rebuilding->n_missing; i++) {
		const struct missing *missing = &rebuilding->missing[i];
		if (missing->renamed || missing->inside)
			continue;
		const struct dmm_attr *attr = &missing->origin->attr;
		tell(rebuilding, REBUILD_MISSING, missing->path, S_ISDIR(attr->mode) ? "with all that is in it" : "",
		     S_ISREG(attr->mode) ? attr->size : 0, missing->choice);
		result = record_missing(rebuilding, missing);
	}
	return result;
}

static void forget(struct rebuilding *rebuilding)
{
	for (struct pair *pair; (pair = rebuilding->pairs);) {
		rebuilding->pairs = pair->next;
		free(pair);
	}
	for (size_t i = 0; i < rebuilding->n_missing; i++) {
		free(rebuilding->missing[i].origin);
		free(rebuilding->missing[i].path);
	}
	for (size_t i = 0; i < rebuilding->n_strayed; i++)
		free(rebuilding->strayed[i].path);
	for (size_t i = 0; i < rebuilding->n_dirs; i++)
		free(rebuilding->dirs[i]);
	free(rebuilding->missing);
	free(rebuilding->strayed);
	free(rebuilding->dirs);
	free((void *)rebuilding->root.data);
	shared_free_all(rebuilding);
	rules_free(rebuilding->rules);
	if (rebuilding->batch)
		batch_free(rebuilding->batch);
}

static int load_rules(struct rebuilding *rebuilding)
{
	char error[512];

	if (!rebuilding->rebuild->order || !*rebuilding->rebuild->order)
		return 0;
	int result = rules_parse(rebuilding->rebuild->order, &rebuilding->rules, error, sizeof(error));
	if (result >= 0 && rules_load(rebuilding->rules, error, sizeof(error)) < 0)
		log_warning("a clause of the order cannot be used: %s", error);
	return result;
}

int rebuild_run(struct rebuild *rebuild)
{
	struct rebuilding rebuilding = {.rebuild = rebuild};

	rebuild->counts = (struct rebuild_counts){0};
	int result = load_rules(&rebuilding);
	if (result >= 0)
		result = source_root(rebuild->source, take_root, &rebuilding);
	for (struct pair *pair; result >= 0 && (pair = rebuilding.pairs);) {
		rebuilding.pairs = pair->next;
		result = walk_pair(&rebuilding, pair);
		free(pair);
	}
	if (result >= 0)
		result = settle_missing(&rebuilding);
	if (result >= 0)
		result = record_links(&rebuilding);
	if (result >= 0)
		result = record_flush(&rebuilding);
	forget(&rebuilding);
	return result;
}

/* --- bringing what is missing ---------------------------------------------------------------------------------------------------- */

#define LOOK_US 20000

static int is_retrying(void *context, const struct error_record *record)
{
	(void)context;
	return record->kind == ERROR_OF_NAME && record->state == ERROR_RETRYING;
}

int rebuild_bring(const struct migrate_options *options, struct store *store, const struct target *target, struct source *source)
{
	struct migrate_options quiet = *options;
	struct migrate *migrate;

	quiet.background = false;
	quiet.paused = false;
	quiet.learn = false;
	quiet.order = NULL; /* what is skipped is left out already */
	int result = migrate_start(&quiet, store, target, source, &migrate);
	if (result < 0) {
		store_close(store);
		return result;
	}
	migrate_on_appear(migrate, NULL, NULL);
	while ((result = store_flush(store)) >= 0 && (result = store_errors_walk(store, is_retrying, NULL)) > 0)
		usleep(LOOK_US);
	migrate_stop(migrate);
	if (result >= 0)
		result = store_flush(store);
	store_close(store); /* before the migration goes, as ever */
	migrate_free(migrate);
	return result;
}
