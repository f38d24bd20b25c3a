/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What no object brings over SMB, or not through the library. Told once for each migration.
 */
#include "cifs.h"

void cifs_limits(struct dmm_conn *conn, void (*tell)(void *context, const char *kind, const char *sentence), void *context)
{
	tell(context, "mode",
	     "SMB carries no permissions of POSIX: they are those of the options file_mode and dir_mode, or come from "
	     "the security descriptor, with SIDs in the map of ids.");
	tell(context, "owner",
	     "SMB has no numbers of owners and groups: they are those of the options uid and gid, or come from the security "
	     "descriptor, with SIDs in the map of ids.");
	tell(context, "acl",
	     "SMB carries no ACLs of POSIX; the security descriptor comes over as it is, and with SIDs in the map of ids an ACL "
	     "is made of it.");
	tell(context, "xattr", "The extended attributes of SMB (EAs, [MS-FSCC] FileFullEaInformation) are not read.");
	tell(context, "capability", "SMB carries no capabilities of programs: set them again with setcap(8).");
	tell(context, "flags", "SMB carries no flags of inodes, such as immutable or append-only (chattr).");
	tell(context, "times", "SMB counts time in units of 100 ns ([MS-DTYP] 2.3.3): what is finer is cut off.");
	tell(context, "name",
	     "Names that SMB cannot say, a Unix server shows under others (characters that Windows forbids, [MS-FSCC] "
	     "2.1.5), or leaves them out (not UTF-8).");
	tell(context, "other",
	     "Symbolic links of a Unix server are followed by it: what they lead to comes over in their place, and one that "
	     "leads nowhere, or out of the share, is not seen.");
	tell(context, "other", "FIFOs, sockets and devices of a Unix server look like empty files, and come over as such.");
	tell(context, "set-id", "SMB carries no set-user-ID and set-group-ID bits.");
	tell(context, "hard-link", "SMB does not say which names are of one file: each becomes a file of its own.");
	tell(context, "holes", "SMB does not say where the holes of a file are: they become zeros.");
	if (!(conn->can & CONNECTED_RAW))
		tell(context, "streams",
		     "Alternate data streams come over only with libsmb2: it is not built in, or it gets no session (with "
		     "sec=krb5 it must have been built with Kerberos, too).");
	if (!(conn->can & CONNECTED_AUDIT))
		tell(context, "sacl",
		     "Audit lists of security descriptors come over only with libsmb2, and for a user who has the "
		     "privilege to manage them (SeSecurityPrivilege).");
}
