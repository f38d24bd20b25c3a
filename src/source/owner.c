/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who owns an object on the target. The first that knows it decides:
 *
 *     1. the map's line for the name that the source gives            user alice@corp 10042
 *     2. the plugin's id, by way of the map's lines for ids           uid 1000 2000
 *     3. the map's line for all names that nobody knows               user * 65534
 *
 * What is known by none stays unknown: `valid` says so, the name stays with the entry for whoever reports it, and it is logged once
 * with the remedy. Nobody is made the owner in its place.
 */
#include "source/internal.h"

#include "base/log.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MOST 1024

/* The name as a string; NULL: there is none, or it is no name. */
static const char *text_of(struct dmm_bytes name, char text[NAME_MOST])
{
	if (name.len == 0 || name.len >= NAME_MOST || memchr(name.data, '\0', name.len))
		return NULL;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	return text;
}

/* Is this the first time? When memory is out, or too many are known, it is not said at all. */
static bool is_new(struct source *source, const char *kind, const char *text)
{
	struct unknown_names *unknown = &source->unknown;
	bool new = true;

	pthread_mutex_lock(&unknown->lock);
	for (unsigned i = 0; new &&i < unknown->count; i++)
		new = unknown->names[i][0] != kind[0] || strcmp(unknown->names[i] + 1, text) != 0;
	size_t len = strlen(text);
	char *copy = new && unknown->count < UNKNOWN_NAMES_MOST ? malloc(len + 2) : NULL;
	if (copy) {
		copy[0] = kind[0];
		memcpy(copy + 1, text, len + 1);
		unknown->names[unknown->count++] = copy;
	}
	pthread_mutex_unlock(&unknown->lock);
	return copy;
}

static void tell(struct source *source, const char *kind, const char *text)
{
	char shown[4 * NAME_MOST + UTF8_SHOWN_BYTES];
	size_t len = 0;

	if (!text || !is_new(source, kind, text))
		return;
	shown[0] = '\0';
	while (*text)
		len += utf8_show(&text, shown + len);
	log_warning("the source names a %s that has no id here: %s=\"%s\"; its objects stay root's; give it an id with a line "
	            "\"%s %s ID\" in the file of idmap=",
	            kind, kind, shown, kind, shown);
}

typedef bool find_fn(const struct idmap *map, const char *name, uint32_t *id);
typedef bool rest_fn(const struct idmap *map, uint32_t *id);

/* True: *id is known. */
static bool resolve(struct source *source, const char *kind, struct dmm_bytes name, bool known, find_fn *find, rest_fn *rest,
                    uint32_t (*map_id)(const struct idmap *map, uint32_t id), uint32_t *id)
{
	const struct idmap *map = source->idmap;
	char room[NAME_MOST];
	const char *text = text_of(name, room);

	if (map && text && find(map, text, id))
		return true;
	if (known) {
		*id = map ? map_id(map, *id) : *id;
		return true;
	}
	if (map && rest(map, id))
		return true;
	tell(source, kind, text);
	return false;
}

void owner_resolve(struct source *source, struct dmm_entry *entry)
{
	struct dmm_attr *attr = &entry->attr;
	uint32_t valid = attr->valid;

	if (entry->error || (!source->idmap && valid & DMM_ATTR_OWNER))
		return;
	bool user = resolve(source, "user", attr->owner_name, valid & (DMM_ATTR_OWNER | DMM_ATTR_UID), idmap_user,
	                    idmap_other_users, idmap_uid, &attr->uid);
	bool group = resolve(source, "group", attr->group_name, valid & (DMM_ATTR_OWNER | DMM_ATTR_GID), idmap_group,
	                     idmap_other_groups, idmap_gid, &attr->gid);
	attr->valid = valid & ~(uint32_t)(DMM_ATTR_OWNER | DMM_ATTR_UID | DMM_ATTR_GID);
	attr->valid |= user && group ? DMM_ATTR_OWNER : user ? DMM_ATTR_UID : group ? DMM_ATTR_GID : 0;
	if (user)
		attr->owner_name = (struct dmm_bytes){0};
	if (group)
		attr->group_name = (struct dmm_bytes){0};
}

void owner_forget(struct source *source)
{
	for (unsigned i = 0; i < source->unknown.count; i++)
		free(source->unknown.names[i]);
	pthread_mutex_destroy(&source->unknown.lock);
}
