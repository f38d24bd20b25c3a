/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One file on both sides, segment by segment: the same, absent (all that is other is blank on the target), or other.
 */
#include "migrate/rebuild_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096u
/* Of a larger segment no digest is kept; it is read in pieces of this size. */
#define PIECE (4u << 20)

struct comparison {
	const struct rebuild *rebuild;
	struct compared *compared;
	int fd;
	struct source_file *source;
	uint8_t *ours, *theirs;      /* PIECE bytes each */
	uint64_t hole_from, hole_to; /* the last hole that was found */
};

bool file_has_holes(int fd, const struct stat *st)
{
	off_t hole = st->st_size > 0 ? lseek(fd, 0, SEEK_HOLE) : 0;

	return hole >= 0 && hole < st->st_size;
}

/* No data of the target in [off, off + len)? */
static bool is_hole(struct comparison *comparison, uint64_t off, uint64_t len)
{
	if (off >= comparison->hole_from && off + len <= comparison->hole_to)
		return true;
	off_t data = lseek(comparison->fd, (off_t)off, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return false;
	comparison->hole_from = off;
	comparison->hole_to = data < 0 ? UINT64_MAX : (uint64_t)data;
	return off + len <= comparison->hole_to;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

static int read_target(int fd, uint8_t *to, uint64_t off, uint64_t len)
{
	for (uint64_t at = 0; at < len;) {
		ssize_t got = pread(fd, to + at, len - at, (off_t)(off + at));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		at += (uint64_t)got;
	}
	return 0;
}

/* A piece of a segment that is not the same. */
static void judge_piece(struct comparison *comparison, uint64_t segment, uint64_t off, uint64_t len)
{
	struct compared *compared = comparison->compared;

	for (uint64_t at = 0; at < len; at += BLOCK) {
		uint64_t bytes = len - at < BLOCK ? len - at : BLOCK;
		if (memcmp(comparison->ours + at, comparison->theirs + at, bytes) == 0)
			continue;
		bool blank =
			is_hole(comparison, off + at, bytes) || (compared->time_kept && is_zero(comparison->ours + at, bytes));
		segment_set(blank ? compared->absent : compared->differs, segment, true);
		if (!blank)
			compared->differ_bytes += bytes;
	}
}

static int compare_segment(struct comparison *comparison, uint64_t segment)
{
	struct compared *compared = comparison->compared;
	uint64_t start = segment * compared->segsize, end = start + compared->segsize;

	if (end > compared->limit)
		end = compared->limit;
	for (uint64_t at = start; at < end; at += PIECE) {
		uint64_t len = end - at < PIECE ? end - at : PIECE;
		int result = origin_read(comparison->source, comparison->theirs, at, len);
		if (result >= 0)
			result = read_target(comparison->fd, comparison->ours, at, len);
		if (result < 0)
			return result;
		if (memcmp(comparison->ours, comparison->theirs, len) != 0)
			judge_piece(comparison, segment, at, len);
		else if (compared->digests)
			compared->digests[segment] = digest_of_segment(comparison->ours, len, segment);
	}
	/* What an application has written in stays, with the blanks in it. */
	if (segment_get(compared->differs, segment))
		segment_set(compared->absent, segment, false);
	if (segment_get(compared->absent, segment))
		compared->absent_bytes += end - start;
	return 0;
}

static int compare_bytes(struct comparison *comparison, const struct origin *origin)
{
	int result = source_file_open(comparison->rebuild->source, origin->handle, &comparison->source);

	if (result < 0)
		return result;
	for (uint64_t s = 0; result >= 0 && s < comparison->compared->n_segments; s++)
		result = compare_segment(comparison, s);
	source_file_close(comparison->source);
	return result;
}

/* Size and time are the source's: what has no hole is believed to be here, what has one to have come over in part at most. */
static void believe(struct comparison *comparison)
{
	struct compared *compared = comparison->compared;

	for (uint64_t s = 0; s < compared->n_segments; s++) {
		uint64_t start = s * compared->segsize, len = compared->segsize;
		if (len > compared->limit - start)
			len = compared->limit - start;
		off_t hole = lseek(comparison->fd, (off_t)start, SEEK_HOLE);
		if (hole >= 0 && (uint64_t)hole >= start + len)
			continue;
		segment_set(compared->absent, s, true);
		compared->absent_bytes += len;
	}
}

int compare_file(struct rebuild *rebuild, int fd, const struct stat *st, const struct origin *origin, struct compared *compared)
{
	const struct dmm_attr *attr = &origin->attr;
	struct comparison comparison = {.rebuild = rebuild, .compared = compared, .fd = fd};

	*compared = (struct compared){.segsize = rebuild->segsize};
	compared->limit = attr->size < (uint64_t)st->st_size ? attr->size : (uint64_t)st->st_size;
	compared->n_segments = segments_for(compared->limit, compared->segsize);
	compared->time_kept = st->st_mtim.tv_sec == attr->mtime.sec && (uint32_t)st->st_mtim.tv_nsec == attr->mtime.nsec;
	compared->absent = must_alloc(compared->n_segments / 8 + 1);
	compared->differs = must_alloc(compared->n_segments / 8 + 1);
	if (rebuild->quick && compared->time_kept && (uint64_t)st->st_size == attr->size) {
		believe(&comparison);
		return 0;
	}
	if (compared->segsize <= PIECE)
		compared->digests = must_alloc((compared->n_segments + 1) * sizeof(struct digest));
	comparison.ours = buffer_alloc(PIECE);
	comparison.theirs = buffer_alloc(PIECE);
	int result = compare_bytes(&comparison, origin);
	free(comparison.ours);
	free(comparison.theirs);
	return source_result(result);
}

void compared_free(struct compared *compared)
{
	free(compared->absent);
	free(compared->differs);
	free(compared->digests);
}
