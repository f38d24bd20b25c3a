/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Encoding and decoding of the records of which there are few: names of files, errors, totals; and of bitmaps. codec_object.c has
 * those of directories and files. See codec.h for the rule and docs/FORMAT.md for the layout.
 */
#include "state/parts.h"

#include <errno.h>
#include <stdlib.h>

/* A bitmap grows by this many bytes, so that marking one segment after the other mostly replaces a value by one of its size. */
#define BITMAP_STEP 32

/* --- files with several names --- */

size_t link_record_encode(const struct link_record *record, uint8_t *out)
{
	uint8_t *at = write_u8(out, TAG_LINK);
	at = write_u64(at, record->ino);
	at = write_handle(at, &record->handle);
	at = write_u32(at, record->nlink);
	at = write_u32(at, record->seen);
	return (size_t)(at - out);
}

int link_record_decode(uint64_t fsid, uint64_t fileid, const uint8_t *value, size_t len, struct link_record *record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct link_record read = {.fsid = fsid, .fileid = fileid};

	read_tag(&in, TAG_LINK);
	read.ino = read_u64(&in);
	read_handle(&in, &read.handle);
	read.nlink = read_u32(&in);
	read.seen = read_u32(&in);
	if (!read_complete(&in))
		return -EBADMSG;
	*record = read;
	return 0;
}

/* --- errors --- */

static size_t string_len(const char *string)
{
	size_t len = string ? strlen(string) : 0;
	return len > UINT16_MAX ? UINT16_MAX : len;
}

static uint8_t *write_string(uint8_t *out, const char *string)
{
	size_t len = string_len(string);
	out = write_u16(out, (uint16_t)len);
	return write_bytes(out, string, len);
}

static const uint8_t *read_string(struct bytes_reader *in, size_t *len)
{
	*len = read_u16(in);
	const uint8_t *bytes = read_bytes(in, *len);
	if (bytes && memchr(bytes, 0, *len))
		in->bad = true;
	return bytes;
}

static char *place_string(char **room, const uint8_t *bytes, size_t len)
{
	char *string = *room;
	memcpy(string, bytes, len);
	string[len] = 0;
	*room += len + 1;
	return string;
}

size_t error_record_room(const struct error_record *record)
{
	return 1 + 8 + 1 + 1 + 4 + 4 + 4 + 8 + 8 + 8 + 4 * 2 + string_len(record->what) + string_len(record->path) +
	       string_len(record->detail) + string_len(record->name) + HANDLE_ROOM(&record->handle) + VARINT_ROOM +
	       record->source.len + VARINT_ROOM + record->lineage.len;
}

size_t error_record_encode(const struct error_record *record, uint8_t *out)
{
	uint8_t *at = write_u8(out, TAG_ERROR);
	at = write_u64(at, record->ino);
	at = write_u8(at, (uint8_t)record->kind);
	at = write_u8(at, (uint8_t)record->state);
	at = write_u32(at, (uint32_t)record->error);
	at = write_u32(at, (uint32_t)record->told);
	at = write_u32(at, record->tries);
	at = write_u64(at, record->first_ns);
	at = write_u64(at, record->last_ns);
	at = write_u64(at, record->bytes);
	at = write_string(at, record->what);
	at = write_string(at, record->path);
	at = write_string(at, record->detail);
	at = write_string(at, record->name);
	at = write_handle(at, &record->handle);
	at = write_source(at, &record->source, 1);
	at = write_source(at, &record->lineage, LINEAGE_BYTES);
	return (size_t)(at - out);
}

int error_record_decode(uint64_t id, const uint8_t *value, size_t len, struct error_record **record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct error_record read = {.id = id};
	const uint8_t *what, *path, *detail, *name;
	size_t what_len, path_len, detail_len, name_len;

	read_tag(&in, TAG_ERROR);
	read.ino = read_u64(&in);
	uint8_t kind = read_u8(&in), state = read_u8(&in);
	read.error = (int32_t)read_u32(&in);
	read.told = (int32_t)read_u32(&in);
	read.tries = read_u32(&in);
	read.first_ns = read_u64(&in);
	read.last_ns = read_u64(&in);
	read.bytes = read_u64(&in);
	what = read_string(&in, &what_len);
	path = read_string(&in, &path_len);
	detail = read_string(&in, &detail_len);
	name = read_string(&in, &name_len);
	read_handle(&in, &read.handle);
	read_source(&in, &read.source, 1);
	read_source(&in, &read.lineage, LINEAGE_BYTES);
	if (!read_complete(&in) || kind > ERROR_PROTOCOL || state > ERROR_WAIVED || read.error < 0 || read.told < 0)
		return -EBADMSG;
	read.kind = (enum error_kind)kind;
	read.state = (enum error_state)state;

	/* One allocation for the record and its strings, as for the others. */
	struct error_record *copy =
		malloc(sizeof(*copy) + what_len + path_len + detail_len + name_len + 4 + read.source.len + read.lineage.len);
	if (!copy)
		return -ENOMEM;
	char *room = (char *)(copy + 1);
	*copy = read;
	copy->what = place_string(&room, what, what_len);
	copy->path = place_string(&room, path, path_len);
	copy->detail = place_string(&room, detail, detail_len);
	copy->name = place_string(&room, name, name_len);
	uint8_t *behind = (uint8_t *)room;
	place_source(&behind, &copy->source);
	place_source(&behind, &copy->lineage);
	*record = copy;
	return 0;
}

/* --- totals --- */

/* The order on disk. A counter is added at the end only, with a new format version. */
#define TOTALS_MEMBERS(M) \
	M(dirs_found) \
	M(dirs_migrated) \
	M(files_found) \
	M(files_migrated) \
	M(bytes_found) \
	M(bytes_migrated) \
	M(files_pending) \
	M(bytes_pending) \
	M(files_error) \
	M(dirs_error) M(links_pending) M(files_waived) M(dirs_waived) M(names_waived) M(errors_fixed) M(drift_found) M(skipped)

#define COUNT_MEMBER(member) +1
_Static_assert(sizeof(struct totals) == 8 * (0 TOTALS_MEMBERS(COUNT_MEMBER)), "a member of struct totals is not on disk");

size_t totals_encode(const struct totals *totals, uint8_t *out)
{
	uint8_t *at = write_u8(out, TAG_TOTALS);
#define WRITE_MEMBER(member) at = write_u64(at, (uint64_t)totals->member);
	TOTALS_MEMBERS(WRITE_MEMBER)
	return (size_t)(at - out);
}

int totals_decode(const uint8_t *value, size_t len, struct totals *totals)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct totals read;

	read_tag(&in, TAG_TOTALS);
#define READ_MEMBER(member) read.member = (int64_t)read_u64(&in);
	TOTALS_MEMBERS(READ_MEMBER)
	if (!read_complete(&in))
		return -EBADMSG;
	*totals = read;
	return 0;
}

void totals_add(struct totals *totals, const struct totals *delta)
{
	/* Unsigned: a total that was wrong on disk must not become undefined behaviour. */
#define ADD_MEMBER(member) totals->member = (int64_t)((uint64_t)totals->member + (uint64_t)delta->member);
	TOTALS_MEMBERS(ADD_MEMBER)
}

bool totals_member(const struct totals *totals, size_t n, const char **name, int64_t *value)
{
	size_t at = 0;
#define GIVE_MEMBER(member) \
	if (at++ == n) { \
		*name = #member; \
		*value = totals->member; \
		return true; \
	}
	TOTALS_MEMBERS(GIVE_MEMBER)
	return false;
}

/* --- segments --- */

int segments_decode(const uint8_t *value, size_t len, uint8_t bitmap[SEGMENT_CHUNK_BYTES])
{
	if (len < 2 || len > 1 + SEGMENT_CHUNK_BYTES || value[0] != TAG_SEGMENTS)
		return -EBADMSG;
	memcpy(bitmap, value + 1, len - 1);
	memset(bitmap + len - 1, 0, SEGMENT_CHUNK_BYTES - (len - 1));
	return 0;
}

size_t segments_encode(const uint8_t bitmap[SEGMENT_CHUNK_BYTES], uint8_t *out)
{
	size_t len = SEGMENT_CHUNK_BYTES;

	while (len > 0 && bitmap[len - 1] == 0)
		len--;
	if (len == 0)
		return 0;
	len = (len + BITMAP_STEP - 1) / BITMAP_STEP * BITMAP_STEP;
	out[0] = TAG_SEGMENTS;
	memcpy(out + 1, bitmap, len);
	return 1 + len;
}
