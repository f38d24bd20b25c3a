/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Batches: changes are encoded into one growing buffer in the thread of the caller, so that the committer only moves bytes.
 *
 * Threads: a batch belongs to one thread until it is submitted, and to the committer afterwards.
 */
#include "state/codec.h"
#include "state/store_private.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 512

/* What has to be recorded cannot be dropped and there is nothing to give back: the state on disk is consistent, a new process
 * resumes from it. */
static _Noreturn void out_of_memory(void)
{
	log_error("state: out of memory for changes, ending");
	log_flush(1000);
	abort();
}

struct batch *batch_new(void)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		out_of_memory();
	return batch;
}

void batch_free(struct batch *batch)
{
	if (!batch)
		return;
	free(batch->changes);
	free(batch);
}

static void make_room(struct batch *batch, size_t bytes)
{
	if (batch->room - batch->used >= bytes)
		return;
	size_t wanted = batch->room ? batch->room * 2 : FIRST_ROOM;
	while (wanted - batch->used < bytes)
		wanted *= 2;
	uint8_t *changes = realloc(batch->changes, wanted);
	if (!changes)
		out_of_memory();
	batch->changes = changes;
	batch->room = wanted;
}

void batch_join(struct batch *batch, struct batch *more)
{
	if (more->used > 0) {
		make_room(batch, more->used);
		memcpy(batch->changes + batch->used, more->changes, more->used);
		batch->used += more->used;
		batch->n_changes += more->n_changes;
	}
	if (more->has_delta)
		batch_totals_add(batch, &more->delta);
	if (more->next_error > batch->next_error)
		batch->next_error = more->next_error;
	batch_free(more);
}

/* A new change at the end, with room for `room` bytes of value. It is not part of the batch before change_end(). */
static struct change *change_begin(struct batch *batch, enum change_kind kind, size_t room)
{
	make_room(batch, (sizeof(struct change) + room + 7) & ~(size_t)7);
	struct change *change = (struct change *)(batch->changes + batch->used);
	*change = (struct change){.kind = kind};
	return change;
}

static void change_end(struct batch *batch, struct change *change, size_t value_bytes)
{
	change->value_bytes = (uint32_t)value_bytes;
	batch->used += (sizeof(*change) + value_bytes + 7) & ~(size_t)7;
	batch->n_changes++;
}

static void change_plain(struct batch *batch, enum change_kind kind, uint64_t a, uint64_t b, uint64_t c)
{
	struct change *change = change_begin(batch, kind, 0);
	change->a = a;
	change->b = b;
	change->c = c;
	change_end(batch, change, 0);
}

void batch_dir_put(struct batch *batch, const struct dir_record *record)
{
	assert(record->ino > 0);
	struct change *change = change_begin(batch, CHANGE_DIR_PUT, dir_record_room(record));
	change->a = record->ino;
	change_end(batch, change, dir_record_encode(record, change->value));
}

void batch_dir_delete(struct batch *batch, uint64_t ino)
{
	change_plain(batch, CHANGE_DIR_DELETE, ino, 0, 0);
}

static void put_file(struct batch *batch, enum change_kind kind, const struct file_record *record)
{
	assert(record->ino > 0 && record->segsize > 0);
	struct change *change = change_begin(batch, kind, file_record_room(record));
	change->a = record->ino;
	change_end(batch, change, file_record_encode(record, change->value));
}

void batch_file_put(struct batch *batch, const struct file_record *record)
{
	put_file(batch, CHANGE_FILE_PUT, record);
}

void batch_file_renew(struct batch *batch, const struct file_record *record)
{
	put_file(batch, CHANGE_FILE_RENEW, record);
}

void batch_file_delete(struct batch *batch, uint64_t ino)
{
	change_plain(batch, CHANGE_FILE_DELETE, ino, 0, 0);
}

void batch_file_complete(struct batch *batch, uint64_t ino, const struct file_stamp *stamp)
{
	struct change *change = change_begin(batch, CHANGE_FILE_COMPLETE, sizeof(*stamp));
	change->a = ino;
	memcpy(change->value, stamp, sizeof(*stamp));
	change_end(batch, change, sizeof(*stamp));
}

void batch_digest_put(struct batch *batch, const struct digest_record *record)
{
	assert(record->segsize > 0);
	struct change *change = change_begin(batch, CHANGE_DIGEST_PUT, DIGEST_RECORD_ROOM);
	change->a = record->ino;
	change_end(batch, change, digest_record_encode(record, change->value));
}

void batch_digest_delete(struct batch *batch, uint64_t ino)
{
	change_plain(batch, CHANGE_DIGEST_DELETE, ino, 0, 0);
}

void batch_segments_arrived(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count, const struct digest *digest)
{
	assert(count == 1 || digest_equal(digest, &(struct digest){0}));
	struct change *change = change_begin(batch, CHANGE_SEGMENTS_MARK, sizeof(*digest));
	change->a = ino;
	change->b = first;
	change->c = count;
	memcpy(change->value, digest, sizeof(*digest));
	change_end(batch, change, sizeof(*digest));
}

void batch_segments_mark(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count)
{
	if (count > 0)
		change_plain(batch, CHANGE_SEGMENTS_MARK, ino, first, count);
}

void batch_segments_changed(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count)
{
	batch_segments_mark(batch, ino, SEGMENTS_CHANGED + first, count);
}

void batch_segments_clear(struct batch *batch, uint64_t ino, uint64_t first, uint64_t count)
{
	if (count > 0)
		change_plain(batch, CHANGE_SEGMENTS_CLEAR, ino, first, count);
}

void batch_link_put(struct batch *batch, const struct link_record *record)
{
	struct change *change = change_begin(batch, CHANGE_LINK_PUT, LINK_RECORD_ROOM);
	change->a = record->fsid;
	change->b = record->fileid;
	change->c = record->ino;
	change_end(batch, change, link_record_encode(record, change->value));
}

void batch_link_seen(struct batch *batch, uint64_t fsid, uint64_t fileid, uint32_t names)
{
	if (names > 0)
		change_plain(batch, CHANGE_LINK_SEEN, fsid, fileid, names);
}

void batch_link_delete(struct batch *batch, uint64_t fsid, uint64_t fileid)
{
	change_plain(batch, CHANGE_LINK_DELETE, fsid, fileid, 0);
}

void batch_error_put(struct batch *batch, const struct error_record *record)
{
	assert(record->id > 0 && record->error >= 0 && record->told >= 0);
	struct change *change = change_begin(batch, CHANGE_ERROR_PUT, error_record_room(record));
	change->a = record->id;
	change_end(batch, change, error_record_encode(record, change->value));
	if (record->id >= batch->next_error)
		batch->next_error = record->id + 1;
}

void batch_error_delete(struct batch *batch, uint64_t id)
{
	change_plain(batch, CHANGE_ERROR_DELETE, id, 0, 0);
}

void batch_totals_add(struct batch *batch, const struct totals *delta)
{
	totals_add(&batch->delta, delta);
	batch->has_delta = true;
}

void batch_identity_put(struct batch *batch, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);
	struct change *change = change_begin(batch, CHANGE_IDENTITY_PUT, name_len + value_len);
	change->a = name_len;
	memcpy(change->value, name, name_len);
	memcpy(change->value + name_len, value, value_len);
	change_end(batch, change, name_len + value_len);
}
