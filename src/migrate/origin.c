/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A file's source: opened when the first segment is fetched, shared by all that follow, closed when there are too many.
 *
 * The source must be read-only. Whether it is shows when a file is opened: size and times are compared with those of the listing.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"

#include <errno.h>

#define SOURCES_KEPT 256

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
	struct drift drift = {.object = object};
	struct dmm_bytes handle = {object->source_bytes, object->source_len};

	if (source_attr(object->migrate->source, handle, compare_attr, &drift) >= 0 && drift.found)
		ledger_loss(&object->migrate->ledger,
		            &(struct failure){.ino = object->ino,
		                              .handle = &object->handle,
		                              .what = "drift",
		                              .detail = "the source changed after its directory was listed",
		                              .error = -ESTALE},
		            NULL);
}

int origin_open(struct object *object, struct source_file **file)
{
	LOCKED(&object->source_lock);
	if (!object->source_file) {
		struct source_file *opened;
		int result = source_file_open(object->migrate->source,
		                              (struct dmm_bytes){object->source_bytes, object->source_len}, &opened);
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
void origin_put(struct object *object)
{
	LOCKED(&object->source_lock);

	if (--object->source_users == 0 && atomic_load(&object->migrate->sources_open) > SOURCES_KEPT)
		object_close_source(object);
}

void origin_forget(struct object *object)
{
	LOCKED(&object->source_lock);

	if (object->source_users == 0)
		object_close_source(object);
}

int origin_read(struct source_file *file, void *buf, uint64_t off, uint64_t len)
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
