/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: the records of the state database. The first byte of the input chooses the kind, the rest is the value.
 *
 * Properties: a value is accepted or is -EBADMSG; what is accepted and encoded again gives the same bytes (a bitmap: the same
 * bits), so there is one form for each record and nothing in a value is ignored.
 */
#include "state/codec.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void same(const uint8_t *value, size_t len, uint8_t *again, size_t again_len)
{
	must(again_len == len && memcmp(value, again, len) == 0);
	free(again);
}

static int try_dir(const uint8_t *value, size_t len)
{
	struct dir_record *record;
	int error = dir_record_decode(1, value, len, &record);
	if (error)
		return error;
	uint8_t *again = malloc(dir_record_room(record));
	same(value, len, again, dir_record_encode(record, again));
	free(record);
	return 0;
}

static int try_file(const uint8_t *value, size_t len)
{
	struct file_record *record;
	int error = file_record_decode(1, value, len, &record);
	must(error || file_record_same_object(1, value, len, value, len));
	if (error)
		return error;
	uint8_t *again = malloc(file_record_room(record));
	same(value, len, again, file_record_encode(record, again));
	must(record->segsize > 0);
	free(record);
	return 0;
}

static int try_link(const uint8_t *value, size_t len)
{
	struct link_record record;
	int error = link_record_decode(1, 2, value, len, &record);
	if (error)
		return error;
	uint8_t *again = malloc(LINK_RECORD_ROOM);
	same(value, len, again, link_record_encode(&record, again));
	return 0;
}

static int try_error(const uint8_t *value, size_t len)
{
	struct error_record *record;
	int error = error_record_decode(1, value, len, &record);
	if (error)
		return error;
	uint8_t *again = malloc(error_record_room(record));
	same(value, len, again, error_record_encode(record, again));
	free(record);
	return 0;
}

static int try_totals(const uint8_t *value, size_t len)
{
	struct totals totals;
	int error = totals_decode(value, len, &totals);
	if (error)
		return error;
	uint8_t *again = malloc(TOTALS_ROOM);
	same(value, len, again, totals_encode(&totals, again));
	return 0;
}

static int try_digests(const uint8_t *value, size_t len)
{
	struct digests_reader reader;
	struct digest_record record;
	uint64_t previous = 0;
	int more = digests_open(1, value, len, &reader);
	if (more < 0)
		return more;
	uint8_t *again = malloc(DIGESTS_BYTES + DIGESTS_NEXT_ROOM), *end = digests_begin(again);
	while ((more = digests_next(&reader, &record)) > 0) {
		uint8_t encoded[DIGEST_RECORD_ROOM];
		size_t bytes = digest_record_encode(&record, encoded);
		must(bytes == reader.len && memcmp(encoded, reader.bytes, bytes) == 0);
		end = digests_add(end, previous, record.ino, encoded, bytes);
		previous = record.ino;
	}
	if (more < 0)
		free(again);
	else
		same(value, len, again, (size_t)(end - again));
	return more;
}

static int try_segments(const uint8_t *value, size_t len)
{
	uint8_t bitmap[SEGMENT_CHUNK_BYTES], again[1 + SEGMENT_CHUNK_BYTES], bitmap_again[SEGMENT_CHUNK_BYTES];
	int error = segments_decode(value, len, bitmap);
	if (error)
		return error;
	size_t again_len = segments_encode(bitmap, again);
	must(again_len == 0 || segments_decode(again, again_len, bitmap_again) == 0);
	must(again_len == 0 || memcmp(bitmap, bitmap_again, sizeof(bitmap)) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const kinds[])(const uint8_t *value, size_t len) = {
		try_dir, try_file, try_link, try_error, try_totals, try_segments, try_digests,
	};
	if (size == 0)
		return 0;
	/* In an allocation of its own size, so that a sanitizer sees a read behind the end. */
	uint8_t *value = malloc(size - 1);
	if (size > 1)
		memcpy(value, data + 1, size - 1);
	int error = kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))](value, size - 1);
	must(error == 0 || error == -EBADMSG);
	free(value);
	return 0;
}
