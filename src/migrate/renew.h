/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bringing a file anew whose source changed. See renew.c.
 */
#ifndef DMM_MIGRATE_RENEW_H
#define DMM_MIGRATE_RENEW_H

#include "migrate/object.h"

#include <dmmfs/plugin.h>

/* All of the file is absent again, and of the size that `attr`, which the source gives now, says. Without locks, not in a thread of a
 * door: waits for the disk. 1: done; 0: it cannot be, and *why has the end of a sentence; negative errno: neither. */
int renew(struct object *file, const struct dmm_attr *attr, const char **why);

/* Ends what was begun, by this daemon or by the one before: before anything is stored in the file. Waits for the disk only when the
 * record was submitted by this daemon. 0 also when nothing was to be done. Without locks. */
int renew_settle(struct object *file);

#endif
