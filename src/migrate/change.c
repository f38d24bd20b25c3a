/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What applications change in objects that are not all here: the application's write wins (I2).
 *
 * The rule: an application writes only into segments whose record says "resident" on disk. Then no crash can make a fetch go
 * over its bytes, and fsync needs nothing but the file's own. So:
 *   - a write that covers a segment in part waits until the segment is here and recorded;
 *   - a write that covers a segment whole needs nothing from the source: it is written, made durable and recorded before the
 *     application is told;
 *   - a file that is cut gets its limit recorded before the application is told; nothing above the limit is ever fetched. Should
 *     we die between, the present size of the file is the limit (object.c, respect_size);
 *   - the record's claim on the modification time is taken back before the first write, and renewed when times are set.
 *
 * All of this happens under the object's rights, from begin to end, so that a fetch sees either nothing of it or all.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool changes_data(enum event_kind kind)
{
	return kind == EVENT_WRITE || kind == EVENT_RESIZE || kind == EVENT_PUNCH;
}

/* Under rights. From here on the target's own modification time counts, and the limit is as in memory. */
static void release_record(struct object *object)
{
	struct file_record record;
	struct batch *batch = batch_new();

	pthread_mutex_lock(&object->lock);
	object->file.mtime_valid = false;
	object->file.changed = true;
	object_file_record(object, &record);
	pthread_mutex_unlock(&object->lock);
	batch_file_put(batch, &record);
	uint64_t number = object_submit(object, batch, SUBMIT_URGENT | SUBMIT_BARRIER, NULL, NULL);
	pthread_mutex_lock(&object->lock);
	object->guard = number;
	pthread_mutex_unlock(&object->lock);
}

/* Under lock: asks for what the change needs to have here. */
static void request_edges(struct object *object, const struct event *event)
{
	uint64_t segsize = object->file.segsize, first, end;

	if (object->file.emptied)
		fetch_request(object, 0, 0, LANE_DEMAND);
	if (event->kind == EVENT_RESIZE || event->len == 0 || event->off >= object->file.limit)
		return;
	uint64_t stop = event->len > object->file.limit - event->off ? object->file.limit : event->off + event->len;
	span_whole(object, event->off, event->len, &first, &end);
	for (uint64_t s = event->off / segsize; s * segsize < stop; s++)
		if ((s < first || s >= end) && !segment_resident(object, s))
			fetch_request_one(object, s);
}

static bool needs_release(struct object *object)
{
	LOCKED(&object->lock);
	return object->file.mtime_valid && !object->finishing && !object->dropped;
}

static int begin_data(struct object *object, const struct event *event, struct waiter *waiter)
{
	if (needs_release(object))
		release_record(object);
	pthread_mutex_lock(&object->lock);
	int result = MONITOR_GO;
	if (object->broken) {
		result = object->broken;
	} else if (object->finishing ? !object->finished : !object_ready(object, event)) {
		request_edges(object, event);
		result = waiter ? MONITOR_PARKED : -EAGAIN;
		if (waiter)
			object_park(object, waiter);
	}
	pthread_mutex_unlock(&object->lock);
	if (result != MONITOR_GO)
		store_hurry(object->migrate->store);
	else
		result = fault_hit(event->kind == EVENT_RESIZE ? FAULT_RESIZE_BEFORE : FAULT_WRITE_BEFORE);
	return result;
}

static bool is_forbidden(const struct object *object, enum event_kind kind)
{
	if (object->is_dir)
		return false; /* its flags are on the target when it can be seen */
	return (object->file.inode_flags & FS_IMMUTABLE_FL) ||
	       ((object->file.inode_flags & FS_APPEND_FL) && kind != EVENT_WRITE && kind != EVENT_TIMES);
}

int change_begin(struct object *object, const struct event *event, struct waiter *waiter)
{
	pthread_mutex_lock(&object->rights);
	int result = MONITOR_GO;
	if (is_forbidden(object, event->kind))
		result = -EPERM; /* as the kernel will say once the flag is set */
	else if (changes_data(event->kind))
		result = begin_data(object, event, waiter);
	if (result != MONITOR_GO)
		pthread_mutex_unlock(&object->rights);
	return result;
}

static struct moment moment_of(struct timespec time)
{
	return (struct moment){time.tv_sec, (uint32_t)time.tv_nsec};
}

/* Under lock: what is shown from now on is what the change made of it. */
static void refresh_times(struct object *object, const struct event *event)
{
	struct stat st;

	if (event->fd < 0 || fstat(event->fd, &st) < 0)
		return;
	object->ctime = moment_of(st.st_ctim);
	if (event->kind != EVENT_CHANGE && (event->kind != EVENT_TIMES || event->off))
		object->mtime = moment_of(st.st_mtim);
	if (event->kind == EVENT_TIMES && object->is_dir) {
		object->dir.atime = moment_of(st.st_atim);
		object->dir.mtime = object->mtime;
	}
}

/* Under lock: segments that were changed as a whole are the application's. Appends to the batch what is new. */
static void take_segments(struct object *object, const struct event *event, struct batch **batch, struct marked **marked)
{
	uint64_t first, end;
	int64_t bytes = 0;

	span_whole(object, event->off, event->len, &first, &end);
	for (uint64_t s = first; s < end; s++) {
		if (segment_get(object->resident, s))
			continue;
		segment_set(object->resident, s, true);
		object->absent--;
		bytes += (int64_t)segment_bytes(object, s);
	}
	bool durable = true;
	for (uint64_t s = first; s < end; s++)
		durable = durable && segment_get(object->durable_map, s);
	if (durable)
		return;
	*batch = batch_new();
	*marked = must_alloc(sizeof(**marked));
	**marked = (struct marked){first, end - first, object->generation};
	batch_segments_mark(*batch, object->ino, first, end - first);
	batch_totals_add(*batch, &(struct totals){.bytes_found = -bytes, .bytes_pending = -bytes});
}

/* Under lock: notes which segments are no longer the source's alone, for those who ask where a file is. Nobody waits for this. */
static void note_changed(struct object *object, const struct event *event, struct batch **note)
{
	uint64_t segsize = object->file.segsize, first = event->off / segsize;
	uint64_t end = segments_for(event->off + event->len, segsize);
	bool news = false;

	if (end > object->n_segments)
		end = object->n_segments;
	for (uint64_t s = first; event->len && s < end; s++) {
		news = news || !segment_get(object->changed, s);
		segment_set(object->changed, s, true);
	}
	if (!news || object->finishing)
		return;
	*note = batch_new();
	batch_segments_changed(*note, object->ino, first, end - first);
}

/* Under lock: nothing of the source is wanted above `size` any more. */
static void cut(struct object *object, uint64_t size, struct batch **batch)
{
	struct file_record record;

	if (size >= object->file.limit)
		return;
	int64_t less = (int64_t)limit_cut(object, size);
	object_file_record(object, &record);
	*batch = batch_new();
	batch_file_put(*batch, &record);
	batch_totals_add(*batch, &(struct totals){.bytes_found = -less, .bytes_pending = -less});
}

/* A resize that failed may have cut the file all the same. */
static uint64_t size_after(const struct event *event)
{
	struct stat st;

	if (event->error == 0)
		return event->off;
	return event->fd >= 0 && fstat(event->fd, &st) == 0 ? (uint64_t)st.st_size : UINT64_MAX;
}

/* Under lock: the times that were set are the file's, whatever our own writes do. Returns the change to wait for when the record
 * is on its way out: with the old times in it, it must not survive. */
static uint64_t keep_times(struct object *object, struct batch **batch)
{
	if (object->is_dir ? object->life >= DIR_MADE : object->finishing)
		return object->submitted;
	*batch = batch_new();
	if (object->is_dir) {
		batch_dir_put(*batch, &object->dir);
	} else {
		struct file_record record;
		object->file.mtime_valid = true;
		object_file_record(object, &record);
		batch_file_put(*batch, &record);
	}
	return 0;
}

/* Under lock: from now on a new state of the source takes the attributes no more. Where that could happen the application is told when
 * it is on disk; else whoever comes first takes it there. */
static uint64_t keep_attributes(struct object *object, struct batch **batch, struct batch **note)
{
	struct file_record record;
	bool waits = atomic_load(&object->migrate->tuned.drift) != DRIFT_REPORT;

	if (object->finishing)
		return 0;
	if (object->file.attributes_changed)
		return waits ? object->submitted : 0;
	object->file.attributes_changed = true;
	object_file_record(object, &record);
	struct batch **to = waits ? batch : note;
	*to = batch_new();
	batch_file_put(*to, &record);
	return 0;
}

/* A failed write may have left bytes in segments that are still the source's: they become holes again, as absent ones are. */
static void undo(struct object *object, const struct event *event)
{
	uint64_t first, end, segsize = object->file.segsize;

	if (event->kind != EVENT_WRITE || event->fd < 0)
		return;
	span_whole(object, event->off, event->len, &first, &end);
	for (uint64_t s = first; s < end; s++)
		if (!segment_get(object->resident, s))
			fallocate(event->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(s * segsize),
			          (off_t)segment_bytes(object, s));
}

static int wait_durable(struct object *object, uint64_t number, struct waiter *waiter)
{
	LOCKED(&object->lock);
	if (object->durable >= number)
		return MONITOR_GO;
	if (object->broken)
		return object->broken;
	waiter->need = number;
	object_park(object, waiter);
	return MONITOR_PARKED;
}

/* What the record must say after a change. */
struct account {
	struct batch *batch, *note;
	struct marked *marked;
	uint64_t number; /* of the change to wait for; 0: none */
};

/* Under lock. */
static void account(struct object *object, const struct event *event, struct account *account)
{
	if (object->finished || object->dropped)
		return; /* no record may come back */
	if (event->error == 0)
		refresh_times(object, event);
	if (event->kind == EVENT_RESIZE) {
		cut(object, size_after(event), &account->batch);
	} else if (event->error < 0) {
		if (!object->is_dir)
			undo(object, event);
	} else if (event->kind == EVENT_WRITE || event->kind == EVENT_PUNCH) {
		note_changed(object, event, &account->note);
		take_segments(object, event, &account->batch, &account->marked);
	} else if (event->kind == EVENT_TIMES) {
		account->number = keep_times(object, &account->batch);
	} else if (event->kind == EVENT_CHANGE && !object->is_dir) {
		account->number = keep_attributes(object, &account->batch, &account->note);
	}
}

static uint64_t submit(struct object *object, const struct event *event, const struct account *account)
{
	unsigned flags = SUBMIT_URGENT | (changes_data(event->kind) ? SUBMIT_BARRIER : 0);

	if (object->is_dir)
		return object_submit(object, account->batch, flags, NULL, NULL);
	uint64_t number = file_submit(object, account->batch, flags, account->marked ? segments_durable : NULL, account->marked);
	if (event->kind == EVENT_RESIZE) {
		/* Whoever comes next writes above the limit, and must not before the limit is on disk. */
		LOCKED(&object->lock);
		object->guard = number;
	}
	return number;
}

static enum fault_point point_after(enum event_kind kind)
{
	if (kind == EVENT_TIMES)
		return FAULT_TIMES_SET;
	return kind == EVENT_RESIZE ? FAULT_RESIZE_DONE : FAULT_WRITE_OWNED;
}

int change_end(struct object *object, const struct event *ended, struct waiter *waiter)
{
	struct event event = *ended;
	struct account changes = {0};

	if (event.error == 0 && event.kind != EVENT_CHANGE)
		event.error = fault_hit(point_after(event.kind));
	pthread_mutex_lock(&object->lock);
	account(object, &event, &changes);
	pthread_mutex_unlock(&object->lock);
	if (changes.note)
		object_submit(object, changes.note, 0, NULL, NULL);
	if (changes.batch)
		changes.number = submit(object, &event, &changes);
	else if (changes.number)
		store_hurry(object->migrate->store);
	pthread_mutex_unlock(&object->rights);
	if (event.error < 0 && ended->error == 0)
		return event.error;
	return changes.number && waiter ? wait_durable(object, changes.number, waiter) : MONITOR_GO;
}
