/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading a segment. Where somebody waits for some of it, these bytes come first, and he is answered from the buffer, in the thread
 * that completes the read; then comes the rest.
 *
 * Attributes that come with the data take the place of a question of their own: with the first bytes of a file they tell whether it is
 * still what was listed, before anybody sees those; with the last they tell whether it stayed so (drift.c).
 */
#include "migrate/fetch.h"

#include <errno.h>
#include <sched.h>

/* Answers readers whose bytes all lie in what has been read, without waiting for the target. Not with the bytes of a state before the
 * one that the file is of now: who waits since then would have the kernel keep them. */
static void serve_early(const struct fetch *fetch, const char *buf, uint64_t off, uint64_t len)
{
	struct object *object = fetch->object;
	struct waiter *served = NULL, *next;

	pthread_mutex_lock(&object->lock);
	bool serves = object->generation == fetch->generation && off + len <= object->file.limit;
	for (struct waiter *waiter = object->waiters; serves && waiter; waiter = next) {
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

/* The part of a segment that somebody waits for, from here on in offsets of the segment; false: nobody does. */
static bool wanted_first(const struct fetch *fetch, uint64_t len, uint64_t *from, uint64_t *to)
{
	uint64_t start = fetch->segment * fetch->object->file.segsize;

	*from = fetch->off > start ? fetch->off - start : 0;
	*to = fetch->off + fetch->len < start + len ? fetch->off + fetch->len - start : len;
	return fetch->demand && *from < *to;
}

struct first {
	struct source_look look;
	struct fetch *fetch;
	const char *buf;
	uint64_t off, len;
	bool begins; /* nobody has compared the file with its listing */
	bool served;
};

/* Maybe in a thread of the plugin: whoever waits need not wait for ours. Where more is to be asked it is not answered from here. */
static void first_came(struct source_look *look)
{
	struct first *first = (struct first *)look;

	if (first->begins && !(look->attr_known && drift_is_known(first->fetch->object, &look->attr)))
		return;
	serve_early(first->fetch, first->buf, first->off, first->len);
	first->served = true;
}

static int read_first(struct fetch *fetch, struct source_file *file, char *buf, uint64_t off, uint64_t len)
{
	struct object *object = fetch->object;
	struct first first = {.look.came = first_came, .fetch = fetch, .buf = buf, .off = off, .len = len};

	first.begins = drift_begins(object);
	int result = origin_read_look(file, buf, off, len, &first.look);
	if (result >= 0 && first.begins)
		result = drift_check_first(object, first.look.attr_known ? &first.look.attr : NULL);
	if (result < 0)
		return result;
	if (!first.served)
		serve_early(fetch, buf, off, len);
	fetch->looked = first.look.attr_known && drift_is_known(object, &first.look.attr);
	sched_yield(); /* who was answered goes first: the rest of the segment would keep its processor busy */
	return 0;
}

static int read_last(struct fetch *fetch, struct source_file *file, char *buf, uint64_t off, uint64_t len)
{
	struct source_look look = {0};

	fetch->looked = false;
	if (!drift_ends(fetch->object))
		return origin_read(file, buf, off, len);
	int result = origin_read_look(file, buf, off, len, &look);
	fetch->looked = result >= 0 && look.attr_known && drift_is_known(fetch->object, &look.attr);
	return result;
}

/* --- reads that were begun before their turn --- */

/* Under lock. What is unusual about a file is seen to by whoever brings a segment of it. */
static bool may_begin(const struct object *object)
{
	return object->drift_looked && !object->dropped && !object->file.emptied && !object->beside;
}

void fetch_begin(struct fetch *fetch)
{
	struct object *object = fetch->object;
	struct migrate *migrate = object->migrate;
	struct source_file *file;

	pthread_mutex_lock(&object->lock);
	fetch->reading_generation = object->generation;
	fetch->reading_len = may_begin(object) ? segment_bytes(object, fetch->segment) : 0;
	pthread_mutex_unlock(&object->lock);
	if (fetch->reading_len == 0 || !window_take(&migrate->window, fetch->reading_len))
		return;
	if (origin_open(object, &file) < 0) {
		window_give(&migrate->window, fetch->reading_len);
		return;
	}
	fetch->begun = true;
	fetch->reading = source_read_begin(file, fetch->buf, fetch->segment * object->file.segsize, fetch->reading_len);
	if (!fetch->reading)
		fetch_end_begun(fetch);
}

void fetch_end_begun(struct fetch *fetch)
{
	if (fetch->reading)
		source_read_forgo(fetch->reading);
	fetch->reading = NULL;
	if (!fetch->begun)
		return;
	fetch->begun = false;
	origin_put(fetch->object);
	window_give(&fetch->object->migrate->window, fetch->reading_len);
}

/* What was begun for another state of the file, or for more than is wanted of it now, is of no use. */
static bool has_begun(struct fetch *fetch, uint64_t len)
{
	if (!fetch->reading)
		return false;
	if (fetch->reading_generation == fetch->generation && fetch->reading_len == len)
		return true;
	source_read_forgo(fetch->reading);
	fetch->reading = NULL;
	return false;
}

static int read_begun(struct fetch *fetch, uint64_t off, uint64_t len)
{
	struct source_look look = {0};
	int64_t got = source_read_end(fetch->reading, &look, &fetch->took_ns);

	fetch->reading = NULL;
	fetch->looked = got >= 0 && look.attr_known && drift_is_known(fetch->object, &look.attr);
	if (got < 0)
		return source_result((int)got);
	if ((uint64_t)got < len)
		return -ENODATA;
	if (fetch->demand)
		serve_early(fetch, fetch->buf, off, len);
	return 0;
}

/* --- */

int fetch_read(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len)
{
	uint64_t start = fetch->segment * fetch->object->file.segsize, from, to;

	if (has_begun(fetch, len))
		return read_begun(fetch, start, len);
	if (!wanted_first(fetch, len, &from, &to))
		return read_last(fetch, file, buf, start, len);
	int result = read_first(fetch, file, buf + from, start + from, to - from);
	if (result >= 0 && from > 0)
		result = read_last(fetch, file, buf, start, from);
	if (result >= 0 && to < len)
		result = read_last(fetch, file, buf + to, start + to, len - to);
	return result;
}

/* Where holes are to be known nothing is read before. */
bool fetch_looks(const struct fetch *fetch, uint64_t len)
{
	uint64_t from, to;

	return wanted_first(fetch, len, &from, &to) && !(source_capabilities(fetch->object->migrate->source) & DMM_CAP_EXTENTS);
}
