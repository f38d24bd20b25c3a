/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The changes of batches, applied to a write transaction in their order.
 *
 * Invariant I4 is kept here for segments: they exist only below a file record, and a file record of another object (another
 * handle) at the same inode number takes nothing over from its predecessor.
 *
 * Speed: records whose keys ascend are appended, which fills pages entirely and is many times faster than inserting. So what several
 * batches say of different inode numbers is applied in the order of these; what concerns one of them stays in the order of submission.
 */
#include "state/apply.h"

#include "state/bytes.h"

#include <errno.h>
#include <stdlib.h>

int apply_cursor(struct apply *apply, enum database database)
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

int apply_put(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, const void *value_bytes,
              size_t value_len)
{
	int code = apply_cursor(apply, database);
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

int apply_get(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, MDB_val *value)
{
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes};
	return mdb_get(apply->txn, apply->store->dbi[database], &key, value);
}

int apply_delete(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len)
{
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes};
	int code = mdb_del(apply->txn, apply->store->dbi[database], &key, NULL);
	return code == MDB_NOTFOUND ? 0 : code;
}

static int put_by_number(struct apply *apply, enum database database, const struct change *change)
{
	uint8_t key[INO_KEY];
	key_put_u64(key, change->a);
	return apply_put(apply, database, key, sizeof(key), change->value, change->value_bytes);
}

static int delete_by_number(struct apply *apply, enum database database, uint64_t number)
{
	uint8_t key[INO_KEY];
	key_put_u64(key, number);
	return apply_delete(apply, database, key, sizeof(key));
}

static int chain_put_change(struct apply *apply, enum database database, const struct change *change)
{
	return chain_put(apply, database, change->a, &(struct sealed){.record = change->value, .len = change->value_bytes});
}

/* --- files --- */

/* The digest is the store's: whoever puts the record has an older one, or none. */
static int file_put_again(struct apply *apply, const struct change *change, const struct sealed *old)
{
	struct file_digest kept, given;
	struct sealed sealed = {.marked = old->marked};
	if (file_record_digest_get(old->record, old->len, &kept) ||
	    file_record_digest_get(change->value, change->value_bytes, &given))
		return MDB_CORRUPTED;
	kept.undigested = kept.undigested || given.undigested;
	uint8_t *record = malloc(change->value_bytes + FILE_DIGEST_ROOM);
	if (!record)
		return ENOMEM;
	memcpy(record, change->value, change->value_bytes);
	sealed.len = file_record_digest_set(record, change->value_bytes, &kept);
	sealed.record = record;
	int code = chain_put(apply, DB_FILES, change->a, &sealed);
	free(record);
	return code;
}

/* With the digest that is given, and without that of a file that had this number before. Its segments are dropped already. */
static int file_put_new(struct apply *apply, const struct change *change)
{
	int code = digests_delete(apply, change->a);
	return code ? code : chain_put_change(apply, DB_FILES, change);
}

static int file_renew(struct apply *apply, const struct change *change)
{
	int code = segments_drop(apply, change->a);
	return code ? code : file_put_new(apply, change);
}

static int file_put(struct apply *apply, const struct change *change)
{
	struct sealed old;
	int code = chain_get(apply, DB_FILES, change->a, &old);
	if (code && code != MDB_NOTFOUND)
		return code;
	if (!code && file_record_same_object(change->a, old.record, old.len, change->value, change->value_bytes))
		return file_put_again(apply, change, &old);
	return code ? file_put_new(apply, change) : file_renew(apply, change);
}

static int file_delete(struct apply *apply, const struct change *change)
{
	int code = segments_drop(apply, change->a);
	return code ? code : chain_delete(apply, DB_FILES, change->a);
}

static int digest_leave(struct apply *apply, const struct file_record *file, const struct file_stamp *stamp)
{
	uint8_t value[DIGEST_RECORD_ROOM];
	struct digest_record record = {.ino = file->ino,
	                               .handle = file->handle,
	                               .size = stamp->size,
	                               .segsize = file->segsize,
	                               .mtime = stamp->mtime,
	                               .ctime = stamp->ctime,
	                               .digest = file->digest};
	return digests_put(apply, file->ino, value, digest_record_encode(&record, value));
}

static int file_complete(struct apply *apply, const struct change *change)
{
	struct file_record *record;
	struct file_stamp stamp;
	struct sealed sealed;

	int code = chain_get(apply, DB_FILES, change->a, &sealed);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	code = file_record_decode(change->a, sealed.record, sealed.len, &record);
	if (code)
		return code == -ENOMEM ? ENOMEM : MDB_CORRUPTED;
	memcpy(&stamp, change->value, sizeof(stamp));
	if (!record->undigested && !record->changed && stamp.size > 0)
		code = digest_leave(apply, record, &stamp);
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
	int code = apply_get(apply, DB_LINKS, key, LINK_KEY, &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (link_record_decode(0, 0, value.mv_data, value.mv_size, &old))
		return MDB_CORRUPTED;
	key_put_u64(ino_key, old.ino);
	code = apply_get(apply, DB_LINKS_INO, ino_key, sizeof(ino_key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (value.mv_size != LINK_KEY || memcmp(value.mv_data, key, LINK_KEY) != 0)
		return 0;
	return apply_delete(apply, DB_LINKS_INO, ino_key, sizeof(ino_key));
}

static int link_put(struct apply *apply, const struct change *change)
{
	uint8_t key[LINK_KEY], ino_key[INO_KEY];
	link_key(key, change->a, change->b);
	key_put_u64(ino_key, change->c);
	int code = link_forget_ino(apply, key);
	if (!code)
		code = apply_put(apply, DB_LINKS, key, sizeof(key), change->value, change->value_bytes);
	if (!code)
		code = apply_put(apply, DB_LINKS_INO, ino_key, sizeof(ino_key), key, sizeof(key));
	return code;
}

static int link_seen(struct apply *apply, const struct change *change)
{
	uint8_t key[LINK_KEY], bytes[LINK_RECORD_ROOM];
	struct link_record record;
	MDB_val value;
	link_key(key, change->a, change->b);
	int code = apply_get(apply, DB_LINKS, key, sizeof(key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (link_record_decode(change->a, change->b, value.mv_data, value.mv_size, &record))
		return MDB_CORRUPTED;
	record.seen = change->c < UINT32_MAX - record.seen ? record.seen + (uint32_t)change->c : UINT32_MAX;
	return apply_put(apply, DB_LINKS, key, sizeof(key), bytes, link_record_encode(&record, bytes));
}

static int link_delete(struct apply *apply, const struct change *change)
{
	uint8_t key[LINK_KEY];
	link_key(key, change->a, change->b);
	int code = link_forget_ino(apply, key);
	return code ? code : apply_delete(apply, DB_LINKS, key, sizeof(key));
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
		return chain_put_change(apply, DB_DIRS, change);
	case CHANGE_DIR_DELETE:
		return chain_delete(apply, DB_DIRS, change->a);
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
		return digests_put(apply, change->a, change->value, change->value_bytes);
	case CHANGE_DIGEST_DELETE:
		return digests_delete(apply, change->a);
	case CHANGE_IDENTITY_PUT:
		return identity_put(apply, change);
	}
	return EINVAL;
}

/* --- the order --- */

struct turn {
	const struct change *change;
	size_t number;
};

/* By inode number, where that is what the change is of. */
static uint64_t place_of(const struct change *change)
{
	switch (change->kind) {
	case CHANGE_LINK_PUT:
	case CHANGE_LINK_SEEN:
	case CHANGE_LINK_DELETE:
	case CHANGE_ERROR_PUT:
	case CHANGE_ERROR_DELETE:
	case CHANGE_IDENTITY_PUT:
		return 0;
	default:
		return change->a;
	}
}

static int compare_turns(const void *a, const void *b)
{
	const struct turn *one = a, *other = b;
	uint64_t place = place_of(one->change), other_place = place_of(other->change);
	if (place != other_place)
		return place < other_place ? -1 : 1;
	return one->number < other->number ? -1 : 1;
}

static int apply_in_order(struct apply *apply, struct turn *turns, size_t n)
{
	qsort(turns, n, sizeof(*turns), compare_turns);
	for (size_t i = 0; i < n; i++) {
		int code = apply_change(apply, turns[i].change);
		if (code)
			return code;
		if (i % RESIDENT_STEP == 0)
			resident_limit(apply->store);
	}
	return 0;
}

int engine_apply(struct store *store, MDB_txn *txn, const struct batch *first, size_t n)
{
	struct apply apply = {.store = store, .txn = txn};
	const struct batch *batch = first;
	size_t n_changes = 0, at = 0;

	/* The last batch's `next` belongs to whoever submits meanwhile. */
	for (size_t i = 0; i < n; i++, batch = i < n ? batch->next : NULL)
		n_changes += batch->n_changes;
	struct turn *turns = malloc((n_changes + 1) * sizeof(*turns));
	if (!turns)
		return ENOMEM;
	batch = first;
	for (size_t i = 0; i < n; i++, batch = i < n ? batch->next : NULL)
		for (const struct change *change = batch_first(batch); change; change = batch_next(batch, change), at++)
			turns[at] = (struct turn){change, at};
	int code = digests_end(&apply, apply_in_order(&apply, turns, n_changes));
	free(turns);
	free(apply.room);
	return code;
}
