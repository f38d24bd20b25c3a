/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What no object brings over SMB, or not through the library. Told once for each migration.
 */
#include "cifs.h"

void cifs_limits(struct dmm_conn *conn, void (*tell)(void *context, const char *kind, const char *sentence), void *context)
{
	(void)conn;
	tell(context, "mode",
	     "SMB carries no permissions of POSIX: they are those of the options file_mode and dir_mode, or come from "
	     "the security descriptor, with SIDs in the map of ids.");
	tell(context, "set-id", "SMB carries no set-user-ID and set-group-ID bits.");
	tell(context, "hard-link", "SMB does not say which names are of one file: each becomes a file of its own.");
	tell(context, "holes", "SMB does not say where the holes of a file are: they become zeros.");
	tell(context, "streams", "The library lists no alternate data streams: none come over.");
	tell(context, "sacl", "The library gives no audit lists of security descriptors.");
}
