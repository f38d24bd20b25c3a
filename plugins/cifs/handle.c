/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Handles: one byte of type ('f', 'd'), DOS attributes and creation time, little endian, and the path below the share. The two
 * values save a question to the server for every file when its attributes are asked for.
 */
#include "cifs.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

int handle_parse(struct dmm_bytes bytes, struct handle *handle)
{
	const unsigned char *data = bytes.data;
	uint32_t attributes;
	uint64_t created;

	if (bytes.len < HANDLE_HEAD || (data[0] != 'f' && data[0] != 'd'))
		return -ESTALE; /* of another plugin, or damaged */
	memcpy(&attributes, data + 1, sizeof(attributes));
	memcpy(&created, data + 5, sizeof(created));
	*handle = (struct handle){.attributes = le32toh(attributes),
	                          .created = le64toh(created),
	                          .is_dir = data[0] == 'd',
	                          .path = (const char *)data + HANDLE_HEAD,
	                          .len_path = bytes.len - HANDLE_HEAD};
	return 0;
}

void handle_head(unsigned char bytes[HANDLE_HEAD], const struct wire_entry *entry)
{
	uint32_t attributes = htole32(entry->attributes);
	uint64_t created = htole64(nttime_from(&entry->btime));

	bytes[0] = entry->is_dir ? 'd' : 'f';
	memcpy(bytes + 1, &attributes, sizeof(attributes));
	memcpy(bytes + 5, &created, sizeof(created));
}
