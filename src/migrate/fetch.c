/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bringing segments of a file over.
 *
 * A segment is claimed by one fetch at a time; everyone else waits for that one. A demand fetch answers from its buffer (fetch_read.c);
 * other readers may have a segment as soon as its bytes are on the target (arrive.c).
 */
#include "migrate/fetch.h"
#include "migrate/renew.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fault.h"

#include <errno.h>
#include <stdlib.h>

#define READAHEAD_MAX 16

/* --- failures --- */

int error_told(int error)
{
	switch (error) {
	case -ENODATA:
	case -ENOENT:
	case -EREMCHG:
	case -ELOOP:
	case -EOVERFLOW:
	case -BESIDE_ERROR:
		return -EIO;
	default:
		return error;
	}
}

static const char *explain(const struct migrate *migrate, int error)
{
	switch (error) {
	case -ENODATA:
		return "the source is shorter than when it was listed";
	case -ENOENT:
		return "it is gone from the source";
	case -EREMCHG:
		return "the source changed after its directory was listed; a retry takes it as it is";
	case -BESIDE_ERROR:
		return "it was written into past the mount while no daemon ran: a retry brings the source's data where it has "
		       "not come "
		       "over, over what was written there; to keep that, halt and see 'dmmfs-admin db rebuild'";
	default:
		return source_advice(migrate->source, error);
	}
}

/* It changes when the source does. */
static uint64_t size_at_source(struct object *object)
{
	LOCKED(&object->lock);
	return object->file.source_size;
}

void fetch_failed(struct object *object, int error, bool told)
{
	if (error == -ECANCELED || error == -ESTALE)
		return;
	ledger_error(&object->migrate->ledger, &(struct failure){.ino = object->ino,
	                                                         .handle = &object->handle,
	                                                         .what = error == -EREMCHG        ? "drift"
	                                                                 : error == -BESIDE_ERROR ? "beside"
	                                                                                          : "read",
	                                                         .final = error == -EREMCHG || error == -BESIDE_ERROR,
	                                                         .detail = explain(object->migrate, error),
	                                                         .error = error == -BESIDE_ERROR ? error : error_told(error),
	                                                         .bytes = size_at_source(object),
	                                                         .told = told,
	                                                         .outage = outage_explains(object->migrate, error)});
	origin_forget(object);
	LOCKED(&object->lock);
	object->error = error; /* recorded before anyone is told (I7) */
	object->error_ns = clock_monotonic_ns();
}

static void note_failure(struct object *object, uint64_t segment, int error)
{
	if (error == -ESTALE) {
		file_drop(object);
		return;
	}
	if (error == -ECANCELED)
		return;
	pthread_mutex_lock(&object->lock);
	bool told = object_tells(object), over = object->dropped || object->finishing; /* all is here, written meanwhile */
	pthread_mutex_unlock(&object->lock);
	if (over) {
		object_wake(object);
		return;
	}
	fetch_failed(object, error, told);
	object_fail(object, segment * object->file.segsize, object->file.segsize, error_told(error));
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

/* --- holes: nothing to read, nothing to write --- */

static int keep_first(void *context, const struct dmm_extent *extent)
{
	*(uint64_t *)context = extent->off;
	return -ERANGE; /* one is enough */
}

/* How many whole segments from this one on are a hole at the source. */
static uint64_t hole_segments(struct object *object, struct source_file *file, uint64_t segment)
{
	uint64_t start = segment * object->file.segsize;

	pthread_mutex_lock(&object->lock); /* all this changes when the file is brought anew */
	uint64_t limit = object->file.limit, n_segments = object->n_segments, data = limit;
	bool sparse = object->file.source_used < object->file.source_size;
	pthread_mutex_unlock(&object->lock);
	if (!(source_capabilities(object->migrate->source) & DMM_CAP_EXTENTS) || !sparse || start >= limit)
		return 0;
	int result = source_extents(file, start, limit - start, keep_first, &data);
	if (result < 0 && result != -ERANGE)
		return 0;
	return data >= limit ? n_segments - segment : data / object->file.segsize - segment;
}

/* Under rights. An absent segment of the target is a hole already. */
static int take_hole(struct fetch *fetch, uint64_t most, bool urgent)
{
	struct object *object = fetch->object;
	uint64_t bytes = 0, first = fetch->segment, s;

	if (!arrive_current(object, fetch->generation))
		return -ERESTART;
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
		arrive_record(object, first, s - first, bytes, &(struct digest){0}, urgent);
	return 0;
}

/* --- one segment --- */

/* Within the kernel, when nobody has the file open who would wait for us meanwhile, and no digest is wanted. -EOPNOTSUPP: with a
 * buffer. */
static int copy_segment(struct fetch *fetch, struct source_file *file)
{
	struct object *object = fetch->object;
	struct bytes_from from = {.fd = source_file_fd(file), .generation = fetch->generation};

	if (fetch->demand || from.fd < 0 || object->migrate->options.digests ||
	    atomic_load(&object->migrate->tuned.drift) != DRIFT_REPORT ||
	    atomic_load_explicit(&object->migrate->no_kernel_copy, memory_order_relaxed))
		return -EOPNOTSUPP;
	pthread_mutex_lock(&object->lock);
	bool alone = object->opens == 0 && object->waiters == NULL && object->file.source_used >= object->file.source_size;
	pthread_mutex_unlock(&object->lock);
	if (!alone)
		return -EOPNOTSUPP;
	LOCKED(&object->rights);
	int result = arrive_store(object, fetch->segment, &from, false);
	if (result == -EOPNOTSUPP)
		atomic_store(&object->migrate->no_kernel_copy, true);
	return result;
}

static bool is_unasked(const struct fetch *fetch)
{
	struct object *object = fetch->object;
	LOCKED(&object->lock);

	return fetch->background && object->opens == 0 && !object->waiters;
}

static int move_segment(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len, bool urgent)
{
	struct object *object = fetch->object;
	int result = copy_segment(fetch, file);

	if (result >= 0)
		return drift_check_end(object); /* it only reports: see copy_segment() */
	if (result != -EOPNOTSUPP)
		return result;
	result = fetch_read(fetch, file, buf, len);
	if (result >= 0)
		result = fault_hit(FAULT_FETCH_READ);
	if (result >= 0 && !fetch->looked)
		result = drift_check_end(object);
	if (result < 0)
		return result;
	struct bytes_from from = {.buf = buf, .fd = source_file_fd(file), .generation = fetch->generation, .len = len};
	from.unasked = is_unasked(fetch);
	if (object->migrate->options.digests)
		from.digest = digest_of_segment(buf, len, fetch->segment);
	LOCKED(&object->rights);
	return arrive_store(object, fetch->segment, &from, urgent);
}

static int bring_segment(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len, bool urgent)
{
	struct object *object = fetch->object;
	uint64_t holes = hole_segments(object, file, fetch->segment);
	if (holes) {
		int result = drift_check_end(object);
		if (result < 0)
			return result;
		LOCKED(&object->rights);
		if (fetch->background)
			govern_give_back(object->migrate, len);
		return take_hole(fetch, fetch->demand ? 1 : holes, urgent);
	}
	int result = move_segment(fetch, file, buf, len, urgent);
	if (result >= 0)
		progress_moved(object->migrate, len, !fetch->background);
	return result;
}

static int fetch_once(struct fetch *fetch, char *buf, bool urgent)
{
	struct object *object = fetch->object;
	struct source_file *file;
	int result = renew_settle(object);

	if (result < 0)
		return result;
	pthread_mutex_lock(&object->lock);
	if (object->beside && !object->drift_accepted) {
		pthread_mutex_unlock(&object->lock);
		return -BESIDE_ERROR;
	}
	fetch->generation = object->generation;
	uint64_t len = object->dropped || segment_resident(object, fetch->segment) ? 0 : segment_bytes(object, fetch->segment);
	pthread_mutex_unlock(&object->lock);
	if (len == 0)
		return 0;
	result = origin_open(object, &file);
	if (result < 0)
		return result;
	result = fetch_looks(fetch, len) ? 0 : drift_check_begin(object);
	if (result >= 0)
		result = bring_segment(fetch, file, buf, len, urgent);
	origin_put(object);
	if (result == -ENODATA) {
		int drift = drift_check(object); /* a shorter one may be what is wanted */
		return drift < 0 ? drift : result;
	}
	return result;
}

/* A file is brought anew a few times at most. */
int fetch_segment(struct fetch *fetch, char *buf, bool urgent)
{
	int result;

	do
		result = fetch_once(fetch, buf, urgent);
	while (result == -ERESTART && !atomic_load_explicit(&fetch->object->migrate->stopping, memory_order_relaxed));
	return result == -ERESTART ? -ECANCELED : result;
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

void fetch_settle(struct object *object, uint64_t segment, int result)
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
	CLEAN_FREE char *buf = fetch->buf ? fetch->buf : buffer_alloc(object->file.segsize);
	int result = atomic_load(&migrate->stopping) ? -ECANCELED : fetch_segment(fetch, buf, record_awaited(object));

	fetch_end_begun(fetch);
	pthread_mutex_lock(&object->lock);
	if (fetch->segment < object->n_segments || fetch->segment == 0)
		segment_set(object->claimed, fetch->segment, false);
	unlink_fetch(object, fetch);
	pthread_mutex_unlock(&object->lock);
	fetch_settle(object, fetch->segment, result);
	if (result >= 0 && record_awaited(object))
		store_hurry(migrate->store);
	object_put(object);
	free(fetch);
}

static struct fetch **find_fetch(struct fetch **at, uint64_t segment)
{
	while (*at && (*at)->segment != segment)
		at = &(*at)->next;
	return at;
}

/* Under lock: a segment that a worker of the background has claimed, and is not at yet, with its read if that is on its way. */
static bool take_over(struct object *object, uint64_t segment, struct fetch *fetch)
{
	struct fetch **at = find_fetch(&object->held, segment), *held = *at;

	if (!held)
		return false;
	*at = held->next;
	held->taken = true;
	if (!held->is_begun)
		return true;
	fetch->buf = held->buf;
	fetch->reading = held->reading;
	fetch->reading_len = held->reading_len;
	fetch->reading_generation = held->reading_generation;
	fetch->begun = held->begun;
	held->buf = NULL;
	return true;
}

/* Under lock. */
static void request_segment(struct object *object, uint64_t segment, uint64_t off, uint64_t len, enum lane_class class)
{
	struct fetch wanted = {.job.run = fetch_run, .segment = segment, .off = off, .len = len, .demand = class == LANE_DEMAND};

	if (segment_get(object->claimed, segment)) {
		struct fetch *running = *find_fetch(&object->fetches, segment);
		if (running && class == LANE_DEMAND)
			lane_promote(object->migrate->data, &running->job, class);
		if (running || class != LANE_DEMAND || !take_over(object, segment, &wanted))
			return;
	}
	struct fetch *fetch = must_alloc(sizeof(*fetch));
	*fetch = wanted;
	fetch->next = object->fetches;
	fetch->object = object_ref(object);
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

	if (object->file.emptied) /* whoever fetches ends that first, also of a file that has nothing to be fetched any more */
		request_segment(object, 0, 0, 0, class);
	if (off >= object->file.limit || len == 0 || object->dropped || object->finishing)
		return;
	uint64_t end = len > object->file.limit - off ? object->file.limit : off + len;
	uint64_t first = off / segsize, last = (end - 1) / segsize;
	for (uint64_t s = first; s <= last; s++)
		if (!segment_resident(object, s))
			request_segment(object, s, off, len, class);
	read_ahead(object, first, last);
}
