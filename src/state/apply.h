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

/* Cursors belong to the transaction and end with it. */
struct apply {
	struct store *store;
	MDB_txn *txn;
	MDB_cursor *cursor[DATABASES];
	uint8_t greatest[DATABASES][KEY_MAX]; /* no key of the database is greater */
	bool empty[DATABASES];                /* no key is there at all, greatest is void */
	uint8_t *room;                        /* for a value that is put together */
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

/* segments.c */
int segments_drop(struct apply *apply, uint64_t ino);
int segments_mark(struct apply *apply, const struct change *change);
int segments_clear(struct apply *apply, const struct change *change);

#endif
