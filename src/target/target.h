/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The target port: system calls on the target tree, below a descriptor taken before the mount covers it (invariant I8).
 *
 * The root descriptor belongs to a private, detached clone of the target's mount (open_tree(2)), so nothing that is mounted
 * later, our own mount first of all, can come between. Objects are reached by file handle, or by one checked name below an
 * open directory; no path of more than one component is ever resolved.
 *
 * Threads: any. Errors: negative errno as the file system gave it.
 */
#ifndef DMM_TARGET_TARGET_H
#define DMM_TARGET_TARGET_H

#include "base/handle.h"

#include <stddef.h>
#include <sys/stat.h>

/* Our directory in the root of the target, hidden in the mount; gone after finish (I9). */
#define TARGET_OURS ".dmmfs"
/* In it: where files with several names at the source wait for the names that were not seen yet. */
#define TARGET_LINKS "links"
/* The mark on the target's root: the uuid of the migration. */
#define TARGET_MARK "trusted.dmmfs"

struct target {
	int tree_fd;           /* the detached mount: it is dissolved, and slow, once this is closed; -1: the plain directory */
	int root_fd;           /* O_RDONLY | O_DIRECTORY, in the private clone */
	int ours_fd, links_fd; /* -1 until target_adopt() */
	int witness_fd;        /* witness.h; -1: none */
	dev_t dev;
	uint64_t root_ino;
	struct handle root_handle;
	bool on_overlay; /* the file system is overlayfs: passthrough needs one more level of stacking */
	/* gone.h */
	uint32_t fs_type; /* as statfs(2) has it */
	int64_t fs_errors;
	int errors_fd; /* readable once the file system has met an error; -1: it does not tell so */
	const char *sysfs;
};

/* Takes the descriptor. `error` gets a sentence on failure. The file system must know file handles (-EOPNOTSUPP). */
int target_open(const char *path, struct target *target, char *error, size_t error_size);
void target_close(struct target *target);

/* Makes or finds our directory. The root keeps its times. */
int target_adopt(struct target *target);
/* Undoes it, if our directory is empty. */
void target_withdraw(struct target *target);
/* Writes the mark `uuid` on the root, durable: from here on the target means nothing without its state. */
int target_put_mark(const struct target *target, const char *uuid);
/* The uuid of the mark; -ENODATA when the target is not marked. */
int target_mark(const struct target *target, char *uuid, size_t size);
/* 1 when the target holds entries besides our own, lost+found of an empty file system apart; 0 when not. */
int target_occupied(const struct target *target);
/* Removes our directory and the mark, keeps the times of the root, also when it is cut off and done again. */
int target_disown(struct target *target);

/* Handle of the object `name` below `dirfd`, or of dirfd itself for "". */
int target_handle(int dirfd, const char *name, struct handle *handle);
/* Opens an object by handle; O_CLOEXEC and O_NOFOLLOW are added. -ESTALE when it exists no more, and only then: when that cannot be
 * told it is -EIO (gone.h). */
int target_open_handle(const struct target *target, const struct handle *handle, int flags);

/* Makes everything written to the target durable: the barrier of the phased commit (I1). */
int target_sync(const struct target *target);

/* The present path of an open object (O_PATH will do) below the root, without a slash at the beginning; "" for the root itself.
 * -ENAMETOOLONG; -ESTALE when the kernel can not tell it: of a file that was opened by handle it knows a path only while it
 * remembers a name for it. */
int target_path(const struct target *target, int fd, char *path, size_t size);

/* "/proc/self/fd/N": for calls that know paths only and must reach an O_PATH descriptor. */
#define FD_PATH_SIZE 32
const char *target_fd_path(int fd, char path[FD_PATH_SIZE]);

/* 0 when `name` is one component that may be made or looked up below the target; -EINVAL, -ENAMETOOLONG. */
int target_check_name(const char *name, size_t len);

#endif
