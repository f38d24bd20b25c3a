/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The migrator as a monitor: from events to what must be done for them.
 *
 * A reference to an object is held for the time of a call; for exclusive events from begin to end; for open files from
 * EVENT_OPEN to EVENT_CLOSE.
 */
#include "migrate/internal.h"
#include "migrate/order.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>

/* After a failure the same object is not tried again for this long: whoever comes gets the same answer at once (I6). */
#define FAILURE_HOLDS_NS (1 * NS_PER_S)

static bool failed_just_now(const struct object *object)
{
	return object->error && clock_monotonic_ns() - object->error_ns < FAILURE_HOLDS_NS;
}

/* What it got then is what this application gets now. Under lock. */
static int tell_failure(struct object *object)
{
	int error = error_told(object->error);

	ledger_told(&object->migrate->ledger, object->ino, error);
	return error;
}

static int park(struct object *object, struct waiter *waiter)
{
	if (!waiter)
		return -EAGAIN;
	object_park(object, waiter);
	return MONITOR_PARKED;
}

static int answer_names(struct object *dir, struct waiter *waiter, bool *quiet)
{
	pthread_mutex_lock(&dir->lock);
	int result = MONITOR_GO;
	*quiet = dir->life == DIR_POPULATED;
	if (!*quiet && dir->life == DIR_ABSENT && failed_just_now(dir))
		result = tell_failure(dir);
	else if (!*quiet && dir->broken)
		result = dir->broken;
	else if (!*quiet && !dir->dropped)
		result = park(dir, waiter);
	pthread_mutex_unlock(&dir->lock);
	if (result == MONITOR_PARKED)
		populate_request(dir, LANE_DEMAND);
	return result;
}

static int answer_read(struct object *file, const struct event *event, struct waiter *waiter)
{
	LOCKED(&file->lock);
	if (object_ready(file, event)) {
		if (!failed_just_now(file))
			fetch_ahead(file, event->off, event->len);
		return MONITOR_GO;
	}
	if (failed_just_now(file))
		return tell_failure(file);
	int result = park(file, waiter);
	if (result == MONITOR_PARKED && event->kind == EVENT_READ && target_is_full(file->migrate))
		fetch_read_through(file, waiter);
	else if (result == MONITOR_PARKED)
		fetch_request(file, event->off, event->len, LANE_DEMAND);
	if (result == MONITOR_PARKED)
		order_touch(file->migrate, file);
	return result;
}

/* Small files come whole, so that they can be opened in passthrough; a file that is all here waits for its record to go, so that
 * writes may pass us by. */
static int answer_open(struct object *file, const struct event *event, struct waiter *waiter, bool *quiet)
{
	struct migrate *migrate = file->migrate;
	LOCKED(&file->lock);

	*quiet = file->finished;
	if (object_ready(file, event)) {
		file->opens += !*quiet;
		return MONITOR_GO;
	}
	bool small = file->file.limit <= atomic_load(&migrate->tuned.whole_at_open) && (event->kind == EVENT_OPEN || event->len);
	bool worth_waiting = !file->broken &&
	                     (file->absent == 0 ? file->finishing : small && !target_is_full(migrate) && !failed_just_now(file));
	if (!worth_waiting) {
		file->opens++;
		return MONITOR_GO;
	}
	int result = park(file, waiter);
	if (result == MONITOR_PARKED && file->absent) {
		fetch_request(file, 0, file->file.limit, LANE_DEMAND);
		order_touch(migrate, file);
	}
	return result;
}

/* Nothing is waited for, and what is unlinked meanwhile goes on coming over. */
static int answer_still_open(struct object *file, bool *quiet)
{
	LOCKED(&file->lock);
	*quiet = file->finished;
	if (!*quiet) {
		file->opens++;
		object_ref(file);
	}
	return MONITOR_GO;
}

static int answer_whole(struct object *file, struct waiter *waiter, bool *quiet)
{
	LOCKED(&file->lock);
	*quiet = file->finished || file->dropped;
	if (*quiet || file->is_dir)
		return MONITOR_GO;
	if (failed_just_now(file))
		return tell_failure(file);
	if (file->broken || (file->absent == 0 && !file->finishing && !file->file.emptied))
		return file->broken ? file->broken : -EIO;
	int result = park(file, waiter);
	if (result == MONITOR_PARKED)
		fetch_request(file, 0, file->file.limit, LANE_DEMAND);
	return result;
}

static void closed(struct object *file)
{
	pthread_mutex_lock(&file->lock);
	bool last = --file->opens == 0 && file->unlinked;
	pthread_mutex_unlock(&file->lock);
	if (last)
		file_drop(file);
	object_put(file); /* the reference of the open file */
}

static void removed(struct object *file, const struct event *event)
{
	pthread_mutex_lock(&file->lock);
	file->unlinked = event->off == 0;
	bool gone = file->unlinked && file->opens == 0;
	pthread_mutex_unlock(&file->lock);
	if (gone)
		file_drop(file);
}

static bool exclusive(enum event_kind kind)
{
	return kind == EVENT_WRITE || kind == EVENT_RESIZE || kind == EVENT_PUNCH || kind == EVENT_CHANGE || kind == EVENT_TIMES;
}

static int begin_exclusive(struct object *object, const struct event *event, struct waiter *waiter, bool *quiet)
{
	pthread_mutex_lock(&object->lock);
	*quiet = object->finished || object->dropped || object->life == DIR_POPULATED;
	pthread_mutex_unlock(&object->lock);
	if (*quiet)
		return MONITOR_GO;
	int result = change_begin(object, event, waiter);
	if (result == MONITOR_GO)
		object_ref(object);
	return result;
}

static int answer(struct object *object, const struct event *event, struct waiter *waiter, bool *quiet)
{
	if (exclusive(event->kind))
		return begin_exclusive(object, event, waiter, quiet);
	switch (event->kind) {
	case EVENT_NAMES:
		return answer_names(object, waiter, quiet);
	case EVENT_READ:
	case EVENT_STORED:
		return answer_read(object, event, waiter);
	case EVENT_OPEN:
	case EVENT_OPEN_WRITE: {
		int result = answer_open(object, event, waiter, quiet);
		if (result == MONITOR_GO && !*quiet)
			object_ref(object);
		if (result == MONITOR_PARKED)
			store_hurry(object->migrate->store);
		return result;
	}
	case EVENT_STILL_OPEN:
		return answer_still_open(object, quiet);
	case EVENT_WHOLE:
		return answer_whole(object, waiter, quiet);
	case EVENT_CLOSE:
		closed(object);
		return MONITOR_GO;
	case EVENT_REMOVED:
		removed(object, event);
		return MONITOR_GO;
	default:
		return MONITOR_GO;
	}
}

static int begin(void *context, struct subject *subject, const struct event *event, struct waiter *waiter, bool *quiet)
{
	struct migrate *migrate = context;
	struct object *object;
	int found = 0;

	if (atomic_load_explicit(&migrate->stopping, memory_order_relaxed))
		return -EIO;
	if (subject->is_dir || subject->is_file)
		found = object_get(migrate, subject->ino, &subject->handle, subject->is_dir, &object);
	if (found <= 0) {
		*quiet = found == 0;
		return found;
	}
	if (waiter)
		waiter->need = 0;
	int result = answer(object, event, waiter, quiet);
	object_put(object);
	return result;
}

static int end(void *context, struct subject *subject, const struct event *event, struct waiter *waiter)
{
	struct object *object;

	if (object_get(context, subject->ino, &subject->handle, subject->is_dir, &object) <= 0)
		return MONITOR_GO;
	int result = change_end(object, event, waiter);
	object_put(object);
	object_put(object); /* the reference that begin kept */
	return result;
}

/* The object is looked up anew: the one that the waiter was parked at may be gone. */
static bool cancel(void *context, struct subject *subject, struct waiter *waiter)
{
	struct object *object;

	if (object_get(context, subject->ino, &subject->handle, subject->is_dir, &object) <= 0)
		return false;
	bool cancelled = object_cancel(object, waiter);
	object_put(object);
	return cancelled;
}

static struct timespec timespec_of(struct moment moment)
{
	return (struct timespec){.tv_sec = moment.sec, .tv_nsec = moment.nsec};
}

static void attr(void *context, struct subject *subject, struct attr_overlay *overlay)
{
	struct migrate *migrate = context;

	if (!subject->is_dir && atomic_load_explicit(&migrate->links_pending, memory_order_relaxed))
		overlay->has_nlink = links_shown(migrate, subject, &overlay->nlink);
	overlay->quiet = subject_quiet(subject) || !(subject->is_dir || subject->is_file);
	if (overlay->quiet)
		return;
	struct object *object;
	int found = object_get(migrate, subject->ino, &subject->handle, subject->is_dir, &object);
	if (found <= 0) {
		overlay->quiet = found == 0;
		return;
	}
	pthread_mutex_lock(&object->lock);
	if (object->is_dir) {
		overlay->has_mtime = object->life != DIR_POPULATED;
		overlay->has_nlink = object->life != DIR_POPULATED && object->dir.nlink;
		overlay->nlink = object->dir.nlink;
		overlay->inode_flags = object->dir.inode_flags;
	} else {
		overlay->has_mtime = overlay->has_ctime = !object->dropped;
		overlay->blocks = object->finished ? 0 : (object->file.source_used + 511) / 512;
		overlay->inode_flags = object->file.inode_flags;
	}
	overlay->mtime = timespec_of(object->mtime);
	overlay->ctime = timespec_of(object->ctime);
	pthread_mutex_unlock(&object->lock);
	object_put(object);
}

static bool resident(void *context, struct subject *subject, uint64_t off, uint64_t *run)
{
	struct object *object;
	bool here = true;
	int found = object_get(context, subject->ino, &subject->handle, subject->is_dir, &object);

	if (found <= 0)
		return found == 0;
	pthread_mutex_lock(&object->lock);
	uint64_t segsize = object->file.segsize;
	if (object->file.emptied) {
		here = false; /* what the target has goes, whatever comes in its place */
	} else if (!object->finished && object->absent && off < object->file.limit) {
		uint64_t s = off / segsize;
		here = segment_resident(object, s);
		while (s < object->n_segments && segment_resident(object, s) == here)
			s++;
		if (s < object->n_segments)
			*run = s * segsize - off;
		else if (!here)
			*run = object->file.limit - off;
	}
	pthread_mutex_unlock(&object->lock);
	object_put(object);
	return here;
}

static uint64_t epoch(void *context, const struct subject *subject)
{
	struct migrate *migrate = context;

	return atomic_load(&migrate->renewals[subject->ino % RENEWALS_APART]);
}

static uint64_t settled(void *context)
{
	struct migrate *migrate = context;

	return atomic_load(&migrate->settled);
}

static void served(void *context, uint64_t took_ns)
{
	struct migrate *migrate = context;

	load_note(&migrate->load, LOAD_SERVED, took_ns / NS_PER_US);
	govern_meet(migrate);
}

const struct monitor_ops migrate_monitor = {
	.begin = begin,
	.end = end,
	.cancel = cancel,
	.attr = attr,
	.resident = resident,
	.served = served,
	.epoch = epoch,
	.settled = settled,
};
