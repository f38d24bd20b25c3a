/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Digests of files. See digest.h for the definition.
 */
#include "base/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct digest_stream {
	XXH3_state_t state; /* of the segment that has begun */
	uint64_t segsize, index;
	uint64_t filled; /* bytes of that segment so far */
	bool zero;       /* they are all zero */
	struct digest sum;
};

static bool all_zero(const void *bytes, size_t len)
{
	const char *at = bytes;

	return len == 0 || (*at == 0 && memcmp(at, at + 1, len - 1) == 0);
}

struct digest digest_of_segment(const void *bytes, size_t len, uint64_t index)
{
	if (all_zero(bytes, len))
		return (struct digest){0};
	XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, len, index);
	return (struct digest){hash.low64, hash.high64};
}

const char *digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
	snprintf(text, DIGEST_TEXT_SIZE, "%016llx%016llx", (unsigned long long)digest->high, (unsigned long long)digest->low);
	return text;
}

struct digest_stream *digest_stream_new(void)
{
	struct digest_stream *stream = aligned_alloc(_Alignof(struct digest_stream), sizeof(*stream));

	if (stream)
		memset(stream, 0, sizeof(*stream));
	return stream;
}

void digest_stream_free(struct digest_stream *stream)
{
	free(stream);
}

void digest_stream_begin(struct digest_stream *stream, uint64_t segsize)
{
	stream->segsize = segsize;
	stream->index = stream->filled = 0;
	stream->sum = (struct digest){0};
}

static void end_segment(struct digest_stream *stream)
{
	if (!stream->zero) {
		XXH128_hash_t hash = XXH3_128bits_digest(&stream->state);
		digest_add(&stream->sum, &(struct digest){hash.low64, hash.high64});
	}
	stream->filled = 0;
	stream->index++;
}

/* A piece that lies in one segment. */
static void add_piece(struct digest_stream *stream, const char *bytes, size_t len)
{
	if (stream->filled == 0) {
		XXH3_128bits_reset_withSeed(&stream->state, stream->index);
		stream->zero = true;
	}
	stream->zero = stream->zero && all_zero(bytes, len);
	XXH3_128bits_update(&stream->state, bytes, len);
	stream->filled += len;
	if (stream->filled == stream->segsize)
		end_segment(stream);
}

void digest_stream_add(struct digest_stream *stream, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		uint64_t rest = stream->segsize - stream->filled;
		size_t piece = len < rest ? len : (size_t)rest;
		add_piece(stream, at, piece);
		at += piece;
		len -= piece;
	}
}

void digest_stream_end(struct digest_stream *stream, struct digest *digest)
{
	if (stream->filled > 0)
		end_segment(stream);
	*digest = stream->sum;
}
