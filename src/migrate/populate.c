/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Populating a directory: its entries appear whole or not at all (I3).
 *
 * Phased commit. The intent is the directory's own record, which says "not populated". Then everything is made on the target,
 * where no application sees it. Then the target is synced and one transaction deletes the directory's record and puts those of
 * its children. A crash before that leaves the record, and the population is done again over what the first attempt left.
 *
 * In the background small files come with their data in the same pass, so that they never get a record at all. As soon as
 * somebody waits for the directory, or the governor grants no more bytes, only names are made.
 */
#include "migrate/coming.h"
#include "migrate/crew.h"
#include "migrate/make.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "migrate/listing.h"
#include "migrate/names.h"
#include "target/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* --- entries --- */

/* The last that is done to a file which came with its directory. */
static int complete_regular(struct making *making, int fd, const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;

	if ((attr->valid & DMM_ATTR_FLAGS) && attr->flags) {
		int flagged = target_add_flags(fd, attr->flags);
		if (flagged < 0)
			making_lost(making, entry->name, "inode flags", flagged, false);
	}
	return attr->size > 0 && making->migrate->options.digests ? make_record_digest(making, fd) : 0;
}

/* Of an entry that failed after it was made: without a record it would be taken for all that there is, by applications and by the
 * next attempt. */
static int unmake(struct making *making, const struct dmm_entry *entry, int error)
{
	int result = target_unlink(making->dirfd, entry->name, S_ISDIR(entry->attr.mode) ? AT_REMOVEDIR : 0);

	if (result < 0)
		log_warning("what could not be made as a whole cannot be removed: name=\"%s\" error=%s", entry->name,
		            errno_name(result));
	return error;
}

static int make_regular(struct making *making, const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;
	bool with_data = making->coming ? making->coming->with_data : fill_wanted(making, attr);
	struct source_file *file = NULL;

	if (with_data && !coming_has_data(making) && source_file_open(making->migrate->source, entry->handle, &file) < 0)
		file = NULL;
	int result = make_collect(making, entry, file, NULL);
	CLEAN_FD int fd = result < 0 ? result : make_object(making, making->dirfd, entry->name, entry, NULL);
	if (fd >= 0) {
		bool complete = attr->size == 0 || (with_data && fill_try(making, fd, entry, file));
		if (!complete && ftruncate(fd, (off_t)attr->size) < 0)
			result = -errno;
		if (result >= 0)
			result = make_apply(making, fd, entry, making->inherited_acl);
		if (result >= 0 && !complete)
			result = make_record_file(making, making->batch, fd, entry);
		if (result >= 0) {
			making->delta.bytes_found += (int64_t)attr->size;
			making->delta.bytes_migrated += complete ? (int64_t)attr->size : 0;
			making->delta.files_migrated += complete;
			making->delta.files_pending += !complete;
			making->delta.bytes_pending += complete ? 0 : (int64_t)attr->size;
			making->filled_files[making->verdict.key.class] += complete && making->judging;
			making->fetched_bytes += complete && making->verdict.bring ? attr->size : 0;
		}
		if (result >= 0 && complete)
			result = complete_regular(making, fd, entry);
		if (result < 0)
			unmake(making, entry, result);
	}
	if (file)
		source_file_close(file);
	return fd < 0 ? fd : result;
}

static int make_new_directory(struct making *making, const struct dmm_entry *entry, const struct source_ref *lineage)
{
	const struct dmm_attr *attr = &entry->attr;
	int result = make_collect(making, entry, NULL, NULL);
	CLEAN_FD int fd = result < 0 ? result : make_object(making, making->dirfd, entry->name, entry, NULL);
	struct stat st;

	if (fd < 0)
		return fd;
	result = make_apply(making, fd, entry, making->inherited_acl);
	if (result >= 0 && fstat(fd, &st) < 0)
		result = -errno;
	if (result < 0)
		return unmake(making, entry, result);
	struct dir_record record = {
		.ino = st.st_ino,
		.source = {(uint16_t)entry->handle.len, entry->handle.data},
		.nlink = attr->valid & DMM_ATTR_NLINK ? attr->nlink : 0,
		.inode_flags = attr->valid & DMM_ATTR_FLAGS ? attr->flags : 0,
		.collisions_settled = !making->redo, /* it is new, so there are none */
		.mtime = {attr->mtime.sec, attr->mtime.nsec},
		.atime = {attr->atime.sec, attr->atime.nsec},
	};
	result = target_handle(fd, "", &record.handle);
	if (result < 0)
		return unmake(making, entry, result);
	record.lineage = *lineage;
	object_bury(making->migrate, record.ino, &record.handle, true);
	batch_dir_put(making->batch, &record);
	making_keep_child(making, object_insert_dir(making->migrate, &record));
	making->delta.dirs_found++;
	return 0;
}

/* One that is among those above it would go on without end, each time with all that is in it. */
static int make_directory(struct making *making, const struct dmm_entry *entry)
{
	struct source_ref lineage;
	int result = lineage_extend(&making->dir->dir.lineage, &entry->attr, &lineage);

	if (result < 0)
		return result;
	result = make_new_directory(making, entry, &lineage);
	free((void *)lineage.bytes);
	return result;
}

static int make_other(struct making *making, const struct dmm_entry *entry)
{
	char link_text[PATH_MAX];
	int result = make_collect(making, entry, NULL, link_text);
	CLEAN_FD int fd = result < 0 ? result : make_object(making, making->dirfd, entry->name, entry, link_text);

	if (fd < 0)
		return fd;
	result = make_apply(making, fd, entry, making->inherited_acl);
	if (result < 0)
		return unmake(making, entry, result);
	making->delta.files_migrated++;
	return result;
}

bool populate_drops(const struct migrate *migrate, const struct dmm_attr *attr)
{
	return migrate->options.drop_devices && (S_ISBLK(attr->mode) || S_ISCHR(attr->mode));
}

int populate_entry(struct making *making, const struct dmm_entry *entry)
{
	const struct dmm_attr *attr = &entry->attr;

	if (populate_drops(making->migrate, attr)) {
		making_lost(making, entry->name, "device", -EKEYREJECTED, false);
		return 0;
	}
	if (S_ISDIR(attr->mode))
		return make_directory(making, entry);
	if ((attr->valid & DMM_ATTR_NLINK) && attr->nlink > 1) {
		births_add(making->births, entry, &making->verdict);
		return 0; /* counted when it is joined */
	}
	if (S_ISREG(attr->mode) && segments_for(attr->size, making->segsize) > SEGMENTS_MOST)
		return -EFBIG;
	int result = S_ISREG(attr->mode) ? make_regular(making, entry) : make_other(making, entry);
	if (result >= 0)
		making->delta.files_found++;
	return result;
}

/* One bad entry does not stop the rest (I7); a full target and the end of the daemon do. */
static bool ends_all(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -ECANCELED || error == -ENOMEM || error == -EROFS ||
	       error == -EMFILE || error == -ENFILE;
}

/* An entry that fails in a way that may pass fails the directory a few times: an application that looked there would take the
 * entry for absent. After that, or when the administrator wants nothing tried again by itself, the rest appears without it, and the
 * entry waits for the administrator. */
#define ENTRY_TRIES 3

static bool may_pass(struct making *making, int error)
{
	static const int final[] = {EBADMSG, ENAMETOOLONG, EINVAL, EPROTO, EOPNOTSUPP, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR,
	                            EMLINK,  EFBIG,        EPERM,  ENOENT, ELOOP,      E2BIG,  EREMOTE,   EILSEQ};

	for (size_t i = 0; i < sizeof(final) / sizeof(*final); i++)
		if (error == -final[i])
			return false;
	struct ledger *ledger = &making->migrate->ledger;
	unsigned tries = ledger_tries(ledger, making->dir->ino);
	return tries < ENTRY_TRIES && tries < atomic_load(&ledger->retries);
}

/* A name once more. Which of its objects is meant nobody knows; the first is there. A listing that goes round in a circle brings
 * each of its names again and again. */
#define REPEATED_MOST 1000

static int take_again(struct making *making, const struct dmm_entry *entry)
{
	if (!entry->error && !making->anew)
		name_set_add(making->twice, entry->name);
	making->repeated++;
	return making->repeated > REPEATED_MOST && making->repeated > name_set_count(making->names) ? -ELOOP : 0;
}

static void tell_repeated(struct making *making)
{
	size_t at = 0;

	for (const char *name; (name = name_set_next(making->twice, &at));)
		making_lost(making, name, "create", -EEXIST, true);
}

/* Of a large directory much is on its way to the disk already when its records come, and the barrier before these is short. */
#define SYNC_EVERY 8192u

static void sync_ahead(struct making *making)
{
	if (making->taken % SYNC_EVERY == 0)
		store_submit(making->migrate->store, batch_new(), SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
}

int populate_take(struct making *making, const struct dmm_entry *entry)
{
	beside_at_work(making->migrate);
	int result = entry->error ? -entry->error : populate_entry(making, entry);

	if (result < 0 && (ends_all(result) || may_pass(making, result)))
		return result;
	if (result < 0)
		making_lost(making, entry->name, "create", result,
		            result != -ENOENT); /* gone from the source: drift, not an error */
	if (atomic_load_explicit(&making->migrate->stopping, memory_order_relaxed))
		return -ECANCELED;
	return fault_hit(FAULT_POPULATE_ENTRY);
}

int populate_take_entry(struct making *making, const struct dmm_entry *entry)
{
	if (!name_set_add(making->names, entry->name))
		return take_again(making, entry);
	if (make_reserved(making->dir, entry->name)) {
		making_lost(making, entry->name, "create", -EBUSY, true);
		return 0;
	}
	if (making->judging && !entry->error && make_skip(making, entry))
		return atomic_load_explicit(&making->migrate->stopping, memory_order_relaxed) ? -ECANCELED : 0;
	making->taken++;
	sync_ahead(making);
	if (making->comings)
		return comings_add(making, entry);
	if (making->shared && making->taken > CREW_FROM && !making->crew) {
		making->crew = crew_new(making);
		making->shared = making->crew != NULL;
	}
	return making->crew ? crew_add(making->crew, entry) : populate_take(making, entry);
}

static int take_entry(void *context, const struct dmm_entry *entry)
{
	return populate_take_entry(context, entry);
}

static void begin_anew(void *context)
{
	struct making *making = context;

	making->anew = true;
	making->repeated = 0;
}

static int make_all(struct making *making)
{
	const struct object *dir = making->dir;
	int unlisted = 0, result = fault_hit(FAULT_POPULATE_BEGIN);

	if (result < 0)
		return result;
	making->comings = comings_new(making);
	making->shared = !making->comings;
	result = list_whole(&(struct whole_listing){.source = making->migrate->source,
	                                            .handle = {dir->source_bytes, dir->source_len},
	                                            .entry = take_entry,
	                                            .anew = begin_anew,
	                                            .context = making,
	                                            .ino = dir->ino},
	                    &unlisted);
	if (making->crew)
		result = crew_end(making->crew, result);
	making->crew = NULL;
	making->shared = false;
	if (result == 0 && making->comings)
		result = comings_end(making);
	comings_free(making->comings);
	making->comings = NULL;
	if (result >= 0 && unlisted)
		making_lost_so(making, NULL, "disagreement",
		               "the SMB side can not list it: what is in it comes over without NT attributes", -unlisted, false);
	return source_result(result);
}

/* --- what was there before --- */

/* With collision=error the target was empty, so a name that the source does not have is left from an interrupted attempt whose
 * entry has vanished at the source since. With the other policies it is the administrator's and stays. */
static int list_present(struct making *making, struct name_set *present)
{
	int fd = openat(making->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (!stream) {
		int failure = -errno;
		close(fd);
		return failure;
	}
	bool root = making->dir->ino == making->migrate->target->root_ino;
	for (struct dirent *entry; (entry = readdir(stream));) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") && strcmp(name, "..") &&
		    !(root && (strcmp(name, TARGET_OURS) == 0 || strcmp(name, "lost+found") == 0)))
			name_set_add(present, name);
	}
	closedir(stream);
	return 0;
}

/* Made past us, while no daemon ran. */
static bool is_of_others(struct making *making, const char *name)
{
	struct stat st;

	if (fstatat(making->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !beside_changed(making->migrate, &st))
		return false;
	log_warning("a name that was made past the mount in a directory that had not come over stays: ino=%llu name=\"%s\"",
	            (unsigned long long)making->dir->ino, name);
	return true;
}

static int remove_leftovers(struct making *making, struct name_set *present)
{
	size_t at = 0;

	for (const char *name; (name = name_set_next(present, &at));) {
		if (name_set_has(making->names, name) || is_of_others(making, name))
			continue;
		if (unlinkat(making->dirfd, name, 0) < 0 && unlinkat(making->dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			log_warning("a leftover of an interrupted attempt cannot be removed: name=\"%s\" error=%s", name,
			            errno_name(errno));
		int result = fault_hit(FAULT_POPULATE_CLEARED);
		if (result < 0)
			return result;
	}
	return 0;
}

#define TURNS_MAX 100 /* a source may list other names each time */

/* collision=rename: what is in the way moves aside before anything is made, and that it did is durable first; otherwise a redo
 * would move our own half-made entries aside as well. Also when nothing was there: the redo cannot tell whose its entries are. */
struct aside {
	struct making *making;
	struct name_set *present;
	bool moved;
};

static int move_aside(void *context, const struct dmm_entry *entry)
{
	struct aside *aside = context;
	int dirfd = aside->making->dirfd;
	struct stat st;

	if (aside->making->judging && make_skips(aside->making, entry))
		return 0;
	if (!name_set_has(aside->present, entry->name) || fstatat(dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (S_ISDIR(st.st_mode) && S_ISDIR(entry->attr.mode)))
		return 0;
	int result = make_aside(dirfd, entry->name);
	if (result < 0)
		return result;
	name_set_add(aside->making->aside, entry->name);
	aside->moved = true;
	return fault_hit(FAULT_COLLISION_ASIDE);
}

/* What has moved aside is not there when a listing begins anew. */
static int move_all_aside(struct aside *aside)
{
	const struct object *dir = aside->making->dir;

	return source_result(list_whole(&(struct whole_listing){.source = dir->migrate->source,
	                                                        .handle = {dir->source_bytes, dir->source_len},
	                                                        .entry = move_aside,
	                                                        .context = aside,
	                                                        .ino = dir->ino},
	                                NULL));
}

static int settle_collisions(struct making *making, struct name_set *present)
{
	struct object *dir = making->dir;
	struct aside aside = {.making = making, .present = present};

	if (making->migrate->options.collision != COLLISION_RENAME || dir->dir.collisions_settled)
		return 0;
	int result = move_all_aside(&aside);
	for (unsigned turn = 0; result >= 0 && aside.moved; turn++) { /* to a name that the source has as well, it may be */
		aside.moved = false;
		result = turn < TURNS_MAX ? list_present(making, present) : -EEXIST;
		if (result >= 0)
			result = move_all_aside(&aside);
	}
	if (result < 0)
		return result;
	dir->dir.collisions_settled = true;
	struct batch *batch = batch_new();
	batch_dir_put(batch, &dir->dir);
	object_submit(dir, batch, SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
	result = store_flush(making->migrate->store);
	return result < 0 ? result : fault_hit(FAULT_COLLISION_SETTLED);
}

/* --- the end --- */

static void restore_times(struct making *making)
{
	struct object *dir = making->dir;
	LOCKED(&dir->lock);
	struct timespec times[2] = {
		{.tv_sec = dir->dir.atime.sec, .tv_nsec = dir->dir.atime.nsec},
		{.tv_sec = dir->mtime.sec, .tv_nsec = dir->mtime.nsec},
	};
	if (futimens(making->dirfd, times) < 0)
		log_warning("cannot restore the times of a directory: ino=%llu error=%s", (unsigned long long)dir->ino,
		            errno_name(errno));
}

/* What waits for the commit. */
struct made {
	struct flights *flights;
	struct offer *offers;
	size_t n_offers;
	uint64_t filled_files[ORDER_CLASSES], fetched_bytes;
};

void populate_ended(struct object *dir, bool here)
{
	pthread_mutex_lock(&dir->lock);
	enum order_class class = dir->turn;
	struct bring *bring = dir->bring;
	dir->turn = CLASS_NORMAL;
	dir->bring = NULL;
	pthread_mutex_unlock(&dir->lock);
	order_ended(dir->migrate, class, bring, here, 0, 0);
}

/* The names are for everyone to see, so what is behind them can be brought in order. */
static void hand_on(struct object *dir, struct made *made, int error)
{
	struct migrate *migrate = dir->migrate;

	flights_put(migrate, made->flights);
	if (error == 0) {
		order_offer_files(migrate, made->offers, made->n_offers);
		order_filled(migrate, made->filled_files, dir->bring, made->fetched_bytes);
	}
	if (made->n_offers)
		order_coming(migrate, -1);
	free(made->offers);
	free(made->flights);
	free(made);
}

static void populated(struct object *dir, int error, void *context)
{
	hand_on(dir, context, error);
	populate_ended(dir, error == 0);
	if (error < 0)
		return;
	pthread_mutex_lock(&dir->lock);
	atomic_fetch_add(&dir->migrate->settled, 1);
	dir->life = DIR_POPULATED;
	dir->error = 0;
	bool touched = dir->hurry;
	pthread_mutex_unlock(&dir->lock);
	if (touched)
		order_touch(dir->migrate, dir);
	crawl_dir_done(dir->migrate);
}

/* Everything is made: hand the records in, in one batch. */
static void submit(struct making *making)
{
	struct object *dir = making->dir;
	LOCKED(&dir->rights); /* an application that sets the times comes before this or after */
	restore_times(making);
	if (dir->dir.inode_flags) {
		int result = target_add_flags(making->dirfd, dir->dir.inode_flags);
		if (result < 0)
			making_lost(making, NULL, "inode flags", result, false);
	}
	making->delta.dirs_migrated++;
	batch_dir_delete(making->batch, dir->ino);
	ledger_clear_with(&making->migrate->ledger, dir->ino, making->batch);
	batch_totals_add(making->batch, &making->delta);
	pthread_mutex_lock(&dir->lock);
	dir->life = DIR_MADE;
	unsigned flags = SUBMIT_BARRIER | (dir->hurry ? SUBMIT_URGENT : 0);
	pthread_mutex_unlock(&dir->lock);
	struct made *made = must_alloc(sizeof(*made));
	*made = (struct made){.flights = making->flights,
	                      .offers = making->offers,
	                      .n_offers = making->n_offers,
	                      .fetched_bytes = making->fetched_bytes};
	memcpy(made->filled_files, making->filled_files, sizeof(made->filled_files));
	if (made->n_offers)
		order_coming(making->migrate, 1);
	object_submit(dir, making->batch, flags, populated, made);
	making->flights = NULL;
	making->offers = NULL;
	making->batch = NULL;
	progress_moved(making->migrate, atomic_load(making->filled), false);
	progress_files(making->migrate, (uint64_t)(making->delta.files_migrated + 1));
}

static int make_directory_entries(struct making *making)
{
	struct migrate *migrate = making->migrate;
	struct name_set *present = making->present;
	int result = list_present(making, present);

	if (result >= 0)
		result = settle_collisions(making, present);
	if (result >= 0)
		result = make_all(making);
	if (result >= 0)
		result = relist(making);
	if (result >= 0 && !name_set_empty(present) && migrate->options.collision == COLLISION_ERROR)
		result = remove_leftovers(making, present);
	if (result >= 0 && making->judging)
		make_skipped_end(making);
	if (result >= 0)
		tell_repeated(making);
	return result < 0 ? result : fault_hit(FAULT_POPULATE_MADE);
}

static int populate(struct making *making)
{
	struct migrate *migrate = making->migrate;
	CLEAN_FD int dirfd = target_open_handle(migrate->target, &making->dir->handle, O_RDONLY | O_DIRECTORY);

	if (dirfd < 0)
		return dirfd;
	making->dirfd = dirfd;
	if (making->dir->dir.inode_flags) /* an attempt that was cut off after its last step has set them */
		target_unlock_flags(dirfd);
	making->inherited_acl = fgetxattr(dirfd, "system.posix_acl_default", NULL, 0) > 0;
	make_judging_begin(making);
	int result = make_directory_entries(making);
	if (result < 0)
		return result;
	if (births_empty(making->births)) {
		submit(making);
		return 0;
	}
	/* Held until the batch is handed in: whoever counts the names of a file next sees ours. */
	LOCKED(&migrate->births);
	result = births_join(making->births, making);
	if (result >= 0)
		submit(making);
	return result;
}

void dir_drop(struct object *dir)
{
	pthread_mutex_lock(&dir->lock);
	bool drop = !dir->dropped && dir->life < DIR_MADE;
	dir->dropped = dir->dropped || drop;
	pthread_mutex_unlock(&dir->lock);
	if (!drop)
		return;
	struct batch *batch = batch_new();
	batch_dir_delete(batch, dir->ino);
	batch_totals_add(batch, &(struct totals){.dirs_found = -1});
	ledger_clear_with(&dir->migrate->ledger, dir->ino, batch);
	object_submit(dir, batch, SUBMIT_BARRIER, NULL, NULL);
}

static const char *explain(const struct migrate *migrate, int error)
{
	switch (error) {
	case -ENOENT:
		return "it is gone from the source";
	case -ELOOP:
		return "the source lists the same names again and again";
	case -EOVERFLOW:
		return "the source lists more entries than maxentries permits";
	default:
		return source_advice(migrate->source, error);
	}
}

/* Recorded before anyone is told (I7). */
static void record_failure(struct object *dir, int error)
{
	struct migrate *migrate = dir->migrate;

	if (error == -ENOSPC || error == -EDQUOT) {
		target_note_full(migrate); /* room is not the directory's fault */
		return;
	}
	pthread_mutex_lock(&dir->lock);
	bool told = object_tells(dir);
	pthread_mutex_unlock(&dir->lock);
	ledger_error(&migrate->ledger, &(struct failure){.ino = dir->ino,
	                                                 .handle = &dir->handle,
	                                                 .is_dir = true,
	                                                 .what = "list",
	                                                 .detail = explain(migrate, error),
	                                                 .final = error == -ELOOP || error == -EOVERFLOW,
	                                                 .error = error_told(error),
	                                                 .told = told,
	                                                 .outage = outage_explains(migrate, error)});
}

static void give_up(struct object *dir, int error)
{
	if (error != -ESTALE && error != -ECANCELED)
		record_failure(dir, error);
	pthread_mutex_lock(&dir->lock);
	dir->life = DIR_ABSENT;
	dir->error = error_told(error);
	dir->error_ns = clock_monotonic_ns();
	dir->hurry = false;
	pthread_mutex_unlock(&dir->lock);
	populate_ended(dir, false);
	if (error == -ESTALE)
		dir_drop(dir);
	object_fail(dir, 0, 0, error == -ECANCELED ? -EIO : error_told(error));
	crawl_dir_done(dir->migrate);
}

static void populate_run(struct lane_job *job)
{
	struct object *dir = (struct object *)((char *)job - offsetof(struct object, dir_job));
	struct migrate *migrate = dir->migrate;
	atomic_ullong filled = 0;
	struct making making = {
		.migrate = migrate, .dir = dir, .segsize = atomic_load(&migrate->tuned.segsize), .filled = &filled};

	pthread_mutex_lock(&dir->lock);
	dir->life = DIR_RUNNING;
	making.fill = !dir->hurry;
	pthread_mutex_unlock(&dir->lock);
	making_equip(&making);
	making.present = name_set_new();
	making.aside = name_set_new();
	making.names = name_set_new();
	making.twice = name_set_new();
	making.flights = must_alloc(sizeof(*making.flights));
	uint64_t began_ns = clock_monotonic_ns();

	int result = atomic_load(&migrate->stopping) ? -ECANCELED : populate(&making);
	if (result >= 0 && making.judging)
		order_offer_dirs(migrate, making.children, making.verdicts, making.n_children);
	for (size_t i = 0; i < making.n_children; i++) {
		if (result >= 0 && !making.judging)
			crawl_offer_dir(migrate, making.children[i]);
		object_put(making.children[i]);
	}
	if (result < 0) {
		batch_free(making.batch);
		flights_put(migrate, making.flights);
		free(making.flights);
		give_up(dir, result);
	}
	if (making.fill)
		govern_worked(migrate, GOVERNED_NAMES, clock_monotonic_ns() - began_ns);
	crawl_dir_made(migrate);
	free(making.path);
	making_strip(&making);
	name_set_free(making.present);
	name_set_free(making.aside);
	name_set_free(making.names);
	name_set_free(making.twice);
	object_put(dir);
}

bool populate_request(struct object *dir, enum lane_class class)
{
	pthread_mutex_lock(&dir->lock);
	bool start = dir->life == DIR_ABSENT && !dir->dropped;
	bool made = dir->life == DIR_MADE;
	if (class == LANE_DEMAND)
		__atomic_store_n(&dir->hurry, true, __ATOMIC_RELAXED);
	if (start) {
		dir->life = DIR_QUEUED;
		dir->dir_job.run = populate_run;
		object_ref(dir);
		lane_submit(dir->migrate->names, &dir->dir_job, class);
	} else if (dir->life == DIR_QUEUED && class != LANE_BACKGROUND) {
		lane_promote(dir->migrate->names, &dir->dir_job, class);
	} else if (dir->crew && class == LANE_DEMAND) {
		crew_hurry(dir->crew);
	}
	pthread_mutex_unlock(&dir->lock);
	if (made && class == LANE_DEMAND)
		store_hurry(dir->migrate->store);
	return start;
}
