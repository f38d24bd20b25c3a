/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Figures (the object of `stat`) in words: what list, show and stat have in common. `buf` has FORMAT_BYTES.
 */
#ifndef DMM_CLI_SUMMARY_H
#define DMM_CLI_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the bytes found so far, or of the objects where there are no bytes. */
unsigned summary_percent(const json_t *figures);

/* "about 2 h 10 min"; "at least 2 h 10 min" while not everything was seen; "unknown"; "none"; "-" when nothing runs. */
const char *summary_remaining(const json_t *figures, char *buf);

/* The same, followed by ", still looking" while that is so. */
const char *summary_remaining_long(const json_t *figures, char *buf);

/* "1,234 requests, 3 waiting, p50 1.2 ms, p99 33 ms". */
const char *summary_demand(const json_t *figures, char *buf, size_t buf_size);

/* Objects whose migration failed. */
uint64_t summary_errors(const json_t *figures);

/* Everything has come over. */
bool summary_all_here(const json_t *figures);

/* Besides, its daemon and its mount are gone: a plain tree. */
bool summary_finished(const json_t *figures);

/* For a terminal of that width, which is never exceeded: a line with a bar, and a line with what else one wants to know. For a
 * pipe: one line with the time. Without a newline, newly allocated. */
char *summary_bar(const json_t *figures, size_t width);
char *summary_below_bar(const json_t *figures, size_t width);
char *summary_line(const json_t *figures);

#endif
