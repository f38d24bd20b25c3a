/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A segment that is being fetched: what fetch.c and fetch_read.c share.
 */
#ifndef DMM_MIGRATE_FETCH_H
#define DMM_MIGRATE_FETCH_H

#include "migrate/internal.h"

struct fetch {
	struct lane_job job;
	struct fetch *next; /* of object->fetches */
	struct object *object;
	uint64_t segment;
	uint64_t off, len; /* the bytes that are waited for */
	bool demand;
	bool background;     /* neither demand nor read-ahead */
	uint64_t generation; /* of the object when it began to read */
	bool looked;         /* the last that was read of it came with attributes that show no change */

	/* A read of all of it that was begun before its turn came; `begun`: what that takes was not given back yet. */
	struct source_reading *reading; /* NULL: none, or its answer was taken */
	uint64_t reading_len, reading_generation;
	bool begun;
	uint64_t took_ns; /* of the answer that was taken, if it came at once; otherwise 0 */
	char *buf;        /* where it goes; of whoever brings the segment */
	bool is_begun;    /* in object->held: the members above may be looked at. Under lock */
	bool taken;       /* from object->held, by a demand, with its claim, and its buffer if that is NULL now. Under lock */
};

/* Brings the segment: reads it into `buf`, unless it is a hole, and stores it. `urgent`: somebody waits for the record. */
int fetch_segment(struct fetch *fetch, char *buf, bool urgent);
/* Tells who waits for it how that ended. Without locks. */
void fetch_settle(struct object *object, uint64_t segment, int result);

/* Begins to read the segment into fetch->buf, where that can be. */
void fetch_begin(struct fetch *fetch);
/* Forgoes the answer, unless it was taken, and gives back what it took. */
void fetch_end_begun(struct fetch *fetch);

/* Reads the segment's bytes, and answers who waits for the first of them. -ERESTART: the source has changed, and all is to be read
 * again. */
int fetch_read(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len);
/* It compares the source with its listing itself, with what it reads first. */
bool fetch_looks(const struct fetch *fetch, uint64_t len);

#endif
