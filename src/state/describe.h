/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Entries of the state database as JSON: for people, and for programs that have no LMDB. dmmfs-admin(8) documents the keys.
 * Knows the codec and nothing of LMDB.
 */
#ifndef DMM_STATE_DESCRIBE_H
#define DMM_STATE_DESCRIBE_H

#include "state/store_private.h"

#include <jansson.h>

/* A new object; never NULL but without memory. An entry that cannot be decoded has the keys database, error, key and value, the last
 * two in hexadecimal digits. */
json_t *describe_entry(enum database database, const MDB_val *key, const MDB_val *value);

/* The key of an entry as text: numbers in decimal, names as they are, what is neither in hexadecimal digits. Returns `text`. */
#define DESCRIBE_KEY_BYTES 600
const char *describe_key(enum database database, const MDB_val *key, char text[DESCRIBE_KEY_BYTES]);

#endif
