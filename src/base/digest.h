/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Digests of files: of every segment XXH3 with 128 bits, the segment's index as the seed, all of them added up modulo 2^128. A
 * segment of nothing but zeros adds nothing, so that holes need not be read. Segments may come in any order, and a file that is
 * not larger than a segment has the digest that xxh128sum(1) prints, unless it is all zeros.
 *
 * It tells accidents, not forgery: XXH3 is no cryptographic hash.
 *
 * Threads: any; nothing is shared.
 */
#ifndef DMM_BASE_DIGEST_H
#define DMM_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest {
	uint64_t low, high; /* halves of the number */
};

/* What these bytes of the segment with this index add. */
struct digest digest_of_segment(const void *bytes, size_t len, uint64_t index);

static inline void digest_add(struct digest *sum, const struct digest *digest)
{
	sum->low += digest->low;
	sum->high += digest->high + (sum->low < digest->low);
}

static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->low == b->low && a->high == b->high;
}

/* 32 hexadecimal digits, the greatest first, as xxh128sum(1) writes them. */
#define DIGEST_TEXT_SIZE 33
const char *digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);

/* Bytes that come one after the other, in pieces that do not fit the segments. */
struct digest_stream;
struct digest_stream *digest_stream_new(void); /* NULL without memory */
void digest_stream_free(struct digest_stream *stream);
void digest_stream_begin(struct digest_stream *stream, uint64_t segsize);
void digest_stream_add(struct digest_stream *stream, const void *bytes, size_t len);
void digest_stream_end(struct digest_stream *stream, struct digest *digest);

#endif
