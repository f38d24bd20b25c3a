/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A set of paths below the top of a migration, read from a file or given one by one: what an order names by '@FILE', and what
 * dmmfs-admin fetch asks for. A path stands for itself and for all that is in it.
 *
 * Constant once it is made, so any thread may ask.
 */
#ifndef DMM_PROPERTY_PATHS_H
#define DMM_PROPERTY_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#define PATHS_BYTES_MAX (64u << 20)
#define PATHS_COUNT_MAX 1000000u

struct paths;

/* One path a line, or, when there is a NUL in it, one before each NUL; './' and '/' at the beginning are taken off, empty lines
 * are left out. Negative errno with a sentence that names file and line. */
int paths_read(const char *file, struct paths **paths, char *error, size_t error_size);
/* The same of bytes that came from `name`. They are copied. */
int paths_parse(const char *name, const char *bytes, size_t len, struct paths **paths, char *error, size_t error_size);
void paths_free(struct paths *paths);

size_t paths_count(const struct paths *paths);
/* In the order of their bytes. */
const char *paths_at(const struct paths *paths, size_t index);

/* Is this path, or a directory that it is in, one of them? */
bool paths_match(const struct paths *paths, const char *path);
/* Does one of them lie below this directory? */
bool paths_lead(const struct paths *paths, const char *dir);

#endif
