/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A walk through the target tree that may take objects away, of any depth, with one descriptor open at a time.
 *
 * It never leaves the target (I8): a directory is entered from its parent by one name, beneath it, not through a link, not onto
 * another file system; it is found again by its handle. Our own directory is not entered. Directories from which something was
 * taken keep their times.
 */
#ifndef DMM_TARGET_WALK_H
#define DMM_TARGET_WALK_H

#include "target/target.h"

#include <stdbool.h>

/* A directory of the walk. */
struct walk_dir {
	const struct walk_dir *parent; /* NULL: the target itself */
	const char *name;
	int fd; /* only in `entry` and `leave`, and there of this directory */
	uint64_t ino;
	struct handle handle;
	bool mark; /* the visitor's; a new directory has its parent's */
};

struct walk_visitor {
	void *context;
	/* A directory is entered, its entries come next. NULL: nothing to be done. */
	int (*enter)(void *context, struct walk_dir *dir);
	/* What is not a directory. */
	int (*entry)(void *context, const struct walk_dir *dir, const char *name, const struct stat *st);
	/* A directory `name` below `dir`, after all that is in it. `child` is the one that was entered; its fd is not open. */
	int (*leave)(void *context, const struct walk_dir *dir, const struct walk_dir *child);
};

/* Visitors give 0, 1 when they took something from the directory, or a negative errno, which ends the walk. */
int target_walk(const struct target *target, const struct walk_visitor *visitor);

/* The path of `name` below the target, of any length, newly allocated. `name` NULL: of the directory itself. */
char *walk_path(const struct walk_dir *dir, const char *name);

/* Removes a name, also of an object that is immutable or append-only; what has other names is that again afterwards.
 * `flags`: 0 or AT_REMOVEDIR. 0 also when it is not there. */
int target_unlink(int dirfd, const char *name, int flags);
/* Gives the object of this descriptor (O_PATH will do) another name, also when it is immutable or append-only. */
int target_link(int fd, int dirfd, const char *name);

#endif
