/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Drift: the source must be read-only, and is not. A file's size, modification time, change time and change attribute are compared
 * with those of the listing before the first of several segments is read, and after the last one was: one request to the source
 * for a file of one segment. What is read between two looks that say the same is of one state.
 *
 *   report   what came stays, the ledger tells of it, and the new attributes are those to compare with
 *   fail     the file is in error until the administrator has it tried again, which takes the source as it is then
 */
#include "migrate/internal.h"

#include "base/cleanup.h"

#include <errno.h>

static struct moment moment_of(struct dmm_time time)
{
	return (struct moment){time.sec, time.nsec};
}

static bool same_moment(struct moment one, struct moment other)
{
	return one.sec == other.sec && one.nsec == other.nsec;
}

static struct file_record seen_of(const struct dmm_attr *attr)
{
	return (struct file_record){
		.source_size = attr->size,
		.source_change = attr->valid & DMM_ATTR_CHANGE ? attr->change : 0,
		.source_mtime = moment_of(attr->mtime),
		.source_ctime = attr->valid & DMM_ATTR_CTIME ? moment_of(attr->ctime) : (struct moment){0},
	};
}

static bool is_same(const struct file_record *one, const struct file_record *other)
{
	return one->source_size == other->source_size && one->source_change == other->source_change &&
	       same_moment(one->source_mtime, other->source_mtime) && same_moment(one->source_ctime, other->source_ctime);
}

static int take_attr(void *context, const struct dmm_entry *entry)
{
	*(struct file_record *)context = seen_of(&entry->attr);
	return 0;
}

bool drift_since(struct migrate *migrate, const struct dmm_entry *listed)
{
	struct file_record then = seen_of(&listed->attr), now;

	return source_attr(migrate->source, listed->handle, take_attr, &now) >= 0 && !is_same(&then, &now);
}

/* Under rights: no record may come after its deletion. */
static void adopt(struct object *object, const struct file_record *now, struct batch *batch)
{
	struct file_record record;

	pthread_mutex_lock(&object->lock);
	object->file.source_size = now->source_size;
	object->file.source_change = now->source_change;
	object->file.source_mtime = now->source_mtime;
	object->file.source_ctime = now->source_ctime;
	bool recorded = !object->finishing && !object->dropped;
	object_file_record(object, &record);
	pthread_mutex_unlock(&object->lock);
	if (recorded)
		batch_file_put(batch, &record);
}

static bool is_known(struct object *object, const struct file_record *now)
{
	LOCKED(&object->lock);
	return is_same(&object->file, now);
}

static void report(struct object *object, const struct file_record *now)
{
	LOCKED(&object->rights);
	if (is_known(object, now))
		return; /* somebody else looked, too */
	struct batch *batch = batch_new();
	ledger_loss(&object->migrate->ledger,
	            &(struct failure){.ino = object->ino,
	                              .handle = &object->handle,
	                              .what = "drift",
	                              .detail = "the source changed after its directory was listed; what came of it stays",
	                              .error = -ESTALE,
	                              .bytes = now->source_size,
	                              .drift = true},
	            batch);
	adopt(object, now, batch);
	object_submit(object, batch, 0, NULL, NULL);
}

int drift_check(struct object *object)
{
	struct migrate *migrate = object->migrate;
	struct dmm_bytes handle = {object->source_bytes, object->source_len};
	struct file_record now;

	if (source_attr(migrate->source, handle, take_attr, &now) < 0)
		return 0; /* what cannot be looked at cannot be read either, and that is told */
	pthread_mutex_lock(&object->lock);
	bool same = is_same(&object->file, &now);
	bool accepted = object->drift_accepted || atomic_load(&migrate->tuned.drift) == DRIFT_REPORT;
	pthread_mutex_unlock(&object->lock);
	if (same)
		return 0;
	if (!accepted)
		return -EREMCHG;
	report(object, &now);
	return 0;
}

/* Under lock: is every segment that is absent being fetched already? Then whoever has read one looks. */
static bool at_the_end(const struct object *object)
{
	if (object->absent > 64)
		return false;
	for (uint64_t s = 0; object->absent && s < object->n_segments; s++)
		if (!segment_resident(object, s) && !segment_get(object->claimed, s))
			return false;
	return true;
}

int drift_check_end(struct object *object)
{
	pthread_mutex_lock(&object->lock);
	bool due = at_the_end(object) && !object->dropped;
	pthread_mutex_unlock(&object->lock);
	return due ? drift_check(object) : 0;
}

int drift_check_begin(struct object *object)
{
	pthread_mutex_lock(&object->lock);
	bool due = !object->drift_looked && object->n_segments > 1;
	pthread_mutex_unlock(&object->lock);
	if (!due)
		return 0;
	int result = drift_check(object);
	/* Only now: who fetches another segment meanwhile must not serve it before somebody has looked. */
	pthread_mutex_lock(&object->lock);
	object->drift_looked = object->drift_looked || result >= 0;
	pthread_mutex_unlock(&object->lock);
	return result;
}
