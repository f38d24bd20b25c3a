/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Patterns of file names, as the order of a migration uses them.
 *
 * A pattern that begins with '/' describes a path from the top of the migration; any other describes one name, wherever it is.
 * '*' is any run of characters of one name, '?' one character, '[a-z]' and '[!a-z]' one of them or none of them, '\' takes the next
 * character as it is; '**' between slashes is any number of directories, at the end everything below. What matches a directory
 * holds for all that is in it.
 *
 * Paths are below the top, without a slash at the beginning; "" is the top itself. Characters are those of UTF-8; bytes that are
 * none stand for themselves. Pure, any thread; the time is bounded by the product of the lengths.
 */
#ifndef DMM_PROPERTY_GLOB_H
#define DMM_PROPERTY_GLOB_H

#include <stdbool.h>

/* NULL when the pattern is well formed, or half a sentence that says what is wrong. */
const char *glob_complaint(const char *pattern);

/* Does the pattern match this path or a directory that it is in? */
bool glob_match(const char *pattern, const char *path);

/* Can there be matches below this directory, which the pattern does not match itself? Only a pattern that names where to begin
 * leads anywhere: one of a name, or one that begins with '**', would lead everywhere. */
bool glob_leads(const char *pattern, const char *dir);

#endif
