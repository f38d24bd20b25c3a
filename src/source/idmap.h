/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Owners and groups of the source as the target shall have them (property idmap): a file of lines
 *
 *     uid 1000 2000          one
 *     uid 5000-5999 15000    a range, in order: 5000 becomes 15000, 5999 becomes 15999
 *     gid * 65534            all that no other line names
 *     user alice@corp 10042  a name, where the source has names (NFSv4); blanks in it are written \040
 *     group * 65534          all names that nobody else knows
 *
 *     sid S-1-5-21-1-2-3-* 100000   of Windows; sid.h tells what forms there are
 *
 * with '#' before a comment. What no line names stays as it is. The ids in POSIX ACLs are mapped as well.
 *
 * Constant once loaded. Threads: any.
 */
#ifndef DMM_SOURCE_IDMAP_H
#define DMM_SOURCE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap;

/* On failure a sentence that names file and line is put into `error`. */
int idmap_load(const char *path, struct idmap **map, char *error, size_t error_size);
/* The same from memory; `name` stands for the file in messages. */
int idmap_parse(const char *text, size_t len, const char *name, struct idmap **map, char *error, size_t error_size);
void idmap_free(struct idmap *map); /* NULL is allowed */

uint32_t idmap_uid(const struct idmap *map, uint32_t uid);
uint32_t idmap_gid(const struct idmap *map, uint32_t gid);
/* SIDs: there are lines for them; the id as a user and as a group, false: it has none. */
struct sid;
bool idmap_has_sids(const struct idmap *map);
bool idmap_sid_user(const struct idmap *map, const struct sid *sid, uint32_t *uid);
bool idmap_sid_group(const struct idmap *map, const struct sid *sid, uint32_t *gid);

/* The id that a line gives to exactly this name; *id stays when there is none. */
bool idmap_user(const struct idmap *map, const char *name, uint32_t *uid);
bool idmap_group(const struct idmap *map, const char *name, uint32_t *gid);
/* The id of names that nothing else knows. */
bool idmap_other_users(const struct idmap *map, uint32_t *uid);
bool idmap_other_groups(const struct idmap *map, uint32_t *gid);
/* The value of system.posix_acl_access or _default, in place. What is no such value stays. */
void idmap_acl(const struct idmap *map, void *value, size_t len);

#endif
