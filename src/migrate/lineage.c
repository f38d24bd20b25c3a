/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A directory that is its own ancestor: a link that a server follows, or a server that lies. Its tree would never end, so each
 * directory that is not populated yet keeps, in its record, the identities of all that lead to it. Nothing is kept of those that
 * are, and a path of a thousand directories costs 8 KiB.
 *
 * An identity is a hash of fsid and fileid, of 64 bits: that two of a path should have the same by chance happens to nobody.
 */
#include "migrate/internal.h"

#include <endian.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* A name and a slash each: deeper ones have no path that a program could use. */
#define LEVELS_MOST (PATH_MAX / 2)

int lineage_extend(const struct source_ref *above, const struct dmm_attr *attr, struct source_ref *own)
{
	const uint64_t identity[2] = {htole64(attr->fsid), htole64(attr->fileid)};
	uint64_t hash = htole64(XXH3_64bits(identity, sizeof(identity)));
	_Static_assert(sizeof(hash) == LINEAGE_BYTES, "one of them is one hash");

	if (above->len / LINEAGE_BYTES >= LEVELS_MOST)
		return -ELOOP;
	for (size_t at = 0; at < above->len; at += LINEAGE_BYTES)
		if (memcmp(above->bytes + at, &hash, LINEAGE_BYTES) == 0)
			return -ELOOP;
	uint8_t *bytes = buffer_alloc(above->len + LINEAGE_BYTES);
	if (above->len)
		memcpy(bytes, above->bytes, above->len);
	memcpy(bytes + above->len, &hash, LINEAGE_BYTES);
	*own = (struct source_ref){(uint16_t)(above->len + LINEAGE_BYTES), bytes};
	return 0;
}
