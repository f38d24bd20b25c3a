/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bringing a file anew whose source changed (drift=refetch, and a retry of what drift=fail refused): all of it is absent again, and
 * comes as the source is now.
 *
 *     1. the attributes of the new state; then the record: size and times of the new state, nothing resident, "emptied", durable
 *     2. what the target has is punched out and cut or extended to the new size, synced; then the record: not "emptied" any more
 *     3. it is fetched like any other
 *
 * A crash before 1 is on disk leaves the old record, and the next look finds the change again. After it, 2 is done again when the
 * file is loaded, and needs nothing of the source. Between the two nobody stores a segment and no application writes (released() in
 * object.c). What others read of the old state meanwhile finds another generation when it is to be stored, and is read again; and who
 * reads what the target has sees another epoch afterwards (monitor_epoch()), and reads again.
 *
 * Only a file that no application has changed is brought anew (I2): the new state of the source below an application's changes to the
 * old one would be a file that nobody has written. Its owner, mode and attributes stay an application's if one has set any of them, and
 * so does its modification time.
 *
 * A file that is not all here is never in passthrough, so what the kernel has of it are pages: they are invalidated, mapped or not.
 */
#include "migrate/renew.h"
#include "migrate/descriptor.h"
#include "migrate/make.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "target/make.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct renewal {
	struct object *object;
	struct dmm_attr attr; /* as the object is to be */
	struct xattr_set xattrs;
	struct batch *batch;
};

static struct moment moment_of(struct dmm_time time)
{
	return (struct moment){time.sec, time.nsec};
}

static bool same_moment(struct moment one, struct moment other)
{
	return one.sec == other.sec && one.nsec == other.nsec;
}

/* --- the record --- */

/* Under lock. Claims stay with those who have them, as far as the file reaches now. */
static void resize_maps(struct object *object)
{
	uint64_t before = object->n_segments, count = segments_for(object->file.limit, object->file.segsize);
	size_t bytes = (count + 7) / 8;
	uint8_t *claimed = must_alloc(bytes);

	for (uint64_t s = 0; s < before && s < count; s++)
		segment_set(claimed, s, segment_get(object->claimed, s));
	free(object->claimed);
	free(object->resident);
	free(object->durable_map);
	free(object->changed);
	object->claimed = claimed;
	object->resident = must_alloc(bytes);
	object->durable_map = must_alloc(bytes);
	object->changed = must_alloc(bytes);
	object->n_segments = object->absent = count;
}

/* Under lock. */
static void take_state(struct object *object, const struct dmm_attr *attr)
{
	struct file_record *file = &object->file;
	bool own_time = !same_moment(object->mtime, file->source_mtime);

	file->limit = file->source_size = attr->size;
	file->source_used = attr->valid & DMM_ATTR_USED ? attr->used : attr->size;
	file->source_change = attr->valid & DMM_ATTR_CHANGE ? attr->change : 0;
	file->source_mtime = moment_of(attr->mtime);
	file->source_ctime = attr->valid & DMM_ATTR_CTIME ? moment_of(attr->ctime) : (struct moment){0};
	if (!file->attributes_changed)
		file->inode_flags = attr->valid & DMM_ATTR_FLAGS ? attr->flags : 0;
	file->digest = (struct digest){0};
	file->undigested = false;
	file->emptied = true;
	file->renewals++;
	if (!own_time)
		object->mtime = file->source_mtime;
}

/* Under rights and lock. */
static void renew_record(struct renewal *renewal)
{
	struct object *object = renewal->object;
	int64_t absent = (int64_t)absent_bytes(object), limit = (int64_t)object->file.limit;
	struct file_record record;

	take_state(object, &renewal->attr);
	resize_maps(object);
	object->generation++;
	atomic_fetch_add(&object->migrate->renewals[object->ino % RENEWALS_APART], 1); /* before anything is emptied */
	object->drift_looked = true;
	object->next_expected = object->readahead = 0;
	object_file_record(object, &record);
	batch_file_renew(renewal->batch, &record);
	batch_totals_add(renewal->batch, &(struct totals){.bytes_found = (int64_t)record.limit - limit,
	                                                  .bytes_migrated = absent - limit,
	                                                  .bytes_pending = (int64_t)record.limit - absent});
}

/* --- the attributes --- */

static int keep_xattr(void *context, const char *name, const void *value, size_t len)
{
	return xattr_set_add(context, name, value, len);
}

static void lose(void *context, const char *what, int error)
{
	struct renewal *renewal = context;

	char detail[LOSS_DETAIL_SIZE];

	ledger_loss(&renewal->object->migrate->ledger,
	            &(struct failure){.ino = renewal->object->ino,
	                              .handle = &renewal->object->handle,
	                              .what = what,
	                              .detail = make_loss_detail(&renewal->attr, what, error, detail),
	                              .error = error},
	            renewal->batch);
}

/* Of what a security descriptor says. */
static void lose_part(void *context, const char *kind, const char *detail)
{
	struct renewal *renewal = context;

	ledger_loss(&renewal->object->migrate->ledger,
	            &(struct failure){.ino = renewal->object->ino,
	                              .handle = &renewal->object->handle,
	                              .what = kind,
	                              .detail = detail,
	                              .error = -EOPNOTSUPP},
	            renewal->batch);
}

/* The times are set when the file is emptied. */
static int apply_attributes(struct renewal *renewal, int fd)
{
	struct apply apply = {.attr = &renewal->attr,
	                      .xattrs = &renewal->xattrs,
	                      .drop_set_id = renewal->object->migrate->options.drop_set_id,
	                      .inherited_acl = true, /* the one that it has is of the old state */
	                      .loss = lose,
	                      .context = renewal};

	if (renewal->object->file.attributes_changed)
		return 0;
	int result = descriptor_apply(source_sids(renewal->object->migrate->source), &renewal->xattrs, &renewal->attr, lose_part,
	                              renewal);
	if (result >= 0)
		result = target_forget_xattrs(fd, &renewal->xattrs);
	return result < 0 ? result : target_apply(fd, &apply);
}

/* --- 1 --- */

/* Under rights: why it cannot be, or NULL. */
static const char *objection(struct object *object, const struct dmm_attr *attr)
{
	LOCKED(&object->lock);
	if (!S_ISREG(attr->mode))
		return "; at the source it is no regular file any more";
	if (object->file.changed || object->record_behind)
		return "; it is not brought anew, since an application has changed it as well: what the application made of it "
		       "stays";
	if (object->file.renewals >= FILE_RENEWALS_MAX)
		return "; it is not brought anew once more, since it went on changing";
	if (segments_for(attr->size, object->file.segsize) > SEGMENTS_MOST)
		return "; it is not brought anew, since it is too large now";
	if (object->finishing || object->absent == 0)
		return "; it is not brought anew, since all of it had come";
	return NULL;
}

static int begin(struct renewal *renewal)
{
	struct object *object = renewal->object;
	CLEAN_FD int fd = arrive_open_target(object);

	if (fd < 0)
		return fd;
	renewal->batch = batch_new();
	int result = apply_attributes(renewal, fd);
	if (result < 0) {
		batch_free(renewal->batch);
		return result;
	}
	ledger_loss(&object->migrate->ledger,
	            &(struct failure){
			    .ino = object->ino,
			    .handle = &object->handle,
			    .what = "drift",
			    .detail = "the source changed after its directory was listed; the file is brought anew as it is now",
			    .error = -ESTALE,
			    .bytes = renewal->attr.size,
			    .drift = true},
	            renewal->batch);
	pthread_mutex_lock(&object->lock);
	renew_record(renewal);
	pthread_mutex_unlock(&object->lock);
	uint64_t number = object_submit(object, renewal->batch, SUBMIT_URGENT, NULL, NULL);
	pthread_mutex_lock(&object->lock);
	object->emptied_by = number;
	pthread_mutex_unlock(&object->lock);
	return 0;
}

int renew(struct object *object, const struct dmm_attr *attr, const char **why)
{
	struct renewal renewal = {.object = object, .attr = *attr};
	struct migrate *migrate = object->migrate;
	int result = 0;

	if (source_capabilities(migrate->source) & DMM_CAP_XATTR)
		result = source_xattrs(migrate->source, (struct dmm_bytes){object->source_bytes, object->source_len}, NULL,
		                       keep_xattr, &renewal.xattrs);
	if (result > 0)
		result = -result; /* those of the second source would be taken for removed */
	pthread_mutex_lock(&object->rights);
	bool known = drift_is_known(object, attr); /* somebody else looked, too */
	*why = known ? NULL : objection(object, attr);
	if (!known && !*why && result >= 0)
		result = begin(&renewal);
	pthread_mutex_unlock(&object->rights);
	xattr_set_free(&renewal.xattrs);
	if (*why)
		return 0;
	if (result >= 0)
		result = renew_settle(object);
	return result < 0 ? source_result(result) : 1;
}

/* --- 2 --- */

static int empty(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) < 0 &&
	    (errno != EOPNOTSUPP || ftruncate(fd, 0) < 0))
		return -errno;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static void restore_time(struct object *object, int fd)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = object->mtime.sec, .tv_nsec = object->mtime.nsec}};
	struct stat st;

	if (futimens(fd, times) == 0 && fstat(fd, &st) == 0)
		object->ctime = (struct moment){st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec};
}

/* Under lock. */
static bool is_on_disk(const struct object *object)
{
	return object->durable >= object->emptied_by;
}

/* Under rights. 1: it was to be done, and is. -EAGAIN: not before the record is on disk. */
static int settle(struct object *object)
{
	struct file_record record;

	pthread_mutex_lock(&object->lock);
	bool due = object->file.emptied && !object->dropped, on_disk = is_on_disk(object);
	uint64_t size = object->file.limit;
	pthread_mutex_unlock(&object->lock);
	if (!due || !on_disk)
		return due ? -EAGAIN : 0;
	CLEAN_FD int fd = arrive_open_target(object);
	if (fd < 0)
		return fd;
	int result = empty(fd, size);
	if (result >= 0)
		result = fault_hit(FAULT_RENEW_EMPTIED);
	if (result < 0)
		return result;
	pthread_mutex_lock(&object->lock);
	restore_time(object, fd);
	object->file.emptied = false;
	object_file_record(object, &record);
	pthread_mutex_unlock(&object->lock);
	struct batch *batch = batch_new();
	batch_file_put(batch, &record);
	uint64_t number = file_submit(object, batch, SUBMIT_BARRIER | SUBMIT_URGENT, NULL, NULL);
	pthread_mutex_lock(&object->lock);
	object->guard = number;
	pthread_mutex_unlock(&object->lock);
	return 1;
}

/* Whoever waits asks again: what was claimed for it may have come already, and be absent again. */
static void ask_again(struct object *object)
{
	pthread_mutex_lock(&object->lock);
	struct waiter *list = object_collect_failed(object, 0, UINT64_MAX);
	pthread_mutex_unlock(&object->lock);
	wake_all(object->migrate, list, 0);
}

static int settle_once(struct object *object)
{
	pthread_mutex_lock(&object->lock);
	bool due = object->file.emptied && !object->dropped, on_disk = is_on_disk(object);
	pthread_mutex_unlock(&object->lock);
	if (!due)
		return 0;
	int result = on_disk ? 0 : store_flush(object->migrate->store);
	if (result >= 0)
		result = fault_hit(FAULT_RENEW_RECORDED);
	if (result < 0)
		return result;
	LOCKED(&object->rights);
	return settle(object);
}

int renew_settle(struct object *object)
{
	struct migrate *migrate = object->migrate;
	int result;

	do
		result = settle_once(object);
	while (result == -EAGAIN);
	if (result > 0) {
		void (*renewed)(void *context, const struct handle *file) = atomic_load(&migrate->renewed);
		ask_again(object);
		if (renewed)
			renewed(migrate->renewed_context, &object->handle);
	}
	return result < 0 ? result : 0;
}
