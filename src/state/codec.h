/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Records to bytes and back; docs/FORMAT.md describes the same for people. Nothing here knows the database.
 *
 * The disk is hostile until checked: a decoder accepts exactly what its encoder can write. Anything else, shorter, longer or
 * with a member out of its range, is -EBADMSG, and `record` is then not written.
 */
#ifndef DMM_STATE_CODEC_H
#define DMM_STATE_CODEC_H

#include "state/record.h"

#include <stddef.h>

/* The first byte of every value: what it is (high half) and which form of it (low half). */
enum record_tag {
	TAG_DIR = 0x12,
	TAG_FILE = 0x22,
	TAG_LINK = 0x31,
	TAG_ERROR = 0x42,
	TAG_SEGMENTS = 0x51,
	TAG_TOTALS = 0x61,
	TAG_DIGESTS = 0x72,
};

/* One value of the segments holds the residency of this many segments, as a bitmap of at most SEGMENT_CHUNK_BYTES. What lies
 * behind the end of a shorter one is absent. */
#define SEGMENT_CHUNK_BYTES 512
#define SEGMENT_CHUNK (SEGMENT_CHUNK_BYTES * 8)
/* The upper half of the numbers tells of the same segments which an application changed. */
#define SEGMENTS_CHANGED ((uint64_t)SEGMENT_CHUNK << 31)
#define CHUNKS_RESIDENT (1u << 31) /* below it */

/* Bytes that encoding needs at most. */
size_t dir_record_room(const struct dir_record *record);
size_t file_record_room(const struct file_record *record);
size_t error_record_room(const struct error_record *record);
#define LINK_RECORD_ROOM (1 + 8 + 4 + 1 + HANDLE_BYTES_MAX + 4 + 4)
#define TOTALS_ROOM (1 + sizeof(struct totals))
#define DIGEST_RECORD_ROOM (1 + 1 + 4 + 1 + HANDLE_BYTES_MAX + 10 + 11 + 2 * 12 + 16)

/* Each gives the number of bytes written. What is the key is not part of the value. */
size_t dir_record_encode(const struct dir_record *record, uint8_t *out);
size_t file_record_encode(const struct file_record *record, uint8_t *out);
size_t link_record_encode(const struct link_record *record, uint8_t *out);
size_t error_record_encode(const struct error_record *record, uint8_t *out);
size_t totals_encode(const struct totals *totals, uint8_t *out);
size_t digest_record_encode(const struct digest_record *record, uint8_t *out);

/* The number that is the key is given by the caller. Allocated records are freed with free(). */
int dir_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct dir_record **record);
int file_record_decode(uint64_t ino, const uint8_t *value, size_t len, struct file_record **record);
int link_record_decode(uint64_t fsid, uint64_t fileid, const uint8_t *value, size_t len, struct link_record *record);
int error_record_decode(uint64_t id, const uint8_t *value, size_t len, struct error_record **record);
int totals_decode(const uint8_t *value, size_t len, struct totals *totals);

/* Digest records lie side by side in one value, a block, ascending by inode number; the key is that of the first. It fills a page of LMDB's
 * with the sum that lies around it. */
#define DIGESTS_BYTES (4080 - 4)
#define DIGESTS_NEXT_ROOM (DIGEST_RECORD_ROOM + 10) /* that one more needs at most */
uint8_t *digests_begin(uint8_t *out);
/* One more, which digest_record_encode() wrote; `previous` 0: it is the first. */
uint8_t *digests_add(uint8_t *out, uint64_t previous, uint64_t ino, const uint8_t *bytes, size_t len);

struct digests_reader {
	const uint8_t *at, *end;
	uint64_t ino;         /* of the record that was read last, 0: none was */
	uint64_t key;         /* of the block */
	const uint8_t *bytes; /* of the record that was read last, as it was encoded */
	size_t len;
};
int digests_open(uint64_t key, const uint8_t *value, size_t len, struct digests_reader *reader);
/* 1, 0 behind the last, -EBADMSG. */
int digests_next(struct digests_reader *reader, struct digest_record *record);

/* Two encoded file records with this key belong to the same object: their handles are equal. */
bool file_record_same_object(uint64_t ino, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);

/* What an encoded file record says of the digest, read and changed in place: that costs no decoding for each segment. */
struct file_digest {
	struct digest digest;
	bool undigested, changed;
};
int file_record_digest_get(const uint8_t *value, size_t len, struct file_digest *digest);
/* `changed` is left as it is. The value is one that was read by the above, with room for FILE_DIGEST_ROOM bytes more. Its new length. */
size_t file_record_digest_set(uint8_t *value, size_t len, const struct file_digest *digest);
#define FILE_DIGEST_ROOM 16

/* The bitmap of an encoded chunk, into the full size. */
int segments_decode(const uint8_t *value, size_t len, uint8_t bitmap[SEGMENT_CHUNK_BYTES]);
/* Bytes written to out, which has room for 1 + SEGMENT_CHUNK_BYTES; 0 when no segment is resident: no value is needed then. */
size_t segments_encode(const uint8_t bitmap[SEGMENT_CHUNK_BYTES], uint8_t *out);

/* The members in turn, from 0, in the order on disk. False behind the last. */
bool totals_member(const struct totals *totals, size_t n, const char **name, int64_t *value);

#endif
