/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Asking a daemon to leave its mount: what finish, halt and delete have in common; and what they do to each other.
 */
#ifndef DMM_CLI_LEAVE_H
#define DMM_CLI_LEAVE_H

#include "cli/find.h"

struct leave {
	bool lazy;
	unsigned wait_s;
};

/* Sends "finish" or "halt". An exit code, after a message on failure, which lists who has files open. This process leaves the
 * directory that it stands in, which may be below the mount. */
int leave_ask(struct cli *cli, const struct migration *migration, const char *op, const struct leave *leave);

/* halt.c: no daemon and no mount is there afterwards, unless `lazy`. *was_running says whether there was a daemon. An exit code. */
int halt_migration(struct cli *cli, const struct migration *migration, const struct leave *leave, bool *was_running);

/* start.c: a daemon serves it. *was_running says whether it did before. An exit code, after a message on failure. */
int start_migration(struct cli *cli, const struct migration *migration, bool *was_running);

/* Is it the topmost mount at its mount point, with a daemon or without? */
bool leave_is_mounted(const struct migration *migration);

/* {"ok":true,"migid":N,"state":STATE,"target":TARGET}, to be completed and printed. */
json_t *leave_result(const struct migration *migration, const char *state);

#endif
