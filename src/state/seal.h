/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What lies around a record on disk, so that damage which LMDB does not see is seen all the same: its pages have no sums, and in a damaged
 * one an entry may seem not to be there. An object without an entry counts as finished, and the zeros of what has not come over of it
 * would be served.
 *
 *   sum       of key and value: of what decides which bytes are whose (dirs, files, segments, the totals)
 *   chain     in dirs and files each entry says which one follows; "first-dir" and "first-file" in meta say which is the first. So an
 *             entry is missing only where its neighbours say so.
 *   marked    a file's entry says how many of its segments are marked resident, so chunks that are lost or of another time are missed.
 *
 * What it costs: an insertion or a deletion in the chain writes its neighbour, too, mostly in the same page; a lookup that finds nothing
 * looks at one entry more. Knows the bytes and nothing of transactions.
 */
#ifndef DMM_STATE_SEAL_H
#define DMM_STATE_SEAL_H

#include "state/codec.h"
#include "state/store_private.h"

struct sealed {
	uint64_t next;   /* chained databases: the inode number of the entry that follows; 0: none does */
	uint64_t marked; /* files: segments that are marked resident */
	const uint8_t *record;
	size_t len;
};

/* Bytes that are added to a record at most. */
#define SEAL_ROOM (2 * 10 + 4)

static inline bool is_chained(enum database database)
{
	return database == DB_DIRS || database == DB_FILES;
}

/* The name in meta of the number of a chain's first entry. */
const char *seal_first(enum database database);

/* The value of an entry; bytes written. `out` has room for sealed->len + SEAL_ROOM, and is not where the record lies. */
size_t seal_write(enum database database, const MDB_val *key, const struct sealed *sealed, uint8_t *out);
/* 0 or MDB_CORRUPTED. What it gives lies in the value. */
int seal_open(enum database database, const MDB_val *key, const MDB_val *value, struct sealed *sealed);

/* Opens and decodes. 0 or negative errno. */
int sealed_dir(const MDB_val *key, const MDB_val *value, struct dir_record **record);
int sealed_file(const MDB_val *key, const MDB_val *value, struct file_record **record);
int sealed_chunk(const MDB_val *key, const MDB_val *value, uint8_t bitmap[SEGMENT_CHUNK_BYTES]);

unsigned chunk_marked(const uint8_t bitmap[SEGMENT_CHUNK_BYTES]);

#endif
