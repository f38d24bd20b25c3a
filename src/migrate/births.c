/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Files with several names at the source.
 *
 * Such a file is born in our staging directory, .dmmfs/links, with a record of its own that is durable before it gets any name.
 * Each directory then links its names to it. So the object survives whatever applications do to the names that were given
 * already, and a name that is found later joins the same file, with what applications wrote in it meanwhile. When every directory
 * has been seen the staging names go.
 *
 * All births of a migration go through one lock (migrate->births), which populate holds until its batch is handed in: a file is
 * born once, and names are counted right.
 */
#include "migrate/make.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "migrate/entry.h"
#include "target/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

struct birth {
	struct dmm_entry entry; /* name and handle point behind the struct */
	bool born_here;
	struct verdict verdict; /* of the first of its names */
	char bytes[];
};

struct births {
	struct migrate *migrate;
	struct birth **all;
	size_t count, cap;
};

struct births *births_new(struct migrate *migrate)
{
	struct births *births = must_alloc(sizeof(*births));

	births->migrate = migrate;
	return births;
}

void births_free(struct births *births)
{
	for (size_t i = 0; i < births->count; i++)
		free(births->all[i]);
	free(births->all);
	free(births);
}

bool births_empty(const struct births *births)
{
	return births->count == 0;
}

static void add(struct births *births, struct birth *birth)
{
	if (births->count == births->cap) {
		births->cap = births->cap ? births->cap * 2 : 16;
		births->all = realloc(births->all, births->cap * sizeof(*births->all));
		if (!births->all)
			abort();
	}
	births->all[births->count++] = birth;
}

void births_add(struct births *births, const struct dmm_entry *entry, const struct verdict *verdict)
{
	struct birth *birth = must_alloc(sizeof(*birth) + entry_room(entry));

	entry_copy(&birth->entry, entry, birth->bytes);
	birth->verdict = *verdict;
	add(births, birth);
}

void births_take_over(struct births *births, struct births *more)
{
	for (size_t i = 0; i < more->count; i++)
		add(births, more->all[i]);
	more->count = 0;
}

static void staging_name(const struct dmm_attr *attr, char name[40])
{
	snprintf(name, 40, "%llx-%llx", (unsigned long long)attr->fsid, (unsigned long long)attr->fileid);
}

/* The object in the staging directory, not recorded yet. */
static int give_birth(struct making *making, struct birth *birth, struct batch *batch)
{
	const struct dmm_entry *entry = &birth->entry;
	const struct dmm_attr *attr = &entry->attr;
	struct migrate *migrate = making->migrate;
	char name[40], link_text[PATH_MAX];
	struct stat st;

	staging_name(attr, name);
	making->verdict = birth->verdict;
	int result = make_collect(making, entry, NULL, link_text);
	if (result < 0)
		return result;
	CLEAN_FD int fd = make_object(making, migrate->target->links_fd, name, entry, link_text);
	if (fd < 0)
		return fd;
	bool has_data = S_ISREG(attr->mode) && attr->size > 0;
	if (has_data && ftruncate(fd, (off_t)attr->size) < 0)
		return -errno;
	result = make_apply(making, fd, entry, false);
	if (result < 0)
		return result;
	if (fstat(fd, &st) < 0)
		return -errno;
	struct link_record link = {.fsid = attr->fsid, .fileid = attr->fileid, .ino = st.st_ino, .nlink = attr->nlink};
	result = target_handle(fd, "", &link.handle);
	if (result >= 0 && has_data)
		result = make_record_file(making, batch, fd, entry);
	if (result < 0)
		return result;
	batch_link_put(batch, &link);
	batch_totals_add(batch, &(struct totals){.links_pending = 1,
	                                         .files_found = 1,
	                                         .files_migrated = !has_data,
	                                         .files_pending = has_data,
	                                         .bytes_found = S_ISREG(attr->mode) ? (int64_t)attr->size : 0,
	                                         .bytes_pending = has_data ? (int64_t)attr->size : 0});
	return fault_hit(FAULT_LINK_BORN);
}

static bool same_file(const struct birth *a, const struct birth *b)
{
	return a->entry.attr.fileid == b->entry.attr.fileid && a->entry.attr.fsid == b->entry.attr.fsid;
}

static int compare(const void *a, const void *b)
{
	const struct birth *x = *(struct birth *const *)a, *y = *(struct birth *const *)b;

	if (x->entry.attr.fsid != y->entry.attr.fsid)
		return x->entry.attr.fsid < y->entry.attr.fsid ? -1 : 1;
	if (x->entry.attr.fileid != y->entry.attr.fileid)
		return x->entry.attr.fileid < y->entry.attr.fileid ? -1 : 1;
	return 0;
}

/* 1, 0, or an error: then it may be there, and a second one is not to be born. */
static int is_alive(struct migrate *migrate, const struct link_record *link)
{
	CLEAN_FD int fd = target_open_handle(migrate->target, &link->handle, O_PATH);

	return fd >= 0 ? 1 : fd == -ESTALE ? 0 : fd;
}

/* Phase one: every file that has no object yet gets one, and all of them become durable together. */
static int bear_all(struct births *births, struct making *making)
{
	struct batch *batch = batch_new(), *names = making->batch;
	size_t born = 0;
	int result = 0;

	making->batch = batch; /* what is lost is told with what is born */

	qsort(births->all, births->count, sizeof(*births->all), compare);
	for (size_t i = 0; result >= 0 && i < births->count; i++) {
		struct birth *birth = births->all[i];
		struct link_record link;
		if (i > 0 && same_file(births->all[i - 1], birth))
			continue;
		int found = store_link_get(births->migrate->store, birth->entry.attr.fsid, birth->entry.attr.fileid, &link);
		if (found > 0)
			found = is_alive(births->migrate, &link);
		if (found < 0)
			result = found;
		else if (found == 0)
			result = give_birth(making, birth, batch), birth->born_here = true, born++;
	}
	making->batch = names;
	if (result < 0 || born == 0) {
		batch_free(batch);
		return result;
	}
	atomic_store(&births->migrate->links_pending, true);
	store_submit(births->migrate->store, batch, SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
	result = store_flush(births->migrate->store);
	return result < 0 ? result : fault_hit(FAULT_LINK_RECORDED);
}

/* What has the name is either this very file (an interrupted attempt came so far), or it makes way. */
static int link_name(struct making *making, int fd, const struct link_record *link, const char *name)
{
	int dirfd = making->dirfd;

	for (int attempt = 0; attempt < 2; attempt++) {
		struct stat st = {0};
		int result = target_link(fd, dirfd, name); /* the file may be immutable by now */
		if (result != -EEXIST)
			return result;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == link->ino)
			return 0;
		if (make_taken(making, dirfd, name))
			return -EEXIST;
		if (beside_changed(making->migrate, &st) ? make_aside(dirfd, name) < 0 : unlinkat(dirfd, name, 0) < 0)
			return -errno;
	}
	return -EEXIST;
}

/* Is this the first name the file ever gets? Then the file is counted already. A count of none while it was not born here is
 * either an interrupted attempt, or another directory's batch that is still on its way: flush to tell them apart. */
static int first_name(struct migrate *migrate, const struct birth *birth, struct link_record *link)
{
	if (birth->born_here)
		return 1;
	if (link->seen > 0)
		return 0;
	int result = store_flush(migrate->store);
	if (result >= 0)
		result = store_link_get(migrate->store, link->fsid, link->fileid, link);
	return result < 0 ? result : result && link->seen == 0;
}

/* --- is it the same file? --- */

/* A source whose identities are not unique would make one file of two, and lose the other. */
struct original {
	bool known; /* the members below but for the type in attr.mode */
	struct dmm_bytes handle;
	struct dmm_attr attr;
};

static bool alike(const struct dmm_attr *a, const struct dmm_attr *b)
{
	bool change = a->valid & b->valid & DMM_ATTR_CHANGE;

	return a->size == b->size && a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec &&
	       (!change || a->change == b->change);
}

static int take_attr(void *context, const struct dmm_entry *entry)
{
	*(struct dmm_attr *)context = entry->attr;
	return 0;
}

/* It may have changed between one listing and the other: then it is still alike when both are looked at now. */
static bool alike_now(struct source *source, struct dmm_bytes one, struct dmm_bytes other)
{
	struct dmm_attr a, b;

	return source_attr(source, one, take_attr, &a) >= 0 && source_attr(source, other, take_attr, &b) >= 0 && alike(&a, &b);
}

static bool is_of(struct migrate *migrate, const struct original *original, const struct dmm_entry *entry)
{
	const struct dmm_bytes *handle = &original->handle;

	if ((original->attr.mode ^ entry->attr.mode) & S_IFMT)
		return false;
	if (!original->known || (handle->len == entry->handle.len && !memcmp(handle->data, entry->handle.data, handle->len)))
		return true;
	return alike(&original->attr, &entry->attr) || alike_now(migrate->source, *handle, entry->handle);
}

/* What is known of a file that was born with another directory: all, as long as it has a record. */
static int recall(struct migrate *migrate, int fd, const struct link_record *link, struct original *original,
                  struct file_record **record)
{
	struct stat st;

	*original = (struct original){0};
	if (fstat(fd, &st) < 0)
		return -errno;
	original->attr.mode = st.st_mode;
	int found = store_file_get(migrate->store, link->ino, record);
	if (found <= 0)
		return found;
	const struct file_record *file = *record;
	original->known = handle_equal(&file->handle, &link->handle);
	original->handle = (struct dmm_bytes){file->source.bytes, file->source.len};
	original->attr.size = file->source_size;
	original->attr.mtime = (struct dmm_time){file->source_mtime.sec, file->source_mtime.nsec};
	original->attr.change = file->source_change;
	original->attr.valid = file->source_change ? DMM_ATTR_CHANGE : 0;
	return 0;
}

/* The names of the group that are none of this file are told and left out. Returns how many stay, which come first. */
static int sort_out(struct making *making, int fd, const struct link_record *link, struct birth **group, size_t count)
{
	struct original original = {true, group[0]->entry.handle, group[0]->entry.attr};
	struct file_record *record = NULL;
	size_t kept = 0;
	int result = group[0]->born_here ? 0 : recall(making->migrate, fd, link, &original, &record);

	for (size_t i = 0; result >= 0 && i < count; i++) {
		struct birth *birth = group[i];
		if (is_of(making->migrate, &original, &birth->entry)) {
			group[i] = group[kept];
			group[kept++] = birth;
		} else if (making->single) {
			result = -EBADMSG;
		} else {
			making_lost(making, birth->entry.name, "link", -EBADMSG, true);
		}
	}
	if (record)
		file_record_free(record);
	return result < 0 ? result : (int)kept;
}

/* --- names --- */

static int join_name(struct making *making, int fd, struct flight *flight, const struct link_record *link, const char *name)
{
	LOCKED(&making->migrate->flights_lock);
	int result = link_name(making, fd, link, name);

	if (result >= 0)
		flight_name_joined(flight);
	return result;
}

static int join(struct making *making, struct birth **group, size_t count)
{
	struct migrate *migrate = making->migrate;
	const struct dmm_attr *attr = &group[0]->entry.attr;
	struct link_record link;
	int found = store_link_get(migrate->store, attr->fsid, attr->fileid, &link);

	if (found <= 0)
		return found < 0 ? found : -ENOENT;
	CLEAN_FD int fd = target_open_handle(migrate->target, &link.handle, O_PATH);
	if (fd < 0)
		return fd == -ESTALE ? -EIO : fd; /* gone since it was born; ESTALE would say it of the directory */
	int first = first_name(migrate, group[0], &link), kept = first < 0 ? first : sort_out(making, fd, &link, group, count);
	if (kept < 0)
		return kept;
	uint32_t joined = 0;
	struct flight *flight = flight_take(migrate, &link);
	flights_add(making->flights, flight);
	for (int i = 0; i < kept; i++) {
		int result = join_name(making, fd, flight, &link, group[i]->entry.name);
		if (result < 0 && (making->single || result == -ENOSPC || result == -EDQUOT || result == -EROFS))
			return result;
		if (result < 0)
			making_lost(making, group[i]->entry.name, "link", result, true);
		else
			joined++;
		if (result >= 0 && (result = fault_hit(FAULT_LINK_JOINED)) < 0)
			return result;
	}
	int64_t counted = (int64_t)joined - (first && joined ? 1 : 0);
	making->delta.files_found += counted;
	making->delta.files_migrated += counted;
	batch_link_seen(making->batch, attr->fsid, attr->fileid, joined);
	return 0;
}

int births_join(struct births *births, struct making *making)
{
	int result = bear_all(births, making);

	for (size_t i = 0, next; result >= 0 && i < births->count; i = next) {
		for (next = i + 1; next < births->count && same_file(births->all[i], births->all[next]);)
			next++;
		result = join(making, births->all + i, next - i);
	}
	return result;
}

static void remove_staging(struct migrate *migrate, const struct link_record *link, struct flight *flight)
{
	struct dmm_attr attr = {.fsid = link->fsid, .fileid = link->fileid};
	char name[40];

	staging_name(&attr, name);
	LOCKED(&migrate->flights_lock);
	flight_unstaged(flight);
	int result = target_unlink(migrate->target->links_fd, name, 0); /* the file may be immutable by now */
	if (result >= 0)
		result = fault_hit(FAULT_LINK_UNSTAGED);
	if (result < 0)
		log_error("a staging name cannot be removed: name=%s error=%s", name, errno_name(result));
}

void births_purge(struct migrate *migrate)
{
	LOCKED(&migrate->births);
	uint64_t inos[256];
	uint64_t after = 0;
	struct flights flights = {0};
	int count;

	while ((count = store_links_after(migrate->store, after, inos, 256)) > 0) {
		struct batch *batch = batch_new();
		for (int i = 0; i < count; i++) {
			struct link_record link;
			if (store_link_of_ino(migrate->store, inos[i], &link) <= 0)
				continue;
			struct flight *flight = flight_take(migrate, &link);
			flights_add(&flights, flight);
			remove_staging(migrate, &link, flight);
			batch_link_delete(batch, link.fsid, link.fileid);
			batch_totals_add(batch, &(struct totals){.links_pending = -1});
		}
		after = inos[count - 1];
		store_submit(migrate->store, batch, SUBMIT_BARRIER, NULL, NULL);
		if (store_flush(migrate->store) < 0)
			return; /* what is shown goes on being right */
		flights_put(migrate, &flights);
	}
	if (store_flush(migrate->store) >= 0)
		atomic_store(&migrate->links_pending, false);
}
