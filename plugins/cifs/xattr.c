/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a Samba server on the target wants to find in extended attributes:
 *
 *   user.DOSATTRIB    DOS attributes and creation time, version 5: an empty string, 5, 5, which fields are valid, the fields
 *   security.NTACL    the security descriptor, version 1: 1, 1, a pointer, then the descriptor in self-relative form ([MS-DTYP] 2.4.6),
 *                     whose offsets count from 8 bytes before it
 *
 * Both little endian.
 */
#include "cifs.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* 1601 to 1970 */
#define NTTIME_EPOCH_S 11644473600ll

uint64_t nttime_from(const struct wire_time *time)
{
	if (time->sec < -NTTIME_EPOCH_S || (time->sec == 0 && time->nsec == 0))
		return 0;
	return (uint64_t)(time->sec + NTTIME_EPOCH_S) * 10000000u + time->nsec / 100;
}

struct writer {
	unsigned char *at;
	size_t left;
	bool full;
};

static void put(struct writer *writer, uint64_t value, size_t bytes)
{
	value = htole64(value);
	if (bytes > writer->left) {
		writer->full = true;
		return;
	}
	memcpy(writer->at, &value, bytes);
	writer->at += bytes;
	writer->left -= bytes;
}

#define DOSINFO_ATTRIBUTES 0x01u
#define DOSINFO_CREATED 0x10u

void dosattrib_make(unsigned char value[DOSATTRIB_SIZE], uint32_t attributes, uint64_t created)
{
	struct writer writer = {.at = value, .left = DOSATTRIB_SIZE};

	put(&writer, 0, 2);
	put(&writer, 5, 2);
	put(&writer, 5, 4);
	put(&writer, DOSINFO_ATTRIBUTES | DOSINFO_CREATED, 4);
	put(&writer, attributes, 4);
	put(&writer, created, 8);
}

/* --- security descriptors --- */

struct sid {
	uint8_t count; /* of sub-authorities, at most 15 */
	uint64_t authority;
	uint32_t sub[15];
};

/* "S-1-5-21-1-2-3" up to a character of `ends`, where *at then stands. */
static bool take_sid(const char **at, const char *ends, struct sid *sid)
{
	char *end;

	*sid = (struct sid){0};
	if (strncmp(*at, "S-1-", 4))
		return false;
	sid->authority = strtoull(*at + 4, &end, 0); /* from 2^32 on it is written in hexadecimal digits */
	while (*end == '-' && sid->count < 15)
		sid->sub[sid->count++] = (uint32_t)strtoul(end + 1, &end, 10);
	*at = end;
	return sid->authority < (uint64_t)1 << 48 && *end && strchr(ends, *end);
}

static size_t sid_size(const struct sid *sid)
{
	return 8 + 4 * (size_t)sid->count;
}

static void put_sid(struct writer *writer, const struct sid *sid)
{
	put(writer, 1, 1);
	put(writer, sid->count, 1);
	for (int shift = 40; shift >= 0; shift -= 8) /* big endian, as the only thing here */
		put(writer, sid->authority >> shift & 0xff, 1);
	for (unsigned i = 0; i < sid->count; i++)
		put(writer, sid->sub[i], 4);
}

/* "SID:type/flags/mask" */
static bool put_ace(struct writer *writer, const char **at)
{
	struct sid sid;
	char *end;

	if (!take_sid(at, ":", &sid))
		return false;
	unsigned long type = strtoul(*at + 1, &end, 0);
	if (*end != '/' || type > 3)
		return false;
	unsigned long flags = strtoul(end + 1, &end, 0);
	if (*end != '/' || flags > 0xff)
		return false;
	unsigned long mask = strtoul(end + 1, &end, 0);
	*at = end;
	put(writer, type, 1);
	put(writer, flags, 1);
	put(writer, 8 + sid_size(&sid), 2);
	put(writer, mask, 4);
	put_sid(writer, &sid);
	return mask <= UINT32_MAX && (*end == ',' || *end == '\0' || *end == '\t' || *end == '\n');
}

#define CONTROL_DACL_PRESENT 0x0004u
#define CONTROL_SELF_RELATIVE 0x8000u
#define DESCRIPTOR_HEAD 20

struct descriptor {
	struct sid owner, group;
	bool has_owner, has_group;
	const char *aces; /* the first, or NULL: there is no DACL */
};

/* "REVISION:1,OWNER:S-...,GROUP:S-...,ACL:...,ACL:..." with any separator of ',', tab, newline */
static bool take_words(const char *text, struct descriptor *descriptor)
{
	static const char *const ends = ",\t\n";

	*descriptor = (struct descriptor){0};
	for (const char *at = text; at && *at; at = strpbrk(at, ends), at = at ? at + 1 : NULL) {
		if (strncmp(at, "OWNER:", 6) == 0) {
			at += 6;
			descriptor->has_owner = take_sid(&at, ",\t\n", &descriptor->owner);
		} else if (strncmp(at, "GROUP:", 6) == 0) {
			at += 6;
			descriptor->has_group = take_sid(&at, ",\t\n", &descriptor->group);
		} else if (strncmp(at, "ACL:", 4) == 0 && !descriptor->aces) {
			descriptor->aces = at;
		} else if (strncmp(at, "REVISION:1", 10) && strncmp(at, "ACL:", 4)) {
			return false;
		}
	}
	return descriptor->has_owner && descriptor->has_group;
}

static bool put_acl(struct writer *writer, const char *text)
{
	unsigned char *head = writer->at;
	unsigned count = 0;

	put(writer, 0, 8); /* filled in below */
	for (const char *at = text; at && strncmp(at, "ACL:", 4) == 0 && !writer->full; count++) {
		at += 4;
		if (!put_ace(writer, &at))
			return false;
		at = *at ? at + 1 : NULL;
	}
	if (writer->full || writer->at - head > UINT16_MAX)
		return true;
	struct writer again = {.at = head, .left = 8};
	put(&again, 2, 2); /* revision */
	put(&again, (uint64_t)(writer->at - head), 2);
	put(&again, count, 4);
	return true;
}

int ntacl_make(const char *text, unsigned char *value, size_t size)
{
	struct writer writer = {.at = value, .left = size};
	struct descriptor descriptor;

	if (!take_words(text, &descriptor))
		return -EBADMSG;
	uint64_t owner_at = NTACL_HEAD + DESCRIPTOR_HEAD;
	uint64_t group_at = owner_at + sid_size(&descriptor.owner), dacl_at = group_at + sid_size(&descriptor.group);
	put(&writer, 1, 2);
	put(&writer, 1, 2);
	put(&writer, 0x20000, 4);
	put(&writer, 1, 2); /* revision, and a byte of padding */
	put(&writer, CONTROL_SELF_RELATIVE | (descriptor.aces ? CONTROL_DACL_PRESENT : 0), 2);
	put(&writer, owner_at, 4);
	put(&writer, group_at, 4);
	put(&writer, 0, 4); /* SACL */
	put(&writer, descriptor.aces ? dacl_at : 0, 4);
	put_sid(&writer, &descriptor.owner);
	put_sid(&writer, &descriptor.group);
	if (descriptor.aces && !put_acl(&writer, descriptor.aces))
		return -EBADMSG;
	return writer.full ? -EMSGSIZE : (int)(writer.at - value);
}

/* --- descriptors as they are --- */

/* Four offsets from 4 on; 0: there is no such part. */
int ntacl_wrap(const void *descriptor, size_t len, unsigned char *value)
{
	struct writer writer = {.at = value, .left = NTACL_HEAD};
	unsigned char *copy = value + NTACL_HEAD;
	uint32_t offset;

	if (len < DESCRIPTOR_HEAD)
		return -EBADMSG;
	put(&writer, 1, 2);
	put(&writer, 1, 2);
	put(&writer, 0x20000, 4);
	memcpy(copy, descriptor, len);
	for (size_t at = 4; at < DESCRIPTOR_HEAD; at += sizeof(offset)) {
		memcpy(&offset, copy + at, sizeof(offset));
		offset = le32toh(offset);
		if (offset == 0)
			continue;
		if (offset < DESCRIPTOR_HEAD || offset >= len)
			return -EBADMSG;
		offset = htole32(offset + NTACL_HEAD);
		memcpy(copy + at, &offset, sizeof(offset));
	}
	return (int)len + NTACL_HEAD;
}
