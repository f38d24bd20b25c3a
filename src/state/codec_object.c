/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Encoding and decoding of the records of which there may be millions: directories, files, digests. See codec.h for the rule, parts.h for
 * how they are kept short, and docs/FORMAT.md for the layout.
 */
#include "state/parts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Bits of a form in a byte that has several. */
#define FORM(byte, shift) ((byte) >> (shift)&3u)

/* --- directories --- */

/* The second byte. */
#define DIR_SETTLED 0x01
#define DIR_HANDLE 1 /* where the forms lie */
#define DIR_ATIME 3
#define DIR_MTIME 5
#define DIR_KNOWN 0x7F

size_t dir_record_room(const struct dir_record *record)
{
	return 1 + 1 + HANDLE_ROOM(&record->handle) + 2 * VARINT_ROOM + 2 * MOMENT_BYTES + VARINT_ROOM + record->source.len +
	       VARINT_ROOM + record->lineage.len;
}

size_t dir_record_encode(const struct dir_record *record, uint8_t *out)
{
	unsigned handle = own_handle_form(&record->handle, record->ino), atime = time_form(&record->atime, NULL),
		 mtime = time_form(&record->mtime, &record->atime);
	uint8_t *at = write_u8(out, TAG_DIR);
	at = write_u8(at, (uint8_t)((record->collisions_settled ? DIR_SETTLED : 0) | handle << DIR_HANDLE | atime << DIR_ATIME |
	                            mtime << DIR_MTIME));
	at = write_own_handle(at, &record->handle, handle);
	at = write_varint(at, record->nlink);
	at = write_time(at, &record->atime, atime);
	at = write_time(at, &record->mtime, mtime);
	at = write_varint(at, record->inode_flags);
	at = write_source(at, &record->source, 1);
	at = write_source(at, &record->lineage, LINEAGE_BYTES);
	return (size_t)(at - out);
}

int dir_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct dir_record **record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct dir_record read = {.ino = ino};

	read_tag(&in, TAG_DIR);
	uint8_t flags = read_flags(&in, DIR_KNOWN);
	read.collisions_settled = flags & DIR_SETTLED;
	read_own_handle(&in, ino, FORM(flags, DIR_HANDLE), &read.handle);
	read.nlink = read_varint32(&in);
	read_time(&in, &read.atime, NULL, FORM(flags, DIR_ATIME));
	read_time(&in, &read.mtime, &read.atime, FORM(flags, DIR_MTIME));
	read.inode_flags = read_varint32(&in);
	read_source(&in, &read.source, 1);
	read_source(&in, &read.lineage, LINEAGE_BYTES);
	if (!read_complete(&in))
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

/* The second byte. */
#define FILE_CHANGED 0x01
#define FILE_MTIME 0x02 /* mtime is valid, and there */
#define FILE_UNDIGESTED 0x04
#define FILE_EMPTIED 0x08
#define FILE_ATTRIBUTES 0x10
#define FILE_DIGEST 0x20   /* the last DIGEST_BYTES of the record; without it the digest is 0 */
#define FILE_RENEWALS 0xC0 /* a number */
#define FILE_RENEWALS_SHIFT 6

/* The third: where the forms of the times lie. Each but the first may be equal to the time of the source. */
#define FILE_SOURCE_MTIME 0
#define FILE_OWN_MTIME 2
#define FILE_SOURCE_CTIME 4
#define FILE_SHOWN_CTIME 6

#define FILE_FLAGS_AT 1

size_t file_record_room(const struct file_record *record)
{
	return 1 + 1 + 1 + 1 + HANDLE_ROOM(&record->handle) + POWER_ROOM + 5 * VARINT_ROOM + 4 * MOMENT_BYTES + VARINT_ROOM +
	       record->source.len + FILE_DIGEST_ROOM;
}

static bool is_zero(const struct digest *digest)
{
	return !digest->low && !digest->high;
}

static uint8_t file_flags(const struct file_record *record)
{
	assert(record->renewals <= FILE_RENEWALS_MAX);
	return (uint8_t)((record->changed ? FILE_CHANGED : 0) | (record->mtime_valid ? FILE_MTIME : 0) |
	                 (record->undigested ? FILE_UNDIGESTED : 0) | (record->emptied ? FILE_EMPTIED : 0) |
	                 (record->attributes_changed ? FILE_ATTRIBUTES : 0) | (is_zero(&record->digest) ? 0 : FILE_DIGEST) |
	                 record->renewals << FILE_RENEWALS_SHIFT);
}

size_t file_record_encode(const struct file_record *record, uint8_t *out)
{
	static const struct moment none;
	const struct moment *first = &record->source_mtime, *mtime = record->mtime_valid ? &record->mtime : &none;
	unsigned handle = own_handle_form(&record->handle, record->ino), source_mtime = time_form(first, NULL),
		 own_mtime = time_form(mtime, first), source_ctime = time_form(&record->source_ctime, first),
		 shown_ctime = time_form(&record->shown_ctime, first);
	uint8_t *at = write_u8(out, TAG_FILE);
	at = write_u8(at, file_flags(record));
	at = write_u8(at, (uint8_t)(source_mtime << FILE_SOURCE_MTIME | own_mtime << FILE_OWN_MTIME |
	                            source_ctime << FILE_SOURCE_CTIME | shown_ctime << FILE_SHOWN_CTIME));
	at = write_u8(at, (uint8_t)handle);
	at = write_own_handle(at, &record->handle, handle); /* here: file_record_same_object() knows it */
	at = write_power(at, record->segsize);
	at = write_varint(at, record->source_size);
	at = write_near(at, record->limit, record->source_size);
	at = write_near(at, record->source_used, record->source_size);
	at = write_varint(at, record->inode_flags);
	at = write_varint(at, record->source_change);
	at = write_time(at, first, source_mtime);
	at = write_time(at, mtime, own_mtime);
	at = write_time(at, &record->source_ctime, source_ctime);
	at = write_time(at, &record->shown_ctime, shown_ctime);
	at = write_source(at, &record->source, 1);
	if (!is_zero(&record->digest))
		at = write_digest(at, &record->digest);
	return (size_t)(at - out);
}

static void read_file_flags(uint8_t flags, struct file_record *record)
{
	record->changed = flags & FILE_CHANGED;
	record->mtime_valid = flags & FILE_MTIME;
	record->undigested = flags & FILE_UNDIGESTED;
	record->emptied = flags & FILE_EMPTIED;
	record->attributes_changed = flags & FILE_ATTRIBUTES;
	record->renewals = (flags & FILE_RENEWALS) >> FILE_RENEWALS_SHIFT;
}

/* One of 0 is not written. */
static void read_file_digest(struct bytes_reader *in, struct digest *digest)
{
	read_digest(in, digest);
	if (is_zero(digest))
		in->bad = true;
}

int file_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct file_record **record)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct file_record read = {.ino = ino};

	read_tag(&in, TAG_FILE);
	uint8_t flags = read_u8(&in), times = read_u8(&in);
	read_file_flags(flags, &read);
	read_own_handle(&in, ino, read_u8(&in), &read.handle);
	read.segsize = read_power(&in);
	read.source_size = read_varint(&in);
	read.limit = read_near(&in, read.source_size);
	read.source_used = read_near(&in, read.source_size);
	read.inode_flags = read_varint32(&in);
	read.source_change = read_varint(&in);
	read_time(&in, &read.source_mtime, NULL, FORM(times, FILE_SOURCE_MTIME));
	read_time(&in, &read.mtime, &read.source_mtime, FORM(times, FILE_OWN_MTIME));
	read_time(&in, &read.source_ctime, &read.source_mtime, FORM(times, FILE_SOURCE_CTIME));
	read_time(&in, &read.shown_ctime, &read.source_mtime, FORM(times, FILE_SHOWN_CTIME));
	read_source(&in, &read.source, 1);
	if (flags & FILE_DIGEST)
		read_file_digest(&in, &read.digest);
	if (!read_complete(&in) || (!read.mtime_valid && (read.mtime.sec || read.mtime.nsec)))
		return -EBADMSG;

	struct file_record *copy = malloc(sizeof(*copy) + read.source.len);
	if (!copy)
		return -ENOMEM;
	uint8_t *room = (uint8_t *)(copy + 1);
	*copy = read;
	place_source(&room, &copy->source);
	*record = copy;
	return 0;
}

static void read_file_handle(uint64_t ino, const uint8_t *value, size_t len, struct bytes_reader *in, struct handle *handle)
{
	*in = (struct bytes_reader){.at = value, .end = value + len};
	read_tag(in, TAG_FILE);
	read_u8(in); /* flags */
	read_u8(in); /* forms of the times */
	read_own_handle(in, ino, read_u8(in), handle);
}

bool file_record_same_object(uint64_t ino, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	struct bytes_reader in_a, in_b;
	struct handle handle_a, handle_b;
	read_file_handle(ino, a, a_len, &in_a, &handle_a);
	read_file_handle(ino, b, b_len, &in_b, &handle_b);
	return !in_a.bad && !in_b.bad && handle_equal(&handle_a, &handle_b);
}

int file_record_digest_get(const uint8_t *value, size_t len, struct file_digest *digest)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	struct file_digest read = {0};

	read_tag(&in, TAG_FILE);
	uint8_t flags = read_u8(&in);
	read.changed = flags & FILE_CHANGED;
	read.undigested = flags & FILE_UNDIGESTED;
	if (flags & FILE_DIGEST && !in.bad) {
		if (in.end - in.at < DIGEST_BYTES)
			return -EBADMSG;
		in.at = in.end - DIGEST_BYTES;
		read_file_digest(&in, &read.digest);
	}
	if (in.bad)
		return -EBADMSG;
	*digest = read;
	return 0;
}

size_t file_record_digest_set(uint8_t *value, size_t len, const struct file_digest *digest)
{
	uint8_t *flags = value + FILE_FLAGS_AT;
	if (*flags & FILE_DIGEST)
		len -= DIGEST_BYTES;
	*flags = (uint8_t)(*flags & ~(FILE_UNDIGESTED | FILE_DIGEST));
	if (digest->undigested)
		*flags |= FILE_UNDIGESTED;
	if (is_zero(&digest->digest))
		return len;
	*flags |= FILE_DIGEST;
	write_digest(value + len, &digest->digest);
	return len + DIGEST_BYTES;
}

/* --- digests of finished files --- */

/* The first byte of one: where the forms lie. */
#define DIGEST_HANDLE 0
#define DIGEST_MTIME 2
#define DIGEST_CTIME 4
#define DIGEST_KNOWN 0x3F

size_t digest_record_encode(const struct digest_record *record, uint8_t *out)
{
	unsigned handle = own_handle_form(&record->handle, record->ino), mtime = time_form(&record->mtime, NULL),
		 ctime = time_form(&record->ctime, &record->mtime);
	uint8_t *at = write_u8(out, (uint8_t)(handle << DIGEST_HANDLE | mtime << DIGEST_MTIME | ctime << DIGEST_CTIME));
	at = write_own_handle(at, &record->handle, handle);
	at = write_varint(at, record->size);
	at = write_power(at, record->segsize);
	at = write_time(at, &record->mtime, mtime);
	at = write_time(at, &record->ctime, ctime);
	at = write_digest(at, &record->digest);
	return (size_t)(at - out);
}

static void read_digest_record(struct bytes_reader *in, struct digest_record *record)
{
	uint8_t flags = read_flags(in, DIGEST_KNOWN);
	read_own_handle(in, record->ino, FORM(flags, DIGEST_HANDLE), &record->handle);
	record->size = read_varint(in);
	record->segsize = read_power(in);
	read_time(in, &record->mtime, NULL, FORM(flags, DIGEST_MTIME));
	read_time(in, &record->ctime, &record->mtime, FORM(flags, DIGEST_CTIME));
	read_digest(in, &record->digest);
}

uint8_t *digests_begin(uint8_t *out)
{
	return write_u8(out, TAG_DIGESTS);
}

uint8_t *digests_add(uint8_t *out, uint64_t previous, uint64_t ino, const uint8_t *bytes, size_t len)
{
	assert(ino > previous);
	if (previous)
		out = write_varint(out, ino - previous);
	return write_bytes(out, bytes, len);
}

int digests_open(uint64_t key, const uint8_t *value, size_t len, struct digests_reader *reader)
{
	struct bytes_reader in = {.at = value, .end = value + len};
	read_tag(&in, TAG_DIGESTS);
	if (in.bad || in.at == in.end || len > DIGESTS_BYTES || key == 0)
		return -EBADMSG;
	*reader = (struct digests_reader){.at = in.at, .end = in.end, .key = key};
	return 0;
}

int digests_next(struct digests_reader *reader, struct digest_record *record)
{
	struct bytes_reader in = {.at = reader->at, .end = reader->end};
	struct digest_record read = {.ino = reader->key};
	if (in.at == in.end)
		return 0;
	if (reader->ino) {
		uint64_t distance = read_varint(&in);
		if (distance == 0 || distance > UINT64_MAX - reader->ino)
			return -EBADMSG;
		read.ino = reader->ino + distance;
	}
	reader->bytes = in.at;
	read_digest_record(&in, &read);
	if (in.bad)
		return -EBADMSG;
	reader->at = in.at;
	reader->len = (size_t)(in.at - reader->bytes);
	reader->ino = read.ino;
	*record = read;
	return 1;
}
