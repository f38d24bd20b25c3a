/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which migrations there are, as the configuration database has them, and which one is meant.
 */
#ifndef DMM_CLI_FIND_H
#define DMM_CLI_FIND_H

#include "cli/cli.h"

#include <stddef.h>

/* Strings are empty where nothing is set; times are seconds since the epoch, 0: not set. */
struct migration {
	uint32_t migid;
	char *source, *target, *mountpoint, *statedir, *state, *result, *waived, *report, *losses;
	int64_t created, finished;
	json_t *properties; /* all other settings: name and text */
};

struct migrations {
	struct migration *list; /* ascending by migid */
	size_t count;
};

/* Reads all. No database at all counts as no migrations. An exit code, after a message on failure. */
int migrations_load(struct cli *cli, struct migrations *migrations);
void migrations_free(struct migrations *migrations);

/* The one that an argument MIGID means: a number, a mount point or a target. NULL after a message; cli->status is set. */
const struct migration *migrations_meant(struct cli *cli, const struct migrations *migrations, const char *argument);

/* Of those whose mount point or target holds `path` (absolute, resolved) the one with the longest; among equals one that may
 * still run, then the newest. NULL: none. */
const struct migration *migrations_holding(const struct migrations *migrations, const char *path);

/* The absolute path that an argument means, never looking below a mount that a daemon may serve. Newly allocated; NULL after a
 * message; cli->status is set. */
char *migrations_path(struct cli *cli, const struct migrations *migrations, const char *argument);

/* For tests: adds a migration; strings are copied. */
void migrations_add(struct migrations *migrations, uint32_t migid, const char *source, const char *target, const char *mountpoint,
                    const char *state);

#endif
