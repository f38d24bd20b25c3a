/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The figures of a migration: what its daemon says, or, when none runs, what the configuration database keeps. Either way the
 * same keys, all of them.
 */
#ifndef DMM_CLI_FIGURES_H
#define DMM_CLI_FIGURES_H

#include "cli/find.h"

/* Sends a request, which is taken over, to the migration's daemon. 0 and its reply, of which "ok" is true; or a negative errno:
 * the reply's, with the reply, or of the connection, with NULL: -ENOENT and -ECONNREFUSED mean that no daemon runs. */
int daemon_ask(const struct cli *cli, uint32_t migid, json_t *request, unsigned timeout_s, json_t **reply);

/* Says what such an error means, returns the exit code for it. `reply` may be NULL and is given back. */
int daemon_fail(struct cli *cli, uint32_t migid, int error, json_t *reply);

/* The errno of a name, as replies have it; EIO for an unknown one. */
int figures_errno(const char *name);

/* True for the errors that mean that no daemon runs. */
bool daemon_is_absent(int error);

/* The object of `stat`, never NULL: the daemon's, or the kept one. Key "daemon" says how it is: "running"; "ending": it takes the
 * migration apart; "none", the state is then halted unless the migration has ended; "silent": it does not answer in time, or
 * not with figures. */
json_t *figures_get(struct cli *cli, const struct migration *migration);

/* The kept one. */
json_t *figures_kept(const struct migration *migration);

#endif
