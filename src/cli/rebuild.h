/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin db rebuild: a new state from what source and target hold.
 */
#ifndef DMM_CLI_REBUILD_H
#define DMM_CLI_REBUILD_H

#include "cli/find.h"

#include <stdbool.h>
#include <stddef.h>

struct rebuild_wish {
	bool force, quick;
	struct {
		const char *option; /* "--keep", "--take" */
		const char *path;   /* as it was typed */
	} * paths;
	size_t n_paths;
};

void rebuild_wish_path(struct rebuild_wish *wish, const char *option, const char *path);
void rebuild_wish_free(struct rebuild_wish *wish);

/* An exit code: CLI_FINDINGS when there is something to be decided and nothing was changed. */
int rebuild_migration(struct cli *cli, const struct migrations *migrations, const struct migration *migration,
                      const struct rebuild_wish *wish);

#endif
