/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration database (DMM specification, section 8.1): which migrations there are on this machine. One LMDB environment,
 * by default /var/lib/dmmfs; DMMFS_CONFDIR or confdir= name another. Every daemon and dmmfs-admin may have it open at once.
 * It holds nothing that cannot be found again: the state of a migration lies with its target.
 *
 * Threads: a struct config may be used by several threads. Each call is one durable transaction.
 */
#ifndef DMM_STATE_CONFIG_H
#define DMM_STATE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

struct config;

/* "/var/lib/dmmfs", or what DMMFS_CONFDIR says. */
const char *config_default_dir(void);

/* Creates the directory (mode 0700) and the database when `create`. -ENOENT when there is none and not `create`.
 * A directory that others may write to, or that is not root's, is refused with -EPERM. A sentence on failure in `error`. */
int config_open(const char *dir, int create, struct config **config, char *error, size_t error_size);
void config_close(struct config *config);

/* Settings of a migration are named strings. Those that the program itself keeps: source, target, mountpoint, statedir, uuid,
 * state (running, halted, complete, failed: as of the last change), created, finished (seconds since the epoch), result (JSON
 * of the final figures). All others are properties as the administrator set them. */
int config_create(struct config *config, uint32_t *migid); /* a new, unused migid: 1, 2, 3, ... */
int config_delete(struct config *config, uint32_t migid);
int config_set(struct config *config, uint32_t migid, const char *name, const char *value); /* NULL value: removes */
/* Sets all or nothing; names and values in turn, ended by NULL. */
int config_set_many(struct config *config, uint32_t migid, const char *const *names_and_values);
/* Newly allocated value, to be freed; -ENOENT. */
int config_get(struct config *config, uint32_t migid, const char *name, char **value);
/* Calls `each` for every setting of a migration; a non-zero return ends the walk and is returned. */
int config_walk(struct config *config, uint32_t migid, int (*each)(void *context, const char *name, const char *value),
		void *context);
/* Up to `max` migids greater than `after`, ascending; how many. */
int config_list(struct config *config, uint32_t after, uint32_t *migids, size_t max);
/* The migration with this source and target; -ENOENT. */
int config_find(struct config *config, const char *source, const char *target, uint32_t *migid);

#endif
