/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Encoding and decoding of records. See codec.h for the rule and docs/FORMAT.md for the layout.
 */
#include "state/codec.h"

#include "state/bytes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Flags in the second byte of a record. */
#define DIR_SETTLED 0x01
#define FILE_CHANGED 0x01
#define FILE_MTIME 0x02 /* mtime is valid, and there */
#define FILE_UNDIGESTED 0x04
#define FILE_EMPTIED 0x08
#define FILE_ATTRIBUTES 0x10
#define FILE_RENEWALS 0xC0 /* a number */
#define FILE_RENEWALS_SHIFT 6
#define FILE_FLAGS (FILE_CHANGED | FILE_MTIME | FILE_UNDIGESTED | FILE_EMPTIED | FILE_ATTRIBUTES | FILE_RENEWALS)
#define DIGEST_WIDE 0x01 /* its times do not fit 34 bits of seconds */

#define FILE_DIGEST_AT 2 /* offset of the digest in a file record */
#define DIGEST_BYTES 16

#define MOMENT_BYTES 12

/* A bitmap grows by this many bytes, so that marking one segment after the other mostly replaces a value by one of its size. */
#define BITMAP_STEP 32

static size_t handle_room(const struct handle *handle)
{
	return 4 + 1 + (size_t)handle->len;
}

static uint8_t *write_handle(uint8_t *out, const struct handle *handle)
{
	assert(handle->len <= HANDLE_BYTES_MAX);
	out = write_u32(out, (uint32_t)handle->type);
	out = write_u8(out, (uint8_t)handle->len);
	return write_bytes(out, handle->bytes, handle->len);
}

static void read_handle(struct bytes_reader *in, struct handle *handle)
{
	handle->type = (int32_t)read_u32(in);
	handle->len = read_u8(in);
	if (handle->len > HANDLE_BYTES_MAX)
		in->bad = true;
	const uint8_t *bytes = read_bytes(in, handle->len);
	if (bytes)
		memcpy(handle->bytes, bytes, handle->len);
}

static uint8_t *write_moment(uint8_t *out, const struct moment *moment)
{
	out = write_u64(out, (uint64_t)moment->sec);
	return write_u32(out, moment->nsec);
}

static void read_moment(struct bytes_reader *in, struct moment *moment)
{
	moment->sec = (int64_t)read_u64(in);
	moment->nsec = read_u32(in);
	if (moment->nsec >= 1000000000u)
		in->bad = true;
}

static uint8_t *write_digest(uint8_t *out, const struct digest *digest)
{
	out = write_u64(out, digest->low);
	return write_u64(out, digest->high);
}

static void read_digest(struct bytes_reader *in, struct digest *digest)
{
	digest->low = read_u64(in);
	digest->high = read_u64(in);
}

static uint8_t *write_source(uint8_t *out, const struct source_ref *source)
{
	out = write_u16(out, source->len);
	return write_bytes(out, source->bytes, source->len);
}

static void read_source(struct bytes_reader *in, struct source_ref *source)
{
	source->len = read_u16(in);
	source->bytes = read_bytes(in, source->len);
}

static void read_tag(struct bytes_reader *in, enum record_tag tag)
{
	if (read_u8(in) != tag)
		in->bad = true;
}

static uint8_t read_flags(struct bytes_reader *in, uint8_t known)
{
	uint8_t flags = read_u8(in);
	if (flags & ~known)
		in->bad = true;
	return flags;
}

/* A copy of `size` bytes at `record` in one allocation with the bytes of the source handle, which it points to. */
static void *record_with_source(const void *record, size_t size, const struct source_ref *source)
{
	uint8_t *copy = malloc(size + source->len);
	if (!copy)
		return NULL;
	memcpy(copy, record, size);
	if (source->len)
		memcpy(copy + size, source->bytes, source->len);
	return copy;
}

/* Copies what it points to into room that the record has behind it. */
static void place_source(uint8_t **room, struct source_ref *source)
{
	if (source->len)
		memcpy(*room, source->bytes, source->len);
	source->bytes = *room;
	*room += source->len;
}

/* --- directories --- */

size_t dir_record_room(const struct dir_record *record)
{
	return 1 + 1 + handle_room(&record->handle) + 4 + 2 * MOMENT_BYTES + 4 + 2 + record->source.len + 2 + record->lineage.len;
}

size_t dir_record_encode(const struct dir_record *record, uint8_t *out)
{
	uint8_t *at = write_u8(out, TAG_DIR);
	at = write_u8(at, record->collisions_settled ? DIR_SETTLED : 0);
	at = write_handle(at, &record->handle);
	at = write_u32(at, record->nlink);
	at = write_moment(at, &record->atime);
	at = write_moment(at, &record->mtime);
	at = write_u32(at, record->inode_flags);
	at = write_source(at, &record->source);
	at = write_source(at, &record->lineage);
	return (size_t)(at - out);
}

int dir_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct dir_record **record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct dir_record read = {.ino = ino};

	read_tag(&in, TAG_DIR);
	read.collisions_settled = read_flags(&in, DIR_SETTLED) & DIR_SETTLED;
	read_handle(&in, &read.handle);
	read.nlink = read_u32(&in);
	read_moment(&in, &read.atime);
	read_moment(&in, &read.mtime);
	read.inode_flags = read_u32(&in);
	read_source(&in, &read.source);
	read_source(&in, &read.lineage);
	if (!read_complete(&in) || read.lineage.len % LINEAGE_BYTES)
		return -EBADMSG;

	struct dir_record *copy = malloc(sizeof(*copy) + read.source.len + read.lineage.len);
	if (!copy)
		return -ENOMEM;
	uint8_t *room = (uint8_t *)(copy + 1);
	*copy = read;
	place_source(&room, &copy->source);
	place_source(&room, &copy->lineage);
	*record = copy;
	return 0;
}

/* --- files --- */

size_t file_record_room(const struct file_record *record)
{
	return 1 + 1 + DIGEST_BYTES + handle_room(&record->handle) + 8 + 8 + 8 + 4 + 8 + 8 + 4 * MOMENT_BYTES + 2 +
	       record->source.len;
}

static uint8_t file_flags(const struct file_record *record)
{
	assert(record->renewals <= FILE_RENEWALS_MAX);
	return (uint8_t)((record->changed ? FILE_CHANGED : 0) | (record->mtime_valid ? FILE_MTIME : 0) |
	                 (record->undigested ? FILE_UNDIGESTED : 0) | (record->emptied ? FILE_EMPTIED : 0) |
	                 (record->attributes_changed ? FILE_ATTRIBUTES : 0) | record->renewals << FILE_RENEWALS_SHIFT);
}

size_t file_record_encode(const struct file_record *record, uint8_t *out)
{
	uint8_t *at = write_u8(out, TAG_FILE);
	at = write_u8(at, file_flags(record));
	at = write_digest(at, &record->digest); /* here: FILE_DIGEST_AT */
	at = write_handle(at, &record->handle); /* here: file_record_same_object() knows it */
	at = write_u64(at, record->limit);
	at = write_u64(at, record->segsize);
	at = write_u64(at, record->source_used);
	at = write_u32(at, record->inode_flags);
	if (record->mtime_valid)
		at = write_moment(at, &record->mtime);
	at = write_u64(at, record->source_size);
	at = write_u64(at, record->source_change);
	at = write_moment(at, &record->source_mtime);
	at = write_moment(at, &record->source_ctime);
	at = write_moment(at, &record->shown_ctime);
	at = write_source(at, &record->source);
	return (size_t)(at - out);
}

int file_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct file_record **record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct file_record read = {.ino = ino};

	read_tag(&in, TAG_FILE);
	uint8_t flags = read_flags(&in, FILE_FLAGS);
	read.changed = flags & FILE_CHANGED;
	read.mtime_valid = flags & FILE_MTIME;
	read.undigested = flags & FILE_UNDIGESTED;
	read.emptied = flags & FILE_EMPTIED;
	read.attributes_changed = flags & FILE_ATTRIBUTES;
	read.renewals = (flags & FILE_RENEWALS) >> FILE_RENEWALS_SHIFT;
	read_digest(&in, &read.digest);
	read_handle(&in, &read.handle);
	read.limit = read_u64(&in);
	read.segsize = read_u64(&in);
	read.source_used = read_u64(&in);
	read.inode_flags = read_u32(&in);
	if (read.mtime_valid)
		read_moment(&in, &read.mtime);
	read.source_size = read_u64(&in);
	read.source_change = read_u64(&in);
	read_moment(&in, &read.source_mtime);
	read_moment(&in, &read.source_ctime);
	read_moment(&in, &read.shown_ctime);
	read_source(&in, &read.source);
	/* A segment of no bytes would be a division by zero for whoever believes it. */
	if (!read_complete(&in) || read.segsize == 0)
		return -EBADMSG;

	struct file_record *copy = record_with_source(&read, sizeof(read), &read.source);
	if (!copy)
		return -ENOMEM;
	copy->source.bytes = (const uint8_t *)(copy + 1);
	*record = copy;
	return 0;
}

bool file_record_same_object(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	struct bytes_reader in_a = {.at = a, .end = a + a_len}, in_b = {.at = b, .end = b + b_len};
	struct handle handle_a, handle_b;

	read_tag(&in_a, TAG_FILE);
	read_tag(&in_b, TAG_FILE);
	read_u8(&in_a); /* flags */
	read_u8(&in_b);
	read_bytes(&in_a, DIGEST_BYTES);
	read_bytes(&in_b, DIGEST_BYTES);
	read_handle(&in_a, &handle_a);
	read_handle(&in_b, &handle_b);
	return !in_a.bad && !in_b.bad && handle_equal(&handle_a, &handle_b);
}

int file_record_digest_get(const uint8_t *value, size_t len, struct file_digest *digest)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct file_digest read;

	read_tag(&in, TAG_FILE);
	uint8_t flags = read_flags(&in, FILE_FLAGS);
	read.changed = flags & FILE_CHANGED;
	read.undigested = flags & FILE_UNDIGESTED;
	read_digest(&in, &read.digest);
	if (in.bad)
		return -EBADMSG;
	*digest = read;
	return 0;
}

void file_record_digest_set(uint8_t *value, const struct file_digest *digest)
{
	value[1] = (uint8_t)((value[1] & ~FILE_UNDIGESTED) | (digest->undigested ? FILE_UNDIGESTED : 0));
	write_digest(value + FILE_DIGEST_AT, &digest->digest);
}

/* --- digests of finished files --- */

static bool is_wide(const struct moment *moment)
{
	return moment->sec < -(1ll << 33) || moment->sec >= 1ll << 33;
}

static uint8_t *write_time(uint8_t *out, const struct moment *moment, bool wide)
{
	return wide ? write_moment(out, moment) : write_u64(out, (uint64_t)moment->sec << 30 | moment->nsec);
}

static void read_time(struct bytes_reader *in, struct moment *moment, bool wide)
{
	if (wide) {
		read_moment(in, moment);
		return;
	}
	uint64_t packed = read_u64(in);
	*moment = (struct moment){(int64_t)packed >> 30, (uint32_t)(packed & ((1u << 30) - 1))};
	if (moment->nsec >= 1000000000u)
		in->bad = true;
}

size_t digest_record_encode(const struct digest_record *record, uint8_t *out)
{
	bool wide = is_wide(&record->mtime) || is_wide(&record->ctime);
	uint8_t *at = write_u8(out, TAG_DIGEST);
	at = write_u8(at, wide ? DIGEST_WIDE : 0);
	at = write_handle(at, &record->handle);
	at = write_varint(at, record->size);
	at = write_varint(at, record->segsize);
	at = write_time(at, &record->mtime, wide);
	at = write_time(at, &record->ctime, wide);
	at = write_digest(at, &record->digest);
	return (size_t)(at - out);
}

int digest_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct digest_record *record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct digest_record read = {.ino = ino};

	read_tag(&in, TAG_DIGEST);
	bool wide = read_flags(&in, DIGEST_WIDE) & DIGEST_WIDE;
	read_handle(&in, &read.handle);
	read.size = read_varint(&in);
	read.segsize = read_varint(&in);
	read_time(&in, &read.mtime, wide);
	read_time(&in, &read.ctime, wide);
	read_digest(&in, &read.digest);
	if (!read_complete(&in) || read.segsize == 0 || wide != (is_wide(&read.mtime) || is_wide(&read.ctime)))
		return -EBADMSG;
	*record = read;
	return 0;
}

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
	       string_len(record->detail) + string_len(record->name) + handle_room(&record->handle) + 2 + record->source.len + 2 +
	       record->lineage.len;
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
	at = write_source(at, &record->source);
	at = write_source(at, &record->lineage);
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
	read_source(&in, &read.source);
	read_source(&in, &read.lineage);
	if (!read_complete(&in) || kind > ERROR_PROTOCOL || state > ERROR_WAIVED || read.error < 0 || read.told < 0 ||
	    read.lineage.len % LINEAGE_BYTES)
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
