/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What no object brings over NFS: of the protocol, of this library, or of this server. Told once for each migration.
 */
#include "nfs.h"

void nfs_limits(struct dmm_conn *conn, void (*tell)(void *context, const char *kind, const char *sentence), void *context)
{
	if (conn->protocol == &protocol_v4) {
		tell(context, "xattr",
		     "The library speaks NFSv4.0, which carries no extended attributes; they came with RFC 8276.");
		if (!(conn->capabilities & DMM_CAP_NFS4_ACL))
			tell(context, "acl", "This server gives no access control lists over NFSv4.");
	} else {
		tell(context, "xattr", "NFSv3 carries no extended attributes.");
		tell(context, "times",
		     "NFSv3 has 32 bits for the seconds of a time (RFC 1813, 2.6): one before 1902 or after 2038 comes over as "
		     "another one.");
		if (!(conn->capabilities & DMM_CAP_POSIX_ACL))
			tell(context, "acl",
			     "This server gives no access control lists through the NFSACL protocol beside NFSv3.");
	}
	tell(context, "capability", "NFS carries no capabilities of programs: set them again with setcap(8).");
	tell(context, "flags", "NFS carries no flags of inodes, such as immutable or append-only (chattr).");
	tell(context, "holes",
	     "NFS does not say where the holes of a file are: runs of zeros become holes in files that take less room "
	     "than their size.");
}
