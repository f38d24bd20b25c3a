/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Copies of entries: the name, the handle and the names of the owners lie one behind the other.
 */
#include "migrate/entry.h"

#include <string.h>

static char *copy_bytes(struct dmm_bytes *bytes, char *room)
{
	if (bytes->len == 0)
		return room;
	memcpy(room, bytes->data, bytes->len);
	bytes->data = room;
	return room + bytes->len;
}

void entry_copy(struct dmm_entry *copy, const struct dmm_entry *entry, char *room)
{
	*copy = *entry;
	copy->name = memcpy(room, entry->name, entry->name_len + 1);
	room = copy_bytes(&copy->handle, room + entry->name_len + 1);
	room = copy_bytes(&copy->attr.owner_name, room);
	copy_bytes(&copy->attr.group_name, room);
}
