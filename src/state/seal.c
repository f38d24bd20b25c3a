/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See seal.h, and docs/FORMAT.md for the bytes.
 */
#include "state/seal.h"

#include "state/bytes.h"

#include <errno.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define SUM_BYTES 4

/* With key and database, so that an entry in a place of another's is none. */
static uint32_t sum_of(enum database database, const MDB_val *key, const uint8_t *bytes, size_t len)
{
	uint64_t seed = XXH3_64bits_withSeed(key->mv_data, key->mv_size, (uint64_t)database);
	return (uint32_t)XXH3_64bits_withSeed(bytes, len, seed);
}

const char *seal_first(enum database database)
{
	return database == DB_DIRS ? META_FIRST_DIR : META_FIRST_FILE;
}

size_t seal_write(enum database database, const MDB_val *key, const struct sealed *sealed, uint8_t *out)
{
	uint8_t *at = out;
	if (is_chained(database))
		at = write_varint(at, sealed->next ? sealed->next - key_get_u64(key->mv_data) : 0);
	if (database == DB_FILES)
		at = write_varint(at, sealed->marked);
	at = write_bytes(at, sealed->record, sealed->len);
	at = write_u32(at, sum_of(database, key, out, (size_t)(at - out)));
	return (size_t)(at - out);
}

int seal_open(enum database database, const MDB_val *key, const MDB_val *value, struct sealed *sealed)
{
	const uint8_t *bytes = value->mv_data;
	if (value->mv_size < SUM_BYTES || (is_chained(database) && key->mv_size != sizeof(uint64_t)))
		return MDB_CORRUPTED;
	struct bytes_reader sum = {.at = bytes + value->mv_size - SUM_BYTES, .end = bytes + value->mv_size};
	struct bytes_reader in = {.at = bytes, .end = sum.at};
	*sealed = (struct sealed){0};
	if (read_u32(&sum) != sum_of(database, key, bytes, value->mv_size - SUM_BYTES))
		return MDB_CORRUPTED;
	if (is_chained(database)) {
		uint64_t ino = key_get_u64(key->mv_data), distance = read_varint(&in);
		if (distance > UINT64_MAX - ino)
			return MDB_CORRUPTED;
		sealed->next = distance ? ino + distance : 0;
	}
	if (database == DB_FILES)
		sealed->marked = read_varint(&in);
	if (in.bad)
		return MDB_CORRUPTED;
	sealed->record = in.at;
	sealed->len = (size_t)(in.end - in.at);
	return 0;
}

int sealed_dir(const MDB_val *key, const MDB_val *value, struct dir_record **record)
{
	struct sealed sealed;
	if (seal_open(DB_DIRS, key, value, &sealed))
		return -EBADMSG;
	return dir_record_decode(key_get_u64(key->mv_data), sealed.record, sealed.len, record);
}

int sealed_file(const MDB_val *key, const MDB_val *value, struct file_record **record)
{
	struct sealed sealed;
	if (seal_open(DB_FILES, key, value, &sealed))
		return -EBADMSG;
	return file_record_decode(key_get_u64(key->mv_data), sealed.record, sealed.len, record);
}

int sealed_chunk(const MDB_val *key, const MDB_val *value, uint8_t bitmap[SEGMENT_CHUNK_BYTES])
{
	struct sealed sealed;
	if (seal_open(DB_SEGMENTS, key, value, &sealed))
		return -EBADMSG;
	return segments_decode(sealed.record, sealed.len, bitmap);
}

unsigned chunk_marked(const uint8_t bitmap[SEGMENT_CHUNK_BYTES])
{
	unsigned marked = 0;
	for (size_t i = 0; i < SEGMENT_CHUNK_BYTES; i += sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, bitmap + i, sizeof(word));
		marked += (unsigned)__builtin_popcountll(word);
	}
	return marked;
}
