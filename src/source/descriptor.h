/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From a security descriptor of Windows ([MS-DTYP] 2.4.6) to owner, group, permissions and POSIX ACL, with the SIDs that a map of
 * ids knows (sid.h).
 *
 * What POSIX cannot say is left out in the direction that grants less, and told: entries for SIDs that the map does not know; entries
 * that deny, beyond whom they name; inheritance to files or directories alone; kinds of entries other than allow and deny. Of
 * the rights read, write and execute alone have a counterpart. The descriptor itself stays in its own attribute.
 *
 * The bytes are a server's: nothing in them is believed. Constant time in nothing, memory bounded by them.
 */
#ifndef DMM_SOURCE_DESCRIPTOR_H
#define DMM_SOURCE_DESCRIPTOR_H

#include "source/idmap.h"

/* The attribute in which Samba, and so a plugin for SMB, keeps a descriptor. */
#define DESCRIPTOR_XATTR "security.NTACL"

struct descriptor_posix {
	bool has_uid, has_gid; /* they have ids here */
	uint32_t uid, gid;
	bool has_mode;
	uint32_t mode;            /* 0777: what the ACL says of owner, group and others */
	void *access, *inherited; /* values of system.posix_acl_access and _default; NULL: none. To be freed */
	size_t access_len, inherited_len;
};

/* Called for each thing that is lost: "owner" or "acl", and a sentence. */
typedef void (*descriptor_loss_fn)(void *context, const char *kind, const char *detail);

/* `value` as in DESCRIPTOR_XATTR; a read-only file gives nobody the right to write. 0; -EBADMSG: it is no descriptor; -ENOMEM. */
int descriptor_to_posix(const struct idmap *map, const void *value, size_t len, bool is_dir, bool read_only,
                        descriptor_loss_fn loss, void *context, struct descriptor_posix *posix);
void descriptor_posix_free(struct descriptor_posix *posix);

#endif
