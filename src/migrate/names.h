/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A set of file names, for one thread.
 */
#ifndef DMM_MIGRATE_NAMES_H
#define DMM_MIGRATE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct name_set;

struct name_set *name_set_new(void);
void name_set_free(struct name_set *set);
/* False: it was there already. */
bool name_set_add(struct name_set *set, const char *name);
bool name_set_has(const struct name_set *set, const char *name);
size_t name_set_count(const struct name_set *set);
bool name_set_empty(const struct name_set *set);
/* Walks the set: *at starts at 0; NULL at the end. */
const char *name_set_next(const struct name_set *set, size_t *at);

#endif
