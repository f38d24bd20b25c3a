/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What apply.c, chain.c and segments.c share: one pass over batches in a write transaction. All give LMDB's codes.
 */
#ifndef DMM_STATE_APPLY_H
#define DMM_STATE_APPLY_H

#include "state/seal.h"

#define INO_KEY 8
#define SEGMENT_KEY 12
#define LINK_KEY 16
#define KEY_MAX 16

/* Digest records of neighbouring files, on their way from old blocks to new ones: see digests.c. */
#define DIGEST_BLOCKS 64 /* of the old ones at most */
struct digest_stream {
	bool is_open, is_changed;
	uint64_t keys[DIGEST_BLOCKS]; /* of the old blocks */
	size_t n_keys;
	uint64_t end;  /* the key of the block behind them; 0: there is none */
	uint64_t done; /* all up to here have come by */
	uint8_t *old;  /* a copy of the block that is being read */
	struct digests_reader reader;
	struct digest_record ahead; /* what was read and has not come by; of ino 0: nothing */
	uint8_t *out;               /* what has come by */
	size_t out_bytes, out_room;
	size_t last_at;    /* where the last of it lies; out_bytes: nowhere */
	uint64_t last_new; /* the inode number of what was put last */
};

/* Cursors belong to the transaction and end with it. */
struct apply {
	struct store *store;
	MDB_txn *txn;
	MDB_cursor *cursor[DATABASES];
	uint8_t greatest[DATABASES][KEY_MAX]; /* no key of the database is greater */
	bool empty[DATABASES];                /* no key is there at all, greatest is void */
	struct digest_stream digests;
	uint8_t *room; /* for a value that is put together */
	size_t room_bytes;
};

/* apply.c */
int apply_cursor(struct apply *apply, enum database database);
int apply_put(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, const void *value_bytes,
              size_t value_len);
int apply_get(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, MDB_val *value);
/* What is not there is deleted already. */
int apply_delete(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len);

/* chain.c: entries of dirs and files, and sealed ones of others */
int chain_get(struct apply *apply, enum database database, uint64_t ino, struct sealed *sealed); /* or MDB_NOTFOUND */
/* sealed->next is found out; sealed->record does not lie in the database. */
int chain_put(struct apply *apply, enum database database, uint64_t ino, struct sealed *sealed);
int chain_delete(struct apply *apply, enum database database, uint64_t ino);
int seal_put(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, const struct sealed *sealed);

/* digests.c. What is put is the encoded record. */
int digests_put(struct apply *apply, uint64_t ino, const uint8_t *bytes, size_t len);
int digests_delete(struct apply *apply, uint64_t ino);
/* Everything is in the database, unless `code` says that the transaction has failed; no memory is left. */
int digests_end(struct apply *apply, int code);

/* segments.c */
int segments_drop(struct apply *apply, uint64_t ino);
int segments_mark(struct apply *apply, const struct change *change);
int segments_clear(struct apply *apply, const struct change *change);

#endif
