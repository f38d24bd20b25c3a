/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fuzz target: security descriptors as a server sends them. Properties: translated or refused, and what is translated is a POSIX ACL
 * that Linux takes: entries ascending, the three that must be there, a mask where somebody is named, no right but three.
 */
#include "source/descriptor.h"
#include "source/sid.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void count(void *context, const char *kind, const char *detail)
{
	MUST(*kind && *detail);
	++*(unsigned *)context;
}

static void check_acl(const void *value, size_t len)
{
	const struct posix_acl_xattr_header *header = value;
	const struct posix_acl_xattr_entry *entry = (const void *)(header + 1);
	unsigned tags = 0;

	if (!value)
		return;
	MUST(len >= sizeof(*header) && (len - sizeof(*header)) % sizeof(*entry) == 0);
	size_t n = (len - sizeof(*header)) / sizeof(*entry);
	for (size_t i = 0; i < n; i++) {
		unsigned tag = le16toh(entry[i].e_tag), before = i ? le16toh(entry[i - 1].e_tag) : 0;
		MUST(le16toh(entry[i].e_perm) <= 7);
		MUST(tag > before || (tag == before && (tag == ACL_USER || tag == ACL_GROUP) &&
		                      le32toh(entry[i].e_id) > le32toh(entry[i - 1].e_id)));
		tags |= tag;
	}
	MUST(tags & ACL_USER_OBJ && tags & ACL_GROUP_OBJ && tags & ACL_OTHER);
	MUST(!(tags & (ACL_USER | ACL_GROUP)) == !(tags & ACL_MASK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "sid S-1-5-21-1-2-3-* 100000\nsid S-1-5-32-544 0\n";
	struct descriptor_posix posix;
	struct sid sid;
	struct idmap *map;
	char error[256], sid_words[SID_TEXT];
	unsigned losses = 0;

	MUST(idmap_parse(text, strlen(text), "map", &map, error, sizeof(error)) == 0);
	uint8_t *copy = malloc(size ? size : 1); /* of exactly this size, for the sanitizer */
	memcpy(copy, data, size);
	for (int is_dir = 0; is_dir < 2; is_dir++) {
		int ret = descriptor_to_posix(map, copy, size, is_dir, false, count, &losses, &posix);
		MUST(ret == 0 || ret == -EBADMSG);
		if (ret < 0)
			continue;
		MUST(posix.mode <= 0777 && (is_dir || !posix.inherited));
		check_acl(posix.access, posix.access_len);
		check_acl(posix.inherited, posix.inherited_len);
		descriptor_posix_free(&posix);
	}
	if (sid_read(copy, size, &sid) > 0) {
		struct sid again;
		MUST(sid_parse(sid_text(&sid, sid_words), &again) == 0 && sid_compare(&sid, &again) == 0);
	}
	free(copy);
	idmap_free(map);
	return 0;
}
