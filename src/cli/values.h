/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The properties of a migration, through its daemon or, when none runs, in the configuration database.
 */
#ifndef DMM_CLI_VALUES_H
#define DMM_CLI_VALUES_H

#include "cli/find.h"
#include "state/settings.h"

/* An array of objects with name, value (text or null) and from ("default", "set", "mount"): what is in force, or will be when it
 * starts. NULL after a message; cli->status is set. */
json_t *values_get(struct cli *cli, const struct migration *migration);

/* Changes all or nothing. An exit code, after a message on failure. */
int values_set(struct cli *cli, const struct migration *migration, const struct setting_change *changes, size_t n,
               bool *in_force);

#endif
