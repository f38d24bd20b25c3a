/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Numbers, names and tables for people. Functions with `buf` fill it and return it; FORMAT_BYTES is enough for each.
 */
#ifndef DMM_CLI_FORMAT_H
#define DMM_CLI_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FORMAT_BYTES 64

const char *format_count(uint64_t count, char *buf);      /* 1,234,567 */
const char *format_duration(uint64_t seconds, char *buf); /* 45 s; 3 min 20 s; 2 h 10 min; 3 d 4 h */
const char *format_latency(uint64_t us, char *buf);       /* 850 us; 1.2 ms; 3.4 s */
const char *format_rate(uint64_t bytes_per_s, char *buf); /* 1.2 MiB/s */
const char *format_time(int64_t seconds, char *buf);      /* 2026-01-31 12:00:00, local */

/* "1.2 of 3.4 TiB": the unit of the whole for both, when both fit it. */
const char *format_share(uint64_t done, uint64_t all, char *buf);

/* Cut off, not rounded: 100 only when all is done. Nothing to do counts as done. */
unsigned format_percent(uint64_t done, uint64_t all);

/* Fit for a terminal: control characters and what is not UTF-8 as \xNN. Newly allocated, never NULL. */
char *format_name(const char *bytes);

/* Columns of a terminal that UTF-8 text takes. */
size_t format_width(const char *text);

/* A table with aligned columns. Cells are copied; NULL is an empty cell. */
struct table;
struct table *table_new(size_t n_columns, const char *const *heads, const char *alignment); /* 'l' or 'r' for each column */
void table_set(struct table *table, size_t column, const char *text);                       /* of the last row */
void table_color(struct table *table, size_t column, const char *color); /* an escape sequence; NULL or "": none */
void table_row(struct table *table);                                     /* begins a row */
void table_print(const struct table *table, FILE *to);
void table_print_columns(const struct table *table, size_t n_columns, FILE *to); /* the first of them */
void table_free(struct table *table);

#endif
