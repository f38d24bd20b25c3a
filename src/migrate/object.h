/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Unfinished objects in memory.
 *
 * An object is in the table from the first event or job that concerns it until nobody refers to it; between, the store's record
 * is all there is of it. What has no record is finished, or was made by an application: object_get() finds nothing.
 *
 * Life of a file:   absent segments -> claimed by a fetch -> resident (readers may have them) -> durable (the record says so;
 *                   applications may write into them) -> all durable: the record is deleted, the object is finished.
 * Life of a directory: absent -> queued -> running -> made (entries on the target) -> populated (durable, applications see it).
 *
 * A file of `limit` source bytes has ceil(limit / segsize) segments. What lies at or above the limit is the application's and
 * counts as resident and durable. The limit only ever shrinks, but when a file is brought anew (renew.c).
 */
#ifndef DMM_MIGRATE_OBJECT_H
#define DMM_MIGRATE_OBJECT_H

#include "base/lane.h"
#include "migrate/migrate.h"
#include "migrate/queue.h"

#include <pthread.h>

#define TABLE_SHARDS 64
#define SHARD_BUCKETS 256

enum dir_life { DIR_ABSENT, DIR_QUEUED, DIR_RUNNING, DIR_MADE, DIR_POPULATED };

struct fetch;
struct crew;

struct object {
	struct object *hash_next; /* table shard lock */
	unsigned refs;            /* table shard lock */
	struct migrate *migrate;
	uint64_t ino;
	struct handle handle;
	bool is_dir;

	/* The right to change the object: held by an application's change from begin to end, and by a fetch while it writes. */
	pthread_mutex_t rights;

	/* Guards everything below. A leaf but for the table. */
	pthread_mutex_t lock;
	struct waiter *waiters;
	uint8_t *source_bytes; /* constant */
	uint16_t source_len;
	bool dropped;                /* no longer wanted: it was removed, or its record was stale */
	int broken;                  /* the store has given up: negative errno, what waits for a record gets it */
	int error;                   /* of the last attempt, negative errno; 0 when that went well */
	uint64_t error_ns;           /* clock_monotonic_ns() of it */
	bool beside;                 /* written into past us: not fetched over before somebody has looked. Constant */
	bool drift_accepted;         /* the administrator wants the source as it is now */
	bool drift_looked;           /* it was compared with its listing since it was loaded */
	uint64_t generation;         /* how often it was brought anew since it was loaded: of what is read now */
	uint64_t emptied_by;         /* the change of the record that says so; 0: it was on disk when it was loaded */
	uint64_t submitted, durable; /* changes of the record handed to the store, and of these on disk */
	struct moment mtime;         /* to be shown and restored */

	/* Directories. */
	enum dir_life life;
	bool hurry; /* someone waits: bring names only */
	struct lane_job dir_job;
	enum order_class turn; /* what it is populated for */
	struct bring *bring;   /* the fetch that it counts for, or NULL */
	struct crew *crew;     /* several threads make its entries; or NULL */
	struct dir_record dir;
	uint8_t *lineage; /* dir.lineage points here */

	/* Files. */
	struct file_record file; /* limit, segsize, mtime_valid: as in memory, ahead of the store's */
	struct moment ctime;     /* shown */
	bool record_behind;      /* the limit in memory is below the record's... */
	uint64_t cut_bytes;      /* ... by so many absent bytes */
	uint64_t guard;          /* the change of the record that must be durable before an application changes the file */
	uint8_t *resident, *durable_map, *claimed, *changed; /* bitmaps of n_segments bits, and of one at least */
	uint64_t n_segments, absent;
	bool finishing; /* the deletion of the record is submitted */
	bool finished;  /* ... and durable */
	bool unlinked;
	unsigned opens;
	bool crawled;                /* a background job for it is queued or running */
	struct fetch *fetches;       /* queued or running demand and read-ahead jobs */
	struct fetch *held;          /* claimed by workers of the background that have not come to them yet */
	uint64_t next_expected;      /* segment after the last demand, for read-ahead */
	unsigned readahead;          /* segments */
	pthread_mutex_t source_lock; /* guards source_file; taken without other locks but rights */
	struct source_file *source_file;
	unsigned source_users; /* that read it now */
};

struct table {
	struct table_shard {
		pthread_mutex_t lock;
		struct object *buckets[SHARD_BUCKETS];
	} shards[TABLE_SHARDS];
};

void table_init(struct table *table);
/* At the end: files that were open when the mount went have a reference that the kernel does not always give back. */
void table_close(struct table *table);

/* The object of this identity, loaded from the store if need be, with a reference. 1: found; 0: it has no record, so it is
 * finished or an application's; negative errno: nobody can tell at present. A record whose object is gone, or is another one by
 * now, is stale: it is deleted and not found. `handle` NULL: whatever handle the record has. */
int object_get(struct migrate *migrate, uint64_t ino, const struct handle *handle, bool is_dir, struct object **object);
/* Before a record is put for a new object: one that a removed object of the same inode number may have left is deleted, and
 * counted, first. Afterwards it would be the new object's that is deleted. */
void object_bury(struct migrate *migrate, uint64_t ino, const struct handle *handle, bool is_dir);
/* Puts a directory into the table whose record is submitted but not committed yet. */
struct object *object_insert_dir(struct migrate *migrate, const struct dir_record *record);
struct object *object_ref(struct object *object);
void object_put(struct object *object);

/* The rest under object->lock. */
bool segment_resident(const struct object *object, uint64_t segment);
bool segment_durable(const struct object *object, uint64_t segment);
/* All segments that touch [off, off+len). */
bool span_resident(const struct object *object, uint64_t off, uint64_t len);
/* Those segments that a change of [off, off+len) covers in part. True when all of them are durable. */
bool span_edges_durable(const struct object *object, uint64_t off, uint64_t len);
/* The segments below the limit whose source bytes lie entirely in [off, off+len): first and one past the last. */
void span_whole(const struct object *object, uint64_t off, uint64_t len, uint64_t *first, uint64_t *end);
uint64_t segment_bytes(const struct object *object, uint64_t segment); /* source bytes in it */
uint64_t absent_bytes(const struct object *object);                    /* of all segments that are not resident */
/* Nothing of the source is wanted at or above `size`. Returns how many absent bytes that makes less. */
uint64_t limit_cut(struct object *object, uint64_t size);
void segment_set(uint8_t *bitmap, uint64_t segment, bool value);
bool segment_get(const uint8_t *bitmap, uint64_t segment);
uint64_t segments_for(uint64_t limit, uint64_t segsize);
/* A file of more is not brought over: it would take half a GiB of memory. */
#define SEGMENTS_MOST (1ull << 30)

/* An object that somebody waits for stays in the table, referred to or not. */
void object_park(struct object *object, struct waiter *waiter);

/* Takes the waiters that can go on now off the object; wake_all() wakes them once no lock is held. */
struct waiter *object_collect(struct object *object);
/* The same with those that wait for [off, off+len) to come over, because it cannot. */
struct waiter *object_collect_failed(struct object *object, uint64_t off, uint64_t len);
void wake_all(struct migrate *migrate, struct waiter *list, int error);

/* Under lock: would somebody get the error if the object failed now? */
bool object_tells(const struct object *object);

/* Locks, collects, unlocks, wakes. */
void object_wake(struct object *object);
void object_fail(struct object *object, uint64_t off, uint64_t len, int error);

/* Hands a batch that changes this object's record to the store: counts it, and wakes who waits for it when it is durable.
 * Takes the lock itself. Returns the number of the change. `durable` may be NULL; it runs before the waiters are woken, with 0 or
 * the negative errno with which the store gave up. */
uint64_t object_submit(struct object *object, struct batch *batch, unsigned flags,
                       void (*durable)(struct object *object, int error, void *context), void *context);

/* Builds the store's form of the record from memory. */
void object_file_record(const struct object *object, struct file_record *record);

#endif
