/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Removing all that a target holds: for a migration that is deleted together with its data.
 */
#ifndef DMM_DAEMON_ERASE_H
#define DMM_DAEMON_ERASE_H

#include "target/target.h"

struct erase_counts {
	uint64_t files, dirs; /* names of what is no directory; directories */
	uint64_t bytes;       /* on disk */
};

/* What erase_target() would remove: everything below the target but our own directory, and lost+found of a file system. */
int erase_survey(const struct target *target, struct erase_counts *counts);
/* Does it; what was removed so far also when it fails. Can be done again after a crash. Durable on return. */
int erase_target(const struct target *target, struct erase_counts *counts);

/* -EBUSY, with a sentence, when something is mounted below the target. */
int erase_check_mounts(const char *target, char *error, size_t error_size);

#endif
