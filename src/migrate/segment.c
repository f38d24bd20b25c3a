/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The arithmetic of segments. Spans are clipped to the limit first: above it nothing is the source's.
 */
#include "migrate/object.h"

uint64_t segments_for(uint64_t limit, uint64_t segsize)
{
	return limit / segsize + (limit % segsize != 0);
}

bool segment_get(const uint8_t *bitmap, uint64_t segment)
{
	return bitmap[segment / 8] >> (segment % 8) & 1;
}

void segment_set(uint8_t *bitmap, uint64_t segment, bool value)
{
	uint8_t bit = (uint8_t)(1u << (segment % 8));

	bitmap[segment / 8] = value ? bitmap[segment / 8] | bit : bitmap[segment / 8] & (uint8_t)~bit;
}

bool segment_resident(const struct object *object, uint64_t segment)
{
	return segment >= object->n_segments || segment_get(object->resident, segment);
}

bool segment_durable(const struct object *object, uint64_t segment)
{
	return segment >= object->n_segments || segment_get(object->durable_map, segment);
}

uint64_t segment_bytes(const struct object *object, uint64_t segment)
{
	uint64_t start = segment * object->file.segsize;

	if (start >= object->file.limit)
		return 0;
	uint64_t rest = object->file.limit - start;
	return rest < object->file.segsize ? rest : object->file.segsize;
}

uint64_t absent_bytes(const struct object *object)
{
	uint64_t bytes = 0;

	for (uint64_t s = 0; object->absent && s < object->n_segments; s++)
		if (!segment_get(object->resident, s))
			bytes += segment_bytes(object, s);
	return bytes;
}

uint64_t limit_cut(struct object *object, uint64_t size)
{
	if (size >= object->file.limit)
		return 0;
	uint64_t before = absent_bytes(object);
	object->file.limit = size;
	object->n_segments = segments_for(size, object->file.segsize);
	object->absent = 0;
	for (uint64_t s = 0; s < object->n_segments; s++)
		object->absent += !segment_get(object->resident, s);
	return before - absent_bytes(object);
}

/* The end of the span, clipped to the limit; at most UINT64_MAX without wrapping. */
static uint64_t clipped_end(const struct object *object, uint64_t off, uint64_t len)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;

	return end < object->file.limit ? end : object->file.limit;
}

bool span_resident(const struct object *object, uint64_t off, uint64_t len)
{
	uint64_t end = clipped_end(object, off, len);

	for (uint64_t at = off; object->absent && at < end; at = (at / object->file.segsize + 1) * object->file.segsize)
		if (!segment_resident(object, at / object->file.segsize))
			return false;
	return true;
}

void span_whole(const struct object *object, uint64_t off, uint64_t len, uint64_t *first, uint64_t *end)
{
	uint64_t segsize = object->file.segsize;
	uint64_t stop = clipped_end(object, off, len);

	*first = off / segsize + (off % segsize != 0);
	*end = stop == object->file.limit ? object->n_segments : stop / segsize;
	if (*end < *first)
		*end = *first;
}

bool span_edges_durable(const struct object *object, uint64_t off, uint64_t len)
{
	uint64_t stop = clipped_end(object, off, len), first, end;

	if (len == 0 || off >= object->file.limit)
		return true;
	span_whole(object, off, len, &first, &end);
	for (uint64_t s = off / object->file.segsize; s * object->file.segsize < stop; s++)
		if ((s < first || s >= end) && !segment_durable(object, s))
			return false;
	return true;
}
