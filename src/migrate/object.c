/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of unfinished objects, and parking on them.
 *
 * Why the store is read under the shard lock: an object leaves the table only after the deletion of its record is committed.
 * Whoever finds it neither in the table nor, still under the lock, in the store, knows that it is finished for good.
 */
#include "migrate/internal.h"
#include "migrate/renew.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

void *must_alloc(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (!memory) {
		log_error("out of memory: bytes=%zu", size);
		log_flush(1000);
		abort(); /* every record on disk is right: ending here loses nothing (I10) */
	}
	return memory;
}

void *buffer_alloc(size_t size)
{
	void *memory = malloc(size ? size : 1);

	if (!memory)
		abort();
	return memory;
}

void table_init(struct table *table)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++)
		pthread_mutex_init(&table->shards[i].lock, NULL);
}

static uint64_t mix(uint64_t ino)
{
	return (ino * 0x9E3779B97F4A7C15ull) >> 20;
}

static struct table_shard *shard_of(struct migrate *migrate, uint64_t ino)
{
	return &migrate->table.shards[mix(ino) % TABLE_SHARDS];
}

static struct object **bucket_of(struct table_shard *shard, uint64_t ino)
{
	return &shard->buckets[(mix(ino) / TABLE_SHARDS) % SHARD_BUCKETS];
}

static struct object *find(struct table_shard *shard, uint64_t ino, const struct handle *handle, bool is_dir)
{
	struct object *object = *bucket_of(shard, ino);

	while (object && (object->ino != ino || object->is_dir != is_dir || (handle && !handle_equal(&object->handle, handle))))
		object = object->hash_next;
	return object;
}

static struct object *insert(struct migrate *migrate, struct table_shard *shard, uint64_t ino, const struct handle *handle,
                             const struct source_ref *source)
{
	struct object *object = must_alloc(sizeof(*object));

	object->migrate = migrate;
	object->refs = 1;
	object->ino = ino;
	object->handle = *handle;
	pthread_mutex_init(&object->rights, NULL);
	pthread_mutex_init(&object->lock, NULL);
	pthread_mutex_init(&object->source_lock, NULL);
	object->source_len = source->len;
	object->source_bytes = must_alloc(source->len);
	memcpy(object->source_bytes, source->bytes, source->len);

	struct object **bucket = bucket_of(shard, ino);
	object->hash_next = *bucket;
	*bucket = object;
	return object;
}

static void fill_dir(struct object *object, const struct dir_record *record)
{
	object->is_dir = true;
	object->turn = CLASS_NORMAL;
	object->dir = *record;
	object->dir.source = (struct source_ref){object->source_len, object->source_bytes};
	object->lineage = must_alloc(record->lineage.len);
	if (record->lineage.len)
		memcpy(object->lineage, record->lineage.bytes, record->lineage.len);
	object->dir.lineage.bytes = object->lineage;
	object->mtime = record->mtime;
}

/* The record may be behind the target by a truncation that was never acknowledged: nothing of the source is wanted beyond the
 * present size (I2). The segments above go, and the record follows before anyone is told of the file. */
static void respect_size(struct object *object, uint64_t size)
{
	if (size >= object->file.limit)
		return;
	object->cut_bytes = limit_cut(object, size);
	log_info("a file was cut before its record was written: ino=%llu size=%llu", (unsigned long long)object->ino,
	         (unsigned long long)size);
	object->file.changed = true;
	object->record_behind = true;
}

/* Or the time is behind: a kill between the writing of a segment and the restoring of the time. */
static void respect_mtime(struct object *object, int fd, const struct stat *st)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
	                            {.tv_sec = object->file.mtime.sec, .tv_nsec = object->file.mtime.nsec}};

	object->mtime = (struct moment){st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec};
	if (!object->file.mtime_valid)
		return;
	if ((object->mtime.sec != object->file.mtime.sec || object->mtime.nsec != object->file.mtime.nsec) &&
	    utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
		log_warning("a file's time cannot be restored: ino=%llu error=%s", (unsigned long long)object->ino,
		            errno_name(errno));
	object->mtime = object->file.mtime;
}

static int fill_file(struct object *object, const struct file_record *record)
{
	struct migrate *migrate = object->migrate;

	object->file = *record;
	object->file.source = (struct source_ref){object->source_len, object->source_bytes};
	object->ctime = record->shown_ctime;
	object->n_segments = segments_for(record->limit, record->segsize);

	size_t map_bytes = (object->n_segments + 7) / 8;
	object->resident = must_alloc(map_bytes);
	object->durable_map = must_alloc(map_bytes);
	object->claimed = must_alloc(map_bytes);
	object->changed = must_alloc(map_bytes);
	int result = store_segments_get(migrate->store, object->ino, object->durable_map, object->n_segments);
	if (result >= 0)
		result = store_changed_get(migrate->store, object->ino, object->changed, object->n_segments);
	if (result < 0)
		return result;
	memcpy(object->resident, object->durable_map, map_bytes);
	for (uint64_t s = 0; s < object->n_segments; s++)
		object->absent += !segment_get(object->resident, s);
	return 0;
}

/* What the target says of it. */
static int meet_file(struct object *object, const struct file_record *record)
{
	struct stat st;
	CLEAN_FD int fd = target_open_handle(object->migrate->target, &record->handle, O_PATH);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	object->beside = beside_written(object, &st);
	if (object->beside && object->file.mtime_valid) { /* it is no copy any more; and its time is whoever wrote it's */
		object->file.mtime_valid = false;
		object->file.changed = true;
		object->record_behind = true;
	}
	respect_mtime(object, fd, &st);
	if (!record->emptied) /* else its size is yet to follow the record: renew.c */
		respect_size(object, (uint64_t)st.st_size);
	return 0;
}

void object_close_source(struct object *object)
{
	if (!object->source_file)
		return;
	source_file_close(object->source_file);
	object->source_file = NULL;
	atomic_fetch_sub(&object->migrate->sources_open, 1);
}

static void destroy(struct object *object)
{
	object_close_source(object);
	free(object->source_bytes);
	free(object->lineage);
	free(object->resident);
	free(object->durable_map);
	free(object->claimed);
	free(object->changed);
	pthread_mutex_destroy(&object->rights);
	pthread_mutex_destroy(&object->lock);
	pthread_mutex_destroy(&object->source_lock);
	free(object);
}

void table_close(struct table *table)
{
	for (unsigned i = 0; i < TABLE_SHARDS; i++) {
		for (unsigned b = 0; b < SHARD_BUCKETS; b++) {
			for (struct object **at = &table->shards[i].buckets[b], *object; (object = *at);) {
				if (object->opens == 0 || object->refs != object->opens) {
					at = &object->hash_next;
					continue;
				}
				*at = object->hash_next;
				destroy(object);
			}
		}
	}
}

static void unlink_from(struct table_shard *shard, struct object *object)
{
	struct object **at = bucket_of(shard, object->ino);

	while (*at != object)
		at = &(*at)->hash_next;
	*at = object->hash_next;
}

/* The loaders return 1 with an object, or -ESTALE with one that is to be dropped, 0 or a negative errno without.
 *
 * Is there an object of the record's handle in the table although one was asked for that is not, then that one is dying, and sees
 * to its record itself. */
static int load_dir(struct migrate *migrate, struct table_shard *shard, uint64_t ino, const struct handle *handle,
                    struct object **loaded)
{
	struct dir_record *record = NULL;
	int found = store_dir_get(migrate->store, ino, &record);

	if (found <= 0)
		return found;
	if (find(shard, ino, &record->handle, true)) {
		found = 0;
	} else {
		*loaded = insert(migrate, shard, ino, &record->handle, &record->source);
		fill_dir(*loaded, record);
		found = handle && !handle_equal(handle, &record->handle) ? -ESTALE : 1;
	}
	dir_record_free(record);
	return found;
}

static int load_file(struct migrate *migrate, struct table_shard *shard, uint64_t ino, const struct handle *handle,
                     struct object **loaded)
{
	struct file_record *record = NULL;
	int found = store_file_get(migrate->store, ino, &record);

	if (found <= 0)
		return found;
	if (find(shard, ino, &record->handle, false)) {
		file_record_free(record);
		return 0;
	}
	struct object *object = insert(migrate, shard, ino, &record->handle, &record->source);
	int result = fill_file(object, record);
	if (result >= 0)
		result = handle && !handle_equal(handle, &record->handle) ? -ESTALE : meet_file(object, record);
	file_record_free(record);
	if (result < 0 && result != -ESTALE) {
		log_error("an unfinished file cannot be opened on the target: ino=%llu error=%s", (unsigned long long)ino,
		          errno_name(result));
		unlink_from(shard, object);
		destroy(object);
		return result;
	}
	*loaded = object;
	return result < 0 ? result : 1;
}

static void drop(struct object *object)
{
	log_debug("a stale record is dropped: ino=%llu", (unsigned long long)object->ino);
	if (object->is_dir)
		dir_drop(object);
	else
		file_drop(object);
	object_put(object);
}

static void catch_up(struct object *file)
{
	int result = renew_settle(file);

	if (result < 0)
		fetch_failed(file, result, false);
	file_catch_up(file);
}

int object_get(struct migrate *migrate, uint64_t ino, const struct handle *handle, bool is_dir, struct object **object)
{
	struct table_shard *shard = shard_of(migrate, ino);
	struct object *loaded = NULL;
	int result = 1;

	pthread_mutex_lock(&shard->lock);
	struct object *known = find(shard, ino, handle, is_dir);
	if (known)
		known->refs++;
	else
		result =
			is_dir ? load_dir(migrate, shard, ino, handle, &loaded) : load_file(migrate, shard, ino, handle, &loaded);
	pthread_mutex_unlock(&shard->lock);

	if (loaded && result == -ESTALE) {
		drop(loaded);
		return 0;
	}
	if (result < 0 && !is_dir) /* no attempt at it can begin, so nobody else tells it */
		ledger_error(&migrate->ledger,
		             &(struct failure){.ino = ino, .what = "open", .error = result, .told = handle != NULL});
	if (loaded && !is_dir)
		catch_up(loaded);
	if (result > 0)
		*object = known ? known : loaded;
	return result;
}

void object_bury(struct migrate *migrate, uint64_t ino, const struct handle *handle, bool is_dir)
{
	struct object *object;
	int found = object_get(migrate, ino, NULL, is_dir, &object);

	if (found < 0) /* whether the one before can still be opened does not matter: the number is another one's */
		found = object_get(migrate, ino, handle, is_dir, &object);
	if (found <= 0)
		return;
	if (handle_equal(&object->handle, handle))
		object_put(object);
	else
		drop(object);
}

struct object *object_insert_dir(struct migrate *migrate, const struct dir_record *record)
{
	struct table_shard *shard = shard_of(migrate, record->ino);
	LOCKED(&shard->lock);
	struct object *object = find(shard, record->ino, &record->handle, true);

	if (object) {
		object->refs++;
		return object;
	}
	object = insert(migrate, shard, record->ino, &record->handle, &record->source);
	fill_dir(object, record);
	return object;
}

struct object *object_ref(struct object *object)
{
	struct table_shard *shard = shard_of(object->migrate, object->ino);
	LOCKED(&shard->lock);

	object->refs++;
	return object;
}

void object_put(struct object *object)
{
	struct table_shard *shard = shard_of(object->migrate, object->ino);

	pthread_mutex_lock(&shard->lock);
	bool last = --object->refs == 0 && !object->waiters;
	if (last)
		unlink_from(shard, object);
	pthread_mutex_unlock(&shard->lock);
	if (last)
		destroy(object);
}

/* --- waiting --- */

static bool released(const struct object *object)
{
	return !object->file.mtime_valid && !object->record_behind && !object->file.emptied && object->durable >= object->guard;
}

bool object_ready(const struct object *object, const struct event *event)
{
	if (object->dropped || object->finished)
		return true;
	switch (event->kind) {
	case EVENT_NAMES:
		return object->life == DIR_POPULATED;
	case EVENT_OPEN:
		return object->absent == 0 && !object->file.emptied;
	case EVENT_OPEN_WRITE:
	case EVENT_WHOLE:
		return false; /* until it is finished, above */
	case EVENT_READ:
	case EVENT_STORED:
		return !object->file.emptied && span_resident(object, event->off, event->len);
	case EVENT_WRITE:
	case EVENT_PUNCH:
		return released(object) && span_edges_durable(object, event->off, event->len);
	case EVENT_RESIZE:
		return released(object);
	default:
		return true;
	}
}

void object_park(struct object *object, struct waiter *waiter)
{
	waiter->parked_at = object;
	waiter->prev = NULL;
	waiter->next = object->waiters;
	if (waiter->next)
		waiter->next->prev = waiter;
	object->waiters = waiter;
	progress_parked(object->migrate, waiter);
}

void object_unpark(struct object *object, struct waiter *waiter)
{
	if (waiter->prev)
		waiter->prev->next = waiter->next;
	else
		object->waiters = waiter->next;
	if (waiter->next)
		waiter->next->prev = waiter->prev;
	waiter->parked_at = NULL;
	waiter->prev = waiter->next = NULL;
}

static struct waiter *collect(struct object *object, bool (*wanted)(const struct object *, const struct waiter *, const void *),
                              const void *context)
{
	struct waiter *list = NULL, *next;

	for (struct waiter *waiter = object->waiters; waiter; waiter = next) {
		next = waiter->next;
		if (!wanted(object, waiter, context))
			continue;
		object_unpark(object, waiter);
		waiter->next = list;
		list = waiter;
	}
	return list;
}

static bool can_go_on(const struct object *object, const struct waiter *waiter, const void *context)
{
	(void)context;
	return waiter->need ? object->durable >= waiter->need : object_ready(object, &waiter->event);
}

struct waiter *object_collect(struct object *object)
{
	return object->waiters ? collect(object, can_go_on, NULL) : NULL;
}

struct span {
	uint64_t off, len;
};

static uint64_t end_of(uint64_t off, uint64_t len)
{
	return len > UINT64_MAX - off ? UINT64_MAX : off + len;
}

/* Does this waiter need bytes of the span from the source? A change that covers it whole does not. */
static bool wants_span(const struct object *object, const struct waiter *waiter, const void *context)
{
	const struct span *span = context;
	const struct event *event = &waiter->event;
	uint64_t end = end_of(event->off, event->len), span_end = end_of(span->off, span->len);

	if (waiter->need)
		return false;
	if (object->is_dir || object->file.emptied) /* what is to be brought anew takes nothing before */
		return true;
	switch (event->kind) {
	case EVENT_OPEN:
	case EVENT_OPEN_WRITE:
	case EVENT_WHOLE:
		return true;
	case EVENT_READ:
		return event->off < span_end && span->off < end;
	case EVENT_WRITE:
	case EVENT_PUNCH:
		if (span_end > object->file.limit)
			span_end = object->file.limit;
		return event->off < span_end && span->off < end && !(event->off <= span->off && end >= span_end) &&
		       !span_edges_durable(object, event->off, event->len);
	default:
		return false;
	}
}

struct waiter *object_collect_failed(struct object *object, uint64_t off, uint64_t len)
{
	return collect(object, wants_span, &(struct span){off, len});
}

/* An open never fails because the data cannot be had: the read will say so. */
static bool is_opening(const struct waiter *waiter)
{
	return waiter->event.kind == EVENT_OPEN || waiter->event.kind == EVENT_OPEN_WRITE;
}

void wake_all(struct migrate *migrate, struct waiter *list, int error)
{
	for (struct waiter *next; list; list = next) {
		next = list->next;
		list->next = NULL;
		progress_woken(migrate, list);
		list->wake(list, is_opening(list) && !list->need ? 0 : error, NULL, 0);
	}
}

void object_wake(struct object *object)
{
	pthread_mutex_lock(&object->lock);
	struct waiter *list = object_collect(object);
	pthread_mutex_unlock(&object->lock);
	wake_all(object->migrate, list, 0);
}

bool object_tells(const struct object *object)
{
	for (const struct waiter *waiter = object->waiters; waiter; waiter = waiter->next)
		if (!waiter->need && !is_opening(waiter))
			return true;
	return false;
}

void object_fail(struct object *object, uint64_t off, uint64_t len, int error)
{
	bool told = false;

	pthread_mutex_lock(&object->lock);
	struct waiter *list = object_collect_failed(object, off, len);
	pthread_mutex_unlock(&object->lock);
	for (const struct waiter *waiter = list; waiter; waiter = waiter->next)
		told = told || !is_opening(waiter);
	if (told) /* who came after the failure was recorded */
		ledger_told(&object->migrate->ledger, object->ino, error);
	wake_all(object->migrate, list, error);
}

bool object_cancel(struct object *object, struct waiter *waiter)
{
	pthread_mutex_lock(&object->lock);
	bool parked = waiter->parked_at == object;
	if (parked)
		object_unpark(object, waiter);
	pthread_mutex_unlock(&object->lock);
	if (parked)
		progress_woken(object->migrate, waiter);
	return parked;
}

/* --- changes of the record --- */

struct submission {
	struct object *object;
	uint64_t number;
	void (*durable)(struct object *object, int error, void *context);
	void *context;
};

/* The store has given up. Who needs bytes alone still gets them. */
static bool waits_for_record(const struct object *object, const struct waiter *waiter, const void *context)
{
	(void)object;
	(void)context;
	return waiter->need || waiter->event.kind != EVENT_READ;
}

static void submission_done(void *context, int error)
{
	struct submission *submission = context;
	struct object *object = submission->object;

	if (submission->durable)
		submission->durable(object, error, submission->context);
	pthread_mutex_lock(&object->lock);
	if (error == 0 && object->durable < submission->number)
		object->durable = submission->number;
	if (error)
		object->broken = error;
	struct waiter *list = error ? collect(object, waits_for_record, NULL) : object_collect(object);
	pthread_mutex_unlock(&object->lock);
	wake_all(object->migrate, list, error);
	object_put(object);
	free(submission);
}

uint64_t object_submit(struct object *object, struct batch *batch, unsigned flags,
                       void (*durable)(struct object *object, int error, void *context), void *context)
{
	struct submission *submission = must_alloc(sizeof(*submission));

	*submission = (struct submission){.object = object_ref(object), .durable = durable, .context = context};
	pthread_mutex_lock(&object->lock);
	uint64_t number = submission->number = ++object->submitted;
	/* Under the lock, so that numbers and the store's order of commits agree. */
	store_submit(object->migrate->store, batch, flags, submission_done, submission);
	pthread_mutex_unlock(&object->lock);
	return number;
}

void object_file_record(const struct object *object, struct file_record *record)
{
	*record = object->file;
	record->ino = object->ino;
	record->handle = object->handle;
	record->mtime = object->mtime;
	record->shown_ctime = object->ctime;
}
