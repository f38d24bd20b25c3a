/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the file system of a target can hold, found without trying anything on it: statfs(2), asking for attributes that are not
 * there, and what is known of file systems by their type. What is not known has no limit here.
 */
#ifndef DMM_TARGET_LIMITS_H
#define DMM_TARGET_LIMITS_H

#include "target/target.h"

#include <stdbool.h>

struct target_limits {
	char type[32];                        /* "ext4"; "" when it cannot be told */
	uint64_t free_bytes, free_bytes_root; /* for everybody, for root */
	uint64_t block_bytes;
	uint64_t free_inodes; /* UINT64_MAX: made as they are needed */
	bool read_only;

	uint64_t name_max; /* bytes */
	uint64_t file_max; /* bytes */
	int64_t time_min_s, time_max_s;
	uint64_t xattr_max; /* bytes of all values of an object */
	bool folds_case;    /* names that differ in case alone are one */
	bool dos_names;     /* no control characters, none of \:*?"<>|, valid UTF-8, no space or dot at the end */
	bool plain_only;    /* files and directories: no symbolic links, devices, several names, owners */
};

int target_limits(const struct target *target, struct target_limits *limits);

/* Can attributes of this name be set there? 1, 0, negative errno when that cannot be told. Reads only. */
int target_holds_xattr(const struct target *target, const char *name);

/* From now on looking at the target through its root descriptor leaves no access times there. Best effort. */
void target_look_only(const struct target *target);

#endif
