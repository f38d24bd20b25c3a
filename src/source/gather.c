/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Entries that a plugin reports, kept until it is done with the request. Only then, and in the thread that asked, does the sink get
 * them: a sink may ask the source for more (the text of a link, the data of a small file), and the plugin's thread, which carries
 * the answers of others as well, must never wait for that.
 */
#include "source/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What one request may report. A server's reply is bounded; this bounds a plugin that is not. */
#define GATHER_MOST (64u << 20)

struct kept {
	struct dmm_entry entry;
	size_t size; /* with name, handle and the names of the owners, to the next one */
};

static size_t aligned(size_t size)
{
	return (size + _Alignof(struct kept) - 1) & ~(_Alignof(struct kept) - 1);
}

static int grow(struct gather *gather, size_t need)
{
	size_t size = gather->size ? gather->size : 64 * 1024;

	while (size - gather->used < need)
		size *= 2;
	if (size == gather->size)
		return 0;
	char *bytes = size > GATHER_MOST ? NULL : realloc(gather->bytes, size);
	if (!bytes)
		return size > GATHER_MOST ? -EMSGSIZE : -ENOMEM;
	gather->bytes = bytes;
	gather->size = size;
	return 0;
}

int gather_add(void *context, const struct dmm_entry *entry)
{
	struct gather *gather = context;
	struct dmm_bytes owner = entry->attr.owner_name, group = entry->attr.group_name;
	size_t size = aligned(sizeof(struct kept) + entry->handle.len + entry->name_len + 1 + owner.len + group.len);
	int ret = grow(gather, size);

	if (ret < 0)
		return ret;
	struct kept *kept = (struct kept *)(gather->bytes + gather->used);
	char *behind = (char *)(kept + 1);
	kept->entry = *entry;
	kept->size = size;
	if (entry->handle.len)
		memcpy(behind, entry->handle.data, entry->handle.len);
	memcpy(behind + entry->handle.len, entry->name, entry->name_len);
	behind += entry->handle.len + entry->name_len;
	*behind++ = '\0';
	if (owner.len)
		memcpy(behind, owner.data, owner.len);
	if (group.len)
		memcpy(behind + owner.len, group.data, group.len);
	gather->used += size;
	return 0;
}

/* The pointers of entries are set only now: the bytes may have moved. */
int gather_deliver(const struct gather *gather, source_entry_fn entry, void *context)
{
	int ret = 0;

	for (size_t at = 0; at < gather->used && ret >= 0;) {
		struct kept *kept = (struct kept *)(gather->bytes + at);
		const char *behind = (const char *)(kept + 1);

		if (kept->entry.handle.len)
			kept->entry.handle.data = behind;
		kept->entry.name = behind + kept->entry.handle.len;
		struct dmm_bytes *owner = &kept->entry.attr.owner_name, *group = &kept->entry.attr.group_name;
		behind = kept->entry.name + kept->entry.name_len + 1;
		owner->data = owner->len ? behind : NULL; /* attributes that are the same compare so */
		group->data = group->len ? behind + owner->len : NULL;
		ret = entry(context, &kept->entry);
		at += kept->size;
	}
	return ret;
}

void gather_free(struct gather *gather)
{
	free(gather->bytes);
	*gather = (struct gather){0};
}
