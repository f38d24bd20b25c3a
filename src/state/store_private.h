/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The inside of the store, shared by the files of this folder alone.
 *
 *   store.c      open, close, one daemon at a time, format version, replacing the environment
 *   batch.c      collecting changes, in the callers' threads
 *   committer.c  the one thread that commits
 *   apply.c      the changes of a batch in a transaction, with segments.c, chain.c and digests.c; meta.c: what the store remembers of itself
 *   seal.c       sums and chains around records
 *   read.c       reading
 *   resident.c   how much of the environment is in memory
 *   inspect.c    looking from outside: check.c the rules, describe.c entries as JSON
 *   codec.c      records to bytes and back, with codec_object.c and parts.c; engine.c: LMDB
 *
 * Locks, in this order; both are never held while a callback runs:
 *   store->lock            the queue and everything marked (lock)
 *   read_slot.lock         one read transaction. A reader holds one slot and takes no other lock. Replacing the environment
 *                          takes all of them, in the order of the array: then no transaction is open.
 * Members marked (committer) are touched by the committer thread only, after store_open().
 */
#ifndef DMM_STATE_STORE_PRIVATE_H
#define DMM_STATE_STORE_PRIVATE_H

#include "state/engine.h"
#include "state/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum database {
	DB_META,      /* name -> what the store itself must remember, META_* */
	DB_IDENTITY,  /* name -> string of store_meta_put() */
	DB_DIRS,      /* ino -> directory record */
	DB_FILES,     /* ino -> file record */
	DB_SEGMENTS,  /* ino, chunk -> bitmap. Only for files that have a record. */
	DB_LINKS,     /* fsid, fileid -> link record */
	DB_LINKS_INO, /* ino -> fsid, fileid */
	DB_ERRORS,    /* id -> error record */
	DB_DIGESTS,   /* ino of the first -> digest records */
	DATABASES
};

#define META_FORMAT "format"         /* number: STORE_FORMAT_VERSION */
#define META_COMMIT "commit"         /* number of the last commit */
#define META_NEXT_ERROR "next-error" /* number: greater than every error id that was ever stored */
#define META_TOTALS "totals"
#define META_FIRST_DIR "first-dir"   /* number: inode of the first entry of dirs, 0: there is none. See seal.h */
#define META_FIRST_FILE "first-file" /* the same of files */
#define META_NOTED "noted"           /* number: the last commit whose beginning was noted on the target, durably */

/* Read transactions that are kept for the next caller: about as many as there are processors is enough, since a call lasts about a
 * microsecond; whoever finds none free waits for one. (The thread sanitizer follows 64 locks held at once, no more.) */
#define READ_SLOTS 48

struct read_slot {
	pthread_mutex_t lock;
	MDB_txn *txn; /* reset, or NULL before first use; belongs to the environment */
	unsigned reads;
	uint64_t commit; /* the read sees this one, or a later one */
} __attribute__((aligned(64)));

/* --- batches --- */

enum change_kind {
	CHANGE_DIR_PUT,        /* a: ino */
	CHANGE_DIR_DELETE,     /* a: ino */
	CHANGE_FILE_PUT,       /* a: ino */
	CHANGE_FILE_DELETE,    /* a: ino */
	CHANGE_FILE_RENEW,     /* as CHANGE_FILE_PUT */
	CHANGE_FILE_COMPLETE,  /* a: ino; value: struct file_stamp */
	CHANGE_SEGMENTS_MARK,  /* a: ino, b: first, c: count; value: nothing, or the struct digest of the one segment */
	CHANGE_SEGMENTS_CLEAR, /* a: ino, b: first, c: count */
	CHANGE_LINK_PUT,       /* a: fsid, b: fileid, c: ino */
	CHANGE_LINK_SEEN,      /* a: fsid, b: fileid, c: names */
	CHANGE_LINK_DELETE,    /* a: fsid, b: fileid */
	CHANGE_ERROR_PUT,      /* a: id */
	CHANGE_ERROR_DELETE,   /* a: id */
	CHANGE_DIGEST_PUT,     /* a: ino */
	CHANGE_DIGEST_DELETE,  /* a: ino */
	CHANGE_IDENTITY_PUT,   /* a: length of the name, which comes first in the value */
};

/* A change, as it lies in the buffer of its batch: encoded already, in the caller's thread. */
struct change {
	enum change_kind kind;
	uint32_t value_bytes;
	uint64_t a, b, c;
	uint8_t value[]; /* filled up to a multiple of 8 */
};

struct batch {
	uint8_t *changes;  /* struct change one after the other */
	size_t used, room; /* bytes */
	size_t n_changes;
	struct totals delta;
	bool has_delta;
	uint64_t next_error; /* greater than every error id in it */
	unsigned flags;
	void (*done)(void *context, int error);
	void *context;
	uint64_t number; /* ascending in the order of submission */
	uint64_t submitted_ns;
	struct batch *next;
};

/* The changes in turn; NULL at the end. */
static inline const struct change *batch_first(const struct batch *batch)
{
	return batch->used ? (const struct change *)batch->changes : NULL;
}

static inline const struct change *batch_next(const struct batch *batch, const struct change *change)
{
	size_t bytes = (sizeof(*change) + change->value_bytes + 7) & ~(size_t)7;
	const uint8_t *next = (const uint8_t *)change + bytes;
	return next < batch->changes + batch->used ? (const struct change *)next : NULL;
}

void batch_identity_put(struct batch *batch, const char *name, const char *value);

/* --- the store --- */

struct store {
	struct store_options options;
	char *dir; /* for messages */
	int dir_fd;
	int lock_fd;     /* "lock", with flock(2) held: one daemon */
	uint64_t format; /* that was found */

	MDB_env *env; /* changed only with all read slots held; NULL when it could not be opened again */
	MDB_dbi dbi[DATABASES];
	size_t map_bytes; /* (committer) */
	void *map;        /* of env: where it lies; NULL: nobody knows */
	size_t map_room;  /* bytes */
	atomic_flag limiting;
	struct read_slot slots[READ_SLOTS];

	/* How many entries a database has as of the last commit, so that "there are none" needs no transaction. */
	atomic_uint_least64_t entries[DATABASES];
	atomic_uint_least64_t used_bytes, commits, next_error_id;
	atomic_int trouble; /* negative errno of the present trouble, or 0 */

	uint64_t opened_commit;   /* META_COMMIT at the start; `commits` were made since */
	uint64_t commit_number;   /* (committer) of the last commit, META_COMMIT */
	uint64_t next_error;      /* (committer) META_NEXT_ERROR as stored */
	uint64_t noted;           /* (committer) META_NOTED as stored */
	uint64_t noted_durable;   /* (committer) what it is to be with the next commit */
	bool unsettled;           /* (committer) a commit was noted, and that may not be durable */
	uint64_t reader_check_ns; /* (committer) */

	pthread_t committer;
	pthread_mutex_t lock;
	pthread_cond_t wake;        /* the committer: something changed for it */
	pthread_cond_t settled;     /* others: settled_number went up */
	struct totals totals;       /* (lock) as of the last commit */
	struct batch *first, *last; /* (lock) submitted and not settled, oldest first */
	size_t n_batches;           /* (lock) in that list */
	size_t n_changes;           /* (lock) in that list */
	size_t n_urgent;            /* (lock) in that list */
	uint64_t submitted_number;  /* (lock) of the batch that was submitted last */
	uint64_t settled_number;    /* (lock) up to here callbacks were called */
	uint64_t hurry_number;      /* (lock) up to here nothing waits for company */
	int broken;                 /* (lock) the store has given up: the negative errno why */
	bool closing;               /* (lock) */
	uint64_t closing_ns;        /* (lock) */
};

/* store.c */
/* flock(2) on "lock" in the directory of a state: one daemon. With a sentence on failure. */
int store_take_lock(int dir_fd, const char *dir, int *taken, char *error, size_t error_size);
const char *database_name(enum database database);
/* How the environment is to be opened, by whoever does. Address space is free; a map that is never outgrown needs no readers to be
 * stopped. */
#define STORE_MAP_BYTES ((size_t)1 << 40)
struct engine_options store_engine_options(size_t map_bytes);
int store_open_sized(const struct store_options *options, size_t map_bytes, struct store **store, char *error, size_t error_size);
/* Closes the environment and opens it anew, with a map of map_bytes. No write transaction is open. LMDB's code. */
int store_replace_environment(struct store *store, size_t map_bytes);
/* Publishes what `stat` shows and readers rely on, from a transaction that is about to be committed. */
struct store_counts {
	uint64_t entries[DATABASES];
};
int store_count(struct store *store, MDB_txn *txn, struct store_counts *counts);
void store_publish(struct store *store, const struct store_counts *counts);

/* resident.c */
/* After the environment was opened: any address in it. */
void resident_find_map(struct store *store, const void *inside);
/* Keeps what is mapped below a bound. To be called now and then by whoever looks at pages. */
void resident_limit(struct store *store);
/* After a batch that was larger than most. */
void resident_trim(void);
/* So many entries may be looked at in between. */
#define RESIDENT_STEP 64

/* meta.c: LMDB's code */
int engine_meta_get_number(MDB_txn *txn, MDB_dbi meta, const char *name, uint64_t *number);
int engine_meta_put_number(MDB_txn *txn, MDB_dbi meta, const char *name, uint64_t number);
int engine_meta_get_totals(MDB_txn *txn, MDB_dbi meta, struct totals *totals);
int engine_meta_put_totals(MDB_txn *txn, MDB_dbi meta, const struct totals *totals);

/* apply.c: all changes of `n` batches from `first` on. LMDB's code. */
int engine_apply(struct store *store, MDB_txn *txn, const struct batch *first, size_t n);

/* digests.c: puts the cursor on the block that has the digest record of `ino`, if there is one. LMDB's code; MDB_NOTFOUND: all blocks are
 * behind it. */
int digests_seek(MDB_cursor *cursor, uint64_t ino, MDB_val *key, MDB_val *value);

/* committer.c */
int committer_start(struct store *store);
void committer_stop(struct store *store); /* commits what was submitted */

#endif
