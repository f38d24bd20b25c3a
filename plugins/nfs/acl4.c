/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ACLs of version 4 (RFC 7530, 6.2.1) as the xattr system.nfs4_acl, in which Linux's own client shows them: the bytes of the
 * attribute as they came. Where the target cannot hold them the host reports the loss.
 */
#include "nfs.h"

#include <errno.h>
#include <string.h>

/* Where an entry whose owner string ends in anything else than these is found, the ACL says more than the mode. */
static bool is_of_mode(const unsigned char *who, size_t len)
{
	static const char *const names[] = {"OWNER@", "GROUP@", "EVERYONE@"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == len && memcmp(who, names[i], len) == 0)
			return true;
	return false;
}

#define ACE_HEAD 16 /* type, flag, mask, length of who */

/* 1: beyond the mode; 0: not; -EBADMSG. */
static int says_more(const unsigned char *at, size_t left)
{
	uint32_t count = left >= 4 ? xdr_word(at) : 0;
	int more = 0;

	if (left < 4)
		return -EBADMSG;
	at += 4;
	left -= 4;
	for (uint32_t i = 0; i < count; i++) {
		if (left < ACE_HEAD)
			return -EBADMSG;
		uint32_t flags = xdr_word(at + 4), len = xdr_word(at + 12);
		uint64_t all = ACE_HEAD + ((uint64_t)len + 3) / 4 * 4;
		if (all > left)
			return -EBADMSG;
		if (!is_of_mode(at + ACE_HEAD, len) || flags & (ACE4_FILE_INHERIT_ACE | ACE4_DIRECTORY_INHERIT_ACE))
			more = 1;
		at += all;
		left -= all;
	}
	return left ? -EBADMSG : more;
}

int acl4_report(struct dmm_request *request, const struct fattr4 *from)
{
	const char *bytes = from->attr_vals.attrlist4_val;
	size_t len = from->attr_vals.attrlist4_len;

	if (from->attrmask.bitmap4_len == 0 || from->attrmask.bitmap4_val[0] == 0)
		return 0; /* the object has none */
	if (from->attrmask.bitmap4_val[0] != 1u << FATTR4_ACL)
		return -EBADMSG;
	int ret = says_more((const unsigned char *)bytes, len);
	return ret > 0 ? request->xattr(request, "system.nfs4_acl", bytes, len) : ret;
}
