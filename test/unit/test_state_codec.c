/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Records to bytes and back; and the disk is hostile: truncated, lengthened, changed and random bytes are refused with -EBADMSG,
 * and no byte outside is read (each input lies in an allocation of its exact size: the address sanitizer watches). test/fuzz/record.c
 * has more of that.
 */
#include "state/codec.h"
#include "state_fixture.h"

#include <time.h>

static uint64_t random_state;

static uint64_t random_u64(void)
{
	random_state += 0x9e3779b97f4a7c15ull;
	uint64_t z = random_state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void seed_random(void)
{
	const char *seed = getenv("DMMFS_TEST_SEED");
	random_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
	printf("DMMFS_TEST_SEED=%llu\n", (unsigned long long)random_state);
	fflush(stdout);
}

static int decode_dir(const uint8_t *value, size_t len)
{
	struct dir_record *record = NULL;
	int error = dir_record_decode(1, value, len, &record);
	ck_assert((error == 0) == (record != NULL)); /* written on success only */
	dir_record_free(record);
	return error;
}

static int decode_file(const uint8_t *value, size_t len)
{
	struct file_record *record = NULL;
	int error = file_record_decode(1, value, len, &record);
	ck_assert((error == 0) == (record != NULL));
	file_record_free(record);
	return error;
}

static int decode_link(const uint8_t *value, size_t len)
{
	struct link_record record;
	return link_record_decode(1, 2, value, len, &record);
}

static int decode_error(const uint8_t *value, size_t len)
{
	struct error_record *record = NULL;
	int error = error_record_decode(1, value, len, &record);
	ck_assert((error == 0) == (record != NULL));
	error_record_free(record);
	return error;
}

static int decode_totals(const uint8_t *value, size_t len)
{
	struct totals totals;
	return totals_decode(value, len, &totals);
}

/* A block; the key is that of its first record. */
static int decode_digests(const uint8_t *value, size_t len)
{
	struct digests_reader reader;
	struct digest_record record;
	int result = digests_open(10, value, len, &reader);
	while (result >= 0 && (result = digests_next(&reader, &record)) > 0)
		ck_assert(record.ino >= 10);
	return result;
}

static size_t encode_digests(const struct digest_record *records, size_t n, uint8_t *out)
{
	uint8_t bytes[DIGEST_RECORD_ROOM], *at = digests_begin(out);
	for (size_t i = 0; i < n; i++)
		at = digests_add(at, i ? records[i - 1].ino : 0, records[i].ino, bytes, digest_record_encode(&records[i], bytes));
	return (size_t)(at - out);
}

static int decode_segments(const uint8_t *value, size_t len)
{
	uint8_t bitmap[SEGMENT_CHUNK_BYTES];
	return segments_decode(value, len, bitmap);
}

static int (*const decoders[])(const uint8_t *value, size_t len) = {
	decode_dir, decode_file, decode_link, decode_error, decode_totals, decode_segments, decode_digests,
};
#define KINDS (sizeof(decoders) / sizeof(decoders[0]))

/* On bytes that end where their allocation ends. */
static int decode(size_t kind, const uint8_t *value, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	memcpy(exact, value, len);
	int error = decoders[kind](exact, len);
	ck_assert_msg(error == 0 || error == -EBADMSG, "kind %zu: %d", kind, error);
	free(exact);
	return error;
}

static size_t example(size_t kind, uint8_t *out)
{
	struct dir_record dir = dir_of(5);
	struct file_record file = file_of(6);
	struct link_record link = link_of(7, 8);
	struct error_record error = error_of(9);
	struct totals totals = {.dirs_found = 1, .links_pending = -2};
	struct digest_record digests[] = {digest_of(10), digest_of(11), digest_of(400)};
	uint8_t bitmap[SEGMENT_CHUNK_BYTES] = {0};
	bitmap[70] = 0x55;

	switch (kind) {
	case 0:
		return dir_record_encode(&dir, out);
	case 1:
		return file_record_encode(&file, out);
	case 2:
		return link_record_encode(&link, out);
	case 3:
		return error_record_encode(&error, out);
	case 4:
		return totals_encode(&totals, out);
	case 5:
		return segments_encode(bitmap, out);
	default:
		return encode_digests(digests, 3, out);
	}
}

/* What a renewal has put into the record; both flags or none. */
static bool read_flags_of(const struct file_record *file, unsigned renewals)
{
	struct file_record *read;
	uint8_t bytes[512];
	ck_assert_int_eq(file_record_decode(6, bytes, file_record_encode(file, bytes), &read), 0);
	bool emptied = read->emptied;
	ck_assert(read->attributes_changed == emptied && read->renewals == renewals);
	file_record_free(read);
	return emptied;
}

START_TEST(test_file_members)
{
	struct file_record file = file_of(6), *read;
	uint8_t bytes[512];
	size_t len = file_record_encode(&file, bytes);
	ck_assert_uint_le(len, file_record_room(&file));
	ck_assert_int_eq(file_record_decode(6, bytes, len, &read), 0);
	ck_assert_uint_eq(read->ino, 6);
	ck_assert(handle_equal(&read->handle, &file.handle));
	ck_assert_uint_eq(read->source.len, 6);
	ck_assert_int_eq(memcmp(read->source.bytes, "source", 6), 0);
	ck_assert_uint_eq(read->limit, file.limit);
	ck_assert_uint_eq(read->segsize, file.segsize);
	ck_assert_uint_eq(read->source_used, file.source_used);
	ck_assert_uint_eq(read->inode_flags, file.inode_flags);
	ck_assert_int_eq(read->changed, file.changed);
	ck_assert_int_eq(read->mtime_valid, true);
	ck_assert_int_eq(read->mtime.sec, -5);
	ck_assert_uint_eq(read->mtime.nsec, 999999999);
	ck_assert_uint_eq(read->source_size, file.source_size);
	ck_assert_uint_eq(read->source_change, file.source_change);
	ck_assert_int_eq(read->source_mtime.sec, 1);
	ck_assert_uint_eq(read->source_ctime.nsec, 4);
	ck_assert_int_eq(read->shown_ctime.sec, 5);
	ck_assert(digest_equal(&read->digest, &file.digest) && !read->undigested);
	file_record_free(read);

	ck_assert(!read_flags_of(&file, 0));
	file.emptied = file.attributes_changed = true;
	file.renewals = FILE_RENEWALS_MAX;
	ck_assert(read_flags_of(&file, FILE_RENEWALS_MAX));
	file.mtime_valid = false;
	file.changed = true;
	size_t shorter = file_record_encode(&file, bytes);
	ck_assert_uint_lt(shorter, len);
	ck_assert_int_eq(file_record_decode(6, bytes, shorter, &read), 0);
	ck_assert(!read->mtime_valid && read->changed);
	file_record_free(read);
}
END_TEST

static bool same_moment(const struct moment *a, const struct moment *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

/* Gives all members back; its length. */
static size_t same_file(const struct file_record *file)
{
	struct file_record *read;
	uint8_t bytes[512];
	size_t len = file_record_encode(file, bytes);
	ck_assert_uint_le(len, file_record_room(file));
	ck_assert_int_eq(file_record_decode(file->ino, bytes, len, &read), 0);
	ck_assert(handle_equal(&read->handle, &file->handle));
	ck_assert_uint_eq(read->limit, file->limit);
	ck_assert_uint_eq(read->segsize, file->segsize);
	ck_assert_uint_eq(read->source_used, file->source_used);
	ck_assert_uint_eq(read->source_size, file->source_size);
	ck_assert_uint_eq(read->source_change, file->source_change);
	ck_assert_uint_eq(read->inode_flags, file->inode_flags);
	ck_assert(!file->mtime_valid || same_moment(&read->mtime, &file->mtime));
	ck_assert(same_moment(&read->source_mtime, &file->source_mtime));
	ck_assert(same_moment(&read->source_ctime, &file->source_ctime));
	ck_assert(same_moment(&read->shown_ctime, &file->shown_ctime));
	ck_assert(digest_equal(&read->digest, &file->digest));
	file_record_free(read);
	return len;
}

/* As one comes from an NFS server, of which nothing is here yet. */
static struct file_record typical_file(void)
{
	return (struct file_record){
		.ino = 1234567,
		.handle = handle_of(1234567, 0x89abcdef),
		.source = {.len = 28, .bytes = (const uint8_t *)"a handle of NFS has 28 bytes"},
		.limit = 5000,
		.segsize = 1 << 20,
		.source_used = 8192,
		.mtime_valid = true,
		.mtime = {1700000000, 123456789},
		.source_size = 5000,
		.source_mtime = {1700000000, 123456789},
		.source_ctime = {1700000001, 1},
		.shown_ctime = {1800000000, 2},
	};
}

/* I12: what is not finished costs 200 bytes at most, with what the database adds to it, in pages that are half full. */
START_TEST(test_file_sizes)
{
	struct file_record file = typical_file();
	ck_assert_uint_eq(same_file(&file), 28 + 41);
	file.source_ctime = file.source_mtime;
	ck_assert_uint_eq(same_file(&file), 28 + 33);
	file.digest.low = 1;
	ck_assert_uint_eq(same_file(&file), 28 + 33 + 16);
	file = typical_file();
	file.handle = (struct handle){.type = 0x81, .len = 12}; /* xfs */
	memcpy(file.handle.bytes, &file.ino, sizeof(file.ino));
	memset(file.handle.bytes + 8, 0xab, 4);
	ck_assert_uint_eq(same_file(&file), 28 + 41);
	file.handle.bytes[0] ^= 1; /* it says another number: nothing follows from the key */
	ck_assert_uint_eq(same_file(&file), 28 + 41 + 13);
	file.handle = handle_of(file.ino, 1);
	file.ino += 1ull << 32; /* nor where the handle has less bits */
	ck_assert_uint_eq(same_file(&file), 28 + 41 + 9);
}
END_TEST

START_TEST(test_file_extremes)
{
	struct file_record file = typical_file();
	file.limit = file.source_used = 0;
	file.source_size = file.source_change = UINT64_MAX;
	file.inode_flags = UINT32_MAX;
	file.segsize = UINT64_MAX;
	same_file(&file);
	file.limit = UINT64_MAX;
	file.source_size = 0;
	file.segsize = 1ull << 63;
	same_file(&file);
	file.segsize = 3ull << 20; /* a multiple of 4096 that is no power of two */
	file.source_mtime = file.mtime = (struct moment){0};
	file.source_ctime = (struct moment){INT64_MIN, 999999999};
	file.shown_ctime = (struct moment){-1, 0};
	same_file(&file);
	file.mtime_valid = false;
	file.source_mtime = file.shown_ctime = (struct moment){1ll << 33, 0};
	same_file(&file);
}
END_TEST

/* One record has one way to be written: where a shorter form would do, a longer one is damage. */
START_TEST(test_longer_forms)
{
	struct file_record file = typical_file(), *read;
	uint8_t bytes[512];
	size_t len = file_record_encode(&file, bytes);
	uint8_t *form = bytes + 3, *power = bytes + 8;
	ck_assert_uint_eq(*form, 1);
	ck_assert_uint_eq(*power, 20);

	*power = 0x80 | 20; /* 1 << 20, and the rest of it, which is 1 */
	memmove(power + 2, power + 1, len - 9);
	power[1] = 1;
	ck_assert_int_eq(file_record_decode(file.ino, bytes, len + 1, &read), -EBADMSG);

	file_record_encode(&file, bytes);
	uint8_t *source_mtime = bytes + 16, *source_ctime = source_mtime + 8; /* the file's own is that of the source */
	memcpy(source_ctime, source_mtime, 8);
	ck_assert_int_eq(file_record_decode(file.ino, bytes, len, &read), -EBADMSG);
	memset(source_ctime, 0, 8);
	ck_assert_int_eq(file_record_decode(file.ino, bytes, len, &read), -EBADMSG);
	file.source_ctime.sec = 1ll << 33;
	size_t wide_len = file_record_encode(&file, bytes);
	ck_assert_uint_eq(wide_len, len + 4);
	ck_assert_int_eq(file_record_decode(file.ino, bytes, wide_len, &read), 0);
	file_record_free(read);
	source_ctime[4] = 0; /* 0 seconds and 1 nanosecond, which needs no wide form */
	ck_assert_int_eq(file_record_decode(file.ino, bytes, wide_len, &read), -EBADMSG);
	file = typical_file();
	file_record_encode(&file, bytes);
	for (unsigned forms = 0; forms < 256; forms++) {
		*form = (uint8_t)forms;
		if (forms != 1 && forms != 2) /* that one says another handle */
			ck_assert_int_eq(file_record_decode(file.ino, bytes, len, &read), -EBADMSG);
	}

	file.ino++; /* the handle is written in full, since it says another number */
	len = file_record_encode(&file, bytes);
	ck_assert_int_eq(file_record_decode(file.ino, bytes, len, &read), 0);
	file_record_free(read);
	ck_assert_int_eq(file_record_decode(file.ino - 1, bytes, len, &read), -EBADMSG);
}
END_TEST

static void same_digest(const struct digest_record *record, size_t wanted_len)
{
	struct digests_reader reader;
	struct digest_record read;
	uint8_t bytes[1 + DIGEST_RECORD_ROOM];
	size_t len = encode_digests(record, 1, bytes);
	if (wanted_len)
		ck_assert_uint_eq(len - 1, wanted_len);
	ck_assert_int_eq(digests_open(record->ino, bytes, len, &reader), 0);
	ck_assert_int_eq(digests_next(&reader, &read), 1);
	ck_assert_uint_eq(read.ino, record->ino);
	ck_assert(handle_equal(&read.handle, &record->handle));
	ck_assert_uint_eq(read.size, record->size);
	ck_assert_uint_eq(read.segsize, record->segsize);
	ck_assert(same_moment(&read.mtime, &record->mtime) && same_moment(&read.ctime, &record->ctime));
	ck_assert(digest_equal(&read.digest, &record->digest));
	ck_assert_int_eq(digests_next(&reader, &read), 0);
	ck_assert_int_eq(digests_open(record->ino, bytes, len - 1, &reader), 0);
	ck_assert_int_eq(digests_next(&reader, &read), -EBADMSG);
}

START_TEST(test_digest_members)
{
	struct digest_record record = digest_of(10);
	record.size = 1 << 20;
	same_digest(&record, 41); /* I12: with the distance to the one before it, in blocks that are two thirds full, 64 bytes */
	record.size = record.segsize = UINT64_MAX;
	same_digest(&record, 0);
	record.size = 0;
	record.segsize = 1;
	record.mtime.sec = INT64_MIN; /* times that no clock shows are kept all the same */
	same_digest(&record, 0);
	record.mtime.sec = 0;
	record.ctime.sec = INT64_MAX;
	same_digest(&record, 0);
	record.ctime.sec = -(1ll << 33);
	same_digest(&record, 0);
	record.ctime = record.mtime;
	same_digest(&record, 0);
	record.handle.len = HANDLE_BYTES_MAX;
	memset(record.handle.bytes, 1, HANDLE_BYTES_MAX);
	same_digest(&record, 0);
}
END_TEST

START_TEST(test_digest_blocks)
{
	struct digest_record records[] = {digest_of(10), digest_of(10), digest_of(500), digest_of(UINT64_MAX)}, read;
	uint8_t bytes[2 * DIGESTS_BYTES] = {0}, one[DIGEST_RECORD_ROOM];
	struct digests_reader reader;
	records[1].ino = 11; /* with the handle of another number */
	size_t len = encode_digests(records, 4, bytes);
	ck_assert_int_eq(digests_open(10, bytes, len, &reader), 0);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(digests_next(&reader, &read), 1);
		ck_assert(read.ino == records[i].ino && digest_equal(&read.digest, &records[i].digest));
		ck_assert_uint_eq(reader.len, digest_record_encode(&records[i], one));
		ck_assert_int_eq(memcmp(reader.bytes, one, reader.len), 0);
	}
	ck_assert_int_eq(digests_next(&reader, &read), 0);
	ck_assert_int_eq(digests_next(&reader, &read), 0);
	ck_assert_int_eq(digests_open(10, bytes, 1, &reader), -EBADMSG); /* a block of none */
	ck_assert_int_eq(digests_open(10, bytes, DIGESTS_BYTES + 1, &reader), -EBADMSG);

	size_t first = 1 + digest_record_encode(&records[0], one);
	bytes[first] = 0; /* the same number again */
	ck_assert_int_eq(decode_digests(bytes, len), -EBADMSG);
	bytes[first] = 0x81; /* longer than it need be: 1, and a byte of 0 */
	memmove(bytes + first + 2, bytes + first + 1, len - first - 1);
	bytes[first + 1] = 0;
	ck_assert_int_eq(decode_digests(bytes, len + 1), -EBADMSG);
	for (size_t i = 0; i < 3; i++)
		records[i].handle.type = 7;
	len = encode_digests(records, 3, bytes);
	ck_assert_int_eq(digests_open(UINT64_MAX - 1, bytes, len, &reader), 0);
	ck_assert_int_eq(digests_next(&reader, &read), 1);
	ck_assert_int_eq(digests_next(&reader, &read), 1);
	ck_assert_uint_eq(read.ino, UINT64_MAX);
	ck_assert_int_eq(digests_next(&reader, &read), -EBADMSG); /* behind the last number there is */
}
END_TEST

START_TEST(test_digest_in_place)
{
	struct file_record file = file_of(6), *read;
	struct file_digest digest;
	uint8_t bytes[512];
	size_t len = file_record_encode(&file, bytes), shorter;
	ck_assert_int_eq(file_record_digest_get(bytes, len, &digest), 0);
	ck_assert(digest_equal(&digest.digest, &file.digest) && !digest.undigested && !digest.changed);
	digest = (struct file_digest){.digest = {3, 4}, .undigested = true, .changed = true};
	ck_assert_uint_eq(file_record_digest_set(bytes, len, &digest), len);
	ck_assert_int_eq(file_record_decode(6, bytes, len, &read), 0);
	ck_assert(read->undigested && !read->changed && read->mtime_valid && read->digest.low == 3 && read->digest.high == 4);
	ck_assert(handle_equal(&read->handle, &file.handle));
	file_record_free(read);

	digest.digest = (struct digest){0}; /* which takes no room */
	shorter = file_record_digest_set(bytes, len, &digest);
	ck_assert_uint_eq(shorter, len - FILE_DIGEST_ROOM);
	ck_assert_int_eq(file_record_decode(6, bytes, shorter, &read), 0);
	ck_assert(read->undigested && digest_equal(&read->digest, &digest.digest));
	file_record_free(read);
	ck_assert_int_eq(file_record_digest_get(bytes, shorter, &digest), 0);
	digest = (struct file_digest){.digest = {3, 4}};
	ck_assert_uint_eq(file_record_digest_set(bytes, shorter, &digest), len);
	ck_assert_int_eq(file_record_decode(6, bytes, len, &read), 0);
	ck_assert(!read->undigested && digest_equal(&read->digest, &digest.digest));
	file_record_free(read);
	memset(bytes + len - FILE_DIGEST_ROOM, 0, FILE_DIGEST_ROOM); /* but is there */
	ck_assert_int_eq(file_record_digest_get(bytes, len, &digest), -EBADMSG);
	ck_assert_int_eq(file_record_decode(6, bytes, len, &read), -EBADMSG);
	ck_assert_int_eq(file_record_digest_get(bytes, 17, &digest), -EBADMSG);
	ck_assert_int_eq(file_record_digest_get(bytes, 0, &digest), -EBADMSG);
}
END_TEST

START_TEST(test_dir_members)
{
	struct dir_record dir = dir_of(6), *read;
	uint8_t bytes[512];
	size_t len = dir_record_encode(&dir, bytes);
	ck_assert_uint_le(len, dir_record_room(&dir));
	ck_assert_int_eq(dir_record_decode(6, bytes, len, &read), 0);
	ck_assert_uint_eq(read->ino, 6);
	ck_assert(handle_equal(&read->handle, &dir.handle));
	ck_assert_uint_eq(read->nlink, 17);
	ck_assert_int_eq(read->atime.sec, 11);
	ck_assert_int_eq(read->mtime.sec, -13);
	ck_assert_uint_eq(read->inode_flags, 0x20);
	ck_assert(read->collisions_settled);
	ck_assert_uint_eq(read->source.len, 3);
	ck_assert_uint_eq(read->lineage.len, 2 * LINEAGE_BYTES);
	ck_assert(memcmp(read->lineage.bytes, dir.lineage.bytes, read->lineage.len) == 0);
	dir_record_free(read);
}
END_TEST

START_TEST(test_longest_handles)
{
	uint8_t *source = malloc(UINT16_MAX), *bytes;
	memset(source, 0xa5, UINT16_MAX);
	struct file_record file = file_of(1), *read;
	file.handle.len = HANDLE_BYTES_MAX;
	memset(file.handle.bytes, 0x5a, HANDLE_BYTES_MAX);
	file.source = (struct source_ref){.len = UINT16_MAX, .bytes = source};
	bytes = malloc(file_record_room(&file));
	size_t len = file_record_encode(&file, bytes);
	ck_assert_int_eq(file_record_decode(1, bytes, len, &read), 0);
	ck_assert_int_eq(memcmp(read->source.bytes, source, UINT16_MAX), 0);
	file_record_free(read);
	free(bytes);
	free(source);
}
END_TEST

START_TEST(test_error_strings)
{
	struct error_record error = error_of(3), *read;
	uint8_t *bytes = malloc(error_record_room(&error));
	size_t len = error_record_encode(&error, bytes);
	ck_assert_int_eq(error_record_decode(3, bytes, len, &read), 0);
	ck_assert_str_eq(read->what, "read");
	ck_assert_str_eq(read->path, "a/b");
	ck_assert_str_eq(read->detail, "the source did not answer");
	ck_assert_int_eq(read->told, 110);
	ck_assert_int_eq(read->kind, ERROR_OF_NAME);
	ck_assert_int_eq(read->state, ERROR_WAITING);
	ck_assert_str_eq(read->name, "b");
	ck_assert(handle_equal(&read->handle, &error.handle));
	ck_assert_uint_eq(read->source.len, 6);
	ck_assert_int_eq(memcmp(read->source.bytes, "source", 6), 0);
	error_record_free(read);
	*(uint8_t *)memmem(bytes, len, "answer", 6) = 0; /* a string that ends inside */
	ck_assert_int_eq(error_record_decode(3, bytes, len, &read), -EBADMSG);
	free(bytes);

	error.what = error.path = error.detail = error.name = NULL;
	error.source.len = 0;
	bytes = malloc(error_record_room(&error));
	len = error_record_encode(&error, bytes);
	ck_assert_int_eq(error_record_decode(3, bytes, len, &read), 0);
	ck_assert_str_eq(read->detail, "");
	error_record_free(read);
	free(bytes);
}
END_TEST

START_TEST(test_out_of_range)
{
	uint8_t bytes[512];
	struct file_record file = file_of(1), *read;
	struct link_record link = link_of(1, 2);
	size_t len;

	file.mtime.nsec = 1000000000;
	len = file_record_encode(&file, bytes);
	ck_assert_int_eq(file_record_decode(1, bytes, len, &read), -EBADMSG);
	file = file_of(1);
	file.segsize = 0;
	len = file_record_encode(&file, bytes);
	ck_assert_int_eq(file_record_decode(1, bytes, len, &read), -EBADMSG);

	len = link_record_encode(&link, bytes);
	bytes[1 + 8 + 4] = HANDLE_BYTES_MAX + 1;
	ck_assert_int_eq(link_record_decode(1, 2, bytes, sizeof(bytes), &link), -EBADMSG);
	ck_assert_uint_lt(len, sizeof(bytes));
}
END_TEST

START_TEST(test_every_truncation)
{
	uint8_t bytes[1024] = {0};
	for (size_t kind = 0; kind < KINDS; kind++) {
		size_t len = example(kind, bytes);
		ck_assert_int_eq(decode(kind, bytes, len), 0);
		for (size_t shorter = 0; shorter < len; shorter++)
			if (kind < 5 || shorter < 2) /* a bitmap may be of any length, and a block have fewer records */
				ck_assert_int_eq(decode(kind, bytes, shorter), -EBADMSG);
		if (kind != 5)
			ck_assert_int_eq(decode(kind, bytes, len + 1), -EBADMSG); /* of a block: a distance of 0 */
	}
	memset(bytes, TAG_SEGMENTS, sizeof(bytes));
	ck_assert_int_eq(decode(5, bytes, 1 + SEGMENT_CHUNK_BYTES), 0);
	ck_assert_int_eq(decode(5, bytes, 2 + SEGMENT_CHUNK_BYTES), -EBADMSG);
}
END_TEST

START_TEST(test_other_kinds)
{
	uint8_t bytes[1024];
	for (size_t kind = 0; kind < KINDS; kind++) {
		size_t len = example(kind, bytes);
		for (size_t other = 0; other < KINDS; other++)
			if (other != kind)
				ck_assert_int_eq(decode(other, bytes, len), -EBADMSG);
		bytes[0]++; /* a later form of the same kind */
		ck_assert_int_eq(decode(kind, bytes, len), -EBADMSG);
	}
}
END_TEST

START_TEST(test_changed_and_random_bytes)
{
	uint8_t bytes[1024];
	seed_random();
	for (int round = 0; round < 200000; round++) {
		size_t kind = random_u64() % KINDS, len;
		if (round % 4 == 0) {
			len = random_u64() % 300;
			for (size_t i = 0; i < len; i++)
				bytes[i] = (uint8_t)random_u64();
			if (len && round % 8 == 0) { /* past the first check */
				uint8_t other[1024];
				example(kind, other);
				bytes[0] = other[0];
			}
		} else {
			len = example(kind, bytes);
			for (uint64_t n = random_u64() % 4 + 1; n > 0; n--)
				bytes[random_u64() % len] = (uint8_t)random_u64();
			if (round % 4 == 1)
				len = random_u64() % (len + 1);
		}
		decode(kind, bytes, len);
		uint8_t file[1024];
		size_t file_len = example(1, file);
		file_record_same_object(6, bytes, len, file, file_len);
	}
}
END_TEST

START_TEST(test_same_object)
{
	uint8_t a[512], b[512];
	struct file_record file = file_of(1);
	size_t a_len = file_record_encode(&file, a);
	file.limit = 1;
	file.changed = !file.changed;
	size_t b_len = file_record_encode(&file, b);
	ck_assert(file_record_same_object(1, a, a_len, b, b_len));
	file.handle.bytes[7] ^= 1;
	b_len = file_record_encode(&file, b);
	ck_assert(!file_record_same_object(1, a, a_len, b, b_len));
	ck_assert(!file_record_same_object(1, a, 3, a, 3));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state codec");
	TCase *tests = tcase_create("codec");
	tcase_add_test(tests, test_file_members);
	tcase_add_test(tests, test_file_sizes);
	tcase_add_test(tests, test_file_extremes);
	tcase_add_test(tests, test_longer_forms);
	tcase_add_test(tests, test_digest_members);
	tcase_add_test(tests, test_digest_blocks);
	tcase_add_test(tests, test_digest_in_place);
	tcase_add_test(tests, test_dir_members);
	tcase_add_test(tests, test_longest_handles);
	tcase_add_test(tests, test_error_strings);
	tcase_add_test(tests, test_out_of_range);
	tcase_add_test(tests, test_every_truncation);
	tcase_add_test(tests, test_other_kinds);
	tcase_add_test(tests, test_changed_and_random_bytes);
	tcase_add_test(tests, test_same_object);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
