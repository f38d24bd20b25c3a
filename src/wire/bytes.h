/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names and paths in JSON. A name on a file system is any bytes, a JSON string is UTF-8: what is valid UTF-8 stands as it is; in
 * anything else each byte that is not part of a valid sequence is written \xNN and each backslash is doubled, and the object's
 * key "escaped" lists the keys of which this is true. Both directions are exact.
 */
#ifndef DMM_WIRE_BYTES_H
#define DMM_WIRE_BYTES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Sets `key` of `object` to `text`, escaped where needed, and keeps "escaped" right. NULL text: null. 0 or -ENOMEM. */
int bytes_set(json_t *object, const char *key, const char *text);

/* Newly allocated; -ENOENT: no string there; -EBADMSG: an escape that is none; -ENOMEM. */
int bytes_get(const json_t *object, const char *key, char **text);

/* The escaped form itself, newly allocated, or NULL without memory. */
char *bytes_escape(const char *text);

bool bytes_are_utf8(const char *text);

#endif
