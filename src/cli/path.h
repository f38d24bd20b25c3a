/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which path an administrator means, found without touching what a migration serves: a request below a mount could wait for a
 * source that is gone.
 */
#ifndef DMM_CLI_PATH_H
#define DMM_CLI_PATH_H

#include <stdbool.h>

/* True when `path` is `prefix` or lies below it. Both absolute and without "." and "..". */
bool path_is_below(const char *path, const char *prefix);

/* The absolute path that `path` means, seen from the directory `cwd` (absolute, resolved): symbolic links are followed in all
 * parts but the last; as soon as `stop` says so of what is resolved so far, nothing further is looked at, and what is left is
 * taken as it is written ("." and ".." by the letter). What does not exist is taken as it is written too. Newly allocated in
 * `resolved`. -ELOOP, -ENAMETOOLONG, -ENOENT for an empty path, other errors of readlink(2). */
int path_resolve(const char *cwd, const char *path, bool (*stop)(void *context, const char *path), void *context,
                 char **resolved);

#endif
