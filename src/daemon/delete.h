/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs --delete keep|remove [--force] --migid N: the end of a migration that is not to be finished. Called by dmmfs-admin, after
 * its daemon has ended; prints one JSON object to standard output, which dmmfs-admin(8) documents.
 */
#ifndef DMM_DAEMON_DELETE_H
#define DMM_DAEMON_DELETE_H

/* The arguments from "--delete" on. An exit status. */
int delete_main(int argc, char **argv);

#endif
