/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the rebuild records. Totals change with the records, as everywhere, so that the new state passes its own check.
 */
#include "migrate/rebuild_private.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "target/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_CHANGES 4096u
#define BACKLOG_MOST 8u

/* --- batches --- */

static struct batch *batch_of(struct rebuilding *rebuilding)
{
	if (!rebuilding->batch)
		rebuilding->batch = batch_new();
	return rebuilding->batch;
}

static int submit(struct rebuilding *rebuilding)
{
	struct store *store = rebuilding->rebuild->store;

	if (rebuilding->batch)
		store_submit(store, rebuilding->batch, 0, NULL, NULL);
	rebuilding->batch = NULL;
	rebuilding->in_batch = 0;
	return store_backlog(store) > BACKLOG_MOST ? store_flush(store) : 0;
}

static int changed(struct rebuilding *rebuilding)
{
	return ++rebuilding->in_batch < BATCH_CHANGES ? 0 : submit(rebuilding);
}

int record_flush(struct rebuilding *rebuilding)
{
	if (!rebuilding->rebuild->store)
		return 0;
	int result = submit(rebuilding);
	return result < 0 ? result : store_flush(rebuilding->rebuild->store);
}

static struct moment moment_of(struct dmm_time time)
{
	return (struct moment){time.sec, time.nsec};
}

static struct moment moment_at(const struct timespec *time)
{
	return (struct moment){time->tv_sec, (uint32_t)time->tv_nsec};
}

/* --- directories --- */

int record_dir(struct rebuilding *rebuilding, const struct handle *handle, uint64_t ino, struct dmm_bytes source,
               const struct dmm_attr *attr)
{
	struct dir_record record = {
		.ino = ino,
		.handle = *handle,
		.source = {(uint16_t)source.len, source.data},
		.nlink = attr->valid & DMM_ATTR_NLINK ? attr->nlink : 0,
		.inode_flags = attr->valid & DMM_ATTR_FLAGS ? attr->flags : 0,
		.collisions_settled = true, /* there is nothing in it */
		.mtime = moment_of(attr->mtime),
		.atime = moment_of(attr->atime),
	};

	if (!rebuilding->rebuild->store)
		return 0;
	batch_dir_put(batch_of(rebuilding), &record);
	batch_totals_add(batch_of(rebuilding), &(struct totals){.dirs_found = 1});
	return changed(rebuilding);
}

int record_populated(struct rebuilding *rebuilding)
{
	if (!rebuilding->rebuild->store)
		return 0;
	batch_totals_add(batch_of(rebuilding), &(struct totals){.dirs_found = 1, .dirs_migrated = 1});
	return changed(rebuilding);
}

/* --- files --- */

static void put_segments(struct batch *batch, uint64_t ino, const struct compared *compared)
{
	for (uint64_t s = 0; s < compared->n_segments; s++) {
		if (segment_get(compared->absent, s))
			continue;
		if (segment_get(compared->differs, s))
			batch_segments_changed(batch, ino, s, 1);
		if (compared->digests && !segment_get(compared->differs, s))
			batch_segments_arrived(batch, ino, s, 1, &compared->digests[s]);
		else
			batch_segments_mark(batch, ino, s, 1);
	}
}

static int put_unfinished(struct rebuilding *rebuilding, const struct handle *handle, const struct stat *st,
                          const struct origin *origin, const struct compared *compared)
{
	const struct dmm_attr *attr = &origin->attr;
	struct file_record record = {
		.ino = st->st_ino,
		.handle = *handle,
		.source = {(uint16_t)origin->handle.len, origin->handle.data},
		.limit = compared->limit,
		.segsize = compared->segsize,
		.source_used = attr->valid & DMM_ATTR_USED ? attr->used : attr->size,
		.inode_flags = attr->valid & DMM_ATTR_FLAGS ? attr->flags : 0,
		.mtime_valid = compared->time_kept,
		.mtime = moment_at(&st->st_mtim),
		.changed = !compared->time_kept || compared->differ_bytes > 0,
		.source_size = attr->size,
		.source_change = attr->valid & DMM_ATTR_CHANGE ? attr->change : 0,
		.source_mtime = moment_of(attr->mtime),
		.source_ctime = attr->valid & DMM_ATTR_CTIME ? moment_of(attr->ctime) : (struct moment){0},
		.shown_ctime = moment_at(&st->st_ctim),
	};
	struct batch *batch = batch_of(rebuilding);

	batch_file_put(batch, &record);
	put_segments(batch, st->st_ino, compared);
	batch_totals_add(batch, &(struct totals){.files_found = 1,
	                                         .files_pending = 1,
	                                         .bytes_found = (int64_t)compared->limit,
	                                         .bytes_migrated = (int64_t)(compared->limit - compared->absent_bytes),
	                                         .bytes_pending = (int64_t)compared->absent_bytes});
	rebuilding->in_batch += (unsigned)(compared->n_segments < BATCH_CHANGES ? compared->n_segments : BATCH_CHANGES);
	return changed(rebuilding);
}

/* The whole file was read, and is the source's. */
static bool has_digest(const struct stat *st, const struct origin *origin, const struct compared *compared)
{
	return compared->digests && st->st_size > 0 && (uint64_t)st->st_size == origin->attr.size && compared->differ_bytes == 0;
}

static void put_digest(struct batch *batch, const struct handle *handle, const struct stat *st, const struct compared *compared)
{
	struct digest_record record = {
		.ino = st->st_ino,
		.handle = *handle,
		.size = (uint64_t)st->st_size,
		.segsize = compared->segsize,
		.mtime = moment_at(&st->st_mtim),
		.ctime = moment_at(&st->st_ctim),
	};

	for (uint64_t s = 0; s < compared->n_segments; s++)
		digest_add(&record.digest, &compared->digests[s]);
	batch_digest_put(batch, &record);
}

int record_file(struct rebuilding *rebuilding, int fd, const struct stat *st, const struct origin *origin,
                const struct compared *compared)
{
	struct handle handle;

	if (!rebuilding->rebuild->store)
		return 0;
	int result = target_handle(fd, "", &handle);
	if (result < 0)
		return result;
	if (compared && compared->absent_bytes)
		return put_unfinished(rebuilding, &handle, st, origin, compared);
	if (compared && has_digest(st, origin, compared))
		put_digest(batch_of(rebuilding), &handle, st, compared);
	int64_t bytes = compared ? (int64_t)compared->limit : 0;
	batch_totals_add(batch_of(rebuilding),
	                 &(struct totals){.files_found = 1, .files_migrated = 1, .bytes_found = bytes, .bytes_migrated = bytes});
	return changed(rebuilding);
}

/* --- names that are missing --- */

int record_missing(struct rebuilding *rebuilding, const struct missing *missing)
{
	struct store *store = rebuilding->rebuild->store;
	bool kept = missing->choice == CHOICE_KEEP;
	uint64_t now = clock_wall_ns();
	struct error_record record = {
		.ino = missing->dir->ino,
		.kind = ERROR_OF_NAME,
		.state = kept ? ERROR_WAIVED : ERROR_RETRYING,
		.error = ENOENT,
		.first_ns = now,
		.last_ns = now,
		.bytes = S_ISREG(missing->origin->attr.mode) ? missing->origin->attr.size : 0,
		.what = (char *)"rebuild",
		.path = missing->path,
		.detail = (char *)(kept ? "it was not on the target when the state was made anew, and is not wanted"
	                                : "it was not on the target when the state was made anew"),
		.handle = missing->dir->handle,
		.source = {(uint16_t)missing->dir->source.len, missing->dir->source.data},
		.name = missing->origin->name,
	};

	if (!store)
		return 0;
	record.id = store_error_id(store);
	batch_error_put(batch_of(rebuilding), &record);
	batch_totals_add(batch_of(rebuilding), &(struct totals){.files_error = !kept, .names_waived = kept});
	return changed(rebuilding);
}

int record_strayed(struct rebuilding *rebuilding, const struct strayed *strayed)
{
	struct store *store = rebuilding->rebuild->store;
	const char *slash = strrchr(strayed->path, '/');
	uint64_t now = clock_wall_ns();

	if (!store)
		return 0;
	/* A name: what is tried again finds it there, and is settled. */
	batch_error_put(
		batch_of(rebuilding),
		&(struct error_record){
			.id = store_error_id(store),
			.ino = strayed->dir_ino,
			.kind = ERROR_OF_NAME,
			.state = ERROR_WAITING,
			.error = ENODATA,
			.tries = 1,
			.first_ns = now,
			.last_ns = now,
			.bytes = (uint64_t)strayed->st.st_size,
			.what = (char *)"rebuild",
			.path = strayed->path,
			.detail = (char *)"parts of it are holes: if it is a file that was renamed before it had come over, its "
					  "data is at the source under another name; waive this when it is as it is to be",
			.handle = strayed->dir,
			.source = {(uint16_t)rebuilding->root.len, rebuilding->root.data},
			.name = (char *)(slash ? slash + 1 : strayed->path)});
	batch_totals_add(batch_of(rebuilding), &(struct totals){.files_error = 1});
	return changed(rebuilding);
}

int record_skip(struct rebuilding *rebuilding, uint64_t dir_ino, const char *path)
{
	struct store *store = rebuilding->rebuild->store;
	uint64_t now = clock_wall_ns();

	if (!store)
		return 0;
	batch_error_put(batch_of(rebuilding), &(struct error_record){.id = store_error_id(store),
	                                                             .ino = dir_ino,
	                                                             .kind = ERROR_LOSS,
	                                                             .state = ERROR_WAIVED,
	                                                             .error = ECANCELED,
	                                                             .first_ns = now,
	                                                             .last_ns = now,
	                                                             .what = (char *)"skip",
	                                                             .path = (char *)path,
	                                                             .detail = (char *)"the order says so"});
	batch_totals_add(batch_of(rebuilding), &(struct totals){.skipped = 1});
	return changed(rebuilding);
}

/* --- files with several names --- */

static int compare_shared(const void *a, const void *b)
{
	const struct shared *x = a, *y = b;

	if (x->fsid != y->fsid)
		return x->fsid < y->fsid ? -1 : 1;
	return x->fileid < y->fileid ? -1 : x->fileid > y->fileid;
}

/* Takes the object in the staging directory; without one, that of `fd` is to be it. */
static int find_object(struct rebuilding *rebuilding, struct shared *shared, int fd, const struct stat *st)
{
	const struct target *target = rebuilding->rebuild->target;
	char name[40];
	struct stat staged;

	snprintf(name, sizeof(name), "%llx-%llx", (unsigned long long)shared->fsid, (unsigned long long)shared->fileid);
	if (fstatat(target->links_fd, name, &staged, AT_SYMLINK_NOFOLLOW) == 0) {
		shared->ino = staged.st_ino;
		return target_handle(target->links_fd, name, &shared->handle);
	}
	if (errno != ENOENT || fd < 0)
		return errno == ENOENT ? -ENOENT : -errno;
	shared->ino = st->st_ino;
	int result = rebuilding->rebuild->store ? target_link(fd, target->links_fd, name) : 0;
	return result < 0 ? result : target_handle(fd, "", &shared->handle);
}

struct shared *shared_find(struct rebuilding *rebuilding, const struct origin *origin, int fd, const struct stat *st, bool *fresh,
                           int *error)
{
	struct shared wanted = {.fsid = origin->attr.fsid, .fileid = origin->attr.fileid, .nlink = origin->attr.nlink};
	struct shared **known = tfind(&wanted, &rebuilding->links, compare_shared);

	*error = 0;
	*fresh = !known;
	if (known)
		return *known;
	int result = find_object(rebuilding, &wanted, fd, st);
	if (result < 0) {
		*error = result == -ENOENT ? 0 : result;
		return NULL;
	}
	struct shared *shared = must_alloc(sizeof(*shared));
	*shared = wanted;
	if (!tsearch(shared, &rebuilding->links, compare_shared))
		abort();
	return shared;
}

static int put_shared(struct rebuilding *rebuilding, const struct shared *shared)
{
	batch_link_put(batch_of(rebuilding), &(struct link_record){.fsid = shared->fsid,
	                                                           .fileid = shared->fileid,
	                                                           .ino = shared->ino,
	                                                           .handle = shared->handle,
	                                                           .nlink = shared->nlink,
	                                                           .seen = shared->seen});
	/* One name is counted with the file itself. */
	int64_t more = shared->seen > 1 ? shared->seen - 1 : 0;
	batch_totals_add(batch_of(rebuilding), &(struct totals){.links_pending = 1, .files_found = more, .files_migrated = more});
	return changed(rebuilding);
}

int record_links(struct rebuilding *rebuilding)
{
	int result = 0;

	while (rebuilding->links) {
		struct shared *shared = *(struct shared **)rebuilding->links;
		tdelete(shared, &rebuilding->links, compare_shared);
		if (result >= 0 && rebuilding->rebuild->store)
			result = put_shared(rebuilding, shared);
		free(shared);
	}
	return result;
}

void shared_free_all(struct rebuilding *rebuilding)
{
	tdestroy(rebuilding->links, free);
	rebuilding->links = NULL;
}
