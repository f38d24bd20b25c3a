/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Checks of where a migration is to happen, before anything is touched.
 */
#ifndef DMM_DAEMON_PLACE_H
#define DMM_DAEMON_PLACE_H

#include <stdbool.h>
#include <stddef.h>

/* A mount of ours at this path whose daemon has died (ENOTCONN) is detached, so that the new one can take its place. A living one
 * is refused with -EBUSY. */
int place_clear(const char *mountpoint, char *error, size_t error_size);

/* Is something of dmmfs mounted at exactly this path? */
bool place_is_ours(const char *path);

/* Does the way up from `inner` pass through `outer`? Compared by identity, so links and bind mounts do not deceive. 1, 0, or negative
 * errno when one of them cannot be looked at. */
int place_lies_inside(const char *inner, const char *outer);

/* -EINVAL when one directory lies inside the other or both are the same. */
int place_check_nesting(const char *source, const char *target, char *error, size_t error_size);

/* -EINVAL when the state would lie inside the source, which is never written (I5). */
int place_check_state(const char *source, const char *statedir, char *error, size_t error_size);

/* A source that is an empty directory and no mount: most likely its file system is not mounted. Logs a warning, no more: an empty
 * tree may be moved, too. */
void place_warn_of_empty(const char *source);

#endif
