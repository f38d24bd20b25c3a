/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Two steps: the descriptor is read into a list of entries, each for one class of a POSIX ACL (the owner, the group, everybody, or a
 * user or group by id); then each class gets what the entries for it and for everybody give and refuse, in their order.
 */
#include "source/descriptor.h"

#include "source/sid.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB_HEAD 8 /* of the attribute: version, version, a pointer; offsets count from its beginning */
#define SD_HEAD 20
#define ACL_HEAD 8
#define ACE_HEAD 8

#define CONTROL_DACL_PRESENT 0x0004u

enum { ACE_ALLOW, ACE_DENY };

#define ACE_OBJECT_INHERIT 0x01u
#define ACE_CONTAINER_INHERIT 0x02u
#define ACE_NO_PROPAGATE 0x04u
#define ACE_INHERIT_ONLY 0x08u
#define ACE_INHERITS (ACE_OBJECT_INHERIT | ACE_CONTAINER_INHERIT)

#define NO_ID 0xffffffffu

/* An entry for one class. SIDs that are a user and a group make two. */
struct grant {
	uint16_t tag; /* ACL_USER_OBJ ... as in a POSIX ACL */
	uint32_t id;
	bool denies;
	uint8_t bits; /* ACL_READ | ACL_WRITE | ACL_EXECUTE */
};

struct grants {
	struct grant *all;
	size_t count, room;
};

struct reading {
	const struct idmap *map;
	bool is_dir;
	struct sid owner, group;
	struct grants access, inherited;
	descriptor_loss_fn loss;
	void *context;
	bool told_denial, told_inheritance, told_kind;
	unsigned unknown; /* SIDs that were told of */
};

/* --- bytes --- */

static uint32_t get(const uint8_t *bytes, size_t size)
{
	uint32_t value = 0;

	for (size_t i = size; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

/* --- what is lost --- */

#define UNKNOWN_MOST 8 /* SIDs of one object that are told of */

static void tell_unknown(struct reading *reading, const char *kind, const char *who, const struct sid *sid)
{
	char text[SID_TEXT], detail[SID_TEXT + 96];

	snprintf(detail, sizeof(detail), "%s %s is in no line of the map of ids", who, sid_text(sid, text));
	reading->loss(reading->context, kind, detail);
}

static void tell_once(struct reading *reading, bool *told, const char *detail)
{
	if (!*told)
		reading->loss(reading->context, "acl", detail);
	*told = true;
}

/* --- entries to classes --- */

static int add(struct grants *grants, const struct grant *grant)
{
	if (grants->count == grants->room) {
		size_t room = grants->room ? 2 * grants->room : 16;
		struct grant *all = reallocarray(grants->all, room, sizeof(*all));
		if (!all)
			return -ENOMEM;
		grants->all = all;
		grants->room = room;
	}
	grants->all[grants->count++] = *grant;
	return 0;
}

static bool is(const struct sid *sid, const char *text)
{
	struct sid other;

	return sid_parse(text, &other) == 0 && sid_compare(sid, &other) == 0;
}

static int add_ids(struct reading *reading, struct grants *grants, const struct sid *sid, struct grant grant)
{
	bool is_user = idmap_sid_user(reading->map, sid, &grant.id);
	int ret = 0;

	if (is_user) {
		grant.tag = ACL_USER;
		ret = add(grants, &grant);
	}
	if (idmap_sid_group(reading->map, sid, &grant.id)) {
		grant.tag = ACL_GROUP;
		return ret < 0 ? ret : add(grants, &grant);
	}
	if (!is_user && reading->unknown++ < UNKNOWN_MOST)
		tell_unknown(reading, "acl",
		             grant.denies ? "it denies rights to somebody:" : "it gives rights to somebody:", sid);
	return ret;
}

/* Of the object itself. The system does as root, which needs no entry. */
static int add_access(struct reading *reading, const struct sid *sid, struct grant grant)
{
	if (is(sid, "S-1-5-18") || is(sid, "S-1-3-0") || is(sid, "S-1-3-1"))
		return 0;
	if (is(sid, "S-1-1-0"))
		grant.tag = ACL_OTHER;
	else if (is(sid, "S-1-3-4") || sid_compare(sid, &reading->owner) == 0)
		grant.tag = ACL_USER_OBJ;
	else if (sid_compare(sid, &reading->group) == 0)
		grant.tag = ACL_GROUP_OBJ;
	else
		return add_ids(reading, &reading->access, sid, grant);
	return add(&reading->access, &grant);
}

/* Of what will be made in a directory: who owns that is not who owns the directory. */
static int add_inherited(struct reading *reading, const struct sid *sid, struct grant grant)
{
	if (is(sid, "S-1-5-18"))
		return 0;
	if (is(sid, "S-1-1-0"))
		grant.tag = ACL_OTHER;
	else if (is(sid, "S-1-3-0") || is(sid, "S-1-3-4"))
		grant.tag = ACL_USER_OBJ;
	else if (is(sid, "S-1-3-1"))
		grant.tag = ACL_GROUP_OBJ;
	else
		return add_ids(reading, &reading->inherited, sid, grant);
	return add(&reading->inherited, &grant);
}

/* [MS-DTYP] 2.4.3 and [MS-FSCC]: what is given must be whole, of what is refused a part is enough. */
static uint8_t bits_of(uint32_t mask, bool denies, bool is_dir)
{
	const uint32_t write = is_dir ? 0x2u | 0x4u : 0x2u, generic_all = 0x10000000u;
	bool reads = mask & (0x1u | 0x80000000u | generic_all);
	bool writes = (denies ? mask & write : (mask & write) == write) || mask & (0x40000000u | generic_all);
	bool runs = mask & (0x20u | 0x20000000u | generic_all);

	return (uint8_t)((reads ? ACL_READ : 0) | (writes ? ACL_WRITE : 0) | (runs ? ACL_EXECUTE : 0));
}

static int take_ace(struct reading *reading, const uint8_t *ace, size_t size)
{
	unsigned type = ace[0], flags = ace[1];
	uint32_t mask = get(ace + 4, 4);
	struct sid sid;
	int ret = 0;

	if (type != ACE_ALLOW && type != ACE_DENY) {
		tell_once(reading, &reading->told_kind, "it has entries of a kind that POSIX does not know");
		return 0;
	}
	if (sid_read(ace + ACE_HEAD, size - ACE_HEAD, &sid) < 0)
		return -EBADMSG;
	struct grant grant = {.id = NO_ID, .denies = type == ACE_DENY, .bits = bits_of(mask, type == ACE_DENY, reading->is_dir)};
	if (grant.denies && grant.bits)
		tell_once(reading, &reading->told_denial,
		          "it denies rights: they are taken from those it names, not from their groups");
	if (!(flags & ACE_INHERIT_ONLY))
		ret = add_access(reading, &sid, grant);
	if (ret < 0 || !reading->is_dir || !(flags & ACE_INHERITS))
		return ret;
	if ((flags & ACE_INHERITS) != ACE_INHERITS || flags & ACE_NO_PROPAGATE) {
		tell_once(reading, &reading->told_inheritance,
		          "it has entries for new files or for new directories alone, or for one level: they are not inherited");
		return 0;
	}
	return add_inherited(reading, &sid, grant);
}

static int take_dacl(struct reading *reading, const uint8_t *acl, size_t len)
{
	if (len < ACL_HEAD || get(acl + 2, 2) > len || get(acl + 2, 2) < ACL_HEAD)
		return -EBADMSG;
	size_t left = get(acl + 2, 2) - ACL_HEAD;
	const uint8_t *at = acl + ACL_HEAD;

	for (unsigned n = get(acl + 4, 2); n > 0; n--) {
		size_t size = left >= ACE_HEAD ? get(at + 2, 2) : 0;
		if (size < ACE_HEAD || size > left)
			return -EBADMSG;
		int ret = take_ace(reading, at, size);
		if (ret < 0)
			return ret;
		at += size;
		left -= size;
	}
	return 0;
}

/* --- classes to a POSIX ACL --- */

static int compare_grants(const void *left, const void *right)
{
	const struct grant *one = left, *other = right;

	if (one->tag != other->tag)
		return one->tag < other->tag ? -1 : 1;
	return one->id < other->id ? -1 : one->id > other->id;
}

/* What the entries for this class, and for everybody, come to. */
static uint8_t sum(const struct grants *grants, uint16_t tag, uint32_t id)
{
	uint8_t given = 0, refused = 0;

	for (size_t i = 0; i < grants->count; i++) {
		const struct grant *grant = &grants->all[i];
		if (grant->tag != ACL_OTHER && (grant->tag != tag || grant->id != id))
			continue;
		if (grant->denies)
			refused |= grant->bits & (uint8_t)~given;
		else
			given |= grant->bits & (uint8_t)~refused;
	}
	return given;
}

/* The classes that a POSIX ACL of these entries has, ascending, each once: the three that there always are, and the named ones. */
static struct grant *classes_of(const struct grants *grants, size_t *count)
{
	struct grant *all = calloc(grants->count + 3, sizeof(*all));
	size_t n = 0, kept = 0;

	if (!all)
		return NULL;
	all[n++] = (struct grant){.tag = ACL_USER_OBJ, .id = NO_ID};
	all[n++] = (struct grant){.tag = ACL_GROUP_OBJ, .id = NO_ID};
	all[n++] = (struct grant){.tag = ACL_OTHER, .id = NO_ID};
	for (size_t i = 0; i < grants->count; i++)
		if (grants->all[i].tag == ACL_USER || grants->all[i].tag == ACL_GROUP)
			all[n++] = (struct grant){.tag = grants->all[i].tag, .id = grants->all[i].id};
	qsort(all, n, sizeof(*all), compare_grants);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || compare_grants(&all[kept - 1], &all[i]) != 0)
			all[kept++] = all[i];
	*count = kept;
	return all;
}

static void put(struct posix_acl_xattr_entry *entry, uint16_t tag, uint32_t id, uint8_t bits)
{
	*entry = (struct posix_acl_xattr_entry){htole16(tag), htole16(bits), htole32(id)};
}

/* The value of the attribute from classes with their bits. The mask stands before ACL_OTHER, and only where somebody is named. */
static void *make_value(const struct grant *classes, size_t count, size_t *len)
{
	bool named = count > 3;
	uint8_t mask = 0;
	*len = sizeof(struct posix_acl_xattr_header) + (count + named) * sizeof(struct posix_acl_xattr_entry);
	struct posix_acl_xattr_header *header = calloc(1, *len);
	struct posix_acl_xattr_entry *entry = (void *)(header + 1);

	if (!header)
		return NULL;
	header->a_version = htole32(POSIX_ACL_XATTR_VERSION);
	for (size_t i = 0; i < count; i++) {
		if (classes[i].tag == ACL_OTHER && named)
			put(entry++, ACL_MASK, NO_ID, mask);
		if (classes[i].tag != ACL_USER_OBJ && classes[i].tag != ACL_OTHER)
			mask |= classes[i].bits;
		put(entry++, classes[i].tag, classes[i].id, classes[i].bits);
	}
	return header;
}

static int make_access(const struct reading *reading, bool read_only, struct descriptor_posix *posix)
{
	size_t count;
	struct grant *classes = classes_of(&reading->access, &count);

	if (!classes)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		classes[i].bits = sum(&reading->access, classes[i].tag, classes[i].id) & (uint8_t)(read_only ? ~ACL_WRITE : ~0);
		unsigned shift = classes[i].tag == ACL_USER_OBJ ? 6 : classes[i].tag == ACL_GROUP_OBJ ? 3 : 0;
		if (classes[i].tag != ACL_USER && classes[i].tag != ACL_GROUP)
			posix->mode |= (uint32_t)classes[i].bits << shift;
	}
	posix->has_mode = true;
	if (count > 3)
		posix->access = make_value(classes, count, &posix->access_len);
	bool failed = count > 3 && !posix->access;
	free(classes);
	return failed ? -ENOMEM : 0;
}

/* Who makes something in the directory may do so by one of the entries: without one for the creator it is as whoever may most. */
static int make_inherited(const struct reading *reading, struct descriptor_posix *posix)
{
	bool has_creator = false;
	uint8_t most = 0;
	size_t count;

	if (reading->inherited.count == 0)
		return 0;
	struct grant *classes = classes_of(&reading->inherited, &count);
	if (!classes)
		return -ENOMEM;
	for (size_t i = 0; i < reading->inherited.count; i++)
		has_creator |= reading->inherited.all[i].tag == ACL_USER_OBJ;
	for (size_t i = 0; i < count; i++)
		most |= classes[i].bits = sum(&reading->inherited, classes[i].tag, classes[i].id);
	if (!has_creator)
		classes[0].bits = most;
	posix->inherited = make_value(classes, count, &posix->inherited_len);
	free(classes);
	return posix->inherited ? 0 : -ENOMEM;
}

/* --- the whole --- */

static int read_sid_at(const uint8_t *blob, size_t len, uint32_t at, struct sid *sid)
{
	if (at < BLOB_HEAD + SD_HEAD || at >= len)
		return -EBADMSG;
	return sid_read(blob + at, len - at, sid);
}

static void take_owners(struct reading *reading, struct descriptor_posix *posix)
{
	posix->has_uid = idmap_sid_user(reading->map, &reading->owner, &posix->uid);
	posix->has_gid = idmap_sid_group(reading->map, &reading->group, &posix->gid);
	if (!posix->has_uid)
		tell_unknown(reading, "owner", "its owner", &reading->owner);
	if (!posix->has_gid)
		tell_unknown(reading, "owner", "its group", &reading->group);
}

static int take_descriptor(struct reading *reading, const uint8_t *blob, size_t len, bool read_only,
                           struct descriptor_posix *posix)
{
	const uint8_t *sd = blob + BLOB_HEAD;

	if (len < BLOB_HEAD + SD_HEAD || get(blob, 2) != 1 || sd[0] != 1)
		return -EBADMSG;
	int ret = read_sid_at(blob, len, get(sd + 4, 4), &reading->owner);
	if (ret >= 0)
		ret = read_sid_at(blob, len, get(sd + 8, 4), &reading->group);
	if (ret < 0)
		return ret;
	take_owners(reading, posix);
	uint32_t dacl = get(sd + 16, 4);
	if (!(get(sd + 2, 2) & CONTROL_DACL_PRESENT) || dacl == 0)
		return 0; /* everybody may do everything, or nobody said: the administrator's permissions are better */
	if (dacl < BLOB_HEAD + SD_HEAD || dacl >= len)
		return -EBADMSG;
	ret = take_dacl(reading, blob + dacl, len - dacl);
	if (ret >= 0)
		ret = make_access(reading, read_only, posix);
	return ret < 0 ? ret : make_inherited(reading, posix);
}

int descriptor_to_posix(const struct idmap *map, const void *value, size_t len, bool is_dir, bool read_only,
                        descriptor_loss_fn loss, void *context, struct descriptor_posix *posix)
{
	struct reading reading = {.map = map, .is_dir = is_dir, .loss = loss, .context = context};

	*posix = (struct descriptor_posix){0};
	int ret = take_descriptor(&reading, value, len, read_only, posix);
	free(reading.access.all);
	free(reading.inherited.all);
	if (ret < 0)
		descriptor_posix_free(posix);
	return ret;
}

void descriptor_posix_free(struct descriptor_posix *posix)
{
	free(posix->access);
	free(posix->inherited);
	*posix = (struct descriptor_posix){0};
}
