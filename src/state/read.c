/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading what is committed.
 *
 * A read takes a free slot with a read transaction that was used before, renews it, looks, and resets it: no allocation, no lock
 * that others wait for, about half a microsecond. A reset transaction holds no pages back. What a database does not have at all
 * is answered without looking.
 */
#include "state/bytes.h"
#include "state/codec.h"
#include "state/seal.h"
#include "state/store_private.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INO_KEY 8
#define SEGMENT_KEY 12
#define LINK_KEY 16

#define STUCK_PAUSE_US 1000
#define STUCK_TRIES 1000

/* Error entries are copied so many at a time, so that no transaction is open while the caller looks at them. */
#define WALK_STEP 32

/* --- transactions --- */

static struct read_slot *slot_take(struct store *store)
{
	int cpu = sched_getcpu();
	unsigned start = cpu < 0 ? 0 : (unsigned)cpu;
	for (unsigned i = 0; i < READ_SLOTS; i++) {
		struct read_slot *slot = &store->slots[(start + i) % READ_SLOTS];
		if (pthread_mutex_trylock(&slot->lock) == 0)
			return slot;
	}
	struct read_slot *slot = &store->slots[start % READ_SLOTS];
	pthread_mutex_lock(&slot->lock);
	return slot;
}

static int slot_begin(struct store *store, struct read_slot *slot)
{
	if (slot->txn)
		return mdb_txn_renew(slot->txn);
	return store->env ? mdb_txn_begin(store->env, NULL, MDB_RDONLY, &slot->txn) : EIO;
}

static int read_begin(struct store *store, struct read_slot **taken)
{
	for (int tries = 0;; tries++) {
		struct read_slot *slot = slot_take(store);
		slot->commit = store->opened_commit + atomic_load(&store->commits); /* before the transaction sees anything */
		int code = slot_begin(store, slot);
		if (!code) {
			if (slot->reads % RESIDENT_STEP == 0)
				resident_limit(store);
			*taken = slot;
			return 0;
		}
		pthread_mutex_unlock(&slot->lock);
		/* The environment is stuck since its meta page could not be written; the committer is about to replace it. */
		if (code != MDB_PANIC || tries == STUCK_TRIES)
			return engine_errno(code);
		usleep(STUCK_PAUSE_US);
	}
}

static void read_end(struct read_slot **slot)
{
	if (!*slot)
		return;
	mdb_txn_reset((*slot)->txn);
	(*slot)->reads++;
	pthread_mutex_unlock(&(*slot)->lock);
}

#define READING __attribute__((cleanup(read_end))) struct read_slot *

static bool has_none(struct store *store, enum database database)
{
	return atomic_load_explicit(&store->entries[database], memory_order_acquire) == 0;
}

/* 1, 0 or negative errno; the value is valid until read_end(). */
static int look_up(struct store *store, struct read_slot *slot, enum database database, const void *key_bytes, size_t key_len,
                   MDB_val *value)
{
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes};
	int code = mdb_get(slot->txn, store->dbi[database], &key, value);
	if (code == MDB_NOTFOUND)
		return 0;
	return code ? engine_errno(code) : 1;
}

static int look_up_number(struct store *store, struct read_slot *slot, enum database database, uint64_t number, MDB_val *value)
{
	uint8_t key[INO_KEY];
	key_put_u64(key, number);
	return look_up(store, slot, database, key, sizeof(key), value);
}

/* A page at the top that is one of an earlier commit shows the whole state as it was then, and all chains agree. LMDB's code. */
static int not_of_before(struct store *store, struct read_slot *slot)
{
	uint64_t commit;
	int code = engine_meta_get_number(slot->txn, store->dbi[DB_META], META_COMMIT, &commit);
	return !code && commit < slot->commit ? MDB_CORRUPTED : code;
}

/* What an entry that is before `ino` says of the one that follows, and the one that does, 0 when none does: 0, or -EBADMSG when `ino`
 * should be there, or they do not agree. */
static int missing_between(uint64_t ino, uint64_t previous, uint64_t next, uint64_t follows)
{
	return previous < ino && next == follows && (next == 0 || next > ino) ? 0 : -EBADMSG;
}

/* In dirs and files, where an entry is missing only if the one before it says so. 1, 0 or negative errno. */
static int look_up_chained(struct store *store, struct read_slot *slot, enum database database, uint64_t ino,
                           struct sealed *sealed)
{
	uint8_t bytes[INO_KEY];
	MDB_val key = {sizeof(bytes), bytes}, value;
	MDB_cursor *cursor;
	uint64_t previous = 0, next;
	key_put_u64(bytes, ino);
	int code = not_of_before(store, slot);
	if (!code)
		code = mdb_cursor_open(slot->txn, store->dbi[database], &cursor);
	if (code)
		return engine_errno(code);
	code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	uint64_t follows = !code && key.mv_size == sizeof(bytes) ? key_get_u64(key.mv_data) : 0;
	bool found = !code && follows == ino;
	if (!found && (!code || code == MDB_NOTFOUND))
		code = mdb_cursor_get(cursor, &key, &value, code ? MDB_LAST : MDB_PREV);
	mdb_cursor_close(cursor);
	if (code == MDB_NOTFOUND) { /* nothing is before it */
		code = engine_meta_get_number(slot->txn, store->dbi[DB_META], seal_first(database), &next);
	} else if (!code) {
		code = seal_open(database, &key, &value, sealed);
		previous = found || code ? 0 : key_get_u64(key.mv_data);
		next = sealed->next;
	}
	if (code)
		return engine_errno(code);
	return found ? 1 : missing_between(ino, previous, next, follows);
}

/* --- single records --- */

int store_dir_get(struct store *store, uint64_t ino, struct dir_record **record)
{
	if (has_none(store, DB_DIRS))
		return 0;
	READING slot = NULL;
	struct sealed sealed;
	int found = read_begin(store, &slot);
	if (!found)
		found = look_up_chained(store, slot, DB_DIRS, ino, &sealed);
	if (found <= 0)
		return found;
	int error = dir_record_decode(ino, sealed.record, sealed.len, record);
	return error ? error : 1;
}

int store_file_get(struct store *store, uint64_t ino, struct file_record **record)
{
	if (has_none(store, DB_FILES))
		return 0;
	READING slot = NULL;
	struct sealed sealed;
	int found = read_begin(store, &slot);
	if (!found)
		found = look_up_chained(store, slot, DB_FILES, ino, &sealed);
	if (found <= 0)
		return found;
	int error = file_record_decode(ino, sealed.record, sealed.len, record);
	return error ? error : 1;
}

void dir_record_free(struct dir_record *record)
{
	free(record);
}

void file_record_free(struct file_record *record)
{
	free(record);
}

static int link_look_up(struct store *store, struct read_slot *slot, const uint8_t key[LINK_KEY], struct link_record *record)
{
	MDB_val value;
	int found = look_up(store, slot, DB_LINKS, key, LINK_KEY, &value);
	if (found <= 0)
		return found;
	int error = link_record_decode(key_get_u64(key), key_get_u64(key + 8), value.mv_data, value.mv_size, record);
	return error ? error : 1;
}

int store_link_get(struct store *store, uint64_t fsid, uint64_t fileid, struct link_record *record)
{
	if (has_none(store, DB_LINKS))
		return 0;
	READING slot = NULL;
	uint8_t key[LINK_KEY];
	key_put_u64(key, fsid);
	key_put_u64(key + 8, fileid);
	int error = read_begin(store, &slot);
	return error ? error : link_look_up(store, slot, key, record);
}

int store_link_of_ino(struct store *store, uint64_t ino, struct link_record *record)
{
	if (has_none(store, DB_LINKS_INO))
		return 0;
	READING slot = NULL;
	MDB_val value;
	struct link_record read;
	int found = read_begin(store, &slot);
	if (!found)
		found = look_up_number(store, slot, DB_LINKS_INO, ino, &value);
	if (found <= 0)
		return found;
	if (value.mv_size != LINK_KEY)
		return -EBADMSG;
	found = link_look_up(store, slot, value.mv_data, &read);
	if (found < 0)
		return found;
	if (found == 0 || read.ino != ino) /* the index and the records change together */
		return -EBADMSG;
	*record = read;
	return 1;
}

/* --- lists --- */

static int collect_numbers(MDB_cursor *cursor, uint64_t after, uint64_t *numbers, size_t max)
{
	uint8_t bytes[INO_KEY];
	key_put_u64(bytes, after + 1);
	MDB_val key = {sizeof(bytes), bytes}, value;
	int n = 0;
	int code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (!code) {
		if (key.mv_size != INO_KEY)
			return -EBADMSG;
		numbers[n++] = key_get_u64(key.mv_data);
		if ((size_t)n == max || n == INT32_MAX)
			break;
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	return code && code != MDB_NOTFOUND ? engine_errno(code) : n;
}

/* Each entry must be the one that the entry before it names. */
static int collect_chained(struct store *store, struct read_slot *slot, enum database database, MDB_cursor *cursor,
                           uint64_t after, uint64_t *numbers, size_t max)
{
	uint8_t bytes[INO_KEY];
	key_put_u64(bytes, after + 1);
	MDB_val key = {sizeof(bytes), bytes}, value;
	struct sealed sealed;
	int n = 0;
	int code = not_of_before(store, slot);
	if (code)
		return engine_errno(code);
	code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (!code || code == MDB_NOTFOUND)
		code = mdb_cursor_get(cursor, &key, &value, code ? MDB_LAST : MDB_PREV);
	MDB_cursor_op step = code == MDB_NOTFOUND ? MDB_FIRST : MDB_NEXT;
	if (code == MDB_NOTFOUND)
		code = engine_meta_get_number(slot->txn, store->dbi[DB_META], seal_first(database), &sealed.next);
	else if (!code)
		code = seal_open(database, &key, &value, &sealed);
	while (!code && sealed.next && (size_t)n < max && n < INT32_MAX) {
		uint64_t wanted = sealed.next;
		code = mdb_cursor_get(cursor, &key, &value, step);
		step = MDB_NEXT;
		if (code == MDB_NOTFOUND || (!code && (key.mv_size != INO_KEY || key_get_u64(key.mv_data) != wanted)))
			code = MDB_CORRUPTED;
		if (!code)
			code = seal_open(database, &key, &value, &sealed);
		if (!code)
			numbers[n++] = wanted;
	}
	return code ? engine_errno(code) : n;
}

static int numbers_after(struct store *store, enum database database, uint64_t after, uint64_t *numbers, size_t max)
{
	if (max == 0 || after == UINT64_MAX || has_none(store, database))
		return 0;
	READING slot = NULL;
	MDB_cursor *cursor;
	int error = read_begin(store, &slot);
	if (error)
		return error;
	int code = mdb_cursor_open(slot->txn, store->dbi[database], &cursor);
	if (code)
		return engine_errno(code);
	int n = is_chained(database) ? collect_chained(store, slot, database, cursor, after, numbers, max)
	                             : collect_numbers(cursor, after, numbers, max);
	mdb_cursor_close(cursor);
	return n;
}

int store_dirs_after(struct store *store, uint64_t after, uint64_t *inos, size_t max)
{
	return numbers_after(store, DB_DIRS, after, inos, max);
}

int store_files_after(struct store *store, uint64_t after, uint64_t *inos, size_t max)
{
	return numbers_after(store, DB_FILES, after, inos, max);
}

int store_links_after(struct store *store, uint64_t after, uint64_t *inos, size_t max)
{
	return numbers_after(store, DB_LINKS_INO, after, inos, max);
}

/* --- segments --- */

/* Copies a chunk's part of the bitmap of n_segments bits. */
static void bitmap_copy(uint8_t *bitmap, uint64_t n_segments, uint32_t chunk, const uint8_t *bits)
{
	uint64_t base = (uint64_t)chunk * SEGMENT_CHUNK_BYTES, n_bytes = (n_segments + 7) / 8;
	if (base >= n_bytes)
		return;
	uint64_t len = n_bytes - base < SEGMENT_CHUNK_BYTES ? n_bytes - base : SEGMENT_CHUNK_BYTES;
	memcpy(bitmap + base, bits, len);
}

/* The map that begins at segment `base`, a multiple of SEGMENT_CHUNK. How many of that kind are marked, the ones that are nobody's too. */
static int segments_read(struct store *store, struct read_slot *slot, uint64_t ino, uint64_t base, uint8_t *bitmap,
                         uint64_t n_segments, uint64_t *marked)
{
	uint32_t first_chunk = (uint32_t)(base / SEGMENT_CHUNK);
	MDB_cursor *cursor;
	int code = mdb_cursor_open(slot->txn, store->dbi[DB_SEGMENTS], &cursor);
	if (code)
		return code;
	uint8_t bytes[SEGMENT_KEY] = {0}, bits[SEGMENT_CHUNK_BYTES];
	key_put_u64(bytes, ino);
	key_put_u32(bytes + INO_KEY, first_chunk);
	MDB_val key = {sizeof(bytes), bytes}, value;
	for (code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE); !code;
	     code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		if (key.mv_size != SEGMENT_KEY || sealed_chunk(&key, &value, bits)) {
			code = MDB_CORRUPTED;
			break;
		}
		if (key_get_u64(key.mv_data) != ino)
			break;
		uint32_t chunk = key_get_u32((const uint8_t *)key.mv_data + INO_KEY) - first_chunk;
		if (chunk >= CHUNKS_RESIDENT)
			break;
		*marked += chunk_marked(bits);
		bitmap_copy(bitmap, n_segments, chunk, bits);
	}
	mdb_cursor_close(cursor);
	return code == MDB_NOTFOUND ? 0 : code;
}

static int map_get(struct store *store, struct read_slot *slot, uint64_t ino, uint64_t base, uint8_t *bitmap, uint64_t n_segments,
                   uint64_t *marked)
{
	memset(bitmap, 0, (n_segments + 7) / 8);
	int error = engine_errno(segments_read(store, slot, ino, base, bitmap, n_segments, marked));
	/* Bits behind the last segment are nobody's. */
	if (n_segments % 8)
		bitmap[n_segments / 8] &= (uint8_t)((1u << n_segments % 8) - 1);
	return error;
}

int store_segments_get(struct store *store, uint64_t ino, uint8_t *bitmap, uint64_t n_segments)
{
	READING slot = NULL;
	struct sealed file = {0};
	uint64_t marked = 0;
	if (n_segments == 0)
		return 0;
	int error = read_begin(store, &slot);
	if (!error)
		error = map_get(store, slot, ino, 0, bitmap, n_segments, &marked);
	if (error)
		return error;
	/* Marks that are lost would bring bytes of the source over an application's. A file without a record has none. */
	int found = look_up_chained(store, slot, DB_FILES, ino, &file);
	return found < 0 ? found : marked != (found ? file.marked : 0) ? -EBADMSG : 0;
}

int store_changed_get(struct store *store, uint64_t ino, uint8_t *bitmap, uint64_t n_segments)
{
	READING slot = NULL;
	uint64_t marked = 0;
	if (n_segments == 0)
		return 0;
	int error = read_begin(store, &slot);
	return error ? error : map_get(store, slot, ino, SEGMENTS_CHANGED, bitmap, n_segments, &marked);
}

/* --- errors --- */

int store_error_get(struct store *store, uint64_t id, struct error_record **record)
{
	if (has_none(store, DB_ERRORS))
		return 0;
	READING slot = NULL;
	MDB_val value;
	int found = read_begin(store, &slot);
	if (!found)
		found = look_up_number(store, slot, DB_ERRORS, id, &value);
	if (found <= 0)
		return found;
	int error = error_record_decode(id, value.mv_data, value.mv_size, record);
	return error ? error : 1;
}

void error_record_free(struct error_record *record)
{
	free(record);
}

int store_errors_walk_after(struct store *store, uint64_t after, int (*each)(void *context, const struct error_record *record),
                            void *context)
{
	uint64_t ids[WALK_STEP];
	int n;

	while ((n = numbers_after(store, DB_ERRORS, after, ids, WALK_STEP)) > 0) {
		for (int i = 0; i < n; i++) {
			struct error_record *record;
			int found = store_error_get(store, ids[i], &record);
			if (found < 0)
				return found;
			if (found == 0) /* settled meanwhile */
				continue;
			int result = each(context, record);
			error_record_free(record);
			if (result)
				return result;
		}
		after = ids[n - 1];
	}
	return n;
}

int store_errors_walk(struct store *store, int (*each)(void *context, const struct error_record *record), void *context)
{
	return store_errors_walk_after(store, 0, each, context);
}

/* --- digests --- */

static int digests_of(const MDB_val *key, const MDB_val *value, struct digests_reader *reader)
{
	struct sealed sealed;
	if (key->mv_size != INO_KEY || seal_open(DB_DIGESTS, key, value, &sealed))
		return -EBADMSG;
	return digests_open(key_get_u64(key->mv_data), sealed.record, sealed.len, reader);
}

/* Records from `from` on, at most `max`, from the block that the cursor is at, and those behind it. */
static int digests_read(MDB_cursor *cursor, MDB_val key, MDB_val value, uint64_t from, struct digest_record *records, size_t max)
{
	int n = 0, code = 0;
	while (!code) {
		struct digests_reader reader;
		int more = digests_of(&key, &value, &reader);
		if (more < 0)
			return more;
		while ((more = digests_next(&reader, &records[n])) > 0)
			if (records[n].ino >= from && ((size_t)++n == max || n == INT32_MAX))
				return n;
		if (more < 0)
			return more;
		code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	return code == MDB_NOTFOUND ? n : engine_errno(code);
}

static int digests_from(struct store *store, uint64_t from, struct digest_record *records, size_t max)
{
	READING slot = NULL;
	MDB_cursor *cursor;
	MDB_val key, value;
	if (has_none(store, DB_DIGESTS))
		return 0;
	int error = read_begin(store, &slot);
	if (error)
		return error;
	int code = mdb_cursor_open(slot->txn, store->dbi[DB_DIGESTS], &cursor);
	if (code)
		return engine_errno(code);
	code = digests_seek(cursor, from, &key, &value);
	if (code == MDB_NOTFOUND)
		code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
	int n = code == MDB_NOTFOUND ? 0 : code ? engine_errno(code) : digests_read(cursor, key, value, from, records, max);
	mdb_cursor_close(cursor);
	return n;
}

int store_digest_get(struct store *store, uint64_t ino, struct digest_record *record)
{
	struct digest_record found;
	int n = digests_from(store, ino, &found, 1);
	if (n <= 0 || found.ino != ino)
		return n < 0 ? n : 0;
	*record = found;
	return 1;
}

int store_digests_after(struct store *store, uint64_t after, struct digest_record *records, size_t max)
{
	return max == 0 || after == UINT64_MAX ? 0 : digests_from(store, after + 1, records, max);
}

/* --- identity and figures --- */

int store_meta_get(struct store *store, const char *name, char *value, size_t size)
{
	READING slot = NULL;
	MDB_val stored;
	size_t len = strlen(name);
	if (len == 0 || len > STORE_META_NAME_MAX)
		return -EINVAL;
	int found = read_begin(store, &slot);
	if (!found)
		found = look_up(store, slot, DB_IDENTITY, name, len, &stored);
	if (found <= 0)
		return found ? found : -ENOENT;
	if (memchr(stored.mv_data, 0, stored.mv_size))
		return -EBADMSG;
	if (stored.mv_size >= size)
		return -ERANGE;
	memcpy(value, stored.mv_data, stored.mv_size);
	value[stored.mv_size] = 0;
	return 0;
}

void store_totals(struct store *store, struct totals *totals)
{
	pthread_mutex_lock(&store->lock);
	*totals = store->totals;
	pthread_mutex_unlock(&store->lock);
}

void store_usage(struct store *store, uint64_t *bytes, uint64_t *commits)
{
	*bytes = atomic_load(&store->used_bytes);
	*commits = atomic_load(&store->commits);
}

uint64_t store_error_id(struct store *store)
{
	return atomic_fetch_add(&store->next_error_id, 1);
}
