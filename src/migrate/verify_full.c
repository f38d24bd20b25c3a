/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk over both sides: every directory of the source is listed, every file is found by its path on the target, and both are read.
 *
 * What the source gives now is compared with the digest of what it gave, so that a source that drifted is told apart from a target
 * that was damaged. A file without a digest (verify=off, or changed by an application) is compared with the source itself.
 */
#include "migrate/listing.h"
#include "migrate/make.h"
#include "migrate/names.h"
#include "migrate/verify.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A directory that is still to be looked at. */
struct todo {
	struct todo *next;
	char *path;
	size_t handle_len;
	char handle[];
};

struct both {
	struct verify *verify;
	struct todo *todo; /* the last found comes first, so that few wait */
	struct name_set
		*waived; /* names that are not there, with the administrator's knowledge: "INO/NAME", the directory's number */
	/* The directory that is looked at. */
	const char *path;
	int dirfd;
	uint64_t ino;
	struct name_set *names;
	bool anew; /* the listing was lost and is another one: it begins with names that were looked at */
};

static void add_todo(struct both *both, char *path, const struct dmm_bytes *handle)
{
	struct todo *todo = must_alloc(sizeof(*todo) + handle->len);

	todo->path = path;
	todo->handle_len = handle->len;
	memcpy(todo->handle, handle->data, handle->len);
	todo->next = both->todo;
	both->todo = todo;
}

static void free_todo(struct todo *todo)
{
	free(todo->path);
	free(todo);
}

static char *join(const char *dir, const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
		abort(); /* as must_alloc() does */
	return path;
}

/* --- the source --- */

static int digest_source(struct verify *verify, const struct dmm_bytes *handle, uint64_t segsize, struct digest *digest)
{
	struct source *source = verify->migrate->source;
	char *buf = verify_buffer(verify, segsize);
	struct digest sum = {0};
	struct source_file *file;
	int64_t got = 0;
	int result = source_file_open(source, *handle, &file);

	if (result < 0)
		return source_result(result);
	for (uint64_t segment = 0; result >= 0; segment++) {
		got = source_read(file, buf, segment * segsize, segsize);
		if (got <= 0)
			break;
		struct digest one = digest_of_segment(buf, (size_t)got, segment);
		digest_add(&sum, &one);
		VERIFY_COUNT(verify, source_bytes, (uint64_t)got);
		result = verify_pace(verify, (uint64_t)got) ? 0 : -ECANCELED;
		if ((uint64_t)got < segsize)
			break;
	}
	source_file_close(file);
	if (result < 0 || got < 0)
		return result < 0 ? result : source_result((int)got);
	*digest = sum;
	return 0;
}

/* 0, or -ECANCELED: what the source cannot do is a finding. */
static int read_source(struct both *both, const struct dmm_entry *entry, uint64_t segsize, const char *path,
                       struct digest *digest, bool *have)
{
	struct verify *verify = both->verify;
	int result = digest_source(verify, &entry->handle, segsize, digest);

	*have = result >= 0;
	if (result < 0 && !verify_goes_on(verify))
		return -ECANCELED;
	if (result < 0) {
		VERIFY_COUNT(verify, unreadable, 1);
		verify_add_finding(verify, VERIFY_UNREADABLE, -result, path);
	}
	return 0;
}

/* --- one file --- */

static int with_digest(struct both *both, const struct dmm_entry *entry, const struct digest_record *record, const char *path)
{
	struct digest digest;
	bool have;
	int result = read_source(both, entry, record->segsize, path, &digest, &have);

	if (result < 0)
		return result;
	if (have && !digest_equal(&digest, &record->digest)) {
		VERIFY_COUNT(both->verify, drifted, 1);
		verify_add_finding(both->verify, VERIFY_DRIFTED, 0, path);
	}
	return verify_record(both->verify, record);
}

static bool looks_changed(const struct dmm_attr *attr, const struct stat *st)
{
	return (uint64_t)st->st_size != attr->size || st->st_mtim.tv_sec != attr->mtime.sec ||
	       st->st_mtim.tv_nsec != (long)attr->mtime.nsec;
}

/* Of the two sides alone nobody can say which one is right: what differs is suspect. */
static int without_digest(struct both *both, const struct dmm_entry *entry, const struct stat *st, const char *path)
{
	struct verify *verify = both->verify;
	uint64_t segsize = verify->migrate->options.segsize;
	struct digest source, target;
	struct handle handle;
	struct stat after;
	bool have;

	VERIFY_COUNT(verify, files, 1);
	VERIFY_COUNT(verify, bytes_seen, entry->attr.size);
	verify->credit = 0;
	if (looks_changed(&entry->attr, st)) {
		VERIFY_COUNT(verify, changed, 1);
		return 0;
	}
	int result = read_source(both, entry, segsize, path, &source, &have);
	if (result < 0 || !have)
		return result;
	if (target_handle(both->dirfd, entry->name, &handle) < 0)
		return 0; /* gone meanwhile */
	CLEAN_FD int fd = verify_open(verify, &handle);
	result = fd < 0 ? fd : verify_digest(verify, fd, segsize, &target);
	if (result == -ECANCELED)
		return result;
	if (result >= 0 && digest_equal(&source, &target)) {
		VERIFY_COUNT(verify, equal, 1);
		VERIFY_COUNT(verify, undigested, 1);
	} else if (fd >= 0 && fstat(fd, &after) == 0 && looks_changed(&entry->attr, &after)) {
		VERIFY_COUNT(verify, changed, 1);
	} else {
		VERIFY_COUNT(verify, suspect, 1);
		verify_add_finding(verify, VERIFY_SUSPECT, result < 0 ? -result : 0, path);
	}
	return 0;
}

/* 1: a record of what has not come over is there. */
static int is_pending(struct both *both, const struct stat *st)
{
	struct store *store = both->verify->migrate->store;
	struct file_record *file = NULL;
	struct dir_record *dir = NULL;
	int found = S_ISDIR(st->st_mode) ? store_dir_get(store, st->st_ino, &dir) : store_file_get(store, st->st_ino, &file);

	if (found > 0 && dir)
		dir_record_free(dir);
	if (found > 0 && file)
		file_record_free(file);
	return found;
}

static int look_at_file(struct both *both, const struct dmm_entry *entry, const struct stat *st, const char *path)
{
	struct verify *verify = both->verify;
	struct digest_record record;
	struct handle handle;

	if (!verify_chosen(&verify->status.request, st->st_ino))
		return 0;
	if (is_pending(both, st) > 0) {
		VERIFY_COUNT(verify, pending, 1);
		return 0;
	}
	if (store_digest_get(verify->migrate->store, st->st_ino, &record) > 0 &&
	    target_handle(both->dirfd, entry->name, &handle) >= 0 && handle_equal(&handle, &record.handle))
		return with_digest(both, entry, &record, path);
	return without_digest(both, entry, st, path);
}

/* --- what was left out with the administrator's knowledge --- */

static char *waived_key(uint64_t ino, const char *name)
{
	char *key;

	if (asprintf(&key, "%llu/%s", (unsigned long long)ino, name) < 0)
		abort(); /* as must_alloc() does */
	return key;
}

static int take_waived(void *context, const struct error_record *record)
{
	const struct both *both = context;

	bool skipped = record->kind == ERROR_LOSS && strcmp(record->what, "skip") == 0;
	const char *slash = strrchr(record->path, '/'), *last = slash ? slash + 1 : record->path;

	if (record->state != ERROR_WAIVED || (record->kind != ERROR_OF_NAME && !skipped))
		return 0;
	CLEAN_FREE char *key = waived_key(record->ino, skipped ? last : record->name);
	name_set_add(both->waived, key);
	return 0;
}

static bool is_waived(const struct both *both, const struct dmm_entry *entry)
{
	CLEAN_FREE char *key = waived_key(both->ino, entry->name);

	return name_set_has(both->waived, key);
}

/* By the order as it is; what an earlier one said is on record, for the first names of a directory. */
static bool is_skipped(const struct both *both, const struct dmm_entry *entry, const char *path)
{
	struct migrate *migrate = both->verify->migrate;
	const struct dmm_attr *attr = &entry->attr;
	struct verdict verdict = {0};

	if (!order_judges(migrate))
		return false;
	order_judge(migrate,
	            &(struct rule_object){.path = path,
	                                  .is_dir = S_ISDIR(attr->mode),
	                                  .size = S_ISREG(attr->mode) ? attr->size : 0,
	                                  .mtime_s = attr->mtime.sec,
	                                  .owner = attr->uid},
	            &verdict);
	return verdict.skip;
}

/* --- one name --- */

static int look_at_entry(struct both *both, const struct dmm_entry *entry, char *path)
{
	struct verify *verify = both->verify;
	struct stat st;

	if (entry->error && is_waived(both, entry))
		return 0;
	if (entry->error) {
		VERIFY_COUNT(verify, unreadable, 1);
		verify_add_finding(verify, VERIFY_UNREADABLE, entry->error, path);
		return 0;
	}
	if (fstatat(both->dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (populate_drops(verify->migrate, &entry->attr) || is_waived(both, entry) || is_skipped(both, entry, path))
			return 0;
		VERIFY_COUNT(verify, missing, 1);
		verify_add_finding(verify, VERIFY_MISSING, 0, path);
		return 0;
	}
	if ((st.st_mode & S_IFMT) != (entry->attr.mode & S_IFMT)) {
		VERIFY_COUNT(verify, changed, 1); /* another object has the name */
		return 0;
	}
	if (S_ISREG(st.st_mode))
		return look_at_file(both, entry, &st, path);
	if (S_ISDIR(st.st_mode) && is_pending(both, &st) > 0)
		VERIFY_COUNT(verify, pending, 1);
	else if (S_ISDIR(st.st_mode))
		add_todo(both, join(both->path, entry->name), &entry->handle);
	return 0;
}

static int take_entry(void *context, const struct dmm_entry *entry)
{
	struct both *both = context;
	CLEAN_FREE char *path = join(both->path, entry->name);

	if (!name_set_add(both->names, entry->name) && both->anew)
		return verify_goes_on(both->verify) ? 0 : -ECANCELED;
	int result = look_at_entry(both, entry, path);
	return result < 0 ? result : verify_goes_on(both->verify) ? 0 : -ECANCELED;
}

/* --- one directory --- */

static void count_extra(struct both *both)
{
	int fd = openat(both->dirfd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);

	if (!stream && fd >= 0)
		close(fd);
	for (struct dirent *entry; stream && (entry = readdir(stream));) {
		const char *name = entry->d_name;
		bool ours = !*both->path && (strcmp(name, TARGET_OURS) == 0 || strcmp(name, "lost+found") == 0);
		if (strcmp(name, ".") && strcmp(name, "..") && !ours && !name_set_has(both->names, name))
			VERIFY_COUNT(both->verify, extra, 1);
	}
	if (stream)
		closedir(stream);
}

static void begin_anew(void *context)
{
	((struct both *)context)->anew = true;
}

static int list_source(struct both *both, const struct todo *todo)
{
	both->anew = false;
	return source_result(list_whole(&(struct whole_listing){.source = both->verify->migrate->source,
	                                                        .handle = {todo->handle, todo->handle_len},
	                                                        .entry = take_entry,
	                                                        .anew = begin_anew,
	                                                        .context = both,
	                                                        .ino = both->ino},
	                                NULL));
}

static int look_at_dir(struct both *both, const struct todo *todo)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	struct verify *verify = both->verify;
	CLEAN_FD int dirfd =
		(int)syscall(SYS_openat2, verify->migrate->target->root_fd, *todo->path ? todo->path : ".", &how, sizeof(how));

	if (dirfd < 0) { /* renamed or removed since its name was seen */
		VERIFY_COUNT(verify, missing, 1);
		verify_add_finding(verify, VERIFY_MISSING, errno, todo->path);
		return 0;
	}
	struct stat st;
	both->path = todo->path;
	both->dirfd = dirfd;
	both->ino = fstat(dirfd, &st) < 0 ? 0 : st.st_ino;
	both->names = name_set_new();
	int result = list_source(both, todo);
	if (result >= 0)
		count_extra(both);
	name_set_free(both->names);
	if (result >= 0 || !verify_goes_on(verify))
		return result < 0 ? -ECANCELED : 0;
	VERIFY_COUNT(verify, unreadable, 1);
	verify_add_finding(verify, VERIFY_UNREADABLE, -result, todo->path);
	return 0;
}

static int begin_at_root(void *context, const struct dmm_entry *entry)
{
	add_todo(context, join("", ""), &entry->handle);
	return 0;
}

int verify_both_sides(struct verify *verify)
{
	struct both both = {.verify = verify, .waived = name_set_new()};
	struct totals totals;

	store_flush(verify->migrate->store);
	if (store_errors_walk(verify->migrate->store, take_waived, &both) < 0)
		log_warning("verify: the ledger cannot be read, and waived names count as missing");
	store_totals(verify->migrate->store, &totals);
	pthread_mutex_lock(&verify->lock); /* of a sample about so much */
	double share = (double)verify->status.request.ppm / VERIFY_ALL_PPM;
	verify->status.files_total = (uint64_t)((double)totals.files_found * share);
	verify->status.bytes_total = (uint64_t)((double)totals.bytes_found * share);
	pthread_mutex_unlock(&verify->lock);
	int result = source_root(verify->migrate->source, begin_at_root, &both);
	if (both.todo && result >= 0) {
		struct stat st;
		if (fstat(verify->migrate->target->root_fd, &st) == 0 && is_pending(&both, &st) > 0) {
			VERIFY_COUNT(verify, pending, 1);
			free_todo(both.todo);
			both.todo = NULL;
		}
	}
	while (both.todo) {
		struct todo *todo = both.todo;
		both.todo = todo->next;
		if (result >= 0)
			result = look_at_dir(&both, todo);
		free_todo(todo);
	}
	name_set_free(both.waived);
	return result < 0 && !verify_goes_on(verify) ? -ECANCELED : source_result(result);
}
