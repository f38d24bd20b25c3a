/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Leaving: the mount goes because somebody asked for it, to finish or to halt.
 *
 * Threads: those of admin/ and autofinish. One leaves at a time; what comes after the mount is serve.c's.
 */
#ifndef DMM_DAEMON_LEAVE_H
#define DMM_DAEMON_LEAVE_H

#include "daemon/daemon.h"

/* Takes the right to leave; from here on the end of the mount means `ending`. -EALREADY, with a message, when somebody has it.
 * Empties the result. */
int leave_begin(struct daemon *daemon, enum ending ending, struct finish_result *result);

/* With an error: gives the right back, and the error. Otherwise unmounts, and returns when the daemon has closed everything, after a
 * finish also taken away what is ours; with request->lazy as soon as the mount is detached. -EBUSY: with those who hold it. */
int leave_end(struct daemon *daemon, int error, const struct finish_request *request, struct finish_result *result);

/* holders.c: fills in the processes that have something of the mount open; those in another mount namespace that has a copy. */
void holders_of_files(const char *mountpoint, struct finish_result *result);
void holders_of_copies(const char *mountpoint, struct finish_result *result);

#endif
