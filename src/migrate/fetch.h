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
};

/* Reads the segment's bytes, and answers who waits for the first of them. -ERESTART: the source has changed, and all is to be read
 * again. */
int fetch_read(struct fetch *fetch, struct source_file *file, char *buf, uint64_t len);
/* It compares the source with its listing itself, with what it reads first. */
bool fetch_looks(const struct fetch *fetch, uint64_t len);

#endif
