/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Putting a migration together and taking it apart.
 */
#include "migrate/internal.h"
#include "migrate/order.h"
#include "migrate/remains.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "migrate/descriptor.h"
#include "target/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* File systems take their time from a clock that goes in steps. */
#define BESIDE_SLACK_NS (20 * NS_PER_MS)

static int start_lanes(struct migrate *migrate)
{
	const struct migrate_options *options = &migrate->options;
	struct lane_options names = {.name = "names", .max = options->maxnsproc, .reserve = options->resnsproc};
	struct lane_options data = {.name = "data", .max = options->maxdfproc, .reserve = options->resdfproc};
	int result = lane_start(&names, &migrate->names);

	if (result >= 0)
		result = lane_start(&data, &migrate->data);
	if (result >= 0 && options->paused)
		migrate_pause(migrate, true);
	return result;
}

static void note_limit(void *context, const char *kind, const char *sentence)
{
	struct migrate *migrate = context;

	ledger_limit(&migrate->ledger, kind, sentence);
}

int migrate_start(const struct migrate_options *options, struct store *store, const struct target *target, struct source *source,
                  struct migrate **started)
{
	struct migrate *migrate = must_alloc(sizeof(*migrate));
	struct totals totals;

	migrate->options = *options;
	migrate->started_ns = (options->began_ns ? options->began_ns : clock_wall_ns()) - BESIDE_SLACK_NS;
	tuned_set(migrate, options);
	migrate->store = store;
	migrate->target = target;
	migrate->source = source;
	pthread_mutex_init(&migrate->births, NULL);
	pthread_mutex_init(&migrate->deciding, NULL);
	pthread_mutex_init(&migrate->flights_lock, NULL);
	table_init(&migrate->table);
	progress_init(&migrate->progress);
	load_init(&migrate->load);
	window_init(&migrate->window);
	crawl_new(migrate); /* before the threads that have news for it */
	store_totals(store, &totals);
	atomic_store(&migrate->links_pending, totals.links_pending > 0);
	int result = ledger_open(&migrate->ledger, store, target->root_fd, options->error_retries);
	if (result >= 0)
		source_limits(source, note_limit, migrate);
	if (result >= 0)
		result = start_lanes(migrate);
	verify_open_job(migrate);
	if (result >= 0)
		again_start(migrate);
	if (result >= 0)
		result = govern_start(migrate);
	if (result >= 0)
		result = order_start(migrate);
	if (result >= 0)
		result = crawl_start(migrate);
	*started = migrate;
	return result;
}

/* The object at `at` with a reference. */
static struct object *take(struct table_shard *shard, struct object **at)
{
	LOCKED(&shard->lock);
	if (*at)
		(*at)->refs++;
	return *at;
}

static void fail_waiters(struct migrate *migrate)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		struct table_shard *shard = &migrate->table.shards[i];
		for (unsigned b = 0; b < SHARD_BUCKETS; b++) {
			struct object *object = take(shard, &shard->buckets[b]), *next;
			for (; object; object = next) {
				object_fail(object, 0, UINT64_MAX, -EIO);
				next = take(shard, &object->hash_next);
				object_put(object);
			}
		}
	}
}

void migrate_stop(struct migrate *migrate)
{
	atomic_store(&migrate->stopping, true);
	source_cancel_all(migrate->source);
	order_stop(migrate);
	verify_end_job(migrate);
	crawl_stop(migrate);
	govern_stop(migrate);
	lane_pause(migrate->names, false);
	lane_pause(migrate->data, false);
	lane_stop(migrate->names);
	lane_stop(migrate->data);
	fail_waiters(migrate);
	store_flush(migrate->store);
}

void migrate_free(struct migrate *migrate)
{
	verify_free_job(migrate);
	ledger_close(&migrate->ledger);
	govern_free(migrate);
	again_free(migrate);
	order_free(migrate);
	table_close(&migrate->table);
	free(migrate->crawl);
	free(migrate);
}

void migrate_pause(struct migrate *migrate, bool paused)
{
	atomic_store(&migrate->paused, paused);
	lane_pause(migrate->names, paused);
	lane_pause(migrate->data, paused);
	crawl_poke(migrate);
}

void migrate_on_complete(struct migrate *migrate, void (*complete)(void *context), void *context)
{
	migrate->complete_context = context;
	atomic_store(&migrate->complete, complete);
	crawl_poke(migrate);
}

void migrate_on_appear(struct migrate *migrate, void (*appear)(void *context, const struct handle *dir, const char *name),
                       void *context)
{
	migrate->appear_context = context;
	migrate->appear = appear;
	again_run(migrate);
}

void migrate_on_renew(struct migrate *migrate, void (*renewed)(void *context, const struct handle *file), void *context)
{
	migrate->renewed_context = context;
	atomic_store(&migrate->renewed, renewed);
}

/* --- the root --- */

struct planting {
	struct store *store;
	const struct target *target;
	struct source *source;
	struct batch *batch;
	struct xattr_set xattrs;
};

static void tell_root_loss(struct planting *planting, const char *what, const char *detail, int error)
{
	uint64_t now = clock_wall_ns();
	struct error_record record = {
		.id = store_error_id(planting->store),
		.ino = planting->target->root_ino,
		.kind = ERROR_LOSS,
		.state = ERROR_WAIVED,
		.error = -error,
		.first_ns = now,
		.last_ns = now,
		.what = (char *)what,
		.path = (char *)"",
		.detail = (char *)detail,
	};

	batch_error_put(planting->batch, &record);
	log_warning("the root cannot be given everything it had: what=%s error=%s", what, errno_name(error));
}

static void root_loss(void *context, const char *what, int error)
{
	tell_root_loss(context, what, "", error);
}

static int keep_root_loss(void *context, const char *kind, const char *detail)
{
	tell_root_loss(context, kind, detail, -EOPNOTSUPP);
	return 0;
}

static void tell_descriptor(void *context, const char *kind, const char *detail)
{
	tell_root_loss(context, kind, detail, -EOPNOTSUPP);
}

static int keep_xattr(void *context, const char *name, const void *value, size_t len)
{
	struct planting *planting = context;

	return strcmp(name, TARGET_MARK) == 0 ? 0 : xattr_set_add(&planting->xattrs, name, value, len);
}

static int plant(void *context, const struct dmm_entry *entry)
{
	struct planting *planting = context;
	const struct dmm_attr *attr = &entry->attr;

	if (!S_ISDIR(attr->mode))
		return -ENOTDIR;
	if (source_capabilities(planting->source) & DMM_CAP_XATTR) {
		int result = source_attributes(planting->source, entry->handle, NULL, keep_xattr, keep_root_loss, planting);
		if (result < 0)
			return result;
		if (result > 0)
			tell_root_loss(planting, "disagreement", "the SMB side does not give all its attributes", -result);
	}
	struct dmm_attr own = *attr;
	int translated = descriptor_apply(source_sids(planting->source), &planting->xattrs, &own, tell_descriptor, planting);
	if (translated < 0)
		return translated;
	struct apply apply = {.attr = &own, .xattrs = &planting->xattrs, .loss = root_loss, .context = planting};
	int result = target_apply(planting->target->root_fd, &apply);
	if (result < 0)
		return result;
	struct dir_record record = {
		.ino = planting->target->root_ino,
		.handle = planting->target->root_handle,
		.source = {(uint16_t)entry->handle.len, entry->handle.data},
		.nlink = attr->valid & DMM_ATTR_NLINK ? attr->nlink : 0,
		.inode_flags = attr->valid & DMM_ATTR_FLAGS ? attr->flags : 0,
		.mtime = {attr->mtime.sec, attr->mtime.nsec},
		.atime = {attr->atime.sec, attr->atime.nsec},
	};
	result = lineage_extend(&(struct source_ref){0}, attr, &record.lineage);
	if (result < 0)
		return result;
	batch_dir_put(planting->batch, &record);
	batch_totals_add(planting->batch, &(struct totals){.dirs_found = 1});
	free((void *)record.lineage.bytes);
	return 0;
}

int migrate_plant_root(struct store *store, const struct target *target, struct source *source)
{
	struct totals totals;

	store_totals(store, &totals);
	if (totals.dirs_found > 0)
		return 0; /* before a crash, and it is counted */
	struct planting planting = {.store = store, .target = target, .source = source, .batch = batch_new()};
	int result = source_root(source, plant, &planting);

	xattr_set_free(&planting.xattrs);
	if (result < 0) {
		batch_free(planting.batch);
		return result;
	}
	store_submit(store, planting.batch, SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
	return store_flush(store);
}

/* --- reports --- */

static enum migration_state state_of(struct migrate *migrate, const struct migration_stat *stat)
{
	const struct totals *totals = &stat->totals;

	if (store_gave_up(migrate->store))
		return MIGRATION_FAILED;
	if (stat->crawl_done && totals->files_pending <= totals->files_waived && totals->files_error == 0 &&
	    totals->dirs_error == 0)
		return MIGRATION_COMPLETE;
	return atomic_load(&migrate->paused) ? MIGRATION_PAUSED : MIGRATION_RUNNING;
}

void migrate_stat(struct migrate *migrate, struct migration_stat *stat)
{
	struct source_counters counters;

	store_totals(migrate->store, &stat->totals);
	stat->crawl_done = crawl_saw_everything(migrate);
	stat->state = state_of(migrate, stat);
	stat->segsize = atomic_load(&migrate->tuned.segsize);
	stat->target_full = target_is_full(migrate);
	struct source_reach reach;
	source_reach(migrate->source, &reach);
	stat->source_down_since_ns = reach.down ? reach.since_ns : 0;
	stat->source_error = reach.error;
	stat->state_trouble = store_trouble(migrate->store);
	store_usage(migrate->store, &stat->state_bytes, &stat->state_commits);
	source_counters(migrate->source, &counters);
	for (size_t i = 0; i < sizeof(counters.requests) / sizeof(*counters.requests); i++)
		stat->source_requests += counters.requests[i];
	stat->source_bytes = counters.bytes_read;
	stat->source_retries = counters.retries;
	progress_stat(migrate, stat);
	govern_stat(migrate, &stat->background);
	order_stat(migrate, stat);
	/* What only moves when somebody asks for it has no pace of its own. */
	if (stat->eta_s > 0 &&
	    (stat->state == MIGRATION_PAUSED || !migrate->options.background || stat->background.data_workers == 0))
		stat->eta_s = -1;
}

static void add_range(struct where_report *report, uint64_t off, uint64_t len, enum where_kind kind)
{
	struct where_range *last = report->n_ranges ? &report->ranges[report->n_ranges - 1] : NULL;

	if (len == 0)
		return;
	if (last && last->kind == kind) {
		last->len += len;
		return;
	}
	report->ranges = realloc(report->ranges, (report->n_ranges + 1) * sizeof(*report->ranges));
	if (!report->ranges)
		abort();
	report->ranges[report->n_ranges++] = (struct where_range){off, len, kind};
}

static void where_file(struct object *file, struct where_report *report)
{
	LOCKED(&file->lock);
	uint64_t segsize = file->file.segsize;

	for (uint64_t s = 0; s < file->n_segments; s++)
		add_range(report, s * segsize, segment_bytes(file, s),
		          segment_get(file->changed, s)    ? WHERE_CHANGED
		          : segment_get(file->resident, s) ? WHERE_RESIDENT
		                                           : WHERE_SOURCE);
	if (report->size > file->file.limit)
		add_range(report, file->file.limit, report->size - file->file.limit, WHERE_CHANGED);
	report->finished = file->absent == 0;
}

static void where_dir(struct object *dir, struct where_report *report)
{
	LOCKED(&dir->lock);
	report->finished = dir->life == DIR_POPULATED;
}

int migrate_where(struct migrate *migrate, int fd, struct where_report *report)
{
	struct handle handle;
	struct stat st;
	int result = target_handle(fd, "", &handle);

	if (result < 0)
		return result;
	if (fstat(fd, &st) < 0)
		return -errno;
	report->mode = st.st_mode;
	report->size = (uint64_t)st.st_size;
	report->finished = true;
	report->order_class = NULL;
	report->ahead = -1;
	report->error = ledger_find(&migrate->ledger, st.st_ino, report->error_detail, sizeof(report->error_detail));
	struct object *object;
	int found = S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)
	                    ? object_get(migrate, st.st_ino, &handle, S_ISDIR(st.st_mode), &object)
	                    : 0;
	if (found < 0)
		return found;
	if (found == 0) {
		if (S_ISREG(st.st_mode))
			add_range(report, 0, report->size, WHERE_RESIDENT);
		return 0;
	}
	if (object->is_dir)
		where_dir(object, report);
	else
		where_file(object, report);
	if (!report->finished)
		order_report(migrate, object, report);
	object_put(object);
	return 0;
}

/* The crawl looks for the end of it a few times a second: who asks in between gets the answer of its next look. */
static void await_last_look(struct migrate *migrate)
{
	struct totals totals;

	for (int i = 0; i < 30 && !crawl_saw_everything(migrate) && !atomic_load(&migrate->paused); i++) {
		store_totals(migrate->store, &totals);
		if (totals.files_pending > totals.files_waived || totals.dirs_found - totals.dirs_migrated > totals.dirs_waived)
			return;
		crawl_poke(migrate);
		usleep(100000);
	}
}

int migrate_check_finished(struct migrate *migrate, char *message, size_t size)
{
	struct totals totals;
	int result = store_flush(migrate->store);

	if (result < 0) {
		snprintf(message, size, "the state cannot be written: %s; make room on its file system", strerror(-result));
		return result;
	}
	await_last_look(migrate);
	store_totals(migrate->store, &totals);
	if (totals.files_error + totals.dirs_error > 0) {
		unsigned migid = migrate->options.migid;
		snprintf(message, size,
		         "%lld directories and %lld files are in error: dmmfs-admin errors %u lists them; try them again with "
		         "dmmfs-admin retry %u, or accept the loss of each with dmmfs-admin waive PATH %u",
		         (long long)totals.dirs_error, (long long)totals.files_error, migid, migid, migid);
		return -EINPROGRESS;
	}
	int64_t dirs = totals.dirs_found - totals.dirs_migrated - totals.dirs_waived;
	int64_t files = totals.files_pending - totals.files_waived;
	if (!crawl_saw_everything(migrate) || dirs > 0 || files > 0) {
		unsigned migid = migrate->options.migid;
		int len = snprintf(message, size, "%lld directories and %lld files (%lld bytes) have not come over yet",
		                   (long long)dirs, (long long)files, (long long)totals.bytes_pending);
		if (len < 0 || (size_t)len >= size)
			return -EINPROGRESS;
		if (atomic_load(&migrate->paused))
			snprintf(message + len, size - (size_t)len,
			         ", and the migration is paused: 'dmmfs-admin resume %u' lets it go on", migid);
		else if (!atomic_load(&migrate->tuned.background))
			snprintf(message + len, size - (size_t)len,
			         ", and nothing comes by itself: 'dmmfs-admin set -p background=on %u' lets it", migid);
		else if (target_is_full(migrate))
			snprintf(message + len, size - (size_t)len,
			         ", and the target is full: make room on it, and they come by themselves");
		else
			snprintf(message + len, size - (size_t)len, ": 'dmmfs-admin stat -w 10 %u' ends when they have", migid);
		return -EINPROGRESS;
	}
	/* The counters do not say which file a waiver is of, the records do. */
	result = remains_pending(migrate->store, migrate->target);
	if (result < 0)
		snprintf(message, size, "what is waived cannot be read from the state: %s", strerror(-result));
	else if (result > 0)
		snprintf(message, size,
		         "a file or directory that is not waived has not come over yet: dmmfs-admin stat %u shows when it has",
		         migrate->options.migid);
	return result > 0 ? -EINPROGRESS : result;
}
