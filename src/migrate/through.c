/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading through: a read is answered from the source without storing anything, because the target is full.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

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
			result = file ? 0 : origin_open(object, &file);
			if (result >= 0)
				result = origin_read(file, buf + (at - off), at, end - at);
		}
		at = end;
	}
	if (file)
		origin_put(object);
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

static int clip_to_size(struct object *object, const struct event *event, uint64_t *len)
{
	CLEAN_FD int fd = target_open_handle(object->migrate->target, &object->handle, O_PATH);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fd < 0 ? fd : -errno;
	uint64_t rest = (uint64_t)st.st_size > event->off ? (uint64_t)st.st_size - event->off : 0;
	*len = rest < event->len ? rest : event->len;
	return 0;
}

static void through_run(struct lane_job *job)
{
	struct through *through = (struct through *)((char *)job - offsetof(struct through, job));
	struct object *object = through->object;
	struct event event;

	if (still_parked(object, through->waiter, &event)) {
		uint64_t len = 0;
		int result = clip_to_size(object, &event, &len);
		CLEAN_FREE char *buf = must_alloc(len);
		if (result >= 0)
			result = read_mixed(object, buf, event.off, len);
		if (result < 0)
			fetch_failed(object, result, true);
		if (unpark_if_same(object, through->waiter, &event))
			through->waiter->wake(through->waiter, result < 0 ? result : 0, result < 0 ? NULL : buf, len);
	}
	object_put(object);
	free(through);
}

void fetch_read_through(struct object *object, struct waiter *waiter)
{
	struct through *through = must_alloc(sizeof(*through));

	*through = (struct through){.job.run = through_run, .object = object_ref(object), .waiter = waiter};
	lane_submit(object->migrate->data, &through->job, LANE_DEMAND);
}
