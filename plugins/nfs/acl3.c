/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * POSIX ACLs of the NFSACL side protocol as Linux wants them in an xattr (linux/posix_acl_xattr.h): a version word, then for each
 * entry tag, permissions and id, little endian, in the order of tags and ids. The tags are the same numbers in both.
 */
#include "nfs.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>

/* More would not fit into an xattr of 64 KiB. */
#define ENTRIES_MOST 8000
#define NO_ID 0xffffffffu

static int compare(const void *left, const void *right)
{
	const struct posix_acl_xattr_entry *a = left, *b = right;

	if (a->e_tag != b->e_tag)
		return le16toh(a->e_tag) < le16toh(b->e_tag) ? -1 : 1;
	return le32toh(a->e_id) < le32toh(b->e_id) ? -1 : le32toh(a->e_id) > le32toh(b->e_id);
}

static bool entry_from(struct posix_acl_xattr_entry *entry, const struct nfsacl_ace *ace)
{
	unsigned tag = (unsigned)ace->type & ~(unsigned)NFSACL_TYPE_DEFAULT;
	bool named = tag == ACL_USER || tag == ACL_GROUP;

	entry->e_tag = htole16((uint16_t)tag);
	entry->e_perm = htole16((uint16_t)(ace->perm & 7));
	entry->e_id = htole32(named ? ace->id : NO_ID);
	return named || tag == ACL_USER_OBJ || tag == ACL_GROUP_OBJ || tag == ACL_MASK || tag == ACL_OTHER;
}

/* Three entries say no more than the mode does. A server adds a mask to those (its own convention): four without a name as well. */
static bool says_more(const struct nfsacl_ace *aces, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (((unsigned)aces[i].type & (NFSACL_TYPE_USER | NFSACL_TYPE_GROUP)) != 0)
			return true;
	return false;
}

static int report(struct dmm_request *request, const char *name, const struct nfsacl_ace *aces, unsigned count)
{
	if (count > ENTRIES_MOST)
		return -EBADMSG;
	size_t size = sizeof(struct posix_acl_xattr_header) + count * sizeof(struct posix_acl_xattr_entry);
	struct posix_acl_xattr_header *header = malloc(size);
	struct posix_acl_xattr_entry *entries = (void *)(header + 1);
	int ret = header ? 0 : -ENOMEM;

	if (header)
		header->a_version = htole32(POSIX_ACL_XATTR_VERSION);
	for (unsigned i = 0; ret == 0 && i < count; i++)
		if (!entry_from(&entries[i], &aces[i]))
			ret = -EBADMSG;
	if (ret == 0) {
		qsort(entries, count, sizeof(*entries), compare);
		ret = request->xattr(request, name, header, size);
	}
	free(header);
	return ret;
}

int acl3_report(struct dmm_request *request, const struct GETACL3resok *acl)
{
	int ret = 0;

	if (says_more(acl->ace.ace_val, acl->ace.ace_len))
		ret = report(request, "system.posix_acl_access", acl->ace.ace_val, acl->ace.ace_len);
	if (ret >= 0 && acl->default_ace.default_ace_len)
		ret = report(request, "system.posix_acl_default", acl->default_ace.default_ace_val,
		             acl->default_ace.default_ace_len);
	return ret;
}
