/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Entries of a listing that outlive it: what they point to is copied.
 */
#ifndef DMM_MIGRATE_ENTRY_H
#define DMM_MIGRATE_ENTRY_H

#include <dmmfs/plugin.h>

/* How much room what it points to takes. */
static inline size_t entry_room(const struct dmm_entry *entry)
{
	return entry->name_len + 1 + entry->handle.len + entry->attr.owner_name.len + entry->attr.group_name.len;
}

/* `room`: so much, which is to live as long as the copy. */
void entry_copy(struct dmm_entry *copy, const struct dmm_entry *entry, char *room);

#endif
