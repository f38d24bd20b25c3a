/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The chains of dirs and files: see seal.h. What is read before it is changed is checked, so that a change never makes damage look whole.
 */
#include "state/apply.h"

#include "state/bytes.h"

#include <errno.h>
#include <stdlib.h>

int seal_put(struct apply *apply, enum database database, const uint8_t *key_bytes, size_t key_len, const struct sealed *sealed)
{
	MDB_val key = {key_len, (void *)(uintptr_t)key_bytes};
	size_t wanted = sealed->len + SEAL_ROOM;
	if (apply->room_bytes < wanted) {
		uint8_t *room = realloc(apply->room, wanted * 2);
		if (!room)
			return ENOMEM;
		apply->room = room;
		apply->room_bytes = wanted * 2;
	}
	return apply_put(apply, database, key_bytes, key_len, apply->room, seal_write(database, &key, sealed, apply->room));
}

int chain_get(struct apply *apply, enum database database, uint64_t ino, struct sealed *sealed)
{
	uint8_t bytes[INO_KEY];
	MDB_val key = {sizeof(bytes), bytes}, value;
	key_put_u64(bytes, ino);
	int code = apply_get(apply, database, bytes, sizeof(bytes), &value);
	return code ? code : seal_open(database, &key, &value, sealed);
}

/* The entry before `ino`, 0 for the beginning of the chain, and what it says. `follows` is what it has to say: the first entry that is
 * not before `ino`, 0 when there is none. */
static int before(struct apply *apply, enum database database, uint64_t ino, uint64_t *previous, struct sealed *sealed)
{
	uint8_t bytes[INO_KEY];
	MDB_val key = {sizeof(bytes), bytes}, value;
	uint64_t follows = 0;
	key_put_u64(bytes, ino);
	int code = apply_cursor(apply, database);
	if (code)
		return code;
	MDB_cursor *cursor = apply->cursor[database];
	bool is_last = apply->empty[database] || memcmp(bytes, apply->greatest[database], sizeof(bytes)) > 0;
	code = is_last ? MDB_NOTFOUND : mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (code && code != MDB_NOTFOUND)
		return code;
	if (!code) {
		if (key.mv_size != INO_KEY)
			return MDB_CORRUPTED;
		follows = key_get_u64(key.mv_data);
	}
	code = mdb_cursor_get(cursor, &key, &value, code ? MDB_LAST : MDB_PREV);
	*sealed = (struct sealed){0};
	*previous = 0;
	if (code == MDB_NOTFOUND) {
		code = engine_meta_get_number(apply->txn, apply->store->dbi[DB_META], seal_first(database), &sealed->next);
	} else if (!code) {
		code = seal_open(database, &key, &value, sealed);
		*previous = code ? 0 : key_get_u64(key.mv_data);
	}
	return code ? code : sealed->next != follows || *previous >= ino ? MDB_CORRUPTED : 0;
}

/* The one before, which says `sealed`, says from now on that `next` follows. */
static int lead_to(struct apply *apply, enum database database, uint64_t previous, struct sealed *sealed, uint64_t next)
{
	uint8_t key[INO_KEY];
	if (!previous)
		return engine_meta_put_number(apply->txn, apply->store->dbi[DB_META], seal_first(database), next);
	sealed->next = next;
	key_put_u64(key, previous);
	return seal_put(apply, database, key, sizeof(key), sealed);
}

int chain_put(struct apply *apply, enum database database, uint64_t ino, struct sealed *sealed)
{
	struct sealed old;
	uint64_t previous;
	uint8_t key[INO_KEY];
	int code = chain_get(apply, database, ino, &old);
	if (code == MDB_NOTFOUND) {
		code = before(apply, database, ino, &previous, &old);
		uint64_t next = old.next;
		if (!code)
			code = lead_to(apply, database, previous, &old, ino);
		old.next = next;
	}
	if (code)
		return code;
	sealed->next = old.next;
	key_put_u64(key, ino);
	return seal_put(apply, database, key, sizeof(key), sealed);
}

int chain_delete(struct apply *apply, enum database database, uint64_t ino)
{
	struct sealed old, neighbour;
	uint64_t previous;
	uint8_t key[INO_KEY];
	int code = chain_get(apply, database, ino, &old);
	if (code)
		return code == MDB_NOTFOUND ? 0 : code;
	uint64_t next = old.next;
	code = before(apply, database, ino, &previous, &neighbour);
	if (!code)
		code = lead_to(apply, database, previous, &neighbour, next);
	if (code)
		return code;
	key_put_u64(key, ino);
	return apply_delete(apply, database, key, sizeof(key));
}
