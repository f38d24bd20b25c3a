/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Segments of files in a write transaction: bitmaps of SEGMENT_CHUNK each, below a file record that knows how many are marked.
 */
#include "state/apply.h"

#include "state/bytes.h"

#include <errno.h>
#include <stdlib.h>

/* Segments that the 32 bits of a chunk number can name. */
#define SEGMENTS_END ((uint64_t)SEGMENT_CHUNK << 32)

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
	int code = apply_cursor(apply, DB_SEGMENTS);
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

int segments_drop(struct apply *apply, uint64_t ino)
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

static int chunk_store(struct apply *apply, const uint8_t key[SEGMENT_KEY], const uint8_t *bitmap)
{
	uint8_t value[1 + SEGMENT_CHUNK_BYTES];
	size_t len = segments_encode(bitmap, value);
	return len ? seal_put(apply, DB_SEGMENTS, key, SEGMENT_KEY, &(struct sealed){.record = value, .len = len})
	           : apply_delete(apply, DB_SEGMENTS, key, SEGMENT_KEY);
}

/* `marked` is counted on, or back. */
static int chunk_change(struct apply *apply, uint64_t ino, uint32_t chunk, unsigned first, unsigned end, bool resident,
                        const MDB_val *old, uint64_t *marked)
{
	uint8_t bitmap[SEGMENT_CHUNK_BYTES] = {0}, key[SEGMENT_KEY];
	segment_key(key, ino, chunk);
	if (old && sealed_chunk(&(MDB_val){sizeof(key), key}, old, bitmap))
		return MDB_CORRUPTED;
	unsigned before = chunk_marked(bitmap);
	bitmap_fill(bitmap, first, end, resident);
	if (chunk < CHUNKS_RESIDENT)
		*marked = *marked + chunk_marked(bitmap) - before;
	return chunk_store(apply, key, bitmap);
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
	int code = apply_get(apply, DB_SEGMENTS, key, sizeof(key), &value);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	if (sealed_chunk(&(MDB_val){sizeof(key), key}, &value, bitmap))
		return MDB_CORRUPTED;
	*known = bitmap[segment % SEGMENT_CHUNK / 8] >> (segment % 8) & 1;
	return 0;
}

/* The file whose segments are changed: its record is put anew when that changes it. */
struct file {
	uint64_t ino, was_marked;
	struct sealed sealed;
	uint8_t *record; /* a copy */
	bool is_changed;
};

/* MDB_NOTFOUND: a fetch that ends after its file is gone must leave nothing that the next file of this number could inherit. */
static int file_take(struct apply *apply, uint64_t ino, struct file *file)
{
	*file = (struct file){.ino = ino};
	int code = chain_get(apply, DB_FILES, ino, &file->sealed);
	if (code)
		return code;
	file->record = malloc(file->sealed.len + FILE_DIGEST_ROOM);
	if (!file->record)
		return ENOMEM;
	memcpy(file->record, file->sealed.record, file->sealed.len);
	file->sealed.record = file->record;
	file->was_marked = file->sealed.marked;
	return 0;
}

static int file_give_back(struct apply *apply, struct file *file, int code)
{
	uint8_t key[INO_KEY];
	key_put_u64(key, file->ino);
	if (!code && (file->is_changed || file->sealed.marked != file->was_marked))
		code = seal_put(apply, DB_FILES, key, sizeof(key), &file->sealed);
	free(file->record);
	return code;
}

/* Adds a digest to that of the file's record; NULL: from now on it has none. */
static int digest_count(struct file *file, const struct digest *digest)
{
	struct file_digest counted;
	if (file_record_digest_get(file->record, file->sealed.len, &counted))
		return MDB_CORRUPTED;
	if (digest ? !digest->low && !digest->high : counted.undigested)
		return 0;
	if (digest)
		digest_add(&counted.digest, digest);
	else
		counted.undigested = true;
	file->sealed.len = file_record_digest_set(file->record, file->sealed.len, &counted);
	file->is_changed = true;
	return 0;
}

/* The part of a mark that concerns the digest. Before the bitmap: it tells whether the segment is counted already. */
static int mark_digest(struct apply *apply, const struct change *change, struct file *file)
{
	struct digest digest;
	bool known;
	if (change->value_bytes == 0)
		return digest_count(file, NULL);
	memcpy(&digest, change->value, sizeof(digest));
	int code = segment_known(apply, change->a, change->b, &known);
	return code || known ? code : digest_count(file, &digest);
}

static int mark(struct apply *apply, const struct change *change, struct file *file)
{
	uint64_t end = segments_end(change);
	uint8_t key[SEGMENT_KEY];
	MDB_val value;

	int code = mark_digest(apply, change, file);
	for (uint64_t at = change->b; !code && at < end;) {
		uint32_t chunk = (uint32_t)(at / SEGMENT_CHUNK);
		unsigned first_bit, end_bit;
		chunk_part(chunk, at, end, &first_bit, &end_bit);
		segment_key(key, change->a, chunk);
		code = apply_get(apply, DB_SEGMENTS, key, sizeof(key), &value);
		if (code && code != MDB_NOTFOUND)
			return code;
		code = chunk_change(apply, change->a, chunk, first_bit, end_bit, true, code ? NULL : &value,
		                    &file->sealed.marked);
		at += end_bit - first_bit;
	}
	return code;
}

int segments_mark(struct apply *apply, const struct change *change)
{
	struct file file;
	int code = file_take(apply, change->a, &file);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	return file_give_back(apply, &file, mark(apply, change, &file));
}

/* Goes from one existing chunk to the next, so that clearing "all the rest" of a huge file costs what is there. */
static int clear(struct apply *apply, const struct change *change, struct file *file)
{
	uint64_t at = change->b, end = segments_end(change);
	MDB_val value;

	int code = digest_count(file, NULL);
	while (!code && at < end) {
		uint32_t chunk;
		unsigned first_bit, end_bit;
		code = chunk_seek(apply, change->a, (uint32_t)(at / SEGMENT_CHUNK), &chunk, &value);
		if (code)
			return code == MDB_NOTFOUND ? 0 : code;
		if ((uint64_t)chunk * SEGMENT_CHUNK >= end)
			return 0;
		chunk_part(chunk, at, end, &first_bit, &end_bit);
		code = chunk_change(apply, change->a, chunk, first_bit, end_bit, false, &value, &file->sealed.marked);
		at = ((uint64_t)chunk + 1) * SEGMENT_CHUNK;
	}
	return code;
}

int segments_clear(struct apply *apply, const struct change *change)
{
	struct file file;
	int code = file_take(apply, change->a, &file);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	return file_give_back(apply, &file, clear(apply, change, &file));
}
