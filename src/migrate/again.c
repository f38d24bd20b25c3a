/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Single names that could not be made when their directory was populated, tried again because the administrator says so.
 *
 * Of the directory nothing is known any more but what the name's entry in the ledger kept: its handles here and at the source. It
 * is listed once more for all its names that are wanted. Applications use the directory meanwhile, so an object must not be seen
 * before its record is durable (a placeholder without one would read as zeros):
 *
 *   1. it is made in our staging directory, as again-ID, with the batch of its record; both become durable
 *   2. it is renamed to its place, unless an application has taken the name meanwhile: then that one stays
 *   3. the rename becomes durable, and the entry of the ledger goes
 *
 * After a crash before 2 it is made anew: what was staged goes, and its record as that of any object that is gone. Only a directory that
 * has entries by now was on record, and is placed as it is. After 2 the name is found taken, by itself. The directory gets a new
 * modification time, as from any new entry: programs and caches that watch it must see that it changed.
 *
 * Thread: one job on the lane for names, which takes all that is wanted. Lock: one, a leaf.
 */
#include "migrate/listing.h"
#include "migrate/make.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct again {
	struct lane_job job;
	struct migrate *migrate;
	pthread_mutex_t lock;
	bool wanted, running;
};

struct wanted {
	struct error_record *record;
	bool found;
};

struct names {
	struct migrate *migrate;
	struct wanted *all; /* ascending by directory and name */
	size_t count, cap;
};

/* The names of one directory. */
struct round {
	struct migrate *migrate;
	struct object *dir; /* stands for the directory, which has no record any more */
	int dirfd;
	struct wanted *first;
	size_t count, left;
};

/* --- the entry of the ledger --- */

/* As it is now; NULL when somebody has settled it. Under deciding. */
static struct error_record *newest(struct migrate *migrate, uint64_t id)
{
	struct error_record *record;

	if (store_flush(migrate->store) < 0 || store_error_get(migrate->store, id, &record) <= 0)
		return NULL;
	return record;
}

static void settle(struct migrate *migrate, uint64_t id)
{
	LOCKED(&migrate->deciding);
	struct error_record *record = newest(migrate, id);

	if (!record)
		return;
	struct batch *batch = batch_new();
	ledger_name_clear(&migrate->ledger, batch, record);
	store_submit(migrate->store, batch, SUBMIT_BARRIER, NULL, NULL);
	error_record_free(record);
}

static void fail(struct migrate *migrate, uint64_t id, int error)
{
	LOCKED(&migrate->deciding);
	struct error_record *record = newest(migrate, id);

	if (!record)
		return;
	struct batch *batch = batch_new();
	record->error = -error;
	record->tries++;
	record->last_ns = clock_wall_ns();
	ledger_name_state(batch, record, record->state == ERROR_WAIVED ? ERROR_WAIVED : ERROR_WAITING);
	store_submit(migrate->store, batch, 0, NULL, NULL);
	log_warning("a name can still not be made: path=\"%s\" error=%s tries=%u", record->path, errno_name(error),
	            record->tries);
	error_record_free(record);
}

/* --- one name --- */

static void take_back(int dirfd, const char *staged)
{
	if (unlinkat(dirfd, staged, 0) < 0 && unlinkat(dirfd, staged, AT_REMOVEDIR) < 0 && errno != ENOENT)
		log_warning("what was staged cannot be removed: name=%s error=%s", staged, errno_name(errno));
}

static int make_staged(struct making *making, const struct dmm_entry *entry)
{
	struct migrate *migrate = making->migrate;
	int result = populate_entry(making, entry);

	if (result < 0)
		return result;
	if (!births_empty(making->births)) {
		LOCKED(&migrate->births);
		result = births_join(making->births, making);
		if (result < 0)
			return result;
	}
	batch_totals_add(making->batch, &making->delta);
	store_submit(migrate->store, making->batch, SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
	making->batch = NULL;
	result = store_flush(migrate->store);
	return result < 0 ? result : fault_hit(FAULT_AGAIN_STAGED);
}

/* In the staging directory, with its record. */
static int stage(struct round *round, const struct dmm_entry *entry, const char *staged)
{
	struct migrate *migrate = round->migrate;
	struct flights flights = {0};
	struct making making = {
		.migrate = migrate,
		.dir = round->dir,
		.dirfd = migrate->target->links_fd,
		.redo = true,
		.segsize = atomic_load(&migrate->tuned.segsize),
		.single = entry->name,
		.batch = batch_new(),
		.births = births_new(migrate),
		.flights = &flights,
	};
	struct dmm_entry as_staged = *entry;

	as_staged.name = staged;
	as_staged.name_len = strlen(staged);
	int result = make_staged(&making, &as_staged);
	flights_put(migrate, &flights);
	for (size_t i = 0; i < making.n_children; i++) {
		if (result >= 0)
			crawl_offer_dir(migrate, making.children[i]);
		object_put(making.children[i]);
	}
	free(making.children);
	if (making.batch)
		batch_free(making.batch);
	xattr_set_free(&making.xattrs);
	births_free(making.births);
	if (result < 0)
		take_back(migrate->target->links_fd, staged);
	return result;
}

static int place(struct round *round, const char *staged, const char *name)
{
	struct migrate *migrate = round->migrate;
	int links_fd = migrate->target->links_fd;

	if (renameat2(links_fd, staged, round->dirfd, name, RENAME_NOREPLACE) < 0) {
		int error = errno;
		take_back(links_fd, staged); /* its record is stale now, and goes as such */
		return error == EEXIST ? 0 : -error;
	}
	if (migrate->appear)
		migrate->appear(migrate->appear_context, &round->dir->handle, name);
	return fault_hit(FAULT_AGAIN_PLACED);
}

/* A directory that was staged before a crash, if it has entries; an empty one goes, or it would be counted twice. */
static bool is_staged(const struct round *round, const char *staged)
{
	return unlinkat(round->migrate->target->links_fd, staged, AT_REMOVEDIR) < 0 && errno == ENOTEMPTY;
}

static int try_name(struct round *round, const struct dmm_entry *entry, uint64_t id)
{
	char staged[40];
	struct stat st;

	if (entry->error)
		return -entry->error;
	if (make_reserved(round->dir, entry->name))
		return -EBUSY;
	if (fstatat(round->dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0; /* an application made one, or we did before a crash */
	snprintf(staged, sizeof(staged), "again-%llu", (unsigned long long)id);
	int result = is_staged(round, staged) ? 0 : stage(round, entry, staged);
	if (result >= 0 && populate_drops(round->migrate, &entry->attr))
		return 0; /* there is nothing to place: it is a loss now */
	return result < 0 ? result : place(round, staged, entry->name);
}

/* --- one directory --- */

static int by_name(const void *name, const void *wanted)
{
	return strcmp(name, ((const struct wanted *)wanted)->record->name);
}

static int take(void *context, const struct dmm_entry *entry)
{
	struct round *round = context;
	struct wanted *wanted = bsearch(entry->name, round->first, round->count, sizeof(*wanted), by_name);

	if (atomic_load(&round->migrate->stopping))
		return -ECANCELED;
	if (!wanted || wanted->found)
		return 0;
	wanted->found = true;
	int result = try_name(round, entry, wanted->record->id);
	if (result == -ECANCELED)
		return result;
	if (result < 0)
		fail(round->migrate, wanted->record->id, result);
	else
		settle(round->migrate, wanted->record->id);
	return --round->left ? 0 : -ERANGE; /* all were seen */
}

static int list(struct round *round)
{
	const struct object *dir = round->dir;
	int result = list_whole(&(struct whole_listing){.source = round->migrate->source,
	                                                .handle = {dir->source_bytes, dir->source_len},
	                                                .entry = take,
	                                                .context = round,
	                                                .ino = dir->ino},
	                        NULL);

	return result == -ERANGE ? 0 : result;
}

static struct object *stand_in(struct migrate *migrate, const struct error_record *record)
{
	struct object *dir = must_alloc(sizeof(*dir));

	*dir = (struct object){
		.migrate = migrate,
		.ino = record->ino,
		.handle = record->handle,
		.is_dir = true,
		.life = DIR_POPULATED,
		.hurry = true,
		.source_bytes = (uint8_t *)record->source.bytes,
		.source_len = record->source.len,
		.dir = {.lineage = record->lineage},
	};
	return dir;
}

static void try_directory(struct migrate *migrate, struct wanted *first, size_t count)
{
	CLEAN_FREE struct object *dir = stand_in(migrate, first->record);
	CLEAN_FD int dirfd = target_open_handle(migrate->target, &first->record->handle, O_RDONLY | O_DIRECTORY);
	struct round round = {migrate, dir, dirfd, first, count, count};
	int result = dirfd == -ESTALE ? 0 : dirfd < 0 ? dirfd : list(&round);

	if (result == -ECANCELED)
		return; /* they still say "retrying": the next start goes on */
	for (size_t i = 0; i < count; i++) {
		if (first[i].found)
			continue;
		if (result < 0 && result != -ESTALE && result != -ENOENT)
			fail(migrate, first[i].record->id, result);
		else
			settle(migrate, first[i].record->id); /* the name, or its directory, is gone: here or there */
	}
}

/* --- the job --- */

static int gather(void *context, const struct error_record *record)
{
	struct names *names = context;
	struct error_record *copy;

	if (record->kind != ERROR_OF_NAME || record->state != ERROR_RETRYING)
		return 0;
	if (store_error_get(names->migrate->store, record->id, &copy) <= 0)
		return 0;
	if (names->count == names->cap) {
		names->cap = names->cap ? names->cap * 2 : 64;
		names->all = realloc(names->all, names->cap * sizeof(*names->all));
		if (!names->all)
			abort();
	}
	names->all[names->count++] = (struct wanted){.record = copy};
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct error_record *x = ((const struct wanted *)a)->record, *y = ((const struct wanted *)b)->record;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void try_all(struct migrate *migrate)
{
	struct names names = {.migrate = migrate};

	if (store_errors_walk(migrate->store, gather, &names) < 0)
		log_error("the errors cannot be read; they are tried again when asked once more");
	if (names.count)
		qsort(names.all, names.count, sizeof(*names.all), by_place);
	for (size_t i = 0, next; i < names.count && !atomic_load(&migrate->stopping); i = next) {
		for (next = i + 1; next < names.count && names.all[next].record->ino == names.all[i].record->ino;)
			next++;
		try_directory(migrate, names.all + i, next - i);
	}
	for (size_t i = 0; i < names.count; i++)
		error_record_free(names.all[i].record);
	free(names.all);
	if (names.count && crawl_links_purged(migrate))
		births_purge(migrate);
	crawl_poke(migrate);
}

static bool take_wish(struct again *again)
{
	LOCKED(&again->lock);
	again->running = again->wanted && !atomic_load(&again->migrate->stopping);
	again->wanted = false;
	return again->running;
}

static void run(struct lane_job *job)
{
	struct again *again = (struct again *)job;

	while (take_wish(again))
		try_all(again->migrate);
}

void again_run(struct migrate *migrate)
{
	struct again *again = migrate->again;
	LOCKED(&again->lock);

	again->wanted = true;
	if (!again->running)
		again->running = lane_submit(migrate->names, &again->job, LANE_BACKGROUND);
}

void again_start(struct migrate *migrate)
{
	migrate->again = must_alloc(sizeof(*migrate->again));
	migrate->again->migrate = migrate;
	migrate->again->job.run = run;
	pthread_mutex_init(&migrate->again->lock, NULL);
}

void again_free(struct migrate *migrate)
{
	free(migrate->again);
}
