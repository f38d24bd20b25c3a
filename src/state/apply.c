/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The changes of batches, applied to a write transaction in their order.
 *
 * Invariant I4 is kept here for segments: they exist only below a file record, and a file record of another object (another
 * handle) at the same inode number takes nothing over from its predecessor.
 *
 * Speed: records whose keys ascend are appended, which fills pages entirely and is many times faster than inserting.
 */
#include "state/bytes.h"
#include "state/codec.h"
#include "state/store_private.h"

#include <errno.h>
#include <stdlib.h>

#define INO_KEY 8
#define SEGMENT_KEY 12
#define LINK_KEY 16
#define KEY_MAX 16

/* Segments that the 32 bits of a chunk number can name. */
#define SEGMENTS_END ((uint64_t)SEGMENT_CHUNK << 32)

/* One pass over the batches. Cursors belong to the transaction and end with it. */
struct apply {
	struct store *store;
	MDB_txn *txn;
	MDB_cursor *cursor[DATABASES];
	uint8_t greatest[DATABASES][KEY_MAX]; /* no key of the database is greater */
	bool empty[DATABASES];                /* no key is there at all, greatest is void */
};

static int open_cursor(struct apply *apply, enum database database)
{
	if (apply->cursor[database])
		return 0;
	MDB_cursor *cursor;
	MDB_val key, value;
	int code = mdb_cursor_open(apply->txn, apply->store->dbi[database], &cursor);
	if (code)
		return code;
	code = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
	if (code && code != MDB_NOTFOUND)
		return code;
	if (!code && key.mv_size > KEY_MAX)
		return MDB_CORRUPTED;
	apply->empty[database] = code == MDB_NOTFOUND;
	if (!code)
		memcpy(apply->greatest[database], key.mv_data, key.mv_size);
	apply->cursor[database] = cursor;
	return 0;
}

static int put(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, const void *value_bytes,
               size_t value_len)
{
	int code = open_cursor(apply, database);
	if (code)
		return code;
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes}, value = {value_len, (void *)(uintptr_t)value_bytes};
	bool append = apply->empty[database] || memcmp(key_bytes, apply->greatest[database], key_len) > 0;
	if (append) {
		apply->empty[database] = false;
		memcpy(apply->greatest[database], key_bytes, key_len);
	}
	return mdb_cursor_put(apply->cursor[database], &key, &value, append ? MDB_APPEND : 0);
}

static int get(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, MDB_val *value)
{
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes};
	return mdb_get(apply->txn, apply->store->dbi[database], &key, value);
}

/* What is not there is deleted already. */
static int delete (struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len)
{
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes};
	int code = mdb_del(apply->txn, apply->store->dbi[database], &key, NULL);
	return code == MDB_NOTFOUND ? 0 : code;
}

static int put_by_number(struct apply *apply, enum database database, const struct change *change)
{
	uint8_t key[INO_KEY];
	key_put_u64(key, change->a);
	return put(apply, database, key, sizeof(key), change->value, change->value_bytes);
}

static int delete_by_number(struct apply *apply, enum database database, uint64_t number)
{
	uint8_t key[INO_KEY];
	key_put_u64(key, number);
	return delete (apply, database, key, sizeof(key));
}

/* --- segments --- */

static void segment_key(uint8_t key[SEGMENT_KEY], uint64_t ino, uint32_t chunk)
{
	key_put_u64(key, ino);
	key_put_u32(key + INO_KEY, chunk);
}

/* The first chunk of the file from `chunk` on, MDB_NOTFOUND when there is none. The cursor is left on it. */
static int chunk_seek(struct apply *apply, uint64_t ino, uint32_t chunk, uint32_t *found, MDB_val *value)
{
	uint8_t bytes[SEGMENT_KEY];
	segment_key(bytes, ino, chunk);
	MDB_val key = {sizeof(bytes), bytes};
	int code = open_cursor(apply, DB_SEGMENTS);
	if (!code)
		code = mdb_cursor_get(apply->cursor[DB_SEGMENTS], &key, value, MDB_SET_RANGE);
	if (code)
		return code;
	if (key.mv_size != SEGMENT_KEY)
		return MDB_CORRUPTED;
	if (key_get_u64(key.mv_data) != ino)
		return MDB_NOTFOUND;
	*found = key_get_u32((const uint8_t *)key.mv_data + INO_KEY);
	return 0;
}

static int segments_drop(struct apply *apply, uint64_t ino)
{
	MDB_val value;
	uint32_t chunk;
	int code;
	while ((code = chunk_seek(apply, ino, 0, &chunk, &value)) == 0) {
		code = mdb_cursor_del(apply->cursor[DB_SEGMENTS], 0);
		if (code)
			return code;
	}
	return code == MDB_NOTFOUND ? 0 : code;
}

static void bitmap_fill(uint8_t *bitmap, unsigned first, unsigned end, bool resident)
{
	for (unsigned bit = first; bit < end;) {
		if (bit % 8 == 0 && end - bit >= 8) {
			unsigned bytes = (end - bit) / 8;
			memset(bitmap + bit / 8, resident ? 0xff : 0, bytes);
			bit += bytes * 8;
			continue;
		}
		uint8_t mask = (uint8_t)(1u << bit % 8);
		if (resident)
			bitmap[bit / 8] |= mask;
		else
			bitmap[bit / 8] &= (uint8_t)~mask;
		bit++;
	}
}

static int chunk_store(struct apply *apply, uint64_t ino, uint32_t chunk, const uint8_t *bitmap)
{
	uint8_t key[SEGMENT_KEY], value[1 + SEGMENT_CHUNK_BYTES];
	segment_key(key, ino, chunk);
	size_t len = segments_encode(bitmap, value);
	return len ? put(apply, DB_SEGMENTS, key, sizeof(key), value, len) : delete (apply, DB_SEGMENTS, key, sizeof(key));
}

static int chunk_change(struct apply *apply, uint64_t ino, uint32_t chunk, unsigned first, unsigned end, bool resident,
                        const MDB_val *old)
{
	uint8_t bitmap[SEGMENT_CHUNK_BYTES] = {0};
	if (old && segments_decode(old->mv_data, old->mv_size, bitmap))
		return MDB_CORRUPTED;
	bitmap_fill(bitmap, first, end, resident);
	return chunk_store(apply, ino, chunk, bitmap);
}

/* The part of [first, end) that lies in a chunk, as bits of it. */
static void chunk_part(uint32_t chunk, uint64_t first, uint64_t end, unsigned *first_bit, unsigned *end_bit)
{
	uint64_t base = (uint64_t)chunk * SEGMENT_CHUNK;
	*first_bit = first > base ? (unsigned)(first - base) : 0;
	*end_bit = end - base < SEGMENT_CHUNK ? (unsigned)(end - base) : SEGMENT_CHUNK;
}

static uint64_t segments_end(const struct change *change)
{
	uint64_t end = change->b + change->c;
	return end < change->b || end > SEGMENTS_END ? SEGMENTS_END : end;
}

/* Is this segment recorded already? LMDB's code. */
static int segment_known(struct apply *apply, uint64_t ino, uint64_t segment, bool *known)
{
	uint8_t key[SEGMENT_KEY], bitmap[SEGMENT_CHUNK_BYTES];
	MDB_val value;
	segment_key(key, ino, (uint32_t)(segment / SEGMENT_CHUNK));
	*known = false;
	int code = get(apply, DB_SEGMENTS, key, sizeof(key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (segments_decode(value.mv_data, value.mv_size, bitmap))
		return MDB_CORRUPTED;
	*known = bitmap[segment % SEGMENT_CHUNK / 8] >> (segment % 8) & 1;
	return 0;
}

/* Adds a digest to that of the file's record, `stored`; NULL: from now on it has none. */
static int digest_count(struct apply *apply, uint64_t ino, const MDB_val *stored, const struct digest *digest)
{
	struct file_digest file;
	uint8_t key[INO_KEY];
	if (file_record_digest_get(stored->mv_data, stored->mv_size, &file))
		return MDB_CORRUPTED;
	if (digest ? !digest->low && !digest->high : file.undigested)
		return 0;
	if (digest)
		digest_add(&file.digest, digest);
	else
		file.undigested = true;
	uint8_t *value = malloc(stored->mv_size);
	if (!value)
		return ENOMEM;
	memcpy(value, stored->mv_data, stored->mv_size);
	file_record_digest_set(value, &file);
	key_put_u64(key, ino);
	int code = put(apply, DB_FILES, key, sizeof(key), value, stored->mv_size);
	free(value);
	return code;
}

/* The part of a mark that concerns the digest. Before the bitmap: it tells whether the segment is counted already. */
static int mark_digest(struct apply *apply, const struct change *change, const MDB_val *stored)
{
	struct digest digest;
	bool known;
	if (change->value_bytes == 0)
		return digest_count(apply, change->a, stored, NULL);
	memcpy(&digest, change->value, sizeof(digest));
	int code = segment_known(apply, change->a, change->b, &known);
	return code || known ? code : digest_count(apply, change->a, stored, &digest);
}

static int segments_mark(struct apply *apply, const struct change *change)
{
	uint8_t key[SEGMENT_KEY];
	uint64_t end = segments_end(change);
	MDB_val value;

	/* A fetch that ends after its file is gone must leave nothing that the next file of this number could inherit. */
	key_put_u64(key, change->a);
	int code = get(apply, DB_FILES, key, INO_KEY, &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	code = mark_digest(apply, change, &value);
	if (code)
		return code;

	for (uint64_t at = change->b; at < end;) {
		uint32_t chunk = (uint32_t)(at / SEGMENT_CHUNK);
		unsigned first_bit, end_bit;
		chunk_part(chunk, at, end, &first_bit, &end_bit);
		segment_key(key, change->a, chunk);
		code = get(apply, DB_SEGMENTS, key, sizeof(key), &value);
		if (code && code != MDB_NOTFOUND)
			return code;
		code = chunk_change(apply, change->a, chunk, first_bit, end_bit, true, code ? NULL : &value);
		if (code)
			return code;
		at += end_bit - first_bit;
	}
	return 0;
}

/* Goes from one existing chunk to the next, so that clearing "all the rest" of a huge file costs what is there. */
static int segments_clear(struct apply *apply, const struct change *change)
{
	uint64_t at = change->b, end = segments_end(change);
	uint8_t key[INO_KEY];
	MDB_val value;

	key_put_u64(key, change->a);
	int code = get(apply, DB_FILES, key, sizeof(key), &value);
	if (!code)
		code = digest_count(apply, change->a, &value, NULL);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	while (at < end) {
		uint32_t chunk;
		unsigned first_bit, end_bit;
		code = chunk_seek(apply, change->a, (uint32_t)(at / SEGMENT_CHUNK), &chunk, &value);
		if (code)
			return code == MDB_NOTFOUND ? 0 : code;
		if ((uint64_t)chunk * SEGMENT_CHUNK >= end)
			return 0;
		chunk_part(chunk, at, end, &first_bit, &end_bit);
		code = chunk_change(apply, change->a, chunk, first_bit, end_bit, false, &value);
		if (code)
			return code;
		at = ((uint64_t)chunk + 1) * SEGMENT_CHUNK;
	}
	return 0;
}

/* --- files --- */

/* The digest is the store's: whoever puts the record has an older one, or none. */
static int file_put_again(struct apply *apply, const struct change *change, const MDB_val *old)
{
	struct file_digest kept, given;
	uint8_t key[INO_KEY];
	if (file_record_digest_get(old->mv_data, old->mv_size, &kept) ||
	    file_record_digest_get(change->value, change->value_bytes, &given))
		return MDB_CORRUPTED;
	kept.undigested = kept.undigested || given.undigested;
	uint8_t *value = malloc(change->value_bytes);
	if (!value)
		return ENOMEM;
	memcpy(value, change->value, change->value_bytes);
	file_record_digest_set(value, &kept);
	key_put_u64(key, change->a);
	int code = put(apply, DB_FILES, key, sizeof(key), value, change->value_bytes);
	free(value);
	return code;
}

/* With the digest that is given, and without that of a file that had this number before. */
static int file_put_new(struct apply *apply, const struct change *change)
{
	uint8_t key[INO_KEY];

	key_put_u64(key, change->a);
	int code = delete_by_number(apply, DB_DIGESTS, change->a);
	return code ? code : put(apply, DB_FILES, key, sizeof(key), change->value, change->value_bytes);
}

static int file_renew(struct apply *apply, const struct change *change)
{
	int code = segments_drop(apply, change->a);
	return code ? code : file_put_new(apply, change);
}

static int file_put(struct apply *apply, const struct change *change)
{
	uint8_t key[INO_KEY];
	MDB_val old;

	key_put_u64(key, change->a);
	int code = get(apply, DB_FILES, key, sizeof(key), &old);
	if (code && code != MDB_NOTFOUND)
		return code;
	if (!code && file_record_same_object(old.mv_data, old.mv_size, change->value, change->value_bytes))
		return file_put_again(apply, change, &old);
	return code ? file_put_new(apply, change) : file_renew(apply, change);
}

static int file_delete(struct apply *apply, const struct change *change)
{
	int code = segments_drop(apply, change->a);
	return code ? code : delete_by_number(apply, DB_FILES, change->a);
}

static int digest_put(struct apply *apply, const struct digest_record *record)
{
	uint8_t key[INO_KEY], value[DIGEST_RECORD_ROOM];
	key_put_u64(key, record->ino);
	return put(apply, DB_DIGESTS, key, sizeof(key), value, digest_record_encode(record, value));
}

static int file_complete(struct apply *apply, const struct change *change)
{
	struct file_record *record;
	struct file_stamp stamp;
	uint8_t key[INO_KEY];
	MDB_val value;

	key_put_u64(key, change->a);
	int code = get(apply, DB_FILES, key, sizeof(key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	code = file_record_decode(change->a, value.mv_data, value.mv_size, &record);
	if (code)
		return code == -ENOMEM ? ENOMEM : MDB_CORRUPTED;
	memcpy(&stamp, change->value, sizeof(stamp));
	if (!record->undigested && !record->changed && stamp.size > 0)
		code = digest_put(apply, &(struct digest_record){.ino = change->a,
		                                                 .handle = record->handle,
		                                                 .size = stamp.size,
		                                                 .segsize = record->segsize,
		                                                 .mtime = stamp.mtime,
		                                                 .ctime = stamp.ctime,
		                                                 .digest = record->digest});
	file_record_free(record);
	return code ? code : file_delete(apply, change);
}

/* --- files with several names --- */

static void link_key(uint8_t key[LINK_KEY], uint64_t fsid, uint64_t fileid)
{
	key_put_u64(key, fsid);
	key_put_u64(key + 8, fileid);
}

/* Removes the entry of the second index that a stored link record has, unless another record took it over. */
static int link_forget_ino(struct apply *apply, const uint8_t key[LINK_KEY])
{
	struct link_record old;
	uint8_t ino_key[INO_KEY];
	MDB_val value;
	int code = get(apply, DB_LINKS, key, LINK_KEY, &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (link_record_decode(0, 0, value.mv_data, value.mv_size, &old))
		return MDB_CORRUPTED;
	key_put_u64(ino_key, old.ino);
	code = get(apply, DB_LINKS_INO, ino_key, sizeof(ino_key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (value.mv_size != LINK_KEY || memcmp(value.mv_data, key, LINK_KEY) != 0)
		return 0;
	return delete (apply, DB_LINKS_INO, ino_key, sizeof(ino_key));
}

static int link_put(struct apply *apply, const struct change *change)
{
	uint8_t key[LINK_KEY], ino_key[INO_KEY];
	link_key(key, change->a, change->b);
	key_put_u64(ino_key, change->c);
	int code = link_forget_ino(apply, key);
	if (!code)
		code = put(apply, DB_LINKS, key, sizeof(key), change->value, change->value_bytes);
	if (!code)
		code = put(apply, DB_LINKS_INO, ino_key, sizeof(ino_key), key, sizeof(key));
	return code;
}

static int link_seen(struct apply *apply, const struct change *change)
{
	uint8_t key[LINK_KEY], bytes[LINK_RECORD_ROOM];
	struct link_record record;
	MDB_val value;
	link_key(key, change->a, change->b);
	int code = get(apply, DB_LINKS, key, sizeof(key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (link_record_decode(change->a, change->b, value.mv_data, value.mv_size, &record))
		return MDB_CORRUPTED;
	record.seen = change->c < UINT32_MAX - record.seen ? record.seen + (uint32_t)change->c : UINT32_MAX;
	return put(apply, DB_LINKS, key, sizeof(key), bytes, link_record_encode(&record, bytes));
}

static int link_delete(struct apply *apply, const struct change *change)
{
	uint8_t key[LINK_KEY];
	link_key(key, change->a, change->b);
	int code = link_forget_ino(apply, key);
	return code ? code : delete (apply, DB_LINKS, key, sizeof(key));
}

/* --- the rest --- */

static int identity_put(struct apply *apply, const struct change *change)
{
	MDB_val key = {change->a, (void *)(uintptr_t)change->value};
	MDB_val value = {change->value_bytes - change->a, (void *)(uintptr_t)(change->value + change->a)};
	return mdb_put(apply->txn, apply->store->dbi[DB_IDENTITY], &key, &value, 0);
}

static int apply_change(struct apply *apply, const struct change *change)
{
	switch (change->kind) {
	case CHANGE_DIR_PUT:
		return put_by_number(apply, DB_DIRS, change);
	case CHANGE_DIR_DELETE:
		return delete_by_number(apply, DB_DIRS, change->a);
	case CHANGE_FILE_PUT:
		return file_put(apply, change);
	case CHANGE_FILE_DELETE:
		return file_delete(apply, change);
	case CHANGE_FILE_RENEW:
		return file_renew(apply, change);
	case CHANGE_FILE_COMPLETE:
		return file_complete(apply, change);
	case CHANGE_SEGMENTS_MARK:
		return segments_mark(apply, change);
	case CHANGE_SEGMENTS_CLEAR:
		return segments_clear(apply, change);
	case CHANGE_LINK_PUT:
		return link_put(apply, change);
	case CHANGE_LINK_SEEN:
		return link_seen(apply, change);
	case CHANGE_LINK_DELETE:
		return link_delete(apply, change);
	case CHANGE_ERROR_PUT:
		return put_by_number(apply, DB_ERRORS, change);
	case CHANGE_ERROR_DELETE:
		return delete_by_number(apply, DB_ERRORS, change->a);
	case CHANGE_DIGEST_PUT:
		return put_by_number(apply, DB_DIGESTS, change);
	case CHANGE_DIGEST_DELETE:
		return delete_by_number(apply, DB_DIGESTS, change->a);
	case CHANGE_IDENTITY_PUT:
		return identity_put(apply, change);
	}
	return EINVAL;
}

int engine_apply(struct store *store, MDB_txn *txn, const struct batch *first, size_t n)
{
	struct apply apply = {.store = store, .txn = txn};
	const struct batch *batch = first;

	for (size_t i = 0; i < n; i++) {
		for (const struct change *change = batch_first(batch); change; change = batch_next(batch, change)) {
			int code = apply_change(&apply, change);
			if (code)
				return code;
		}
		/* The last batch's `next` belongs to whoever submits meanwhile. */
		if (i + 1 < n)
			batch = batch->next;
	}
	return 0;
}
