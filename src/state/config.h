/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration database (DMM specification, section 8.1): which migrations there are on this machine. One LMDB environment,
 * by default /var/lib/dmmfs; DMMFS_CONFDIR or confdir= name another. Every daemon and dmmfs-admin may have it open at once.
 * It holds nothing that cannot be found again: the state of a migration lies with its target.
 *
 * Threads: a struct config may be used by several threads. Each call is one durable transaction. A process opens a directory once
 * at a time (LMDB's rule) and does not fork with it open.
 * Errors: 0 or more for success, else a negative errno; -EBADMSG: the database is damaged.
 */
#ifndef DMM_STATE_CONFIG_H
#define DMM_STATE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

struct config;

/* "/var/lib/dmmfs", or what DMMFS_CONFDIR says. */
const char *config_default_dir(void);

/* Creates the directory (mode 0700) and the database when `create`. -ENOENT when there is none and not `create`.
 * A directory that others may write to, or that is neither root's nor the caller's, is refused with -EPERM; a database of another
 * format version with -EPROTO. A sentence on failure in `error`. */
int config_open(const char *dir, int create, struct config **config, char *error, size_t error_size);
void config_close(struct config *config);

/* Settings of a migration are named strings. Those that the program itself keeps: source, target, mountpoint, statedir, uuid,
 * state (running, halted, complete, failed, finishing, deleting: as of the last change), created, finished (seconds since the
 * epoch), result (JSON of the final figures), paused ("on", or not there), deleting (how far a deletion has come: daemon/delete.c). All others are properties as the administrator set them. */
#define CONFIG_NAME_MAX 255 /* bytes; a longer or empty name is -EINVAL */
int config_create(struct config *config,
                  uint32_t *migid);                       /* a new migid: 1, 2, 3, ..., never one that was used; sets "created" */
int config_delete(struct config *config, uint32_t migid); /* -ENOENT */
/* -ENOENT when there is no such migration: a daemon that ends late does not bring a deleted one back. NULL value: removes. */
int config_set(struct config *config, uint32_t migid, const char *name, const char *value);
/* Sets all or nothing; names and values in turn, ended by NULL. */
int config_set_many(struct config *config, uint32_t migid, const char *const *names_and_values);
/* Sets all or nothing, if what the caller has read is still so: -EAGAIN when a setting in `expected` (NULL: not set) has another
 * value now. A NULL value removes. */
struct config_pair {
	const char *name, *value;
};
int config_update(struct config *config, uint32_t migid, const struct config_pair *pairs, size_t n_pairs,
                  const struct config_pair *expected, size_t n_expected);
/* A new migid with its settings, all or nothing: no crash leaves a migration of which nothing is known. */
int config_create_with(struct config *config, const struct config_pair *pairs, size_t n_pairs, uint32_t *migid);
/* Newly allocated value, to be freed; -ENOENT. */
int config_get(struct config *config, uint32_t migid, const char *name, char **value);
/* Calls `each` for every setting of a migration, by name; a non-zero return ends the walk and is returned. `each` may call anything,
 * it sees the settings as they were at the beginning. A migration that does not exist has none. */
int config_walk(struct config *config, uint32_t migid, int (*each)(void *context, const char *name, const char *value),
                void *context);
/* Up to `max` migids greater than `after`, ascending; how many. */
int config_list(struct config *config, uint32_t after, uint32_t *migids, size_t max);
/* The migration with this source and target; -ENOENT. */
int config_find(struct config *config, const char *source, const char *target, uint32_t *migid);

#endif
