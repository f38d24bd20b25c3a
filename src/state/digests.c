/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Digest records in a write transaction. They are all that is kept of what is finished, and there are as many as files, so they lie close
 * together (I12): those of neighbouring inode numbers in one value, a block, which fills a page of its own. An entry each would cost 18
 * bytes more, and half of that again in pages that are split where a run of new numbers comes before others.
 *
 * Changes come in the order of inode numbers, so they are merged: the records of a block come by in turn, new ones among them, and go into
 * new blocks; when the next change is in the block that follows, it goes on there. What has come by is divided evenly among as few blocks as
 * hold it; where a run ends with a new record, more of it will follow, and blocks are filled one after the other.
 */
#include "state/apply.h"

#include "state/bytes.h"

#include <errno.h>
#include <stdlib.h>

/* One that has come by, in a row of them. */
struct passed {
	uint64_t ino;
	size_t len;
	uint8_t bytes[];
};

static size_t passed_size(size_t len)
{
	return (sizeof(struct passed) + len + 7) & ~(size_t)7;
}

static int pass(struct digest_stream *stream, uint64_t ino, const uint8_t *bytes, size_t len)
{
	size_t size = passed_size(len);
	if (stream->out_room - stream->out_bytes < size) {
		size_t room = stream->out_room * 2 + 65536;
		uint8_t *more = realloc(stream->out, room);
		if (!more)
			return ENOMEM;
		stream->out = more;
		stream->out_room = room;
	}
	struct passed *passed = (struct passed *)(stream->out + stream->out_bytes);
	passed->ino = ino;
	passed->len = len;
	memcpy(passed->bytes, bytes, len);
	stream->last_at = stream->out_bytes;
	stream->out_bytes += size;
	return 0;
}

/* If it was the last that came by, it did not. */
static bool take_back(struct digest_stream *stream, uint64_t ino)
{
	if (stream->out_bytes == stream->last_at || ((const struct passed *)(stream->out + stream->last_at))->ino != ino)
		return false;
	stream->out_bytes = stream->last_at;
	return true;
}

/* --- reading old blocks --- */

/* A block of another time may have a record that lies in the block behind: the sum does not tell. */
static int look_ahead(struct digest_stream *stream)
{
	stream->ahead.ino = 0;
	int more = digests_next(&stream->reader, &stream->ahead);
	return more < 0 || (more && stream->end && stream->ahead.ino >= stream->end) ? MDB_CORRUPTED : 0;
}

/* What lies before `ino` comes by. */
static int advance(struct digest_stream *stream, uint64_t ino)
{
	int code = 0;
	while (!code && stream->ahead.ino && stream->ahead.ino < ino) {
		code = pass(stream, stream->ahead.ino, stream->reader.bytes, stream->reader.len);
		if (!code)
			code = look_ahead(stream);
	}
	return code;
}

static int advance_all(struct digest_stream *stream)
{
	int code = advance(stream, UINT64_MAX);
	if (!code && stream->ahead.ino)
		code = pass(stream, stream->ahead.ino, stream->reader.bytes, stream->reader.len);
	stream->ahead.ino = 0;
	return code;
}

/* The block at the cursor is read next. */
static int load(struct apply *apply, const MDB_val *key, const MDB_val *value)
{
	struct digest_stream *stream = &apply->digests;
	struct sealed sealed;
	if (key->mv_size != INO_KEY || seal_open(DB_DIGESTS, key, value, &sealed))
		return MDB_CORRUPTED;
	uint8_t *copy = malloc(sealed.len);
	if (!copy)
		return ENOMEM;
	memcpy(copy, sealed.record, sealed.len);
	free(stream->old);
	stream->old = copy;
	uint64_t first = key_get_u64(key->mv_data);
	stream->keys[stream->n_keys++] = first;
	return digests_open(first, copy, sealed.len, &stream->reader) ? MDB_CORRUPTED : look_ahead(stream);
}

/* The key behind the cursor; 0: there is none. */
static int key_behind(MDB_cursor *cursor, uint64_t *behind)
{
	MDB_val key, value;
	int code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	if (!code && key.mv_size != INO_KEY)
		code = MDB_CORRUPTED;
	*behind = code ? 0 : key_get_u64(key.mv_data);
	return code == MDB_NOTFOUND ? 0 : code;
}

int digests_seek(MDB_cursor *cursor, uint64_t ino, MDB_val *key, MDB_val *value)
{
	uint8_t bytes[INO_KEY];
	key_put_u64(bytes, ino);
	*key = (MDB_val){sizeof(bytes), bytes};
	int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
	if (!code && key->mv_size == INO_KEY && key_get_u64(key->mv_data) == ino)
		return 0;
	if (code && code != MDB_NOTFOUND)
		return code;
	code = mdb_cursor_get(cursor, key, value, code ? MDB_LAST : MDB_PREV);
	return code;
}

static int stream_open(struct apply *apply, uint64_t ino)
{
	struct digest_stream *stream = &apply->digests;
	MDB_val key, value;
	int code = apply_cursor(apply, DB_DIGESTS);
	if (code)
		return code;
	MDB_cursor *cursor = apply->cursor[DB_DIGESTS];
	code = digests_seek(cursor, ino, &key, &value);
	if (code == MDB_NOTFOUND) /* it comes before all */
		code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	stream->is_open = true;
	stream->end = 0;
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	code = load(apply, &key, &value);
	return code ? code : key_behind(cursor, &stream->end);
}

/* Goes on in the block behind, if `ino` belongs there. */
static int stream_extend(struct apply *apply, uint64_t ino, bool *extended)
{
	struct digest_stream *stream = &apply->digests;
	MDB_cursor *cursor = apply->cursor[DB_DIGESTS];
	MDB_val key, value, behind_key, behind_value;
	uint64_t behind;
	*extended = false;
	if (stream->n_keys == DIGEST_BLOCKS)
		return 0;
	int code = digests_seek(cursor, stream->end, &key, &value);
	if (!code)
		code = key_behind(cursor, &behind);
	if (code || (behind && ino >= behind))
		return code;
	code = digests_seek(cursor, stream->end, &behind_key, &behind_value);
	if (!code)
		code = advance_all(stream);
	stream->end = behind;
	if (!code)
		code = load(apply, &behind_key, &behind_value);
	*extended = true;
	return code;
}

/* --- writing new ones --- */

/* Bytes of a block at most, so that all together are as few as can be, and alike. */
static size_t division(const struct digest_stream *stream)
{
	size_t bytes = 0, count = 0;
	uint64_t previous = 0;
	for (size_t at = 0; at < stream->out_bytes;) {
		const struct passed *passed = (const struct passed *)(stream->out + at);
		uint8_t distance[10];
		bytes += passed->len + (size_t)(write_varint(distance, passed->ino - previous) - distance);
		count++;
		previous = passed->ino;
		at += passed_size(passed->len);
	}
	size_t most = DIGESTS_BYTES - 1, blocks = (bytes + most - 1) / most;
	if (blocks < 2 || stream->last_new == previous)
		return DIGESTS_BYTES;
	size_t each = 1 + bytes / blocks + bytes / count + 1;
	return each < DIGESTS_BYTES ? each : DIGESTS_BYTES;
}

static int write_blocks(struct apply *apply)
{
	struct digest_stream *stream = &apply->digests;
	uint8_t block[DIGESTS_BYTES], next[DIGESTS_NEXT_ROOM], key[INO_KEY], *end = block;
	size_t limit = division(stream);
	uint64_t previous = 0;
	int code = 0;

	for (size_t at = 0; !code && at < stream->out_bytes;) {
		const struct passed *passed = (const struct passed *)(stream->out + at);
		size_t len = (size_t)(digests_add(next, previous, passed->ino, passed->bytes, passed->len) - next);
		if (previous && (size_t)(end - block) + len > limit) {
			code = seal_put(apply, DB_DIGESTS, key, sizeof(key),
			                &(struct sealed){.record = block, .len = (size_t)(end - block)});
			previous = 0;
			continue;
		}
		if (!previous) {
			key_put_u64(key, passed->ino);
			end = digests_begin(block);
		}
		end = write_bytes(end, next, len);
		previous = passed->ino;
		at += passed_size(passed->len);
	}
	return code || !previous ? code
	                         : seal_put(apply, DB_DIGESTS, key, sizeof(key),
	                                    &(struct sealed){.record = block, .len = (size_t)(end - block)});
}

static int stream_close(struct apply *apply)
{
	struct digest_stream *stream = &apply->digests;
	int code = stream->is_changed ? advance_all(stream) : 0;
	for (size_t i = 0; !code && stream->is_changed && i < stream->n_keys; i++) {
		uint8_t key[INO_KEY];
		key_put_u64(key, stream->keys[i]);
		code = apply_delete(apply, DB_DIGESTS, key, sizeof(key));
	}
	if (!code && stream->is_changed)
		code = write_blocks(apply);
	stream->is_open = stream->is_changed = false;
	stream->n_keys = stream->out_bytes = stream->last_at = 0;
	stream->done = stream->last_new = stream->ahead.ino = 0;
	return code;
}

/* --- changes --- */

/* What is before `ino` has come by, and nothing else. */
static int stream_to(struct apply *apply, uint64_t ino)
{
	struct digest_stream *stream = &apply->digests;
	bool goes_on = stream->is_open && ino >= stream->done;
	int code = 0;
	if (goes_on && stream->end && ino >= stream->end)
		code = stream_extend(apply, ino, &goes_on);
	if (!code && !goes_on)
		code = stream_close(apply);
	if (!code && !goes_on)
		code = stream_open(apply, ino);
	stream->done = ino;
	return code ? code : advance(stream, ino);
}

int digests_put(struct apply *apply, uint64_t ino, const uint8_t *bytes, size_t len)
{
	struct digest_stream *stream = &apply->digests;
	int code = stream_to(apply, ino);
	if (!code && stream->ahead.ino == ino)
		code = look_ahead(stream);
	if (code)
		return code;
	take_back(stream, ino);
	stream->last_new = ino;
	stream->is_changed = true;
	return pass(stream, ino, bytes, len);
}

int digests_delete(struct apply *apply, uint64_t ino)
{
	struct digest_stream *stream = &apply->digests;
	int code = stream_to(apply, ino);
	if (code)
		return code;
	bool is_old = stream->ahead.ino == ino, is_new = take_back(stream, ino);
	stream->is_changed = stream->is_changed || is_old || is_new;
	return is_old ? look_ahead(stream) : 0;
}

int digests_end(struct apply *apply, int code)
{
	struct digest_stream *stream = &apply->digests;
	if (!code && stream->is_open)
		code = stream_close(apply);
	free(stream->old);
	free(stream->out);
	*stream = (struct digest_stream){0};
	return code;
}
