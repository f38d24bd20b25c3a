/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bringing segments of a file over.
 *
 * A segment is claimed by one fetch at a time; everyone else waits for that one. A demand fetch reads the bytes that are asked
 * for first and answers from its buffer, then the rest of the segment. The bytes are written under the file's rights, clipped to
 * what is still wanted of the source by then, and the file's times and capabilities are left as they were found. Readers may
 * have a segment at once; its record follows in a batch after the next barrier (I1).
 *
 * When the target is full nothing is stored: reads are answered from the source (fetch_read_through).
 */
#include "migrate/internal.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "target/make.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define FULL_PROBE_NS (5 * NS_PER_S)
#define READAHEAD_MAX 16
#define SOURCES_KEPT 256

struct fetch {
	struct lane_job job;
	struct fetch *next; /* of object->fetches */
	struct object *object;
	uint64_t segment;
	uint64_t off, len;  /* the bytes that are waited for */
	bool demand;
};

bool target_is_full(struct migrate *migrate)
{
	uint64_t since = atomic_load_explicit(&migrate->target_full_ns, memory_order_relaxed);

	return since && clock_monotonic_ns() - since < FULL_PROBE_NS;
}

void target_note_full(struct migrate *migrate)
{
	if (atomic_exchange(&migrate->target_full_ns, clock_monotonic_ns()) == 0)
		log_error("the target is full: reads of what has not come over are answered from the source, without storing; "
			  "the migration goes on by itself when there is room again");
}

static void note_room(struct migrate *migrate)
{
	if (atomic_load_explicit(&migrate->target_full_ns, memory_order_relaxed) && atomic_exchange(&migrate->target_full_ns, 0))
		log_info("the target has room again");
}

/* --- the source's side --- */

struct drift {
	const struct object *object;
	bool found;
};

static int compare_attr(void *context, const struct dmm_entry *entry)
{
	struct drift *drift = context;
	const struct file_record *file = &drift->object->file;
	const struct dmm_attr *attr = &entry->attr;

	drift->found = attr->size != file->source_size || attr->mtime.sec != file->source_mtime.sec ||
		       attr->mtime.nsec != file->source_mtime.nsec;
	return 0;
}

/* The source must be read-only. When it is not, that is reported, and what is read now is what counts. */
static void check_drift(struct object *object)
{
	struct drift drift = { .object = object };
	struct dmm_bytes handle = { object->source_bytes, object->source_len };

	if (source_attr(object->migrate->source, handle, compare_attr, &drift) >= 0 && drift.found)
		ledger_loss(&object->migrate->ledger, &(struct failure){ .ino = object->ino,
									 .handle = &object->handle,
									 .what = "drift",
									 .detail = "the source changed after its directory was listed",
									 .error = -ESTALE },
			    NULL);
}

static int open_source(struct object *object, struct source_file **file)
{
	LOCKED(&object->source_lock);
	if (!object->source_file) {
		struct source_file *opened;
		int result = source_file_open(object->migrate->source,
					      (struct dmm_bytes){ object->source_bytes, object->source_len }, &opened);
		if (result < 0)
			return source_result(result);
		check_drift(object);
		object->source_file = opened;
		atomic_fetch_add(&object->migrate->sources_open, 1);
	}
	object->source_users++;
	*file = object->source_file;
	return 0;
}

/* A file stays open for the next who reads it, unless many are: descriptors are few, and files that applications hold open may be
 * as many as they like. */
static void put_source(struct object *object)
{
	LOCKED(&object->source_lock);

	if (--object->source_users == 0 && atomic_load(&object->migrate->sources_open) > SOURCES_KEPT)
		object_close_source(object);
}

static int read_exactly(struct source_file *file, void *buf, uint64_t off, uint64_t len)
{
	char *to = buf;

	while (len > 0) {
		int64_t got = source_read(file, to, off, len);
		if (got < 0)
			return source_result((int)got);
		if (got == 0)
			return -ENODATA; /* shorter than it was when it was listed */
		to += got;
		off += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return 0;
}

/* --- the target's side --- */

struct capability {
	char value[64];
	ssize_t len;
};

static void restore_metadata(struct object *object, int fd, const struct capability *capability)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = object->mtime.sec, .tv_nsec = object->mtime.nsec },
	};
	if (capability->len > 0 && fsetxattr(fd, "security.capability", capability->value, (size_t)capability->len, 0) < 0)
		log_warning("a file's capabilities cannot be restored: ino=%llu error=%s", (unsigned long long)object->ino,
			    errno_name(errno));
	if (futimens(fd, times) < 0)
		log_warning("a file's times cannot be restored: ino=%llu error=%s", (unsigned long long)object->ino,
			    errno_name(errno));
}

static int open_target(struct object *object)
{
	int fd = target_open_handle(object->migrate->target, &object->handle, O_RDWR);

	if (fd != -EPERM)
		return fd;
	/* The flags of a file that was nearly finished at a crash: immutable or append-only. They are set again at the end. */
	CLEAN_FD int flagged = target_open_handle(object->migrate->target, &object->handle, O_RDONLY);
	int result = flagged < 0 ? flagged : target_unlock_flags(flagged);
	if (result < 0)
		return result;
	return target_open_handle(object->migrate->target, &object->handle, O_RDWR);
}

/* Under rights. How much of the segment is still wanted of the source. */
static uint64_t still_wanted(struct object *object, uint64_t segment)
{
	LOCKED(&object->lock);
	if (object->dropped || object->finishing || segment_resident(object, segment))
		return 0;
	return segment_bytes(object, segment);
}

static void mark_resident(struct object *object, uint64_t segment)
{
	LOCKED(&object->lock);
	if (!segment_resident(object, segment)) {
		segment_set(object->resident, segment, true);
		object->absent--;
	}
}

void segments_durable(struct object *object, void *context)
{
	struct marked *marked = context;
	LOCKED(&object->lock);

	for (uint64_t s = marked->first; s < marked->first + marked->count && s < object->n_segments; s++)
		segment_set(object->durable_map, s, true);
	free(marked);
}

/* Under rights: segments that are here now are recorded, and with the last one the file is finished. */
static void record_segments(struct object *object, uint64_t first, uint64_t count, uint64_t bytes, bool urgent)
{
	struct batch *batch = batch_new();
	struct marked *marked = must_alloc(sizeof(*marked));

	*marked = (struct marked){ first, count };
	batch_segments_mark(batch, object->ino, first, count);
	batch_totals_add(batch, &(struct totals){ .bytes_migrated = (int64_t)bytes, .bytes_pending = -(int64_t)bytes });
	file_submit(object, batch, SUBMIT_BARRIER | (urgent ? SUBMIT_URGENT : 0), segments_durable, marked);
}

/* Where the bytes of a segment come from: a buffer, or within the kernel from a descriptor of the source. */
struct bytes_from {
	const void *buf;
	int fd;
};

static int put_bytes(struct object *object, int fd, const struct bytes_from *from, uint64_t start, uint64_t len)
{
	if (from->buf)
		return target_write(fd, from->buf, start, len, object->file.source_used < object->file.source_size);
	int64_t copied = target_copy_range(from->fd, fd, start, len);
	return copied < 0 ? (int)copied : (uint64_t)copied < len ? -ENODATA : 0;
}

/* Under rights: writes the bytes and records that they are here. */
static int store_segment(struct object *object, uint64_t segment, const struct bytes_from *from, bool urgent)
{
	uint64_t len = still_wanted(object, segment);
	struct capability capability;

	if (len == 0)
		return 0;
	CLEAN_FD int fd = open_target(object);
	if (fd < 0)
		return fd;
	capability.len = fgetxattr(fd, "security.capability", capability.value, sizeof(capability.value));
	int result = put_bytes(object, fd, from, segment * object->file.segsize, len);
	restore_metadata(object, fd, &capability);
	if (result >= 0)
		result = fault_hit(FAULT_FETCH_WRITTEN);
	if (result < 0)
		return result;
	note_room(object->migrate);
	mark_resident(object, segment);
	record_segments(object, segment, 1, len, urgent);
	return 0;
}

/* --- finishing a file --- */

static void file_finished(struct object *object, void *context)
{
	(void)context;
	pthread_mutex_lock(&object->lock);
	object->finished = true;
	pthread_mutex_unlock(&object->lock);
	ledger_clear(&object->migrate->ledger, object->ino);
	crawl_file_done(object->migrate);
}

static bool take_finishing(struct object *object)
{
	LOCKED(&object->lock);
	if (object->absent || object->finishing || object->dropped)
		return false;
	object->finishing = true;
	return true;
}

/* The end of a file failed: everything is here, the record stays, and it is tried again (file_catch_up). */
static void call_finish_off(struct object *object, int error)
{
	pthread_mutex_lock(&object->lock);
	object->finishing = false;
	pthread_mutex_unlock(&object->lock);
	ledger_error(&object->migrate->ledger, &(struct failure){ .ino = object->ino,
								  .handle = &object->handle,
								  .what = "complete",
								  .error = error,
								  .bytes = object->file.source_size });
	object_fail(object, 0, UINT64_MAX, error);
	object_wake(object);
}

static bool append_finish(struct object *object, struct batch *batch)
{
	struct migrate *migrate = object->migrate;

	if (object->file.inode_flags) {
		CLEAN_FD int fd = target_open_handle(migrate->target, &object->handle, O_RDONLY);
		int result = fd < 0 ? fd : target_add_flags(fd, object->file.inode_flags);
		if (result < 0)
			ledger_loss(&migrate->ledger, &(struct failure){ .ino = object->ino,
									  .handle = &object->handle,
									  .what = "inode flags",
									  .error = result },
				    batch);
	}
	int result = fault_hit(FAULT_FILE_COMPLETE);
	if (result < 0) {
		call_finish_off(object, result);
		return false;
	}
	batch_file_delete(batch, object->ino);
	batch_totals_add(batch, &(struct totals){ .files_migrated = 1, .files_pending = -1 });
	progress_files(migrate, 1);
	return true;
}

uint64_t file_submit(struct object *object, struct batch *batch, unsigned flags,
		     void (*durable)(struct object *object, void *context), void *context)
{
	bool finish = take_finishing(object) && append_finish(object, batch);

	uint64_t number = object_submit(object, batch, flags, durable, context);
	if (finish) /* an empty batch: its callback runs once the deletion before it is durable */
		number = object_submit(object, batch_new(), flags & SUBMIT_URGENT, file_finished, NULL);
	return number;
}

void file_catch_up(struct object *object)
{
	struct file_record record;
	LOCKED(&object->rights);

	pthread_mutex_lock(&object->lock);
	bool behind = object->record_behind && !object->dropped;
	bool ended = object->absent == 0 && !object->finishing && !object->dropped;
	int64_t less = behind ? (int64_t)object->cut_bytes : 0;
	if (behind) {
		object_file_record(object, &record);
		object->record_behind = false;
		object->cut_bytes = 0;
	}
	pthread_mutex_unlock(&object->lock);
	if (!behind && !ended)
		return;
	struct batch *batch = batch_new();
	if (behind)
		batch_file_put(batch, &record);
	batch_totals_add(batch, &(struct totals){ .bytes_found = -less, .bytes_pending = -less });
	uint64_t number = file_submit(object, batch, SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
	pthread_mutex_lock(&object->lock);
	object->guard = number;
	pthread_mutex_unlock(&object->lock);
}

void file_drop(struct object *object)
{
	/* No record and no mark may come after the deletion: another file may get the inode number. */
	pthread_mutex_lock(&object->rights);
	pthread_mutex_lock(&object->lock);
	bool drop = !object->dropped && !object->finishing;
	object->dropped = object->dropped || drop;
	int64_t absent = (int64_t)(absent_bytes(object) + object->cut_bytes);
	struct waiter *list = object_collect(object);
	pthread_mutex_unlock(&object->lock);
	if (drop) {
		struct batch *batch = batch_new();
		batch_file_delete(batch, object->ino);
		batch_totals_add(batch, &(struct totals){ .files_found = -1,
							  .files_pending = -1,
							  .bytes_found = -absent,
							  .bytes_pending = -absent });
		/* After a power cut that the last unlink did not survive the file is there again, and so must be its record. */
		object_submit(object, batch, SUBMIT_BARRIER, NULL, NULL);
	}
	pthread_mutex_unlock(&object->rights);
	wake_all(object->migrate, list, 0);
	if (!drop)
		return;
	ledger_clear(&object->migrate->ledger, object->ino);
	crawl_file_done(object->migrate);
}

/* --- failures --- */

int error_told(int error)
{
	return error == -ENODATA || error == -ENOENT ? -EIO : error;
}

static void note_failure(struct object *object, uint64_t segment, int error)
{
	struct migrate *migrate = object->migrate;
	uint64_t start = segment * object->file.segsize;

	if (error == -ESTALE) {
		file_drop(object);
		return;
	}
	if (error == -ECANCELED)
		return;
	pthread_mutex_lock(&object->lock);
	object->error = error;
	object->error_ns = clock_monotonic_ns();
	bool told = object->waiters != NULL, dropped = object->dropped;
	pthread_mutex_unlock(&object->lock);
	if (dropped) {
		object_wake(object);
		return;
	}
	ledger_error(&migrate->ledger, &(struct failure){ .ino = object->ino,
							   .handle = &object->handle,
							   .what = "read",
							   .detail = error == -ENODATA ? "the source is shorter than when it was listed" :
								     error == -ENOENT  ? "it is gone from the source" :
											 NULL,
							   .error = error_told(error),
							   .bytes = object->file.source_size,
							   .told = told });
	object_fail(object, start, object->file.segsize, error_told(error));
}

/* The target has no room for this segment: whoever waits to read gets the bytes all the same. */
static void serve_without_storing(struct object *object)
{
	struct waiter *readers = NULL, *others = NULL, *next;

	target_note_full(object->migrate);
	pthread_mutex_lock(&object->lock);
	struct waiter *list = object_collect_failed(object, 0, UINT64_MAX);
	pthread_mutex_unlock(&object->lock);
	for (; list; list = next) {
		next = list->next;
		struct waiter **to = list->event.kind == EVENT_READ ? &readers : &others;
		list->next = *to;
		*to = list;
	}
	for (; readers; readers = next) {
		next = readers->next;
		progress_woken(object->migrate, readers); /* it is counted again as it parks again */
		pthread_mutex_lock(&object->lock);
		object_park(object, readers);
		fetch_read_through(object, readers);
		pthread_mutex_unlock(&object->lock);
	}
	wake_all(object->migrate, others, -ENOSPC);
}

/* --- a demand fetch --- */

/* Answers readers whose bytes all lie in what has been read, without waiting for the target. */
static void serve_early(struct object *object, const char *buf, uint64_t off, uint64_t len)
{
	struct waiter *served = NULL, *next;

	pthread_mutex_lock(&object->lock);
	bool in_limit = off + len <= object->file.limit;
	for (struct waiter *waiter = object->waiters; in_limit && waiter; waiter = next) {
		next = waiter->next;
		const struct event *event = &waiter->event;
		if (waiter->need || event->kind != EVENT_READ || event->off < off || event->off + event->len > off + len)
			continue;
		object_unpark(object, waiter);
		waiter->next = served;
		served = waiter;
	}
	pthread_mutex_unlock(&object->lock);
	for (; served; served = next) {
		next = served->next;
		served->next = NULL;
		progress_woken(object->migrate, served);
		served->wake(served, 0, buf + (served->event.off - off), served->event.len);
	}
}

static int read_segment(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len)
{
	struct object *object = fetch->object;
	uint64_t start = fetch->segment * object->file.segsize;
	uint64_t from = fetch->off > start ? fetch->off - start : 0;
	uint64_t to = fetch->off + fetch->len < start + len ? fetch->off + fetch->len - start : len;

	if (!fetch->demand || from >= to)
		return read_exactly(file, buf, start, len);
	int result = read_exactly(file, buf + from, start + from, to - from);
	if (result < 0)
		return result;
	serve_early(object, buf + from, start + from, to - from);
	result = read_exactly(file, buf, start, from);
	return result < 0 ? result : read_exactly(file, buf + to, start + to, len - to);
}

/* --- holes: nothing to read, nothing to write --- */

static int keep_first(void *context, const struct dmm_extent *extent)
{
	*(uint64_t *)context = extent->off;
	return -ERANGE; /* one is enough */
}

/* How many whole segments from this one on are a hole at the source. */
static uint64_t hole_segments(struct object *object, struct source_file *file, uint64_t segment)
{
	uint64_t start = segment * object->file.segsize, data = object->file.limit;

	if (!(source_capabilities(object->migrate->source) & DMM_CAP_EXTENTS) || object->file.source_used >= object->file.source_size)
		return 0;
	int result = source_extents(file, start, object->file.limit - start, keep_first, &data);
	if (result < 0 && result != -ERANGE)
		return 0;
	return data >= object->file.limit ? object->n_segments - segment : data / object->file.segsize - segment;
}

/* Under rights. An absent segment of the target is a hole already. */
static void take_hole(struct object *object, uint64_t first, uint64_t most, bool urgent)
{
	uint64_t bytes = 0, s;

	pthread_mutex_lock(&object->lock);
	bool wanted = !object->dropped && !object->finishing;
	for (s = first; wanted && s < first + most && s < object->n_segments; s++) {
		if (segment_get(object->resident, s) || (s > first && segment_get(object->claimed, s)))
			break;
		segment_set(object->resident, s, true);
		object->absent--;
		bytes += segment_bytes(object, s);
	}
	pthread_mutex_unlock(&object->lock);
	if (wanted && s > first)
		record_segments(object, first, s - first, bytes, urgent);
}

/* --- one segment --- */

/* Within the kernel, when nobody has the file open who would wait for us meanwhile. -EOPNOTSUPP: with a buffer. */
static int copy_segment(struct fetch *fetch, struct source_file *file)
{
	struct object *object = fetch->object;
	struct bytes_from from = { .fd = source_file_fd(file) };

	if (fetch->demand || from.fd < 0 || object->file.source_used < object->file.source_size ||
	    atomic_load_explicit(&object->migrate->no_kernel_copy, memory_order_relaxed))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&object->lock);
	bool alone = object->opens == 0 && object->waiters == NULL;
	pthread_mutex_unlock(&object->lock);
	if (!alone)
		return -EOPNOTSUPP;
	LOCKED(&object->rights);
	int result = store_segment(object, fetch->segment, &from, false);
	if (result == -EOPNOTSUPP)
		atomic_store(&object->migrate->no_kernel_copy, true);
	return result;
}

static int move_segment(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len, bool urgent)
{
	struct object *object = fetch->object;
	int result = copy_segment(fetch, file);

	if (result != -EOPNOTSUPP)
		return result;
	result = read_segment(fetch, file, buf, len);
	if (result >= 0)
		result = fault_hit(FAULT_FETCH_READ);
	if (result < 0)
		return result;
	LOCKED(&object->rights);
	return store_segment(object, fetch->segment, &(struct bytes_from){ .buf = buf }, urgent);
}

static int bring_segment(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len, bool urgent)
{
	struct object *object = fetch->object;
	uint64_t holes = hole_segments(object, file, fetch->segment);
	if (holes) {
		LOCKED(&object->rights);
		take_hole(object, fetch->segment, fetch->demand ? 1 : holes, urgent);
		return 0;
	}
	int result = move_segment(fetch, file, buf, len, urgent);
	if (result >= 0)
		progress_moved(object->migrate, len, fetch->demand);
	return result;
}

static int fetch_segment(struct fetch *fetch, char *buf, bool urgent)
{
	struct object *object = fetch->object;
	struct source_file *file;

	pthread_mutex_lock(&object->lock);
	uint64_t len = object->dropped || segment_resident(object, fetch->segment) ? 0 : segment_bytes(object, fetch->segment);
	pthread_mutex_unlock(&object->lock);
	if (len == 0)
		return 0;
	int result = open_source(object, &file);
	if (result < 0)
		return result;
	result = bring_segment(fetch, file, buf, len, urgent);
	put_source(object);
	return result;
}

/* A writer that waits needs the record on disk, not only the bytes. */
static bool record_awaited(struct object *object)
{
	LOCKED(&object->lock);
	for (struct waiter *waiter = object->waiters; waiter; waiter = waiter->next)
		if (waiter->event.kind != EVENT_READ && waiter->event.kind != EVENT_STORED && waiter->event.kind != EVENT_OPEN)
			return true;
	return false;
}

static void settle(struct object *object, uint64_t segment, int result)
{
	if (result == -ENOSPC || result == -EDQUOT)
		serve_without_storing(object);
	else if (result < 0)
		note_failure(object, segment, result);
	else
		object_wake(object);
}

static void unlink_fetch(struct object *object, struct fetch *fetch)
{
	struct fetch **at = &object->fetches;

	while (*at != fetch)
		at = &(*at)->next;
	*at = fetch->next;
}

static void fetch_run(struct lane_job *job)
{
	struct fetch *fetch = (struct fetch *)((char *)job - offsetof(struct fetch, job));
	struct object *object = fetch->object;
	struct migrate *migrate = object->migrate;
	CLEAN_FREE char *buf = buffer_alloc(object->file.segsize);
	int result = atomic_load(&migrate->stopping) ? -ECANCELED : fetch_segment(fetch, buf, record_awaited(object));

	pthread_mutex_lock(&object->lock);
	if (fetch->segment < object->n_segments)
		segment_set(object->claimed, fetch->segment, false);
	unlink_fetch(object, fetch);
	pthread_mutex_unlock(&object->lock);
	settle(object, fetch->segment, result);
	if (result >= 0 && record_awaited(object))
		store_hurry(migrate->store);
	object_put(object);
	free(fetch);
}

static struct fetch *find_fetch(struct object *object, uint64_t segment)
{
	struct fetch *fetch = object->fetches;

	while (fetch && fetch->segment != segment)
		fetch = fetch->next;
	return fetch;
}

/* Under lock. */
static void request_segment(struct object *object, uint64_t segment, uint64_t off, uint64_t len, enum lane_class class)
{
	if (segment_get(object->claimed, segment)) {
		struct fetch *running = find_fetch(object, segment);
		if (running && class == LANE_DEMAND)
			lane_promote(object->migrate->data, &running->job, class);
		return;
	}
	struct fetch *fetch = must_alloc(sizeof(*fetch));
	*fetch = (struct fetch){ .job.run = fetch_run,
				 .next = object->fetches,
				 .object = object_ref(object),
				 .segment = segment,
				 .off = off,
				 .len = len,
				 .demand = class == LANE_DEMAND };
	object->fetches = fetch;
	segment_set(object->claimed, segment, true);
	lane_submit(object->migrate->data, &fetch->job, class);
}

void fetch_request_one(struct object *object, uint64_t segment)
{
	request_segment(object, segment, segment * object->file.segsize, object->file.segsize, LANE_DEMAND);
}

/* Reads that follow each other bring the next segments before they are asked for, twice as many each time. */
static void read_ahead(struct object *object, uint64_t first, uint64_t last)
{
	if (first > object->next_expected || last + 1 < object->next_expected) {
		object->readahead = 0;
	} else if (last + 1 > object->next_expected) {
		object->readahead = object->readahead ? object->readahead * 2 : 1;
		if (object->readahead > READAHEAD_MAX)
			object->readahead = READAHEAD_MAX;
	}
	object->next_expected = last + 1;
	for (uint64_t s = last + 1; s <= last + object->readahead && s < object->n_segments; s++)
		if (!segment_resident(object, s))
			request_segment(object, s, 0, 0, LANE_READAHEAD);
}

void fetch_ahead(struct object *object, uint64_t off, uint64_t len)
{
	if (object->absent == 0 || len == 0 || off >= object->file.limit || object->dropped || object->finishing ||
	    target_is_full(object->migrate))
		return;
	uint64_t end = len > object->file.limit - off ? object->file.limit : off + len;
	read_ahead(object, off / object->file.segsize, (end - 1) / object->file.segsize);
}

/* Under lock. */
void fetch_request(struct object *object, uint64_t off, uint64_t len, enum lane_class class)
{
	uint64_t segsize = object->file.segsize;

	if (off >= object->file.limit || len == 0 || object->dropped || object->finishing)
		return;
	uint64_t end = len > object->file.limit - off ? object->file.limit : off + len;
	uint64_t first = off / segsize, last = (end - 1) / segsize;
	for (uint64_t s = first; s <= last; s++)
		if (!segment_resident(object, s))
			request_segment(object, s, off, len, class);
	read_ahead(object, first, last);
}

/* --- answering a read without storing --- */

struct through {
	struct lane_job job;
	struct object *object;
	struct waiter *waiter;
};

/* Each piece from where it is. */
static int read_mixed(struct object *object, char *buf, uint64_t off, uint64_t len)
{
	uint64_t segsize = object->file.segsize;
	CLEAN_FD int fd = target_open_handle(object->migrate->target, &object->handle, O_RDONLY);
	struct source_file *file = NULL;

	if (fd < 0)
		return fd;
	int result = 0;

	for (uint64_t at = off; result >= 0 && at < off + len;) {
		uint64_t end = (at / segsize + 1) * segsize;
		pthread_mutex_lock(&object->lock);
		uint64_t limit = object->file.limit;
		bool here = at >= limit || segment_resident(object, at / segsize);
		pthread_mutex_unlock(&object->lock);
		if (!here && end > limit)
			end = limit;
		if (end > off + len)
			end = off + len;
		if (here) {
			ssize_t got = pread(fd, buf + (at - off), end - at, (off_t)at);
			result = got < 0 ? -errno : 0;
		} else {
			result = file ? 0 : open_source(object, &file);
			if (result >= 0)
				result = read_exactly(file, buf + (at - off), at, end - at);
		}
		at = end;
	}
	if (file)
		put_source(object);
	return result < 0 ? result : 0;
}

/* The waiter may have been taken back since (an interrupted system call), and its memory may serve another one: whoever is
 * parked at this address is answered for what it asked. */
static bool still_parked(struct object *object, const struct waiter *waiter, struct event *event)
{
	LOCKED(&object->lock);
	for (const struct waiter *at = object->waiters; at; at = at->next) {
		if (at == waiter && !at->need && at->event.kind == EVENT_READ) {
			*event = at->event;
			return true;
		}
	}
	return false;
}

static bool unpark_if_same(struct object *object, struct waiter *waiter, const struct event *event)
{
	struct event now;

	if (!still_parked(object, waiter, &now) || now.off != event->off || now.len != event->len)
		return false;
	return object_cancel(object, waiter);
}

static uint64_t clip_to_size(struct object *object, const struct event *event)
{
	CLEAN_FD int fd = target_open_handle(object->migrate->target, &object->handle, O_PATH);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size <= event->off)
		return 0;
	uint64_t rest = (uint64_t)st.st_size - event->off;
	return rest < event->len ? rest : event->len;
}

static void through_run(struct lane_job *job)
{
	struct through *through = (struct through *)((char *)job - offsetof(struct through, job));
	struct object *object = through->object;
	struct event event;

	if (still_parked(object, through->waiter, &event)) {
		uint64_t len = clip_to_size(object, &event);
		CLEAN_FREE char *buf = must_alloc(len);
		int result = read_mixed(object, buf, event.off, len);
		if (unpark_if_same(object, through->waiter, &event))
			through->waiter->wake(through->waiter, result < 0 ? result : 0, result < 0 ? NULL : buf, len);
	}
	object_put(object);
	free(through);
}

void fetch_read_through(struct object *object, struct waiter *waiter)
{
	struct through *through = must_alloc(sizeof(*through));

	*through = (struct through){ .job.run = through_run, .object = object_ref(object), .waiter = waiter };
	lane_submit(object->migrate->data, &through->job, LANE_DEMAND);
}

/* --- background --- */

/* Under lock: the next segment nobody works on. */
static bool claim_next(struct object *object, uint64_t *segment)
{
	LOCKED(&object->lock);
	if (object->dropped || object->finishing || object->absent == 0)
		return false;
	for (uint64_t s = *segment; s < object->n_segments; s++) {
		if (segment_resident(object, s) || segment_get(object->claimed, s))
			continue;
		segment_set(object->claimed, s, true);
		*segment = s;
		return true;
	}
	return false;
}

static void unclaim(struct object *object, uint64_t segment)
{
	LOCKED(&object->lock);
	if (segment < object->n_segments)
		segment_set(object->claimed, segment, false);
}

static bool demand_presses(struct migrate *migrate)
{
	struct lane_load load;

	lane_load(migrate->data, &load);
	return load.queued[LANE_DEMAND] > 0;
}

bool fetch_all(struct object *object)
{
	struct migrate *migrate = object->migrate;
	CLEAN_FREE char *buf = buffer_alloc(object->file.segsize);
	struct fetch fetch = { .object = object };

	file_catch_up(object);
	while (claim_next(object, &fetch.segment)) {
		int result = fetch_segment(&fetch, buf, false);
		unclaim(object, fetch.segment);
		settle(object, fetch.segment, result);
		if (result < 0)
			return true;
		if (atomic_load(&migrate->stopping) || atomic_load(&migrate->paused) || demand_presses(migrate))
			return false;
		fetch.segment++;
	}
	return true;
}
