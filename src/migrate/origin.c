/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A file's source: opened when the first segment is fetched, shared by all that follow, closed when there are too many.
 */
#include "migrate/internal.h"

#include "base/cleanup.h"

#include <errno.h>

#define SOURCES_KEPT 256

int origin_open(struct object *object, struct source_file **file)
{
	LOCKED(&object->source_lock);
	if (!object->source_file) {
		struct source_file *opened;
		int result = source_file_open(object->migrate->source,
		                              (struct dmm_bytes){object->source_bytes, object->source_len}, &opened);
		if (result < 0)
			return source_result(result);
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

int origin_read_look(struct source_file *file, void *buf, uint64_t off, uint64_t len, struct source_look *look)
{
	int64_t got = source_read_look(file, buf, off, len, look);

	if (got < 0)
		return source_result((int)got);
	return (uint64_t)got < len ? -ENODATA : 0;
}
