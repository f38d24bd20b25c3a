/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the background may take, in words: from the object "background" of the figures, which is null when no daemon runs.
 */
#ifndef DMM_CLI_BACKGROUND_H
#define DMM_CLI_BACKGROUND_H

#include <jansson.h>
#include <stdio.h>

/* Lines that begin with `head` in the first and as many blanks in the others. Nothing when there is nothing to say. */
void background_print(FILE *to, const json_t *figures, const char *head);

/* "limit 20 MiB/s until 18:00", "background stopped"; "" when nothing holds it back. And "yields to applications", or "".
 * `buf` has FORMAT_BYTES. */
const char *background_limit_short(const json_t *figures, char *buf);
const char *background_yield_short(const json_t *figures);

#endif
