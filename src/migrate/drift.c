/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Drift: the source must be read-only, and is not. A file's size, modification time, change time and change attribute are compared
 * with those of the listing before the first of several segments is read, and after the last one was: one request to the source
 * for a file of one segment. What is read between two looks that say the same is of one state.
 *
 *   report   what came stays, the ledger tells of it, and the new attributes are those to compare with
 *   refetch  the file is brought anew (renew.c); where that cannot be, as report, with the reason
 *   fail     the file is in error until the administrator has it tried again, which takes the source as it is then,
 *            as refetch does
 */
#include "migrate/internal.h"
#include "migrate/renew.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

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

bool drift_is_known(struct object *object, const struct dmm_attr *attr)
{
	struct file_record now = seen_of(attr);

	LOCKED(&object->lock);
	return is_same(&object->file, &now);
}

static int take_attr(void *context, const struct dmm_entry *entry)
{
	struct dmm_attr *attr = context;

	*attr = entry->attr;
	attr->owner_name = attr->group_name = (struct dmm_bytes){0}; /* they do not live as long */
	return 0;
}

bool drift_since(struct migrate *migrate, const struct dmm_entry *listed)
{
	struct file_record then = seen_of(&listed->attr), now = {0};
	struct dmm_attr attr;

	if (source_attr(migrate->source, listed->handle, take_attr, &attr) < 0)
		return false;
	now = seen_of(&attr);
	return !is_same(&then, &now);
}

static int seen_open(int fd, struct file_record *seen)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*seen = (struct file_record){
		.source_size = (uint64_t)st.st_size,
		.source_mtime = {st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec},
		.source_ctime = {st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec},
	};
	return 0;
}

bool drift_of_open(const struct dmm_entry *listed, int fd)
{
	struct file_record then = seen_of(&listed->attr), now = {0};

	if (seen_open(fd, &now) < 0)
		return false;
	then.source_change = 0;
	return !is_same(&then, &now);
}

bool drift_open_is_known(struct object *object, int fd)
{
	struct file_record now = {0};

	if (seen_open(fd, &now) < 0)
		return false;
	LOCKED(&object->lock);
	return is_same(&object->file, &now);
}

bool drift_between(const struct dmm_attr *listed, const struct dmm_attr *now)
{
	struct file_record then = seen_of(listed), seen = seen_of(now);

	return !is_same(&then, &seen);
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

/* Under lock: nothing of it is here, or was being read when the source was looked at. */
static bool is_untouched(const struct object *object, bool reading)
{
	if (reading || object->absent < object->n_segments || object->file.changed)
		return false;
	unsigned claims = 0;
	for (uint64_t s = 0; claims < 2 && s < object->n_segments; s++)
		claims += segment_get(object->claimed, s);
	return claims < 2; /* the one who looks has one */
}

static void explain(struct object *object, const struct file_record *now, bool reading, const char *why, char *text, size_t size)
{
	LOCKED(&object->lock);
	uint64_t listed = object->file.source_size;
	int len = snprintf(text, size, "the source changed after its directory was listed, %s%s",
	                   is_untouched(object, reading)
	                           ? "before any of it had come: it comes as it is now"
	                           : "while it came over: bytes of before and after the change may be mixed in it",
	                   why ? why : "");

	if (now->source_size != listed && len > 0 && (size_t)len < size)
		snprintf(text + len, size - (size_t)len, "; it was of %llu bytes when it was listed, and has %llu now",
		         (unsigned long long)listed, (unsigned long long)now->source_size);
}

static void report(struct object *object, const struct dmm_attr *attr, bool reading, const char *why)
{
	struct file_record seen = seen_of(attr), *now = &seen;
	char detail[512];
	LOCKED(&object->rights);

	if (drift_is_known(object, attr))
		return; /* somebody else looked, too */
	explain(object, now, reading, why, detail, sizeof(detail));
	struct batch *batch = batch_new();
	ledger_loss(&object->migrate->ledger,
	            &(struct failure){.ino = object->ino,
	                              .handle = &object->handle,
	                              .what = "drift",
	                              .detail = detail,
	                              .error = -ESTALE,
	                              .bytes = now->source_size,
	                              .drift = true},
	            batch);
	adopt(object, now, batch);
	object_submit(object, batch, 0, NULL, NULL);
}

/* `reading`: bytes were read before this look, and kept. 1: it has changed, and that is accepted. */
static int judge(struct object *object, const struct dmm_attr *attr, bool reading)
{
	enum drift policy = atomic_load(&object->migrate->tuned.drift);
	const char *why = NULL;

	if (drift_is_known(object, attr))
		return 0;
	pthread_mutex_lock(&object->lock);
	bool over = object->dropped || object->finishing, accepted = object->drift_accepted;
	pthread_mutex_unlock(&object->lock);
	if (policy == DRIFT_FAIL && !accepted)
		return -EREMCHG;
	if (policy != DRIFT_REPORT && !over) {
		int result = renew(object, attr, &why);
		if (result)
			return result < 0 ? result : -ERESTART;
	}
	report(object, attr, reading, why);
	return 1;
}

static int check(struct object *object, bool reading)
{
	struct dmm_bytes handle = {object->source_bytes, object->source_len};
	struct dmm_attr attr;

	if (source_attr(object->migrate->source, handle, take_attr, &attr) < 0)
		return 0; /* what cannot be looked at cannot be read either, and that is told */
	return judge(object, &attr, reading);
}

int drift_check(struct object *object)
{
	int result = check(object, true);

	return result < 0 ? result : 0;
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

bool drift_ends(struct object *object)
{
	LOCKED(&object->lock);
	return at_the_end(object) && !object->dropped;
}

int drift_check_end(struct object *object)
{
	return drift_ends(object) ? drift_check(object) : 0;
}

/* Only now: who fetches another segment meanwhile must not serve it before somebody has looked. */
static int note_looked(struct object *object, int result)
{
	LOCKED(&object->lock);
	object->drift_looked = object->drift_looked || result >= 0;
	return result;
}

bool drift_begins(struct object *object)
{
	LOCKED(&object->lock);
	return !object->drift_looked;
}

/* Of a single segment the look at the end is enough. */
static bool has_several(struct object *object)
{
	LOCKED(&object->lock);
	return object->n_segments > 1;
}

int drift_check_begin(struct object *object)
{
	if (!drift_begins(object) || !has_several(object))
		return 0;
	int result = note_looked(object, check(object, false));
	return result < 0 ? result : 0;
}

int drift_check_first(struct object *object, const struct dmm_attr *attr)
{
	if (!attr && !has_several(object))
		return 0;
	int result = note_looked(object, attr ? judge(object, attr, false) : check(object, false));
	return result > 0 ? -ERESTART : result;
}
