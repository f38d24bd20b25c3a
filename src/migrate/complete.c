/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The end of a file: everything is here, or nobody wants it any more. Its record goes with the batch that carries the last segment.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/log.h"
#include "target/make.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static void file_finished(struct object *object, int error, void *context)
{
	(void)context;
	if (error < 0)
		return;
	pthread_mutex_lock(&object->lock);
	atomic_fetch_add(&object->migrate->settled, 1);
	object->finished = true;
	pthread_mutex_unlock(&object->lock);
	ledger_clear(&object->migrate->ledger, object->ino); /* a fetch that nobody needed any more may have failed meanwhile */
	crawl_file_done(object->migrate);
}

static bool take_finishing(struct object *object)
{
	LOCKED(&object->lock);
	if (object->absent || object->finishing || object->dropped || object->file.emptied)
		return false;
	object->finishing = true;
	return true;
}

/* The end of a file failed: everything is here, the record stays, and it is tried again (file_catch_up). */
static void call_finish_off(struct object *object, int error)
{
	pthread_mutex_lock(&object->lock);
	object->finishing = false;
	bool told = object_tells(object);
	pthread_mutex_unlock(&object->lock);
	ledger_error(&object->migrate->ledger, &(struct failure){.ino = object->ino,
	                                                         .handle = &object->handle,
	                                                         .what = "complete",
	                                                         .error = error,
	                                                         .told = told,
	                                                         .bytes = object->file.source_size});
	object_fail(object, 0, UINT64_MAX, error);
	object_wake(object);
}

/* With the file as it is now, at the end of all that we do to it. When it is gone already so is its digest. */
static int append_deletion(struct object *object, struct batch *batch)
{
	CLEAN_FD int fd = target_open_handle(object->migrate->target, &object->handle, O_PATH);
	struct stat st;

	if (fd == -ESTALE) {
		batch_file_delete(batch, object->ino);
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fd < 0 ? fd : -errno;
	batch_file_complete(batch, object->ino,
	                    &(struct file_stamp){.size = (uint64_t)st.st_size,
	                                         .mtime = {st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec},
	                                         .ctime = {st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec}});
	return 0;
}

static bool append_finish(struct object *object, struct batch *batch)
{
	struct migrate *migrate = object->migrate;

	if (object->file.inode_flags) {
		CLEAN_FD int fd = target_open_handle(migrate->target, &object->handle, O_RDONLY);
		if (fd < 0 && fd != -ESTALE) {
			call_finish_off(object, fd);
			return false;
		}
		int result = fd < 0 ? fd : target_add_flags(fd, object->file.inode_flags);
		if (result < 0)
			ledger_loss(
				&migrate->ledger,
				&(struct failure){
					.ino = object->ino, .handle = &object->handle, .what = "inode flags", .error = result},
				batch);
	}
	int result = fault_hit(FAULT_FILE_COMPLETE);
	if (result >= 0)
		result = append_deletion(object, batch);
	if (result < 0) {
		call_finish_off(object, result);
		return false;
	}
	ledger_clear_with(&migrate->ledger, object->ino, batch);
	batch_totals_add(batch, &(struct totals){.files_migrated = 1, .files_pending = -1});
	progress_files(migrate, 1);
	return true;
}

uint64_t file_submit(struct object *object, struct batch *batch, unsigned flags,
                     void (*durable)(struct object *object, int error, void *context), void *context)
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
	bool ended = object->absent == 0 && !object->finishing && !object->dropped && !object->file.emptied;
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
	batch_totals_add(batch, &(struct totals){.bytes_found = -less, .bytes_pending = -less});
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
		fault_moment(FAULT_FILE_DROPPED);
		struct batch *batch = batch_new();
		batch_file_delete(batch, object->ino);
		batch_totals_add(
			batch, &(struct totals){
				       .files_found = -1, .files_pending = -1, .bytes_found = -absent, .bytes_pending = -absent});
		ledger_clear_with(&object->migrate->ledger, object->ino, batch);
		/* After a power cut that the last unlink did not survive the file is there again, and so must be its record. */
		object_submit(object, batch, SUBMIT_BARRIER, NULL, NULL);
	}
	pthread_mutex_unlock(&object->rights);
	wake_all(object->migrate, list, 0);
	if (drop)
		crawl_file_done(object->migrate);
}
