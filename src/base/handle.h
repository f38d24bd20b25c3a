/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * File handles of the target file system: how target/, state/ and monitor/, which do not know each other, name an object (I4).
 */
#ifndef DMM_BASE_HANDLE_H
#define DMM_BASE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* MAX_HANDLE_SZ of name_to_handle_at(2). */
#define HANDLE_BYTES_MAX 128

/* A file handle of the target file system. */
struct handle {
	int32_t type;
	uint16_t len; /* bytes */
	uint8_t bytes[HANDLE_BYTES_MAX];
};

static inline bool handle_equal(const struct handle *a, const struct handle *b)
{
	return a->type == b->type && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

#endif
